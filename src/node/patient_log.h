// patient_log.h: a log whose questions are asked again while a process starts.
//
// Role:       decorator. An overloaded broker that answers after seconds does not end a process that is only
//             about to begin; once it runs, its parts know themselves what to do without an answer.
// Threads:    one until Settle; then as the log.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <type_traits>
#include <utility>
#include <vector>

#include "log/log.h"
#include "node/patience.h"

namespace laneway::node {

class PatientLog final : public log::Log {
 public:
  PatientLog(log::Log* inner, Patience* patience) : inner_(inner), patience_(patience) {}

  // From now on everything is asked once.
  void Settle() { settled_ = true; }

  void Append(std::vector<log::NewRecord> records, log::AppendDone done) override {
    inner_->Append(std::move(records), std::move(done));
  }
  absl::StatusOr<log::RecordBatch> Read(log::TopicPartition partition, Offset from,
                                        size_t bytes_max) override {
    return Asked([&] { return inner_->Read(partition, from, bytes_max); });
  }
  void ReadSoon(const std::vector<std::pair<log::TopicPartition, Offset>>& from) override {
    inner_->ReadSoon(from);
  }
  absl::StatusOr<log::OffsetRange> Range(log::TopicPartition partition) override {
    return Asked([&] { return inner_->Range(partition); });
  }
  absl::Status EnsureTopic(log::Topic topic, uint32_t partitions) override {
    return Asked([&] { return inner_->EnsureTopic(topic, partitions); });
  }
  absl::StatusOr<uint32_t> Partitions(log::Topic topic) override {
    return Asked([&] { return inner_->Partitions(topic); });
  }
  absl::Status Trim(log::TopicPartition partition, Offset below) override {
    return inner_->Trim(partition, below);
  }
  std::unique_ptr<log::Watch> WatchPartitions(std::vector<log::TopicPartition> partitions,
                                              std::function<void()> wake) override {
    return inner_->WatchPartitions(std::move(partitions), std::move(wake));
  }

 private:
  template <class Ask>
  std::invoke_result_t<const Ask&> Asked(const Ask& ask) {
    return settled_ ? ask() : patience_->Asked(ask);
  }

  log::Log* const inner_;
  Patience* const patience_;
  std::atomic<bool> settled_{false};
};

}  // namespace laneway::node
