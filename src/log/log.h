// log.h: the record log every member meets in: topics of partitions of records, appended to and read by
// offset.
//
// Role:       interface to the outside: EmbeddedLog (RocksDB), KafkaLog (a cluster), SimLog (memory, for
//             simulation), FaultyLog (wraps one, breaks promises it may break). One contract suite
//             (tests/contract/log_contract_test.cc) runs over all.
// Promises:   (1) a record whose append was answered OK survives the process and the power; (2) offsets of a
//             partition grow from 0, in the order of the records. They have no gaps but where records went:
//             `control` keeps only the last of each key, and others may write to a cluster. So read on from
//             next_offset, and count no records by subtracting offsets; (3) a record is readable only when it
//             is durable; (4) all records of one Append are in order within each partition; (5) an append
//             answered UNKNOWN may have happened, or a part of it, or may yet happen; any other error:
//             nothing of it did, nor will.
// Errors:     RESOURCE_EXHAUSTED: too much is waiting, or the disk is full: take nothing new, try again.
//             UNAVAILABLE: try again. UNKNOWN: may have happened. INVALID_ARGUMENT: no such topic or
//             partition, or a record over kRecordBytesMax. DATA_LOSS: stop. PERMISSION_DENIED: the log
//             refuses us; tell people, try again now and then.
// Threads:    every function from any thread. `AppendDone` and `wake` run on a thread of the log's, refusals
//             at once included: they must be short and must not wait for the log (EnsureTopic, Trim); reading
//             is allowed.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "fleet/ids.h"
#include "fleet/log_time.h"

namespace laneway::log {

// The numbers are stored: never renumber.
enum class Topic : uint8_t {
  kEvents = 1,
  kLanes = 2,
  kHeartbeats = 3,
  kBrowserHealth = 4,
  kControl = 5,
  kDeadLetter = 6,
  kAlerts = 7
};
std::string_view TopicName(Topic topic);  // "events", …

// What a record's value is. Stored, and the header `type` of a Kafka record.
enum class RecordType : uint8_t {
  kUnknown = 0,
  kEvent = 1,
  kLaneRecord = 2,
  kHeartbeat = 3,
  kBrowserHealth = 4,
  kControlRecord = 5,
  kDeadLetter = 6,
  kAlert = 7
};
std::string_view RecordTypeName(RecordType type);  // "event", …

inline constexpr size_t kRecordBytesMax = 1 << 20;  // key + value of one record; larger ones are refused
inline constexpr uint32_t kSchemaVersion = 1;

struct TopicPartition {
  Topic topic = Topic::kEvents;
  uint32_t partition = 0;
  friend auto operator<=>(const TopicPartition&, const TopicPartition&) = default;
};

// A record to be appended.
struct NewRecord {
  TopicPartition to;
  RecordType type = RecordType::kUnknown;
  std::string key;
  std::string value;
};

// A record as read. Views into the RecordBatch it came with.
struct RecordView {
  Offset offset = 0;
  LogTime time;  // when the log took it; never runs backwards within a partition
  RecordType type = RecordType::kUnknown;
  uint32_t schema = 0;
  std::string_view key;
  std::string_view value;
  std::string_view writer;  // who appended it, for people
};

// Records of one partition, in order. Owns what the views point into.
struct RecordBatch {
  std::vector<RecordView> records;
  std::vector<std::shared_ptr<const void>> owners;
  Offset next_offset = 0;  // read on from here
};

struct OffsetRange {
  Offset first = 0;  // the oldest record kept
  Offset next = 0;   // the next to be written
};

// offsets[i] is where records[i] of the append went. Empty unless OK.
using AppendDone = std::function<void(const absl::Status& status, std::span<const Offset> offsets)>;

// Stops its watch when destroyed; after that `wake` is not called any more.
class Watch {
 public:
  virtual ~Watch() = default;
};

class Log {
 public:
  virtual ~Log() = default;

  // Appends in order; all records of one call become durable together where the implementation can
  // (EmbeddedLog, SimLog: atomically). `done` is called exactly once, also when refused at once. UNKNOWN: any
  // of them may be there, or come yet.
  virtual void Append(std::vector<NewRecord> records, AppendDone done) = 0;

  // Records from `from` on, at least one if there is any, otherwise an empty batch with next_offset == from;
  // about bytes_max bytes at the most. OUT_OF_RANGE: `from` lies before the oldest record kept or behind the
  // end.
  virtual absl::StatusOr<RecordBatch> Read(TopicPartition from_partition, Offset from, size_t bytes_max) = 0;

  // Says where Reads are about to begin, all of them at once: a log that fetches from afar fetches them
  // together. Nothing depends on it but time.
  virtual void ReadSoon(const std::vector<std::pair<TopicPartition, Offset>>& from) { (void)from; }

  virtual absl::StatusOr<OffsetRange> Range(TopicPartition partition) = 0;

  // Makes the topic have at least this many partitions. Never fewer than it has. Idempotent.
  virtual absl::Status EnsureTopic(Topic topic, uint32_t partitions) = 0;
  virtual absl::StatusOr<uint32_t> Partitions(Topic topic) = 0;

  // Records below `below` may go. Idempotent. OUT_OF_RANGE: behind the end; nothing is trimmed.
  virtual absl::Status Trim(TopicPartition partition, Offset below) = 0;

  // `wake` is called after records became readable in any of these partitions (at least once after the last
  // of them; calls may be merged). Who is woken reads until a batch is empty: what he leaves wakes nobody.
  virtual std::unique_ptr<Watch> WatchPartitions(std::vector<TopicPartition> partitions,
                                                 std::function<void()> wake) = 0;
};

}  // namespace laneway::log
