// run_executor.h: starts scripts through an executor and waits for what it tells.
//
// Role:       support for tests.
// Threads:    Collector from any thread.
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "worker/executor.h"

namespace laneway::worker {

// A folder of its own that goes with it.
class TestFolder {
 public:
  TestFolder();
  ~TestFolder();
  std::string path;
};

AttemptKey Key(uint32_t task, uint32_t attempt = 1);

// `bash -c text`, with a log in `folder` named after the task.
RunSpec Script(const TestFolder& folder, uint32_t task, const std::string& text);

std::string ReadFile(const std::string& path);
// True once `condition` is; false when it is not within 20 s. For what the kernel does and nobody tells.
bool Eventually(const std::function<bool()>& condition);
bool Exists(const std::string& path);
// Living processes whose command line holds `mark`.
std::vector<int> ProcessesWith(const std::string& mark);

class Collector {
 public:
  std::function<void(ExecutorEvent)> Sink();
  // Waits; a test that gets nothing within 30 s fails with an Ended that says so.
  Ended WaitEnded(const AttemptKey& key);
  Started WaitStarted(const AttemptKey& key);
  bool HasEnded(const AttemptKey& key) const;
  size_t ended_count() const;
  // Blocks until that many have ended.
  bool WaitCount(size_t count);
  std::vector<Reported> reports(const AttemptKey& key) const;
  // Attempts that were told twice.
  size_t twice() const;
  // Called with the collector unlocked, on the executor's thread.
  std::function<void(const Ended&)> on_ended;

 private:
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::map<AttemptKey, Started> started_;
  std::map<AttemptKey, std::vector<Reported>> reports_;
  std::map<AttemptKey, Ended> ended_;
  size_t twice_ = 0;
};

}  // namespace laneway::worker
