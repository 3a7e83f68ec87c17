// kafka_headers.h: the headers of a Kafka record: `type` and `writer` as text, `schema` as a decimal number.
//
// Role:       pure but for librdkafka's container. Text, so that ordinary Kafka tools can filter by them.
// Errors:     none: a header that is missing or makes no sense is as if the record were of no type; whoever
//             reads it counts it and passes over.
// Threads:    any.
#pragma once

#include <librdkafka/rdkafka.h>

#include <cstdint>
#include <string_view>

#include "log/log.h"

namespace laneway::log {

RecordType RecordTypeOf(std::string_view name);  // kUnknown when it is none
uint32_t SchemaOf(std::string_view text);        // 0 when it is no number

struct RecordHeaders {
  RecordType type = RecordType::kUnknown;
  uint32_t schema = 0;
  std::string_view writer;  // of the headers' memory
};

// For one record of ours; rd_kafka_produceva takes it over.
rd_kafka_headers_t* MakeRecordHeaders(RecordType type, std::string_view writer);
RecordHeaders ReadRecordHeaders(const rd_kafka_headers_t& headers);

}  // namespace laneway::log
