// kafka.h: the record log on Apache Kafka, by librdkafka.
//
// Role:       implements log.h for a fleet of processes. Topics are `<prefix><name>`; a record carries the
//             headers `type`, `schema` and `writer`, so that ordinary Kafka tools can filter it.
// Output:     one idempotent producer (acks=all, the partition always given, no transactions); one consumer
//             without a group that follows what is read, and a second one, made when it is needed and let go
//             when it is not, for those who read elsewhere (history).
// Invariants: (1) an append is answered once: OK with its offsets, UNKNOWN when any part of it may have
//             happened, anything else only when nothing did; (2) of one append no record overtakes another in
//             its partition; (3) Read answers from memory when there is something, and says "nothing more"
//             only when the log's end was asked for no longer than `contact_max` ago (UNAVAILABLE otherwise);
//             on a partition that nobody watches, since the call began; (4) what waits to be sent, and what
//             waits to be read, is bounded; (5) no topic is made but by EnsureTopic.
// Errors:     as log.h, and PERMISSION_DENIED: the brokers refuse us (password, certificate, rights): an
//             operator must act. Messages name the cause and what to do about it. A producer that has failed
//             for good is replaced by a new one; what it had not acknowledged is answered UNKNOWN, or
//             UNAVAILABLE when it was never sent.
// Threads:    as log.h. Answers and wakes run on one thread of this log. A Read from within such a call
//             answers with what has arrived, it does not wait.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "log/log.h"

namespace laneway::log {

// What librdkafka has to say; never a secret. The same text may come again and again.
enum class KafkaNote : uint8_t { kInfo, kWarning, kError };

struct KafkaOptions {
  std::vector<std::string> brokers;                         // HOST:PORT
  std::string prefix = "laneway.";                          // of topics and groups
  std::string writer = "laneway";                           // who appends, for people; also the client id
  std::map<std::string, std::string> settings;              // librdkafka's own; see CheckKafkaSettings
  uint64_t events_retention_ms = 90ull * 24 * 3600 * 1000;  // for EnsureTopic
  bool manage_topics = true;              // false: EnsureTopic only looks for enough partitions
  uint64_t queued_bytes_max = 64 << 20;   // appended and not answered; more is RESOURCE_EXHAUSTED
  uint64_t recent_bytes_max = 256 << 10;  // of one partition, kept for others who read the same
  std::chrono::milliseconds append_timeout{30'000};
  std::chrono::milliseconds answer_timeout{5'000};  // of everything else that asks the brokers
  std::chrono::milliseconds contact_max{4'000};
  std::function<void(KafkaNote, std::string_view)> on_note;  // from any thread; must be short
};

struct KafkaStats {
  uint64_t queued_bytes = 0;
  uint64_t producers_replaced = 0;
  uint64_t readers_moved = 0;  // reads that did not go on where one had ended
};

class KafkaLog : public Log {
 public:
  // Does not wait for the brokers: see Reach. INVALID_ARGUMENT: settings, all that is wrong with them.
  static absl::StatusOr<std::unique_ptr<KafkaLog>> Open(KafkaOptions options);

  // Whether the brokers answer, and know us; else why not. Waits `timeout` at the most.
  virtual absl::Status Reach(std::chrono::milliseconds timeout) = 0;

  // What is wrong with the topic's settings: nothing, or one sentence each (kafka_topic_settings.h).
  virtual absl::StatusOr<std::vector<std::string>> CheckTopic(Topic topic) = 0;

  // So that ordinary tools show the lag: commits what was read, under the group `<prefix><group>`. Nothing
  // here reads it back. The answer comes on the log's thread.
  using Committed = std::function<void(const absl::Status&)>;
  virtual void CommitOffsets(std::string_view group,
                             const std::vector<std::pair<TopicPartition, Offset>>& next, Committed done) = 0;

  virtual KafkaStats stats() const = 0;
};

}  // namespace laneway::log
