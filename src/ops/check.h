// check.h: a broken invariant stops the process, in release too: going on would spread it into the log.
//
// Role:       shells only; the cores have their own answers.
#pragma once

namespace laneway::ops {

// Prints where and what on stderr, then aborts.
[[noreturn]] void InvariantBroken(const char* file, int line, const char* condition, const char* why);

}  // namespace laneway::ops

#define LANEWAY_CHECK(condition, why)                                       \
  do {                                                                      \
    if (!(condition)) [[unlikely]]                                          \
      ::laneway::ops::InvariantBroken(__FILE__, __LINE__, #condition, why); \
  } while (false)
