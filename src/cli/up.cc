#include "cli/up.h"

#include "cli/exit_codes.h"

namespace laneway::cli {

int RunUp(const UpOptions&, const ops::EffectiveConfig&) {
  Complain("this build cannot run a fleet");
  return kFailed;
}

}  // namespace laneway::cli
