#include "log/log_db.h"

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_join.h"
#include "log/keys.h"
#include "log/rocks.h"
#include "log/text.h"

namespace laneway::log {
namespace {

constexpr size_t kFindingsMax = 20;

std::string Name(TopicPartition partition) {
  return Cat(TopicName(partition.topic), "/", partition.partition);
}

// An iterator over the groups of one partition, with what its bounds point to.
struct GroupCursor {
  GroupCursor(rocksdb::DB& db, TopicPartition partition, bool fill_cache)
      : lower(GroupKey(partition, 0)), upper(GroupKeyEnd(partition)), lower_slice(lower), upper_slice(upper) {
    rocksdb::ReadOptions options;
    options.iterate_lower_bound = &lower_slice;
    options.iterate_upper_bound = &upper_slice;
    options.fill_cache = fill_cache;
    it.reset(db.NewIterator(options));
  }
  bool Valid() const { return it->Valid(); }
  Offset base() const { return BaseOfGroupKey(View(it->key())).value_or(0); }

  const std::string lower;
  const std::string upper;
  const rocksdb::Slice lower_slice;
  const rocksdb::Slice upper_slice;
  std::unique_ptr<rocksdb::Iterator> it;
};

absl::Status Missing(TopicPartition partition, Offset from, Offset to) {
  return absl::DataLossError(Cat("records ", from, " to ", to - 1, " of ", Name(partition), " are missing"));
}

}  // namespace

absl::StatusOr<RecordBatch> ReadFromDb(rocksdb::DB& db, TopicPartition partition, Offset from, Offset end,
                                       size_t bytes_max) {
  RecordBatch batch;
  batch.next_offset = from;
  GroupCursor cursor(db, partition, true);
  size_t bytes = 0;
  for (cursor.it->SeekForPrev(GroupKey(partition, from)); cursor.Valid() && batch.next_offset < end;
       cursor.it->Next()) {
    Group group{cursor.base(), 0, std::make_shared<const std::string>(cursor.it->value().ToString())};
    if (group.base > batch.next_offset) return Missing(partition, batch.next_offset, group.base);
    auto header = GroupReader::Open(partition, group.base, *group.value, GroupReader::Check::kChecksum);
    if (!header.ok()) return header.status();
    group.count = header->count();
    if (group.base + group.count <= batch.next_offset) return Missing(partition, batch.next_offset, end);
    const absl::Status added =
        AddRecords(partition, group, GroupReader::Check::kHeader, from, end, bytes_max, bytes, batch);
    if (!added.ok()) return added;
    if (bytes >= bytes_max) break;
  }
  if (!cursor.it->status().ok()) return FromRocks(cursor.it->status(), Cat("cannot read ", Name(partition)));
  if (batch.records.empty() && from < end) return Missing(partition, from, end);
  return batch;
}

absl::StatusOr<Offset> BaseOfGroupWith(rocksdb::DB& db, TopicPartition partition, Offset offset) {
  GroupCursor cursor(db, partition, true);
  cursor.it->SeekForPrev(GroupKey(partition, offset));
  if (cursor.Valid()) return cursor.base();
  if (!cursor.it->status().ok()) return FromRocks(cursor.it->status(), Cat("cannot read ", Name(partition)));
  return Missing(partition, offset, offset + 1);
}

namespace {

class Checker {
 public:
  Checker(rocksdb::DB& db, const CheckLimits& limits, PartitionTable& table)
      : db_(db), limits_(limits), table_(table) {}

  absl::Status Run() {
    LoadTopics();
    LoadWatermarks();
    const std::vector<Partition*> all = table_.All();
    for (Partition* partition : all) LoadEnd(*partition);
    const bool everything = limits_.everything || GroupBytes() <= limits_.bytes_max;
    for (Partition* partition : all) {
      if (partition->range.first == partition->range.next) continue;
      if (everything) {
        CheckRange(*partition, partition->range.first, UINT64_MAX);
      } else {
        CheckTailAndSample(*partition, std::max<uint64_t>(limits_.bytes_max / 2 / all.size(), 1 << 16));
      }
    }
    if (findings_.empty()) return absl::OkStatus();
    return absl::DataLossError(absl::StrJoin(findings_, "; "));
  }

 private:
  void Found(std::string finding) {
    if (findings_.size() < kFindingsMax) findings_.push_back(std::move(finding));
    if (findings_.size() == kFindingsMax) findings_.emplace_back("and more");
  }
  void FoundIf(const absl::Status& status) {
    if (!status.ok()) Found(std::string(status.message()));
  }

  // Calls each(key without its prefix letter, value).
  template <class Each>
  void ForPrefix(char prefix, const Each& each) {
    const std::string lower(1, prefix);
    const std::string upper(1, static_cast<char>(prefix + 1));
    const rocksdb::Slice lower_slice(lower);
    const rocksdb::Slice upper_slice(upper);
    rocksdb::ReadOptions options;
    options.iterate_lower_bound = &lower_slice;
    options.iterate_upper_bound = &upper_slice;
    const std::unique_ptr<rocksdb::Iterator> it(db_.NewIterator(options));
    for (it->SeekToFirst(); it->Valid(); it->Next()) each(View(it->key()).substr(1), View(it->value()));
    FoundIf(FromRocks(it->status(), "cannot read the topics"));
  }

  void LoadTopics() {
    ForPrefix(kTopicPrefix, [&](std::string_view key, std::string_view value) {
      uint32_t partitions = 0;
      if (key.size() != 1 || static_cast<size_t>(key[0]) >= kTopicsMax || !ParseDecimal(value, partitions)) {
        return Found("a topic's entry is damaged");
      }
      table_.Grow(static_cast<Topic>(key[0]), partitions);
    });
  }

  void LoadWatermarks() {
    ForPrefix(kWatermarkPrefix, [&](std::string_view key, std::string_view value) {
      Offset first = 0;
      Partition* partition = nullptr;
      if (key.size() == 5) {
        partition =
            table_.Find({static_cast<Topic>(key[0]), static_cast<uint32_t>(ReadBigEndian(key.substr(1)))});
      }
      if (partition == nullptr || !ParseDecimal(value, first)) return Found("a low watermark is damaged");
      partition->range.first = first;
    });
  }

  // Where the partition ends, from its last group.
  void LoadEnd(Partition& partition) {
    GroupCursor cursor(db_, partition.id, true);
    cursor.it->SeekToLast();
    FoundIf(FromRocks(cursor.it->status(), Cat("cannot read ", Name(partition.id))));
    if (cursor.Valid()) {
      const std::string_view value = View(cursor.it->value());
      auto header = GroupReader::Open(partition.id, cursor.base(), value, GroupReader::Check::kChecksum);
      if (!header.ok()) return FoundIf(header.status());
      partition.range.next = cursor.base() + header->count();
      partition.last_time = header->time();
      partition.record_bytes = value.size() / header->count() + 1;
      cursor.it->SeekToFirst();
      if (cursor.Valid()) partition.deleted_below = cursor.base();
    }
    // The group of the last record is never deleted: the end can always be told.
    if (partition.range.next < partition.range.first) {
      FoundIf(Missing(partition.id, partition.range.next, partition.range.first));
      partition.range.next = partition.range.first;
    }
    PartitionTable::Rollback(partition);
  }

  uint64_t GroupBytes() {
    const std::string lower(1, kGroupPrefix);
    const std::string upper(1, static_cast<char>(kGroupPrefix + 1));
    const rocksdb::Range range(lower, upper);
    uint64_t bytes = 0;
    rocksdb::SizeApproximationOptions options;
    options.include_memtables = true;
    return db_.GetApproximateSizes(options, db_.DefaultColumnFamily(), &range, 1, &bytes).ok() ? bytes
                                                                                               : UINT64_MAX;
  }

  // Reads groups from the one that holds `from` to the end; stops after bytes_max. Returns where it stopped.
  void CheckRange(const Partition& partition, Offset from, uint64_t bytes_max) {
    GroupCursor cursor(db_, partition.id, false);
    Offset expected = from;
    uint64_t bytes = 0;
    cursor.it->SeekForPrev(GroupKey(partition.id, from));
    if (!cursor.Valid() && cursor.it->status().ok()) cursor.it->SeekToFirst();
    for (bool is_first = true; cursor.Valid() && bytes < bytes_max; cursor.it->Next(), is_first = false) {
      const Offset base = cursor.base();
      if (base > expected) FoundIf(Missing(partition.id, expected, base));
      if (base < expected && !is_first)
        Found(Cat("records ", base, " of ", Name(partition.id), " are there twice"));
      const std::string_view value = View(cursor.it->value());
      const absl::Status whole = CheckGroup(partition.id, base, value);
      FoundIf(whole);
      const auto header = GroupReader::Open(partition.id, base, value, GroupReader::Check::kHeader);
      if (!header.ok() || (is_first && base + header->count() <= expected)) {
        FoundIf(header.ok() ? Missing(partition.id, expected, partition.range.next) : absl::OkStatus());
        return;
      }
      expected = base + header->count();
      bytes += value.size();
    }
    FoundIf(FromRocks(cursor.it->status(), Cat("cannot read ", Name(partition.id), " at offset ", expected)));
    if (cursor.it->status().ok() && !cursor.Valid() && expected < partition.range.next) {
      FoundIf(Missing(partition.id, expected, partition.range.next));
    }
  }

  void CheckTailAndSample(const Partition& partition, uint64_t bytes_max) {
    const uint64_t records = partition.range.next - partition.range.first;
    const uint64_t tail = std::min(records, bytes_max / partition.record_bytes + 1);
    CheckRange(partition, partition.range.next - tail, UINT64_MAX);
    const uint64_t samples = std::min<uint64_t>({64, bytes_max >> 17, records - tail});
    for (uint64_t i = 0; i < samples; i++) {
      CheckRange(partition, partition.range.first + (records - tail) / samples * i, 1);
    }
  }

  rocksdb::DB& db_;
  const CheckLimits& limits_;
  PartitionTable& table_;
  std::vector<std::string> findings_;
};

}  // namespace

absl::Status LoadAndCheck(rocksdb::DB& db, const CheckLimits& limits, PartitionTable& table) {
  return Checker(db, limits, table).Run();
}

}  // namespace laneway::log
