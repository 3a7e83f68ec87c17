// kafka_asks.h: questions to the brokers that nobody waits for: their answers come to the log's thread.
//
// Role:       asks on the producer's instance; moves to the new one when it was replaced.
// Invariants: each question is answered once: a broker that does not answer is an answer too, after its time.
// Threads:    the log's.
#pragma once

#include <librdkafka/rdkafka.h>

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "log/kafka_handle.h"
#include "log/log.h"

namespace laneway::log {

class KafkaAsks {
 public:
  KafkaAsks(std::shared_ptr<KafkaBell> bell, std::chrono::milliseconds timeout);
  ~KafkaAsks();

  // From now on this instance is asked; what the old one has not answered has failed. Null: none.
  void Use(std::shared_ptr<KafkaHandle> instance);
  // Gives the answers that have come, and those that are overdue.
  void Serve();

  // How many partitions a topic has; INVALID_ARGUMENT: there is no such topic. The instance learns who leads
  // them now.
  using PartitionsDone = std::function<void(const absl::Status&, uint32_t)>;
  void Partitions(const std::string& topic, PartitionsDone done);

  // Where partitions end, or why a broker did not say so. Of those that nobody answered for nothing is said.
  struct End {
    std::string topic;
    int32_t partition = 0;
    Offset next = 0;
    rd_kafka_resp_err_t error = RD_KAFKA_RESP_ERR_NO_ERROR;
  };
  using EndsDone = std::function<void(std::span<const End>)>;
  void Ends(const std::vector<std::pair<std::string, int32_t>>& partitions, EndsDone done);

 private:
  // Null: there was no answer.
  using Answered = std::function<void(const rd_kafka_event_t*)>;
  struct Question {
    Answered answered;
    std::chrono::steady_clock::time_point overdue;
  };
  // Registers a question; its options carry its number back.
  rd_kafka_AdminOptions_t* Ask(rd_kafka_admin_op_t op, Answered answered);
  static void OnQueue(rd_kafka_t* rk, void* self);

  const std::shared_ptr<KafkaBell> bell_;
  const std::chrono::milliseconds timeout_;
  std::shared_ptr<KafkaHandle> instance_;
  rd_kafka_queue_t* queue_ = nullptr;
  bool answered_ = true;  // the last question was, by all it was for
  uintptr_t next_ = 1;
  std::map<uintptr_t, Question> open_;
};

}  // namespace laneway::log
