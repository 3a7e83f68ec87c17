// kafka_admin.h: what is asked of the brokers beside appending and reading: topics, their settings, their
// ends, trimming, offsets of groups.
//
// Role:       calls that wait for their answer, and one that does not (Ends, for the log's own thread).
// Errors:     as kafka.h; a call that had no answer in time says what stood in the way.
// Threads:    any. What waits must not be called by the log's thread.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "log/kafka.h"
#include "log/kafka_handle.h"
#include "log/kafka_topic_settings.h"

namespace laneway::log {

class KafkaAdmin {
 public:
  // `instance` gives the one that is asked: that of the producer, whose connections no fetch blocks.
  KafkaAdmin(const KafkaOptions& options, std::shared_ptr<KafkaCauses> causes,
             std::function<std::shared_ptr<KafkaHandle>()> instance);

  absl::Status Reach(std::chrono::milliseconds timeout) const;
  // A topic that was made here a moment ago is waited for: not every broker has heard of it yet.
  absl::StatusOr<KafkaTopicFacts> Facts(Topic topic, bool with_settings) const;
  // Makes the topic, or more partitions. `facts`: as it was.
  absl::Status Create(Topic topic, uint32_t partitions) const;
  absl::Status Grow(Topic topic, uint32_t partitions) const;
  // Until the brokers know of so many: one may learn of them a moment after the one that made them.
  absl::Status AwaitPartitions(Topic topic, uint32_t partitions) const;
  absl::StatusOr<OffsetRange> Range(TopicPartition partition) const;
  absl::Status Trim(TopicPartition partition, Offset below) const;

  std::string NameOf(Topic topic) const { return KafkaTopicName(options_.prefix, topic); }
  std::string NameOf(TopicPartition partition) const;

 private:
  using Clock = std::chrono::steady_clock;
  struct Answer;
  template <class Ask>
  absl::StatusOr<Answer> Wait(const std::string& what, rd_kafka_admin_op_t op, const Ask& ask) const;
  // Again, as long as the brokers say that another one leads the partition now.
  template <class Try>
  absl::Status Retry(Topic topic, const Try& attempt) const;
  absl::StatusOr<KafkaTopicFacts> FactsNow(Topic topic, bool with_settings) const;
  absl::Status Settings(const std::shared_ptr<KafkaHandle>& handle, Topic topic,
                        KafkaTopicFacts* facts) const;

  const KafkaOptions& options_;
  const std::shared_ptr<KafkaCauses> causes_;
  const std::function<std::shared_ptr<KafkaHandle>()> instance_;
  mutable std::array<std::atomic<Clock::time_point>, kTopicsMax> made_at_{};
};

}  // namespace laneway::log
