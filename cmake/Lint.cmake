# The target `lint`: clang-tidy on every file of src/. A stamp a file, so that only what changed, or includes what changed, is looked at again.
find_program(CLANG_TIDY clang-tidy-14)
find_package(Python3 COMPONENTS Interpreter)
if(CLANG_TIDY AND Python3_FOUND)
  file(GLOB_RECURSE lint_sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/src/*.cc)
  foreach(source IN LISTS lint_sources)
    file(RELATIVE_PATH name ${CMAKE_SOURCE_DIR} ${source})
    set(stamp ${CMAKE_BINARY_DIR}/lint/${name}.clean)
    add_custom_command(OUTPUT ${stamp}
      COMMAND ${Python3_EXECUTABLE} -B ${CMAKE_SOURCE_DIR}/tools/tidy-one ${CMAKE_BINARY_DIR} ${source} ${stamp}
      DEPENDS ${source} ${CMAKE_SOURCE_DIR}/.clang-tidy ${CMAKE_SOURCE_DIR}/tools/tidy-one
      DEPFILE ${stamp}.d COMMENT "clang-tidy ${name}" VERBATIM)
    list(APPEND stamps ${stamp})
  endforeach()
  add_custom_target(lint DEPENDS ${stamps})
  add_dependencies(lint laneway_schemas)  # its generated headers
endif()
