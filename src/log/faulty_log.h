// faulty_log.h: a log that keeps its promises and nothing more: wraps any other and breaks, by a seeded plan,
// what it may break.
//
// Role:       fault injection. With an all-zero plan it is the wrapped log.
// Input:      the same calls and the same seed give the same faults.
// Output:     errors before an append (it did not happen), UNKNOWN after one (it did), a second append of
//             what was answered UNKNOWN, answers that come late (after answers of later appends, or at
//             Release), reads of a single record, reads that fail.
// Threads:    as log.h. A late answer runs where the answer that releases it runs.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "log/log.h"

namespace laneway::log {

// Chances in 1,000.
struct FaultPlan {
  uint64_t seed = 1;
  uint32_t refuse = 0;      // UNAVAILABLE or RESOURCE_EXHAUSTED instead of an append
  uint32_t lose_reply = 0;  // UNKNOWN after an append that happened
  uint32_t duplicate = 0;   // of those: appended once more
  uint32_t delay = 0;       // the answer waits for 1 to delay_answers_max later answers
  uint32_t delay_answers_max = 8;
  uint32_t short_read = 0;  // one record at a time
  uint32_t fail_read = 0;   // UNAVAILABLE
};

struct FaultCounts {
  uint64_t refused = 0;
  uint64_t replies_lost = 0;
  uint64_t duplicated = 0;
  uint64_t delayed = 0;
  uint64_t short_reads = 0;
  uint64_t failed_reads = 0;
};

class FaultyLog final : public Log {
 public:
  FaultyLog(Log& inner, FaultPlan plan);
  ~FaultyLog() override;  // gives the late answers

  void Append(std::vector<NewRecord> records, AppendDone done) override;
  absl::StatusOr<RecordBatch> Read(TopicPartition partition, Offset from, size_t bytes_max) override;
  void ReadSoon(const std::vector<std::pair<TopicPartition, Offset>>& from) override {
    inner_.ReadSoon(from);
  }
  absl::StatusOr<OffsetRange> Range(TopicPartition partition) override { return inner_.Range(partition); }
  absl::Status EnsureTopic(Topic topic, uint32_t partitions) override {
    return inner_.EnsureTopic(topic, partitions);
  }
  absl::StatusOr<uint32_t> Partitions(Topic topic) override { return inner_.Partitions(topic); }
  absl::Status Trim(TopicPartition partition, Offset below) override { return inner_.Trim(partition, below); }
  std::unique_ptr<Watch> WatchPartitions(std::vector<TopicPartition> partitions,
                                         std::function<void()> wake) override {
    return inner_.WatchPartitions(std::move(partitions), std::move(wake));
  }

  // From now on another plan (all zero: healed). The seed goes on.
  void SetPlan(FaultPlan plan);
  // Gives all late answers now.
  void Release();
  FaultCounts counts() const;

 private:
  struct State;
  Log& inner_;
  const std::shared_ptr<State> state_;  // answers may come after this wrapper is gone
};

}  // namespace laneway::log
