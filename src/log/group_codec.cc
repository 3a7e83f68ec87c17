#include "log/group_codec.h"

#include <algorithm>
#include <cstring>

#include "log/crc32c.h"
#include "log/text.h"

namespace laneway::log {
namespace {

constexpr char kVersion = 1;
constexpr size_t kCrcAt = 1;
constexpr size_t kCountAt = 5;
constexpr size_t kTimeAt = 9;
constexpr size_t kHeaderBytes = 17;
constexpr uint8_t kWriterInline = 255;
constexpr size_t kWriterBytesMax = 255;

template <class T>
void PutFixed(char* to, T value) {
  for (size_t i = 0; i < sizeof(T); i++) to[i] = static_cast<char>(value >> (8 * i));
}

template <class T>
T GetFixed(const char* from) {
  T value = 0;
  for (size_t i = 0; i < sizeof(T); i++)
    value |= static_cast<T>(static_cast<T>(static_cast<uint8_t>(from[i])) << (8 * i));
  return value;
}

char* PutVarint(char* to, uint64_t value) {
  for (; value >= 0x80; value >>= 7) *to++ = static_cast<char>(value | 0x80);
  *to++ = static_cast<char>(value);
  return to;
}

uint32_t Checksum(TopicPartition partition, Offset base, std::string_view behind_crc) {
  char place[13];
  place[0] = static_cast<char>(partition.topic);
  PutFixed(place + 1, partition.partition);
  PutFixed(place + 5, base);
  return Crc32c(behind_crc, Crc32c(std::string_view(place, sizeof(place))));
}

}  // namespace

size_t EncodedBytesMax(const NewRecord& record, std::string_view writer) {
  return record.key.size() + record.value.size() + std::min(writer.size(), kWriterBytesMax) + 18;
}

void GroupBuilder::Start(TopicPartition partition, Offset base, LogTime time) {
  partition_ = partition;
  base_ = base;
  count_ = 0;
  writers_known_ = 0;
  buffer_.assign(kHeaderBytes, '\0');
  buffer_[0] = kVersion;
  PutFixed(buffer_.data() + kTimeAt, static_cast<uint64_t>(time.ms));
}

void GroupBuilder::Add(const NewRecord& record, std::string_view writer) {
  writer = writer.substr(0, kWriterBytesMax);
  char head[48];
  char* at = head;
  *at++ = static_cast<char>(record.type);
  const auto known_end = writers_.begin() + static_cast<ptrdiff_t>(writers_known_);
  const auto known = std::find(writers_.begin(), known_end, writer);
  const bool is_new = known == known_end;
  const bool remember = is_new && writers_known_ < writers_.size();
  *at++ =
      is_new && !remember ? static_cast<char>(kWriterInline) : static_cast<char>(known - writers_.begin());
  if (is_new) {
    if (remember) writers_[writers_known_++] = writer;
    *at++ = static_cast<char>(writer.size());
    buffer_.append(head, static_cast<size_t>(at - head));
    buffer_.append(writer);
    at = head;
  }
  at = PutVarint(at, kSchemaVersion);
  at = PutVarint(at, record.key.size());
  at = PutVarint(at, record.value.size());
  buffer_.append(head, static_cast<size_t>(at - head));
  buffer_.append(record.key);
  buffer_.append(record.value);
  count_++;
}

const std::string& GroupBuilder::Finish() {
  PutFixed(buffer_.data() + kCountAt, count_);
  PutFixed(buffer_.data() + kCrcAt, Checksum(partition_, base_, std::string_view(buffer_).substr(kCountAt)));
  return buffer_;
}

absl::StatusOr<GroupReader> GroupReader::Open(TopicPartition partition, Offset base, std::string_view value,
                                              Check check) {
  GroupReader reader;
  reader.partition_ = partition;
  reader.base_ = base;
  const auto lost = [&](std::string_view what) {
    reader.Fail(what);
    return reader.status_;
  };
  if (value.size() < kHeaderBytes) return lost("is too short");
  if (value[0] != kVersion) return lost(Cat("has an unknown version ", static_cast<int>(value[0])));
  if (check == Check::kChecksum &&
      GetFixed<uint32_t>(value.data() + kCrcAt) != Checksum(partition, base, value.substr(kCountAt))) {
    return lost("does not match its checksum");
  }
  reader.count_ = GetFixed<uint32_t>(value.data() + kCountAt);
  reader.time_.ms = static_cast<int64_t>(GetFixed<uint64_t>(value.data() + kTimeAt));
  reader.rest_ = value.substr(kHeaderBytes);
  if (reader.count_ == 0) return lost("is empty");
  return reader;
}

bool GroupReader::Next(RecordView& record) {
  if (!status_.ok()) return false;
  if (read_ == count_) return rest_.empty() ? false : Fail("has bytes behind its last record");
  if (rest_.size() < 2) return Fail("ends within a record");
  record.type = static_cast<RecordType>(rest_[0]);
  rest_.remove_prefix(1);
  uint64_t schema = 0;
  uint64_t key_bytes = 0;
  uint64_t value_bytes = 0;
  if (!ReadWriter(record.writer)) return false;
  if (!ReadVarint(schema) || !ReadVarint(key_bytes) || !ReadVarint(value_bytes)) return false;
  if (schema > UINT32_MAX || key_bytes > rest_.size() || value_bytes > rest_.size() - key_bytes) {
    return Fail("has a record that is longer than itself");
  }
  record.offset = base_ + read_++;
  record.time = time_;
  record.schema = static_cast<uint32_t>(schema);
  record.key = rest_.substr(0, key_bytes);
  record.value = rest_.substr(key_bytes, value_bytes);
  rest_.remove_prefix(key_bytes + value_bytes);
  return true;
}

bool GroupReader::ReadWriter(std::string_view& writer) {
  const auto index = static_cast<uint8_t>(rest_[0]);
  rest_.remove_prefix(1);
  if (index < writers_known_) {
    writer = writers_[index];
    return true;
  }
  if (index != kWriterInline && (index != writers_known_ || index == writers_.size()))
    return Fail("names an unknown writer");
  if (rest_.empty() || rest_.size() - 1 < static_cast<uint8_t>(rest_[0])) return Fail("ends within a name");
  const size_t length = static_cast<uint8_t>(rest_[0]);
  writer = rest_.substr(1, length);
  rest_.remove_prefix(1 + length);
  if (index != kWriterInline) writers_[writers_known_++] = writer;
  return true;
}

bool GroupReader::ReadVarint(uint64_t& value) {
  value = 0;
  for (unsigned shift = 0; shift < 64 && !rest_.empty(); shift += 7) {
    const auto byte = static_cast<uint8_t>(rest_[0]);
    rest_.remove_prefix(1);
    value |= static_cast<uint64_t>(byte & 0x7f) << shift;
    if ((byte & 0x80) == 0) return true;
  }
  return Fail("has a broken number");
}

bool GroupReader::Fail(std::string_view what) {
  status_ = absl::DataLossError(Cat("the group at offset ", base_, " of ", TopicName(partition_.topic), "/",
                                    partition_.partition, " ", what));
  return false;
}

absl::Status CheckGroup(TopicPartition partition, Offset base, std::string_view value) {
  auto reader = GroupReader::Open(partition, base, value, GroupReader::Check::kChecksum);
  if (!reader.ok()) return reader.status();
  RecordView record;
  while (reader->Next(record)) {
  }
  return reader->status();
}

}  // namespace laneway::log
