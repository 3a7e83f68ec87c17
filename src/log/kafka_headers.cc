#include "log/kafka_headers.h"

#include <string>

#include "log/text.h"

namespace laneway::log {
namespace {

constexpr std::string_view kType = "type";
constexpr std::string_view kSchema = "schema";
constexpr std::string_view kWriter = "writer";
const std::string kOurSchema = std::to_string(kSchemaVersion);

void Add(rd_kafka_headers_t* headers, std::string_view name, std::string_view value) {
  // fails only for want of memory
  (void)rd_kafka_header_add(headers, name.data(), static_cast<ssize_t>(name.size()), value.data(),
                            static_cast<ssize_t>(value.size()));
}

}  // namespace

RecordType RecordTypeOf(std::string_view name) {
  for (int type = static_cast<int>(RecordType::kEvent); type <= static_cast<int>(RecordType::kAlert);
       type++) {
    if (name == RecordTypeName(static_cast<RecordType>(type))) return static_cast<RecordType>(type);
  }
  return RecordType::kUnknown;
}

uint32_t SchemaOf(std::string_view text) {
  uint32_t schema = 0;
  return ParseDecimal(text, schema) ? schema : 0;
}

rd_kafka_headers_t* MakeRecordHeaders(RecordType type, std::string_view writer) {
  rd_kafka_headers_t* headers = rd_kafka_headers_new(3);
  Add(headers, kType, RecordTypeName(type));
  Add(headers, kSchema, kOurSchema);
  Add(headers, kWriter, writer);
  return headers;
}

RecordHeaders ReadRecordHeaders(const rd_kafka_headers_t& headers) {
  RecordHeaders out;
  const char* name = nullptr;
  const void* value = nullptr;
  size_t size = 0;
  for (size_t i = 0; rd_kafka_header_get_all(&headers, i, &name, &value, &size) == RD_KAFKA_RESP_ERR_NO_ERROR;
       i++) {
    const std::string_view text(static_cast<const char*>(value), value == nullptr ? 0 : size);
    if (name == kType) {
      out.type = RecordTypeOf(text);
    } else if (name == kSchema) {
      out.schema = SchemaOf(text);
    } else if (name == kWriter) {
      out.writer = text;
    }
  }
  return out;
}

}  // namespace laneway::log
