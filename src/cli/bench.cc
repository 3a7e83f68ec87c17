#include "cli/bench.h"

#include "cli/command.h"
#include "cli/exit_codes.h"

namespace laneway::cli {

int RunBench(const BenchOptions& options) {
  Complain("this build cannot measure " + options.kind);
  return kFailed;
}

}  // namespace laneway::cli
