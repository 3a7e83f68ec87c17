#include "support/run_executor.h"

#include <dirent.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "worker/executor/process_table.h"

namespace laneway::worker {
namespace {

constexpr std::chrono::seconds kWait{30};

}  // namespace

TestFolder::TestFolder() {
  char name[] = "/tmp/laneway-test-XXXXXX";
  path = mkdtemp(name);
}

TestFolder::~TestFolder() {
  std::error_code error;
  std::filesystem::remove_all(path, error);
}

AttemptKey Key(uint32_t task, uint32_t attempt) { return {{JobId{1, 2}, task}, attempt}; }

RunSpec Script(const TestFolder& folder, uint32_t task, const std::string& text) {
  RunSpec spec;
  spec.key = Key(task);
  spec.worker = WorkerId("DTF-01");
  spec.argv = {"/bin/bash", "-c", text};
  spec.environment = {"PATH=/usr/local/bin:/usr/bin:/bin", "DIR=" + folder.path};
  spec.output_dir = folder.path;
  spec.log_path = folder.path + "/" + std::to_string(task) + ".log";
  return spec;
}

std::string ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

bool Exists(const std::string& path) { return access(path.c_str(), F_OK) == 0; }

bool Eventually(const std::function<bool()>& condition) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    poll(nullptr, 0, 2);
  }
  return true;
}

std::vector<int> ProcessesWith(const std::string& mark) {
  std::vector<int> found;
  for (const auto& [pid, process] : ReadProcesses()) {
    if (pid == getpid() || process.state == 'Z') continue;
    if (ReadSmallFile("/proc/" + std::to_string(pid) + "/cmdline").find(mark) != std::string::npos)
      found.push_back(pid);
  }
  return found;
}

std::function<void(ExecutorEvent)> Collector::Sink() {
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

Ended Collector::WaitEnded(const AttemptKey& key) {
  std::unique_lock lock(mutex_);
  if (changed_.wait_for(lock, kWait, [&] { return ended_.contains(key); })) return ended_.at(key);
  Ended none;
  none.message = "no Ended came";
  return none;
}

Started Collector::WaitStarted(const AttemptKey& key) {
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, kWait, [&] { return started_.contains(key) || ended_.contains(key); });
  const auto found = started_.find(key);
  return found == started_.end() ? Started{} : found->second;
}

bool Collector::HasEnded(const AttemptKey& key) const {
  const std::lock_guard lock(mutex_);
  return ended_.contains(key);
}

size_t Collector::ended_count() const {
  const std::lock_guard lock(mutex_);
  return ended_.size();
}

bool Collector::WaitCount(size_t count) {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, 4 * kWait, [&] { return ended_.size() >= count; });
}

std::vector<Reported> Collector::reports(const AttemptKey& key) const {
  const std::lock_guard lock(mutex_);
  const auto found = reports_.find(key);
  return found == reports_.end() ? std::vector<Reported>{} : found->second;
}

size_t Collector::twice() const {
  const std::lock_guard lock(mutex_);
  return twice_;
}

}  // namespace laneway::worker
