// builtin_executor.h: handlers that need no process: for tests, benchmarks and moving files.
//
// Role:       an Executor (executor.h). Handlers:   noop   succeeds at once: its Ended is told within Start,
//             no Started before it. sleep  {"ms": 250}: succeeds after that time. fail   {"message": "why",
//             "exit_code": 3, "times": 2}: fails; with `times`, only in the first so many attempts. copy
//             copies `file` into `output_dir` under its name, synced. Its payload is not looked at.
// Errors:     an unknown handler or a payload that cannot be read ends with CANNOT_START.
// Threads:    every function from any thread; on_event is called within Start or on one of its own two
//             threads, which start when they are first needed.
#pragma once

#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "worker/executor.h"
#include "worker/executor/companion_executor.h"

namespace laneway::worker {

class BuiltinExecutor : public Executor {
 public:
  explicit BuiltinExecutor(EventSink on_event);
  // Drops what runs; on_event is not called any more.
  ~BuiltinExecutor() override;

  void Start(RunSpec spec) override;
  void Stop(const AttemptKey& key, StopReason reason) override;

  // "copy, fail, noop, sleep"
  static std::string KnownHandlers();

 private:
  using Time = std::chrono::steady_clock::time_point;
  struct Running {
    Time started;
    Time due;  // sleep only
    bool copying = false;
    bool times_out = false;
    std::optional<StopReason> stop;
  };

  void StartSleep(const RunSpec& spec);
  void StartFail(const RunSpec& spec);
  void StartCopy(RunSpec spec);
  void StartThreads();  // mutex_ held
  void RunTimers();
  void RunCopies();
  Ended Copy(const RunSpec& spec);
  Ended CopyFile(const RunSpec& spec, const std::string& partial);
  std::optional<StopReason> StopWanted(const AttemptKey& key);

  const EventSink on_event_;
  std::mutex mutex_;
  std::condition_variable timers_changed_;
  std::condition_variable copies_changed_;
  std::map<AttemptKey, Running> running_;
  std::multimap<Time, AttemptKey> timers_;
  std::deque<RunSpec> copies_;
  bool closing_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace laneway::worker
