// job_files.h: puts a file into a dispatch zone so that no reader ever sees half of it.
#pragma once

#include <string>

#include "absl/status/statusor.h"

namespace laneway::cli {

// Copies `file` to incoming/ below `zone`: under a name that is not taken while it is being written, then
// renamed. A name that is there already is ALREADY_EXISTS. Gives the id its job will have (rule I1).
absl::StatusOr<std::string> SubmitFile(const std::string& zone, const std::string& file);

}  // namespace laneway::cli
