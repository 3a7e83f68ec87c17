#include "ops/json_writer.h"

#include <charconv>
#include <cmath>

#include "ops/text.h"

namespace laneway::ops {

void JsonWriter::NewLine() {
  if (indent_ == 0) return;
  out_.push_back('\n');
  out_.append(indent_ * filled_.size(), ' ');
}

void JsonWriter::Before() {
  if (after_key_) {
    after_key_ = false;
    return;
  }
  if (filled_.empty()) return;
  if (filled_.back()) out_.push_back(',');
  filled_.back() = true;
  NewLine();
}

JsonWriter& JsonWriter::Open(char c) {
  Before();
  out_.push_back(c);
  filled_.push_back(false);
  return *this;
}

JsonWriter& JsonWriter::Close(char c) {
  const bool filled = filled_.back();
  filled_.pop_back();
  if (filled) NewLine();
  out_.push_back(c);
  return *this;
}

JsonWriter& JsonWriter::Key(std::string_view key) {
  Before();
  AppendJsonString(out_, key);
  out_ += indent_ == 0 ? ":" : ": ";
  after_key_ = true;
  return *this;
}

JsonWriter& JsonWriter::Value(std::string_view text) {
  Before();
  AppendJsonString(out_, text);
  return *this;
}

JsonWriter& JsonWriter::Value(double value) {
  if (!std::isfinite(value)) return Null();
  char buffer[32];
  const auto end = std::to_chars(buffer, buffer + sizeof buffer, value);
  return Raw(std::string_view(buffer, static_cast<size_t>(end.ptr - buffer)));
}

JsonWriter& JsonWriter::Value(LogTime time) { return time.ms == 0 ? Null() : Value(FormatTime(time)); }

JsonWriter& JsonWriter::Raw(std::string_view json) {
  Before();
  out_ += json;
  return *this;
}

}  // namespace laneway::ops
