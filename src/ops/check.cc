#include "ops/check.h"

#include <cstdio>
#include <cstdlib>

namespace laneway::ops {

void InvariantBroken(const char* file, int line, const char* condition, const char* why) {
  std::fprintf(stderr, "laneway: broken invariant at %s:%d: %s (%s)\n", file, line, why, condition);
  std::abort();
}

}  // namespace laneway::ops
