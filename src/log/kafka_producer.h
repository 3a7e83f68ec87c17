// kafka_producer.h: appending. One idempotent producer, replaced when it has failed for good.
//
// Role:       turns an append into messages, and their delivery reports into one answer.
// Invariants: (1) an append is refused whole or tried whole: its size, its topics and partitions and the room
//             in the queue are looked at before its first record is handed over; (2) its records are handed
//             over in their order by one thread, so that within a partition none overtakes another, over
//             retries too (idempotence); (3) what waits has at most queued_bytes_max bytes; (4) values are
//             not copied: they live in the append until it is answered.
// Errors:     as kafka.h. An append whose topic is not known yet waits for the brokers to tell, and those
//             after it wait behind it.
// Threads:    Append from any; everything else on the log's thread, which gives all answers.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "log/kafka_asks.h"
#include "log/kafka_errors.h"
#include "log/kafka_handle.h"

namespace laneway::log {

// How many partitions each topic has, as far as it is known. 0: not known.
using KafkaPartitionCounts = std::array<std::atomic<uint32_t>, kTopicsMax>;

class KafkaProducer {
 public:
  KafkaProducer(const KafkaOptions& options, std::shared_ptr<KafkaCauses> causes,
                std::shared_ptr<KafkaBell> bell, KafkaAsks* asks, KafkaPartitionCounts* counts);
  ~KafkaProducer();

  absl::Status Open();
  std::shared_ptr<KafkaHandle> instance() const;  // the current one

  void Append(std::vector<NewRecord> records, AppendDone done);

  void Serve();
  // Sends what waits, for as long as `until`, and answers everything. Nothing may be appended any more.
  void Close(std::chrono::steady_clock::time_point until);

  uint64_t queued_bytes() const { return queued_bytes_.load(std::memory_order_relaxed); }
  uint64_t replaced() const { return replaced_.load(std::memory_order_relaxed); }

 private:
  using Clock = std::chrono::steady_clock;
  struct Pending;
  struct Slot {
    Pending* pending;
    uint32_t index;
  };
  struct Pending {
    std::vector<NewRecord> records;
    AppendDone done;
    std::vector<Offset> offsets;
    std::vector<Slot> slots;  // one a record: what its message carries
    std::atomic<size_t> missing{0};
    KafkaOutcome outcome;  // the log's thread
    size_t unsent = 0;     // the last ones, which librdkafka did not take
    rd_kafka_resp_err_t unsent_error = RD_KAFKA_RESP_ERR_NO_ERROR;
    absl::Status refusal;
    uint64_t bytes = 0;
    Clock::time_point called;
  };

  // Whether an append may go now, must wait until a topic is known, or cannot go at all.
  enum class Known { kYes, kWait, kNever };

  absl::Status Reserve(const std::vector<NewRecord>& records, uint64_t* bytes);
  bool PartitionsKnown(const Pending& pending) const;
  void Send(KafkaHandle& handle, std::unique_ptr<Pending> pending);
  rd_kafka_resp_err_t SendOne(KafkaHandle& handle, Slot& slot);
  void Refuse(std::unique_ptr<Pending> pending, absl::Status status);
  void OnDelivered(const rd_kafka_message_t& message);
  void Answer(std::unique_ptr<Pending> pending);
  void AnswerQueued();

  void ServeDeferred();
  Known Judge(const Pending& pending, absl::Status* why);
  void AskFor(Topic topic);
  void Replace();
  void ServeRetired();

  const KafkaOptions& options_;
  const std::shared_ptr<KafkaCauses> causes_;
  const std::shared_ptr<KafkaBell> bell_;
  KafkaAsks* const asks_;
  KafkaPartitionCounts* const counts_;

  mutable std::shared_mutex handle_mutex_;  // shared while records are handed over
  std::shared_ptr<KafkaHandle> handle_;
  std::vector<std::shared_ptr<KafkaHandle>> retired_;  // purged, with answers still to be given
  Clock::time_point replace_not_before_;
  std::atomic<uint64_t> replaced_{0};
  std::atomic<uint64_t> queued_bytes_{0};
  std::atomic<bool> closed_{false};

  std::mutex queue_mutex_;
  std::deque<std::unique_ptr<Pending>> deferred_;
  std::atomic<bool> has_deferred_{false};
  std::vector<std::unique_ptr<Pending>> answered_;  // to be answered by the log's thread
  struct TopicAsk {
    bool asking = false;
    Clock::time_point sent;  // of the newest question that was answered, or is under way
    absl::Status answer;
  };
  std::array<TopicAsk, kTopicsMax> asks_of_;  // the log's thread
};

}  // namespace laneway::log
