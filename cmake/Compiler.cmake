# How our own targets are compiled. Libraries of others are SYSTEM and take no part in the warnings.
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR})

option(LANEWAY_TESTS "Build the tests" ON)
option(LANEWAY_BENCH "Build the benchmarks" ON)
option(LANEWAY_FUZZ "Build the fuzz targets with libFuzzer (clang)" OFF)
option(LANEWAY_PLANTED_BUGS "Compile the planted bugs in, each switched on by name (tests only)" OFF)
set(LANEWAY_SANITIZE "" CACHE STRING "address;undefined or thread")
set(LANEWAY_TEST_PREFIX "" CACHE STRING "Put before the names of tests, so that several builds can be tested in one run")
set(LANEWAY_TEST_LABELS "" CACHE STRING "Build and run only tests with one of these labels; empty: all")

if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE RelWithDebInfo CACHE STRING "" FORCE)
endif()

find_program(CCACHE ccache)
if(CCACHE)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env CCACHE_BASEDIR=${CMAKE_SOURCE_DIR} CCACHE_NOHASHDIR=1 CCACHE_DEPEND=1 CCACHE_SLOPPINESS=pch_defines,time_macros ${CCACHE})
endif()

add_library(laneway_options INTERFACE)
target_compile_options(laneway_options INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wnon-virtual-dtor -Woverloaded-virtual -Wswitch-enum -Werror $<$<CXX_COMPILER_ID:Clang>:-Wno-sign-conversion>
  -Wno-missing-field-initializers)  # designated initializers name what they set; the rest has defaults
if(LANEWAY_PLANTED_BUGS)
  target_compile_definitions(laneway_options INTERFACE LANEWAY_PLANTED_BUGS=1)
endif()
if(LANEWAY_SANITIZE AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # What sanitizers and precompiled headers add confuses GCC's warnings (its manual says so); the other builds have them.
  target_compile_options(laneway_options INTERFACE -w)
endif()
if(LANEWAY_SANITIZE)
  target_compile_definitions(laneway_options INTERFACE LANEWAY_SANITIZED=1)
endif()
foreach(sanitizer IN LISTS LANEWAY_SANITIZE)
  add_compile_options(-fsanitize=${sanitizer} -fno-omit-frame-pointer)
  add_link_options(-fsanitize=${sanitizer})
  if(sanitizer STREQUAL "undefined")
    add_compile_options(-fno-sanitize-recover=undefined)  # a finding fails the test
  endif()
endforeach()
if(LANEWAY_FUZZ)
  add_compile_options(-fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined)
  add_link_options(-fsanitize=address,undefined)
endif()
