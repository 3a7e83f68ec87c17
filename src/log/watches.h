// watches.h: who wants to be woken when records become readable. Shared by the logs that live in this
// process.
//
// Role:       registry.
// Invariants: when a Watch's destructor has returned, its `wake` is not running and never runs again.
// Threads:    any; `wake` must not destroy its own watch.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "log/log.h"

namespace laneway::log {

class Watches : public std::enable_shared_from_this<Watches> {
 public:
  std::unique_ptr<Watch> Add(std::vector<TopicPartition> partitions, std::function<void()> wake);
  // Wakes everyone who watches one of these, each once.
  void Wake(std::span<const TopicPartition> partitions);

 private:
  struct State {
    std::mutex mutex;  // held while `wake` runs
    std::function<void()> wake;
    uint64_t round = 0;  // of the last Wake that took it; under the registry's mutex
  };
  class Handle;
  void Remove(const std::vector<TopicPartition>& partitions, const std::shared_ptr<State>& state);

  std::mutex mutex_;
  std::map<TopicPartition, std::vector<std::shared_ptr<State>>> by_partition_;
  uint64_t round_ = 0;
};

}  // namespace laneway::log
