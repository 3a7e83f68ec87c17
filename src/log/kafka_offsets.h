// kafka_offsets.h: commits offsets under a group that nobody joins, so that ordinary tools show the lag.
//
// Role:       a client of its own, made with the first commit: librdkafka commits only for the group an
//             instance was made with. Its admin call that could do without (AlterConsumerGroupOffsets) ends
//             the process when the group's coordinator goes away meanwhile (an open bug, seen with 2.15.1).
// Invariants: each commit is answered once. One is under way at the most: another one meanwhile is refused.
// Threads:    the log's.
#pragma once

#include <librdkafka/rdkafka.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "log/kafka.h"
#include "log/kafka_handle.h"

namespace laneway::log {

class KafkaOffsets {
 public:
  KafkaOffsets(KafkaOptions options, std::shared_ptr<KafkaCauses> causes, std::shared_ptr<KafkaBell> bell);
  ~KafkaOffsets();

  using Next = std::vector<std::pair<TopicPartition, Offset>>;
  // `group` with the prefix; always the same. RESOURCE_EXHAUSTED: the one before has no answer yet.
  void Commit(const std::string& group, const Next& next, KafkaLog::Committed done);
  // Gives the answer that has come.
  void Serve();

 private:
  absl::Status Open(const std::string& group);
  static void OnQueue(rd_kafka_t* rk, void* self);

  KafkaOptions options_;
  const std::shared_ptr<KafkaCauses> causes_;
  const std::shared_ptr<KafkaBell> bell_;
  std::shared_ptr<KafkaHandle> instance_;
  rd_kafka_queue_t* queue_ = nullptr;
  KafkaLog::Committed done_;  // of the one under way
};

}  // namespace laneway::log
