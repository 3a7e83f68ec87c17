// planted_hunt.h: a test of the simulator: each planted bug is switched on, and must be noticed.
//
// Role:       runs fleets with one bug at a time until a promise is broken: first those of the profile in
//             which the bug is usually noticed, then all.
// Output:     a table; what was not noticed; rules without a bug that was.
#pragma once

#include <string>

namespace laneway::sim {

struct HuntOptions {
  std::string bug;  // empty: every one
  double bug_seconds = 20;
  unsigned jobs = 2;
};

// 0: every bug was noticed. 2: this build has none.
int HuntPlanted(const HuntOptions& options);

}  // namespace laneway::sim
