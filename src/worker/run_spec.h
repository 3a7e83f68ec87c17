// run_spec.h: what a script is given: its argv, its environment, its folders (CONTRACT "What a script gets").
//
// Role:       pure.
// Promises:   (1) a placeholder's value is never looked at again, and never goes through a shell; (2) the environment holds what the
//             operator allowed and what belongs to the task, nothing else of ours.
// Threads:    functions.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "laneway/v1/lane.pb.h"
#include "worker/executor.h"

namespace laneway::worker {

struct RunContext {
  WorkerId worker;
  std::string zone_root;                  // absolute; empty: no zone
  std::vector<std::string> environment;   // NAME=value that every script gets
  std::chrono::milliseconds kill_grace{10000};
  uint64_t log_bytes_max = 64 << 20;
  uint32_t processes_max = 0;
  uint32_t browser_port = 0;              // 0: no browser
};

// Replaces {name} by its value in one pass; an unknown {name} stays as it is.
std::string FillPlaceholders(std::string_view text, const std::map<std::string, std::string, std::less<>>& values);

// True: the attempt has a folder of its own with an output folder in it. Builtin handlers that write nothing have none.
bool NeedsFolder(const v1::WorkPacket& packet);

// "logs/<worker>/<job>-<attempt>.log", with the task's number between for all but the first task of a job.
std::string AttemptLogPath(const WorkerId& worker, const AttemptKey& key);

RunSpec MakeRunSpec(const RunContext& context, const AttemptKey& key, const v1::WorkPacket& packet);

}  // namespace laneway::worker
