// keys.h: what the keys of the embedded log's database look like. Stored: never change a letter.
//
// Layout:     integers are big-endian, so that they sort
//             'L' topic u8 partition u32 base u64 → a group of records (group_codec.h)
//             'T' topic u8                        → its number of partitions, decimal
//             'W' topic u8 partition u32          → the low watermark of the partition, decimal
//             'S' key                             → the store
// Threads:    pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "log/log.h"

namespace laneway::log {

inline constexpr char kGroupPrefix = 'L';
inline constexpr char kTopicPrefix = 'T';
inline constexpr char kWatermarkPrefix = 'W';
inline constexpr char kStorePrefix = 'S';

inline void AppendBigEndian(std::string& to, uint64_t value, int bytes) {
  for (int i = bytes - 1; i >= 0; i--) to.push_back(static_cast<char>(value >> (8 * i)));
}

inline uint64_t ReadBigEndian(std::string_view from) {
  uint64_t value = 0;
  for (char c : from) value = value << 8 | static_cast<uint8_t>(c);
  return value;
}

inline std::string PartitionKey(char prefix, TopicPartition partition) {
  std::string key{prefix, static_cast<char>(partition.topic)};
  AppendBigEndian(key, partition.partition, 4);
  return key;
}

inline std::string GroupKey(TopicPartition partition, Offset base) {
  std::string key = PartitionKey(kGroupPrefix, partition);
  AppendBigEndian(key, base, 8);
  return key;
}
// Behind every group of the partition.
inline std::string GroupKeyEnd(TopicPartition partition) {
  std::string key = PartitionKey(kGroupPrefix, partition);
  key.append(9, '\xff');
  return key;
}

inline std::optional<Offset> BaseOfGroupKey(std::string_view key) {
  if (key.size() != 14) return std::nullopt;
  return ReadBigEndian(key.substr(6));
}

inline std::string TopicKey(Topic topic) { return {kTopicPrefix, static_cast<char>(topic)}; }

inline std::string StoreKey(std::string_view key) {
  std::string out;
  out.reserve(key.size() + 1);
  out.push_back(kStorePrefix);
  out.append(key);
  return out;
}

}  // namespace laneway::log
