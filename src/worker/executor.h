// executor.h: runs attempts: a child process of the companion (exec), or a function of ours (builtin).
//
// Role:       interface to the outside: CompanionExecutor (real children), BuiltinExecutor (noop, sleep,
//             fail, copy), SimExecutor (tests/sim).
// Promises:   (1) every Start is answered by exactly one Ended, whatever happens; (2) no process of an
//             attempt lives on once its Ended was told; (3) nothing a child does can block us or another
//             child; (4) `on_event` runs on a thread of the executor's: it must be short.
// Errors:     Start refuses nothing: what cannot be started ends with CANNOT_START and the reason.
// Threads:    every function from any thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "fleet/ids.h"
#include "laneway/v1/event.pb.h"

namespace laneway::worker {

struct AttemptKey {
  TaskId task;
  uint32_t attempt = 0;
  friend auto operator<=>(const AttemptKey&, const AttemptKey&) = default;
};

struct RunSpec {
  AttemptKey key;
  WorkerId worker;
  std::string handler;                   // builtin; empty: argv
  std::vector<std::string> argv;         // placeholders are filled in
  std::vector<std::string> environment;  // NAME=value, all of it
  std::string payload;                   // builtin
  std::string file;                      // builtin copy: absolute path of the input
  std::string output_dir;                // absolute; exists. Empty: a builtin handler that writes nothing
  std::string log_path;                  // of stdout and stderr; made when there is output
  std::chrono::milliseconds timeout{0};  // 0: none
  std::chrono::milliseconds kill_grace{10000};
  uint64_t log_bytes_max = 0;  // 0: 16 MiB
  uint32_t processes_max = 0;  // 0: no limit
};

// A child runs. pid_start is field 22 of /proc/<pid>/stat, to tell a pid used again.
struct Started {
  AttemptKey key;
  int32_t pid = 0;  // also its process group; 0: builtin
  uint64_t pid_start = 0;
};

// `::progress 40 text`, `::checkpoint VALUE`, `::output {json}`, `::records N`: what was given since the last
// such event.
struct Reported {
  AttemptKey key;
  std::optional<uint32_t> percent;
  std::string message;
  std::optional<std::string> checkpoint;
  std::optional<std::string> output;
  std::optional<uint64_t> records;
};

struct Ended {
  AttemptKey key;
  bool ok = false;
  v1::Ending ending = v1::ENDING_UNSPECIFIED;  // unless ok
  int32_t exit_code = 0;
  int32_t signal = 0;
  std::string message;  // unless ok: the reason and the last lines of output, at most 2 KiB
  std::chrono::milliseconds duration{0};
  uint64_t cpu_us = 0;
  uint64_t memory_peak_kib = 0;
  uint64_t output_bytes = 0;
};

using ExecutorEvent = std::variant<Started, Reported, Ended>;

enum class StopReason { kCancelled, kSuperseded, kShutdown, kBrowserGone };

class Executor {
 public:
  virtual ~Executor() = default;
  virtual void Start(RunSpec spec) = 0;
  // SIGTERM to its process group, SIGKILL after the grace. Its Ended says STOPPED. Unknown keys are ignored.
  virtual void Stop(const AttemptKey& key, StopReason reason) = 0;
};

}  // namespace laneway::worker
