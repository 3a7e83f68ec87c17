cmake_minimum_required(VERSION 3.25)
# Run at every build: writes the commit into a header, and touches the header only when the commit is another one.
execute_process(COMMAND git -C ${SOURCE} describe --always --abbrev=9 --exclude=* OUTPUT_VARIABLE commit OUTPUT_STRIP_TRAILING_WHITESPACE
                ERROR_QUIET RESULT_VARIABLE failed)
if(failed)
  set(commit unknown)
else()
  execute_process(COMMAND git -C ${SOURCE} diff --quiet HEAD RESULT_VARIABLE changed ERROR_QUIET)
  if(changed)
    string(APPEND commit -changed)
  endif()
endif()
file(CONFIGURE OUTPUT ${OUTPUT} CONTENT "#pragma once\n#define LANEWAY_COMMIT \"@commit@\"\n" @ONLY)
