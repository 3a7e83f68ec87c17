// job_wait.h: follows jobs to their ends.
#pragma once

#include <string>
#include <vector>

#include "cli/api_client.h"

namespace laneway::cli {

// Shows one progress bar over the tasks of all jobs on stderr. kDone when all SUCCEEDED, else kFailed. A job
// that the fleet does not know yet (its file has not been taken) is waited for.
int WaitForJobs(ApiClient& client, const std::vector<std::string>& ids);

}  // namespace laneway::cli
