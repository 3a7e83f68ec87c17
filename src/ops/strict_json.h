// strict_json.h: JSON text of others → a tree that knows where in the text each value stood.
//
// Role:       pure helper; the only reader of JSON that came from outside (configuration, API, files of
//             jobs).
// Promises:   what RFC 8259 allows and nothing more (no comments, no trailing commas, no NaN); the duplicate
//             keys of an object are all reported; whole numbers stay whole (beyond 64 bits: kNumber, and
//             `text` holds the digits); bounded depth, values and bytes.
// Threads:    functions.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace laneway::ops {

enum class JsonKind : uint8_t { kNull, kBool, kInteger, kNumber, kString, kArray, kObject };
std::string_view JsonKindName(JsonKind kind);  // "a string", "an object", …

struct JsonMember;

struct JsonValue {
  JsonKind kind = JsonKind::kNull;
  bool boolean = false;
  bool negative = false;            // kInteger: the value is -magnitude
  uint64_t magnitude = 0;           // kInteger
  double number = 0;                // kInteger and kNumber
  std::string text;                 // kString
  std::vector<JsonValue> items;     // kArray
  std::vector<JsonMember> members;  // kObject, in the order of the text; of duplicate keys the first
  uint32_t begin = 0;               // where it stands in the text: [begin, end)
  uint32_t end = 0;

  const JsonValue* Find(std::string_view key) const;
};

struct JsonMember {
  std::string key;
  uint32_t key_begin = 0;
  JsonValue value;
};

struct JsonLimits {
  size_t bytes_max = 16 << 20;
  size_t values_max = 500'000;
  size_t depth_max = 64;
};

struct JsonProblem {
  uint32_t offset = 0;
  std::string path;  // of a duplicate key: "job.timeout"
  std::string what;
};

struct JsonPosition {
  size_t line = 1;    // from 1
  size_t column = 1;  // from 1, in bytes
};
JsonPosition PositionOf(std::string_view text, size_t offset);

struct ParsedJson {
  JsonValue root;                     // complete only when `problems` holds no syntax error
  std::vector<JsonProblem> problems;  // duplicate keys first to last, or the one error that ended the reading
  bool readable = false;              // false: the text is not JSON, `root` means nothing
};

ParsedJson ParseStrictJson(std::string_view text, const JsonLimits& limits = {});

}  // namespace laneway::ops
