# The headers that nearly every file includes, parsed once a build: for tests, and in the sanitizer builds for src/ too. `dev` and `release` compile
# each file of src/ with what it includes itself, so that a missing include is found there.
option(LANEWAY_PRECOMPILED "Precompile common headers for src/, too" OFF)
if(NOT LANEWAY_TESTS)
  function(laneway_precompiled)
  endfunction()
  return()
endif()

set(common <algorithm> <atomic> <chrono> <condition_variable> <deque> <functional> <map> <memory> <mutex> <optional> <set> <span> <string> <string_view>
  <thread> <unordered_map> <variant> <vector> <absl/status/status.h> <absl/status/statusor.h> <absl/strings/str_cat.h> <laneway/v1/event.pb.h>
  <laneway/v1/store.pb.h>)
if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
  add_compile_options("SHELL:-Xclang -fno-pch-timestamp")  # ccache compares contents
else()
  add_compile_options(-fpch-preprocess)
endif()
file(WRITE ${CMAKE_BINARY_DIR}/precompiled.cc "")
foreach(kind IN ITEMS src tests)
  add_library(laneway_precompiled_${kind} STATIC EXCLUDE_FROM_ALL ${CMAKE_BINARY_DIR}/precompiled.cc)
  target_link_libraries(laneway_precompiled_${kind} PUBLIC laneway_schemas absl::status absl::statusor absl::strings PRIVATE laneway_options)
  target_precompile_headers(laneway_precompiled_${kind} PRIVATE ${common})
endforeach()
target_link_libraries(laneway_precompiled_tests PUBLIC GTest::gmock GTest::gtest)
target_precompile_headers(laneway_precompiled_tests PRIVATE <gmock/gmock.h> <gtest/gtest.h>)

function(laneway_precompiled target kind)
  if(LANEWAY_PRECOMPILED OR kind STREQUAL tests)
    target_precompile_headers(${target} REUSE_FROM laneway_precompiled_${kind})
  endif()
endfunction()
