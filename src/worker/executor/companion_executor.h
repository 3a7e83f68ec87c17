// companion_executor.h: runs attempts as child processes, through the companion.
//
// Role:       one Executor (executor.h) for one worker; several share a Companion.
// Threads:    as executor.h says; on_event is called on the companion's thread, or within Start when nothing
//             can be started.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <unordered_map>

#include "worker/executor.h"
#include "worker/executor/companion.h"

namespace laneway::worker {

using EventSink = std::function<void(ExecutorEvent)>;

class CompanionExecutor : public Executor, private CompanionClient {
 public:
  CompanionExecutor(std::shared_ptr<Companion> companion, EventSink on_event);
  // Stops what runs; on_event is not called any more.
  ~CompanionExecutor() override;

  void Start(RunSpec spec) override;
  void Stop(const AttemptKey& key, StopReason reason) override;

 private:
  void OnStarted(uint64_t run, int32_t pid, uint64_t pid_start) override;
  void OnReported(uint64_t run, Reported report) override;
  void OnEnded(uint64_t run, Ended ended) override;
  AttemptKey KeyOf(uint64_t run);

  const std::shared_ptr<Companion> companion_;
  const EventSink on_event_;
  std::mutex mutex_;
  std::map<AttemptKey, uint64_t> runs_;
  std::unordered_map<uint64_t, AttemptKey> keys_;
};

}  // namespace laneway::worker
