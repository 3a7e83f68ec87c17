// kafka_cursor.h: follows one partition from one offset on, and keeps the newest of what it has read.
//
// Role:       owns librdkafka's stream of a partition on one consumer, with a queue of its own.
// Invariants: (1) of the offsets from first() to next() it has every record; (2) a batch pins what it shows:
//             librdkafka's messages are not copied; (3) times never run backwards.
// Threads:    one at a time (the partition's lock); `ready` is set by librdkafka's threads.
#pragma once

#include <librdkafka/rdkafka.h>

#include <atomic>
#include <chrono>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "log/kafka_handle.h"
#include "log/log.h"

namespace laneway::log {

class KafkaCursor {
 public:
  using Clock = std::chrono::steady_clock;

  // `on_ready` is called under librdkafka's locks when something came into an empty queue.
  static absl::StatusOr<std::unique_ptr<KafkaCursor>> Start(std::shared_ptr<KafkaHandle> handle,
                                                            TopicPartition partition, Offset from,
                                                            uint64_t recent_bytes_max,
                                                            std::function<void()> on_ready);
  ~KafkaCursor();
  KafkaCursor(const KafkaCursor&) = delete;
  KafkaCursor& operator=(const KafkaCursor&) = delete;

  Offset first() const { return first_; }
  Offset next() const { return next_; }
  bool Has(Offset offset) const { return first_ <= offset && offset <= next_; }

  // Adds records from `from` on, of what was read and what has come, about bytes_max bytes.
  void Take(Offset from, size_t bytes_max, RecordBatch* batch);
  // Looks at what has come, as far as there is room for what nobody has read. True: news since the last
  // look (a reader may have taken it meanwhile, but others watch too), or the end of
  // the stream. (librdkafka puts marks of its own into the queue, too; and it tells only of what comes into
  // an empty one.)
  bool LookAhead();

  // The stream has ended with this; only a new cursor goes on.
  rd_kafka_resp_err_t error() const { return error_; }
  const std::string& error_text() const { return error_text_; }

  // Passes over what is no record: the marks of others' transactions take offsets too.
  void SkipMarks();

  bool was_read() const { return was_read_; }
  Clock::time_point started_at() const { return started_at_; }
  Clock::time_point used_at() const { return used_at_; }

  // The brokers named this end when they were asked at `as_of`.
  void SawEnd(Offset end, Clock::time_point as_of) {
    if (next_ >= end && as_of > complete_as_of_) complete_as_of_ = as_of;
  }
  // Everything that was in the partition at that time has been read.
  Clock::time_point complete_as_of() const { return complete_as_of_; }

 private:
  struct Block {
    std::shared_ptr<KafkaHandle> handle;  // whose messages these are: batches may outlive the log
    std::vector<rd_kafka_message_t*> messages;
    std::vector<RecordView> records;
    Offset next = 0;
    uint64_t bytes = 0;
    ~Block();
  };

  KafkaCursor() = default;
  bool Pull();
  void Accept(Block& block, rd_kafka_message_t* message);
  void Forget();
  static void OnQueue(rd_kafka_t* rk, void* self);

  std::shared_ptr<KafkaHandle> handle_;
  TopicPartition partition_;
  rd_kafka_topic_t* topic_ = nullptr;
  rd_kafka_queue_t* queue_ = nullptr;
  std::function<void()> on_ready_;
  std::atomic<bool> ready_{false};
  std::deque<std::shared_ptr<const Block>> blocks_;
  uint64_t blocks_bytes_ = 0;
  uint64_t recent_bytes_max_ = 0;
  Offset first_ = 0;
  Offset next_ = 0;
  Offset read_to_ = 0;  // somebody has read up to here
  Offset told_ = 0;     // those who watch were told of what lies before this, whoever read it first
  LogTime newest_;
  uint64_t record_bytes_ = 256;  // about what one takes, of the last block
  rd_kafka_resp_err_t error_ = RD_KAFKA_RESP_ERR_NO_ERROR;
  std::string error_text_;
  bool was_read_ = false;
  const Clock::time_point started_at_ = Clock::now();
  Clock::time_point used_at_ = started_at_;
  Clock::time_point complete_as_of_{};
};

}  // namespace laneway::log
