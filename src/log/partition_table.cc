#include "log/partition_table.h"

#include <algorithm>
#include <utility>

namespace laneway::log {
namespace {

constexpr uint64_t kGroupOverheadBytes = 160;

uint64_t MemoryOf(const Group& group) { return group.value->size() + kGroupOverheadBytes; }

}  // namespace

Partition* PartitionTable::Find(TopicPartition partition) const {
  const std::shared_lock lock(mutex_);
  const auto topic = static_cast<size_t>(partition.topic);
  if (topic >= kTopicsMax || partition.partition >= topics_[topic].size()) return nullptr;
  return topics_[topic][partition.partition].get();
}

uint32_t PartitionTable::Count(Topic topic) const {
  const std::shared_lock lock(mutex_);
  const auto at = static_cast<size_t>(topic);
  return at < kTopicsMax ? static_cast<uint32_t>(topics_[at].size()) : 0;
}

void PartitionTable::Grow(Topic topic, uint32_t partitions) {
  const std::unique_lock lock(mutex_);
  auto& list = topics_[static_cast<size_t>(topic)];
  while (list.size() < partitions) {
    list.push_back(std::make_unique<Partition>(TopicPartition{topic, static_cast<uint32_t>(list.size())}));
  }
}

std::vector<Partition*> PartitionTable::All() const {
  const std::shared_lock lock(mutex_);
  std::vector<Partition*> all;
  for (const auto& topic : topics_) {
    for (const auto& partition : topic) all.push_back(partition.get());
  }
  return all;
}

void PartitionTable::Publish(Partition& partition) {
  {
    const std::lock_guard lock(partition.mutex);
    for (Group& group : partition.groups_pending) {
      recent_bytes_ += MemoryOf(group);
      ages_.push_back(&partition);
      partition.recent.push_back(std::move(group));
    }
    partition.range = {partition.first_pending, partition.next_pending};
  }
  partition.has_news = !partition.groups_pending.empty();
  partition.groups_pending.clear();
  partition.last_time = partition.time_pending;
  partition.deleted_below = partition.deleted_pending;
  if (recent_bytes_ > recent_bytes_max_) ShrinkRecent(recent_bytes_max_);
}

void PartitionTable::Rollback(Partition& partition) {
  partition.groups_pending.clear();
  partition.next_pending = partition.range.next;  // only the committer writes `range`
  partition.first_pending = partition.range.first;
  partition.time_pending = partition.last_time;
  partition.deleted_pending = partition.deleted_below;
}

void PartitionTable::ShrinkRecent(uint64_t bytes) {
  std::vector<std::shared_ptr<const std::string>> dropped;  // freed outside of the locks
  while (recent_bytes_ > bytes && !ages_.empty()) {
    Partition& partition = *ages_.front();
    ages_.pop_front();
    const std::lock_guard lock(partition.mutex);
    recent_bytes_ -= MemoryOf(partition.recent.front());
    dropped.push_back(std::move(partition.recent.front().value));
    partition.recent.pop_front();
  }
}

OffsetRange PartitionTable::RangeOf(const Partition& partition) {
  const std::lock_guard lock(partition.mutex);
  return partition.range;
}

absl::StatusOr<std::optional<RecordBatch>> PartitionTable::ReadRecent(const Partition& partition, Offset from,
                                                                      size_t bytes_max) {
  std::vector<Group> groups;
  Offset end = 0;
  {
    const std::lock_guard lock(partition.mutex);
    end = partition.range.next;
    const auto& recent = partition.recent;
    if (recent.empty() || from < recent.front().base) return std::nullopt;
    auto at = std::upper_bound(recent.begin(), recent.end(), from,
                               [](Offset offset, const Group& group) { return offset < group.base; });
    size_t bytes = 0;
    for (--at; at != recent.end() && bytes < bytes_max; ++at) {
      groups.push_back(*at);
      // The first group may be read from its middle: it counts for the next one only as much as is surely
      // taken from it.
      if (at->base >= from) bytes += at->value->size();
    }
  }
  RecordBatch batch;
  batch.next_offset = from;
  size_t bytes = 0;
  for (const Group& group : groups) {
    if (absl::Status status =
            AddRecords(partition.id, group, GroupReader::Check::kHeader, from, end, bytes_max, bytes, batch);
        !status.ok()) {
      return status;
    }
  }
  return batch;
}

absl::Status AddRecords(TopicPartition partition, const Group& group, GroupReader::Check check, Offset from,
                        Offset end, size_t bytes_max, size_t& bytes, RecordBatch& batch) {
  auto reader = GroupReader::Open(partition, group.base, *group.value, check);
  if (!reader.ok()) return reader.status();
  if (batch.records.capacity() == 0) {
    const size_t mean = group.value->size() / group.count + 1;
    batch.records.reserve(std::min<size_t>(bytes_max / mean + 1, group.count));
  }
  bool added = false;
  RecordView record;
  while ((batch.records.empty() || bytes < bytes_max) && reader->Next(record)) {
    if (record.offset < from) continue;
    if (record.offset >= end) break;
    bytes += record.key.size() + record.value.size() + sizeof(RecordView) / 4;
    batch.records.push_back(record);
    batch.next_offset = record.offset + 1;
    added = true;
  }
  if (added) batch.owners.push_back(group.value);
  return reader->status();
}

}  // namespace laneway::log
