#include "log/kafka_headers.h"

#include <gtest/gtest.h>

namespace laneway::log {
namespace {

// What rd_kafka_message_headers would find on a consumed message.
struct Sent {
  explicit Sent(rd_kafka_headers_t* with) : headers(with) {}
  ~Sent() { rd_kafka_headers_destroy(headers); }
  rd_kafka_headers_t* headers;
};

TEST(KafkaHeadersTest, NamesOfTypesComeBack) {
  for (const RecordType type :
       {RecordType::kEvent, RecordType::kLaneRecord, RecordType::kHeartbeat, RecordType::kBrowserHealth,
        RecordType::kControlRecord, RecordType::kDeadLetter, RecordType::kAlert})
    EXPECT_EQ(RecordTypeOf(RecordTypeName(type)), type);
  EXPECT_EQ(RecordTypeOf("unknown"), RecordType::kUnknown);
  EXPECT_EQ(RecordTypeOf(""), RecordType::kUnknown);
  EXPECT_EQ(RecordTypeOf("Event"), RecordType::kUnknown);
}

TEST(KafkaHeadersTest, SchemasAreDecimalNumbers) {
  EXPECT_EQ(SchemaOf("1"), 1u);
  EXPECT_EQ(SchemaOf("4294967295"), 4294967295u);
  for (const char* text : {"", "-1", "1 ", "0x1", "4294967296", "one"}) EXPECT_EQ(SchemaOf(text), 0u) << text;
}

TEST(KafkaHeadersTest, ARecordCarriesTypeSchemaAndWriterAsText) {
  const Sent sent(MakeRecordHeaders(RecordType::kHeartbeat, "DTF-03"));
  ASSERT_EQ(rd_kafka_header_cnt(sent.headers), 3u);
  const RecordHeaders read = ReadRecordHeaders(*sent.headers);
  EXPECT_EQ(read.type, RecordType::kHeartbeat);
  EXPECT_EQ(read.schema, kSchemaVersion);
  EXPECT_EQ(read.writer, "DTF-03");
  const void* value = nullptr;
  size_t size = 0;
  ASSERT_EQ(rd_kafka_header_get_last(sent.headers, "type", &value, &size), RD_KAFKA_RESP_ERR_NO_ERROR);
  EXPECT_EQ(std::string_view(static_cast<const char*>(value), size), "heartbeat");
}

TEST(KafkaHeadersTest, ForeignHeadersArePassedOver) {
  const Sent sent(rd_kafka_headers_new(4));
  rd_kafka_header_add(sent.headers, "traceparent", -1, "00-abc", -1);
  rd_kafka_header_add(sent.headers, "type", -1, nullptr, 0);  // a header without a value
  rd_kafka_header_add(sent.headers, "schema", -1, "\xff\xfe", 2);
  rd_kafka_header_add(sent.headers, "TYPE", -1, "event", -1);
  const RecordHeaders read = ReadRecordHeaders(*sent.headers);
  EXPECT_EQ(read.type, RecordType::kUnknown);
  EXPECT_EQ(read.schema, 0u);
  EXPECT_EQ(read.writer, "");
}

}  // namespace
}  // namespace laneway::log
