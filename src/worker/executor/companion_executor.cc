#include "worker/executor/companion_executor.h"

#include <cstdio>
#include <cstdlib>
#include <utility>

namespace laneway::worker {

CompanionExecutor::CompanionExecutor(std::shared_ptr<Companion> companion, EventSink on_event)
    : companion_(std::move(companion)), on_event_(std::move(on_event)) {}

CompanionExecutor::~CompanionExecutor() { companion_->Remove(this); }

void CompanionExecutor::Start(RunSpec spec) {
  const uint64_t run = companion_->NextRun();
  {
    const std::lock_guard lock(mutex_);
    if (!runs_.emplace(spec.key, run).second) {
      std::fprintf(stderr, "laneway: attempt %s.%u is started twice\n", spec.key.task.ToString().c_str(),
                   spec.key.attempt);
      std::abort();
    }
    keys_.emplace(run, spec.key);
  }
  companion_->Start(this, run, std::move(spec));
}

void CompanionExecutor::Stop(const AttemptKey& key, StopReason reason) {
  uint64_t run = 0;
  {
    const std::lock_guard lock(mutex_);
    const auto found = runs_.find(key);
    if (found == runs_.end()) return;
    run = found->second;
  }
  companion_->Stop(run, reason);
}

AttemptKey CompanionExecutor::KeyOf(uint64_t run) {
  const std::lock_guard lock(mutex_);
  return keys_.at(run);
}

void CompanionExecutor::OnStarted(uint64_t run, int32_t pid, uint64_t pid_start) {
  on_event_(Started{KeyOf(run), pid, pid_start});
}

void CompanionExecutor::OnReported(uint64_t run, Reported report) {
  report.key = KeyOf(run);
  on_event_(std::move(report));
}

void CompanionExecutor::OnEnded(uint64_t run, Ended ended) {
  {
    const std::lock_guard lock(mutex_);
    const auto found = keys_.find(run);
    ended.key = found->second;
    runs_.erase(ended.key);
    keys_.erase(found);
  }
  on_event_(std::move(ended));
}

}  // namespace laneway::worker
