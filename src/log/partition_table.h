// partition_table.h: what an embedded log knows of its partitions without asking the database: their ends,
// and their recent groups.
//
// Role:       shared state of one committer and many readers. Internal to src/log.
// Invariants: a partition's recent groups are contiguous and end at its `next`; all together they take about
//             recent_bytes_max at the most.
// Threads:    Find, Count and the reading functions from any; Publish, ShrinkRecent and the `pending` fields
//             only from the committer.
#pragma once

#include <array>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <shared_mutex>
#include <string>
#include <vector>

#include "log/group_codec.h"
#include "log/log.h"

namespace laneway::log {

inline constexpr size_t kTopicsMax = 8;  // topic numbers are 1 to 7

struct Group {
  Offset base = 0;
  uint32_t count = 0;
  std::shared_ptr<const std::string> value;
};

struct Partition {
  explicit Partition(TopicPartition which) : id(which) {}
  const TopicPartition id;

  // Readers.
  mutable std::mutex mutex;
  OffsetRange range;
  std::deque<Group> recent;

  // The committer's own.
  Offset next_pending = 0;  // as range.next, with the group in the making
  Offset first_pending = 0;
  LogTime last_time;  // of the last group
  LogTime time_pending;
  GroupBuilder* builder = nullptr;  // while a group is in the making
  std::vector<Group> groups_pending;
  bool touched = false;      // by the group in the making
  bool has_news = false;     // records were published; its watches are to be woken
  Offset deleted_below = 0;  // where the database's own deletion stands: at most range.first
  Offset deleted_pending = 0;
  uint64_t record_bytes = 256;  // a running mean, to guess how much a trim would free
};

class PartitionTable {
 public:
  explicit PartitionTable(uint64_t recent_bytes_max) : recent_bytes_max_(recent_bytes_max) {}

  Partition* Find(TopicPartition partition) const;  // nullptr when there is none; stays valid
  uint32_t Count(Topic topic) const;                // 0 when there is no such topic
  void Grow(Topic topic, uint32_t partitions);
  std::vector<Partition*> All() const;

  // Makes the pending groups readable.
  void Publish(Partition& partition);
  // Forgets what the partition had pending.
  static void Rollback(Partition& partition);
  // Drops old groups from memory until at most `bytes` are left.
  void ShrinkRecent(uint64_t bytes);
  uint64_t recent_bytes() const { return recent_bytes_; }

  static OffsetRange RangeOf(const Partition& partition);
  // Records from memory. Nothing when `from` lies before what memory holds.
  static absl::StatusOr<std::optional<RecordBatch>> ReadRecent(const Partition& partition, Offset from,
                                                               size_t bytes_max);

 private:
  const uint64_t recent_bytes_max_;
  mutable std::shared_mutex mutex_;  // of the vectors, not of what they point to
  std::array<std::vector<std::unique_ptr<Partition>>, kTopicsMax> topics_;
  std::deque<Partition*> ages_;  // whose group is the next oldest
  uint64_t recent_bytes_ = 0;
};

// Adds the records of a group from `from` on, below `end`, until the batch holds bytes_max. Keeps `value`
// alive in the batch.
absl::Status AddRecords(TopicPartition partition, const Group& group, GroupReader::Check check, Offset from,
                        Offset end, size_t bytes_max, size_t& bytes, RecordBatch& batch);

}  // namespace laneway::log
