// json_writer.h: writes JSON, one value after the other, into a string.
//
// Role:       pure helper of API answers, log lines and the command line. Keys appear in the order they are
//             written.
// Invariants: the result is valid UTF-8 whatever bytes are written (bytes that are no UTF-8 become \xNN as
//             text).
// Threads:    one owner.
#pragma once

#include <concepts>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "fleet/log_time.h"

namespace laneway::ops {

class JsonWriter {
 public:
  // `indent` spaces a level; 0: everything on one line.
  explicit JsonWriter(size_t indent = 0) : indent_(indent) {}

  JsonWriter& BeginObject() { return Open('{'); }
  JsonWriter& EndObject() { return Close('}'); }
  JsonWriter& BeginArray() { return Open('['); }
  JsonWriter& EndArray() { return Close(']'); }
  JsonWriter& Key(std::string_view key);

  JsonWriter& Value(std::string_view text);
  JsonWriter& Value(const char* text) { return Value(std::string_view(text)); }
  JsonWriter& Value(const std::string& text) { return Value(std::string_view(text)); }
  JsonWriter& Value(bool value) { return Raw(value ? "true" : "false"); }
  JsonWriter& Value(std::signed_integral auto value) { return Raw(std::to_string(value)); }
  JsonWriter& Value(std::unsigned_integral auto value) { return Raw(std::to_string(value)); }
  JsonWriter& Value(double value);  // null when not finite
  JsonWriter& Value(LogTime time);  // RFC 3339; null when 0
  JsonWriter& Null() { return Raw("null"); }
  // `json` is one complete value.
  JsonWriter& Raw(std::string_view json);

  template <class T>
  JsonWriter& Field(std::string_view key, const T& value) {
    return Key(key).Value(value);
  }

  const std::string& text() const { return out_; }
  std::string Take() { return std::move(out_); }

 private:
  JsonWriter& Open(char c);
  JsonWriter& Close(char c);
  void Before();
  void NewLine();

  const size_t indent_;
  std::string out_;
  std::vector<bool> filled_;  // of each open object or array: does it hold something
  bool after_key_ = false;
};

}  // namespace laneway::ops
