// group_codec.h: how a group of records of one partition is written: one value of the database, checksummed
// as a whole.
//
// Role:       pure: bytes in, bytes out. One key per record would cap the log at what the database can put
//             (200,000/s); a group costs one put.
// Layout:     version u8 (1) · CRC32C u32 · count u32 · time i64 (ms) · records. Integers are little-endian.
//             The CRC covers topic, partition and first offset as well as everything behind it, so that a
//             group found in the wrong place is noticed. A record: type u8 · writer u8 · [length u8 · name] ·
//             schema varint · key length varint · value length varint · key · value. The writer is an index
//             into the first 16 names met in this group; the next free index, and always 255, brings its name
//             along.
// Errors:     DATA_LOSS: not a group, or not the one that belongs here.
// Threads:    one owner.
#pragma once

#include <array>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "log/log.h"

namespace laneway::log {

// An upper bound of what a record takes in a group, names of writers included.
size_t EncodedBytesMax(const NewRecord& record, std::string_view writer);

class GroupBuilder {
 public:
  void Start(TopicPartition partition, Offset base, LogTime time);
  void Add(const NewRecord& record, std::string_view writer);  // names longer than 255 bytes are cut
  // Fills in count and checksum. The builder's until the next Start.
  const std::string& Finish();

  Offset base() const { return base_; }
  uint32_t count() const { return count_; }
  size_t bytes() const { return buffer_.size(); }

 private:
  TopicPartition partition_;
  Offset base_ = 0;
  uint32_t count_ = 0;
  std::string buffer_;                        // kept between groups: no allocation when warm
  std::array<std::string_view, 16> writers_;  // the callers' names: they outlive the group
  size_t writers_known_ = 0;
};

// Reads a group record by record. The views point into `value`.
class GroupReader {
 public:
  enum class Check { kHeader, kChecksum };  // kHeader: the value was checked before
  static absl::StatusOr<GroupReader> Open(TopicPartition partition, Offset base, std::string_view value,
                                          Check check);

  uint32_t count() const { return count_; }
  LogTime time() const { return time_; }

  // True: `record` is the next one. False: the end (status is OK), or a value that is not well-formed
  // (DATA_LOSS).
  bool Next(RecordView& record);
  const absl::Status& status() const { return status_; }

 private:
  GroupReader() = default;
  bool ReadVarint(uint64_t& value);
  bool ReadWriter(std::string_view& writer);
  bool Fail(std::string_view what);

  TopicPartition partition_;
  Offset base_ = 0;
  uint32_t count_ = 0;
  uint32_t read_ = 0;
  LogTime time_;
  std::string_view rest_;
  std::array<std::string_view, 16> writers_;
  size_t writers_known_ = 0;
  absl::Status status_;
};

// Reads the whole group and throws the records away: checksum, shape, number of records.
absl::Status CheckGroup(TopicPartition partition, Offset base, std::string_view value);

}  // namespace laneway::log
