// log_db.h: reading and checking the groups of an embedded log's database.
//
// Role:       functions over an open RocksDB; used by the engine, the read-only log and the check at opening.
//             Internal to src/log.
// Errors:     DATA_LOSS: a group is missing or damaged, with topic, partition and offset.
// Threads:    any.
#pragma once

#include <cstdint>
#include <optional>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "log/log.h"
#include "log/partition_table.h"
#include "rocksdb/db.h"

namespace laneway::log {

// Records [from, end) until bytes_max. `first` and `end` are the partition's range as the caller knows it.
absl::StatusOr<RecordBatch> ReadFromDb(rocksdb::DB& db, TopicPartition partition, Offset from, Offset end,
                                       size_t bytes_max);

// The first offset of the group that holds `offset`.
absl::StatusOr<Offset> BaseOfGroupWith(rocksdb::DB& db, TopicPartition partition, Offset offset);

struct CheckLimits {
  uint64_t bytes_max = 256 << 20;
  bool everything = false;
};

// Fills the table from the database (topics, watermarks, ends, last times), and checks it:
//   - in every partition the records from the low watermark to the end are there without a gap, and every
//   group read is whole;
//   - when the groups take less than bytes_max, or `everything` is asked for, all of them are read; otherwise
//   the newest of each partition
//     (its share of half the budget), and groups spread evenly over the rest. What is not read here is
//     checked when it is read.
// All findings are in the message, not only the first.
absl::Status LoadAndCheck(rocksdb::DB& db, const CheckLimits& limits, PartitionTable& table);

}  // namespace laneway::log
