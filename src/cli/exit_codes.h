// exit_codes.h: what the process's end tells a script. Fixed: scripts depend on it.
#pragma once

namespace laneway::cli {

enum ExitCode : int {
  kDone = 0,
  kFailed = 1,  // or an unhealthy finding
  kUsage = 2,   // or the configuration
  kNotFound = 3,
  kUnreachable = 4,  // the fleet
  kRefused = 5,      // or a check found a violation
};

}  // namespace laneway::cli
