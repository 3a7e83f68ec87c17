// run_spec.h: what a script is given: its argv, its environment, its folders (CONTRACT "What a script gets").
//
// Role:       pure.
// Promises:   those of executor/placeholders.h, which fills in arguments and environment.
// Threads:    functions.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "laneway/v1/lane.pb.h"
#include "worker/executor.h"

namespace laneway::worker {

struct RunContext {
  WorkerId worker;
  std::string zone_root;  // absolute; empty: no zone
  std::vector<std::string>
      environment;  // ours, NAME=value: scripts get what executor/placeholders.h lets through
  std::vector<std::string> environment_allowed;  // names beyond that
  std::chrono::milliseconds kill_grace{10000};
  uint64_t log_bytes_max = 64 << 20;
  uint32_t processes_max = 0;
  uint32_t browser_port = 0;  // 0: no browser
};

// True: the attempt has a folder of its own. Builtin handlers that write nothing have one only for their
// file, and no output folder in it.
bool NeedsFolder(const v1::WorkPacket& packet);

// "logs/<worker>/<job>-<attempt>.log", with the task's number between for all but the first task of a job.
std::string AttemptLogPath(const WorkerId& worker, const AttemptKey& key);

// INVALID_ARGUMENT: an argument that cannot be filled in.
absl::StatusOr<RunSpec> MakeRunSpec(const RunContext& context, const AttemptKey& key,
                                    const v1::WorkPacket& packet);

}  // namespace laneway::worker
