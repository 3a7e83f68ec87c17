// run_executor.h: starts scripts through an executor and waits for what it tells.
//
// Role:       support for tests.
// Threads:    Collector from any thread.
#pragma once

#include <dirent.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include <chrono>
#include <condition_variable>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <mutex>
#include <sstream>
#include <string>
#include <vector>

#include "worker/executor.h"
#include "worker/executor/process_table.h"

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

inline constexpr std::chrono::seconds kWait{30};

inline TestFolder::TestFolder() {
  char name[] = "/tmp/laneway-test-XXXXXX";
  path = mkdtemp(name);
}

inline TestFolder::~TestFolder() {
  std::error_code error;
  std::filesystem::remove_all(path, error);
}

inline AttemptKey Key(uint32_t task, uint32_t attempt) { return {{JobId{1, 2}, task}, attempt}; }

inline RunSpec Script(const TestFolder& folder, uint32_t task, const std::string& text) {
  RunSpec spec;
  spec.key = Key(task);
  spec.worker = WorkerId("DTF-01");
  spec.argv = {"/bin/bash", "-c", text};
  spec.environment = {"PATH=/usr/local/bin:/usr/bin:/bin", "DIR=" + folder.path};
  spec.output_dir = folder.path;
  spec.log_path = folder.path + "/" + std::to_string(task) + ".log";
  return spec;
}

inline std::string ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

inline bool Exists(const std::string& path) { return access(path.c_str(), F_OK) == 0; }

inline bool Eventually(const std::function<bool()>& condition) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    poll(nullptr, 0, 2);
  }
  return true;
}

inline std::vector<int> ProcessesWith(const std::string& mark) {
  std::vector<int> found;
  for (const auto& [pid, process] : ReadProcesses()) {
    if (pid == getpid() || process.state == 'Z') continue;
    if (ReadSmallFile("/proc/" + std::to_string(pid) + "/cmdline").find(mark) != std::string::npos)
      found.push_back(pid);
  }
  return found;
}

inline std::function<void(ExecutorEvent)> Collector::Sink() {
  return [this](ExecutorEvent event) {
    if (const auto* ended = std::get_if<Ended>(&event); ended != nullptr && on_ended) on_ended(*ended);
    const std::lock_guard lock(mutex_);
    if (const auto* started = std::get_if<Started>(&event)) {
      started_[started->key] = *started;
    } else if (auto* reported = std::get_if<Reported>(&event)) {
      reports_[reported->key].push_back(std::move(*reported));
    } else if (auto* ended = std::get_if<Ended>(&event)) {
      if (!ended_.emplace(ended->key, *ended).second) twice_++;
    }
    changed_.notify_all();
  };
}

inline Ended Collector::WaitEnded(const AttemptKey& key) {
  std::unique_lock lock(mutex_);
  if (changed_.wait_for(lock, kWait, [&] { return ended_.contains(key); })) return ended_.at(key);
  Ended none;
  none.message = "no Ended came";
  return none;
}

inline Started Collector::WaitStarted(const AttemptKey& key) {
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, kWait, [&] { return started_.contains(key) || ended_.contains(key); });
  const auto found = started_.find(key);
  return found == started_.end() ? Started{} : found->second;
}

inline bool Collector::HasEnded(const AttemptKey& key) const {
  const std::lock_guard lock(mutex_);
  return ended_.contains(key);
}

inline size_t Collector::ended_count() const {
  const std::lock_guard lock(mutex_);
  return ended_.size();
}

inline bool Collector::WaitCount(size_t count) {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, 4 * kWait, [&] { return ended_.size() >= count; });
}

inline std::vector<Reported> Collector::reports(const AttemptKey& key) const {
  const std::lock_guard lock(mutex_);
  const auto found = reports_.find(key);
  return found == reports_.end() ? std::vector<Reported>{} : found->second;
}

inline size_t Collector::twice() const {
  const std::lock_guard lock(mutex_);
  return twice_;
}

}  // namespace laneway::worker
