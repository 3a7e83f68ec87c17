#include "log/group_codec.h"

#include <gtest/gtest.h>

#include "log/crc32c.h"

namespace laneway::log {
namespace {

constexpr TopicPartition kPlace{Topic::kLanes, 7};

NewRecord Make(std::string key, std::string value) {
  return {kPlace, RecordType::kLaneRecord, std::move(key), std::move(value)};
}

std::string Encode(const std::vector<std::pair<NewRecord, std::string>>& records, Offset base = 100) {
  GroupBuilder builder;
  builder.Start(kPlace, base, LogTime{1234567890123});
  for (const auto& [record, writer] : records) builder.Add(record, writer);
  return builder.Finish();
}

TEST(Crc32cTest, IsTheCastagnoliChecksum) {
  EXPECT_EQ(Crc32c("123456789"), 0xe3069283u);  // RFC 3720's check value
  EXPECT_EQ(Crc32c(std::string(32, '\0')), 0x8a9136aau);
  EXPECT_EQ(Crc32c(std::string(32, '\xff')), 0x62a8ab43u);
  EXPECT_EQ(Crc32c("456789", Crc32c("123")), Crc32c("123456789"));
}

TEST(Crc32cTest, InstructionAndTableAgree) {
  std::string bytes;
  for (int i = 0; i < 300; i++) {
    EXPECT_EQ(Crc32c(bytes), Crc32cPortable(bytes));
    bytes.push_back(static_cast<char>(i * 37));
  }
}

TEST(GroupCodecTest, RecordsComeBackAsTheyWere) {
  const std::string group = Encode({{Make("a", "1"), "DTF-01"},
                                    {Make("", std::string(70'000, 'x')), "DTF-02"},
                                    {Make("c", ""), "DTF-01"}});
  auto reader = GroupReader::Open(kPlace, 100, group, GroupReader::Check::kChecksum);
  ASSERT_TRUE(reader.ok()) << reader.status();
  EXPECT_EQ(reader->count(), 3u);
  RecordView record;
  ASSERT_TRUE(reader->Next(record));
  EXPECT_EQ(record.offset, 100u);
  EXPECT_EQ(record.key, "a");
  EXPECT_EQ(record.value, "1");
  EXPECT_EQ(record.writer, "DTF-01");
  EXPECT_EQ(record.time.ms, 1234567890123);
  EXPECT_EQ(record.type, RecordType::kLaneRecord);
  EXPECT_EQ(record.schema, kSchemaVersion);
  ASSERT_TRUE(reader->Next(record));
  EXPECT_EQ(record.writer, "DTF-02");
  EXPECT_EQ(record.value.size(), 70'000u);
  ASSERT_TRUE(reader->Next(record));
  EXPECT_EQ(record.writer, "DTF-01");
  EXPECT_EQ(record.offset, 102u);
  EXPECT_FALSE(reader->Next(record));
  EXPECT_TRUE(reader->status().ok());
}

TEST(GroupCodecTest, MoreWritersThanTheTableHoldsKeepTheirNames) {
  std::vector<std::pair<NewRecord, std::string>> records;
  for (int i = 0; i < 600; i++) records.emplace_back(Make("", ""), "writer-" + std::to_string(i % 40));
  records.emplace_back(Make("", ""), std::string(300, 'w'));
  const std::string group = Encode(records);
  ASSERT_TRUE(CheckGroup(kPlace, 100, group).ok()) << CheckGroup(kPlace, 100, group);
  auto reader = GroupReader::Open(kPlace, 100, group, GroupReader::Check::kHeader);
  ASSERT_TRUE(reader.ok());
  RecordView record;
  for (int i = 0; i < 600; i++) {
    ASSERT_TRUE(reader->Next(record));
    EXPECT_EQ(record.writer, "writer-" + std::to_string(i % 40));
  }
  ASSERT_TRUE(reader->Next(record));
  EXPECT_EQ(record.writer, std::string(255, 'w'));
}

TEST(GroupCodecTest, EveryFlippedBitIsNoticed) {
  const std::string group = Encode({{Make("key", "value"), "w"}, {Make("key2", "value2"), "w"}});
  for (size_t bit = 0; bit < group.size() * 8; bit++) {
    std::string damaged = group;
    damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << (bit % 8)));
    EXPECT_EQ(CheckGroup(kPlace, 100, damaged).code(), absl::StatusCode::kDataLoss) << "bit " << bit;
  }
}

TEST(GroupCodecTest, EveryCutIsNoticed) {
  const std::string group = Encode({{Make("key", "value"), "w"}});
  for (size_t length = 0; length < group.size(); length++) {
    EXPECT_FALSE(CheckGroup(kPlace, 100, group.substr(0, length)).ok()) << length;
  }
  EXPECT_FALSE(CheckGroup(kPlace, 100, group + "x").ok());
}

TEST(GroupCodecTest, AGroupInTheWrongPlaceIsNoticed) {
  const std::string group = Encode({{Make("key", "value"), "w"}});
  EXPECT_TRUE(CheckGroup(kPlace, 100, group).ok());
  EXPECT_FALSE(CheckGroup(kPlace, 101, group).ok());
  EXPECT_FALSE(CheckGroup({Topic::kLanes, 8}, 100, group).ok());
  EXPECT_FALSE(CheckGroup({Topic::kEvents, 7}, 100, group).ok());
}

TEST(GroupCodecTest, TheBoundOnEncodedBytesHolds) {
  for (size_t size : {0, 1, 127, 128, 20'000, 1 << 20}) {
    const NewRecord record = Make(std::string(size / 2, 'k'), std::string(size / 2, 'v'));
    GroupBuilder builder;
    builder.Start(kPlace, 0, {});
    const size_t before = builder.bytes();
    builder.Add(record, "a writer");
    EXPECT_LE(builder.bytes() - before, EncodedBytesMax(record, "a writer"));
  }
}

}  // namespace
}  // namespace laneway::log
