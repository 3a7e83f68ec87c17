#include "log/watches.h"

#include <utility>

namespace laneway::log {

class Watches::Handle : public Watch {
 public:
  Handle(std::shared_ptr<Watches> owner, std::vector<TopicPartition> partitions, std::shared_ptr<State> state)
      : owner_(std::move(owner)), partitions_(std::move(partitions)), state_(std::move(state)) {}
  ~Handle() override {
    owner_->Remove(partitions_, state_);
    const std::lock_guard lock(state_->mutex);  // waits for a wake that is running
    state_->wake = nullptr;
  }

 private:
  const std::shared_ptr<Watches> owner_;  // so that a watch may outlive its log
  const std::vector<TopicPartition> partitions_;
  const std::shared_ptr<State> state_;
};

std::unique_ptr<Watch> Watches::Add(std::vector<TopicPartition> partitions, std::function<void()> wake) {
  auto state = std::make_shared<State>();
  state->wake = std::move(wake);
  {
    const std::lock_guard lock(mutex_);
    for (const TopicPartition& partition : partitions) by_partition_[partition].push_back(state);
  }
  return std::make_unique<Handle>(shared_from_this(), std::move(partitions), std::move(state));
}

void Watches::Remove(const std::vector<TopicPartition>& partitions, const std::shared_ptr<State>& state) {
  const std::lock_guard lock(mutex_);
  for (const TopicPartition& partition : partitions) {
    const auto found = by_partition_.find(partition);
    if (found == by_partition_.end()) continue;  // named twice
    std::erase(found->second, state);
    if (found->second.empty()) by_partition_.erase(found);
  }
}

void Watches::Wake(std::span<const TopicPartition> partitions) {
  std::vector<std::shared_ptr<State>> to_wake;
  {
    const std::lock_guard lock(mutex_);
    round_++;
    for (const TopicPartition& partition : partitions) {
      const auto found = by_partition_.find(partition);
      if (found == by_partition_.end()) continue;
      for (const std::shared_ptr<State>& state : found->second) {
        if (std::exchange(state->round, round_) != round_) to_wake.push_back(state);
      }
    }
  }
  for (const std::shared_ptr<State>& state : to_wake) {
    const std::lock_guard lock(state->mutex);
    if (state->wake) state->wake();
  }
}

}  // namespace laneway::log
