#include "ops/strict_json.h"

#include <algorithm>
#include <deque>
#include <iterator>
#include <nlohmann/json.hpp>
#include <unordered_set>

#include "ops/text.h"

namespace laneway::ops {
namespace {

// Hands the text to the library and counts how much it has taken: that is how a value learns its place.
struct CountingIterator {
  using iterator_category = std::input_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char*;
  using reference = const char&;

  const char* at = nullptr;
  size_t* taken = nullptr;

  reference operator*() const { return *at; }
  CountingIterator& operator++() {
    ++at;
    ++*taken;
    return *this;
  }
  CountingIterator operator++(int) {
    CountingIterator old = *this;
    ++*this;
    return old;
  }
  friend bool operator==(const CountingIterator& a, const CountingIterator& b) { return a.at == b.at; }
  friend bool operator!=(const CountingIterator& a, const CountingIterator& b) { return !(a == b); }
};

class TreeBuilder {
 public:
  TreeBuilder(std::string_view text, const JsonLimits& limits, ParsedJson& out)
      : text_(text), limits_(limits), out_(out) {}

  size_t* taken() { return &taken_; }

  bool null() { return Leaf({}); }
  bool boolean(bool value) {
    JsonValue leaf;
    leaf.kind = JsonKind::kBool;
    leaf.boolean = value;
    return Leaf(std::move(leaf));
  }
  bool number_integer(int64_t value) {
    return Integer(value < 0, value < 0 ? 0 - static_cast<uint64_t>(value) : static_cast<uint64_t>(value));
  }
  bool number_unsigned(uint64_t value) { return Integer(false, value); }
  bool number_float(double value, const std::string& digits) {
    JsonValue leaf;
    leaf.kind = JsonKind::kNumber;
    leaf.number = value;
    leaf.text = digits;
    return Leaf(std::move(leaf));
  }
  bool string(std::string& value) {
    JsonValue leaf;
    leaf.kind = JsonKind::kString;
    leaf.text = std::move(value);
    return Leaf(std::move(leaf));
  }
  bool binary(nlohmann::json::binary_t&) { return false; }
  bool start_object(size_t) { return Open(JsonKind::kObject); }
  bool end_object() { return Close(); }
  bool start_array(size_t) { return Open(JsonKind::kArray); }
  bool end_array() { return Close(); }

  bool key(std::string& value) {
    const uint32_t begin = Begin();
    Frame& frame = stack_.back();
    frame.duplicate = !frame.keys.insert(value).second;
    if (frame.duplicate) {
      if (out_.problems.size() < kProblemsMax)
        out_.problems.push_back({begin, PathOf(value), "the key appears twice in one object"});
      spare_ = {};
      frame.next = &spare_;
    } else {
      frame.value->members.push_back({value, begin, {}});
      frame.next = &frame.value->members.back().value;
    }
    frame.key = std::move(value);
    previous_end_ = taken_;
    return true;
  }

  bool parse_error(size_t position, const std::string&, const nlohmann::json::exception& error) {
    std::string what = error.what();  // "[json.exception.parse_error.101] parse error at line 1, column 2:
                                      // syntax error while …"
    if (const size_t at = what.find("syntax error"); at != std::string::npos) what.erase(0, at);
    if (const size_t at = what.find(": ", 0); what.rfind("[json", 0) == 0 && at != std::string::npos)
      what.erase(0, at + 2);
    return Fail(position > 0 ? position - 1 : 0, "not JSON: " + Printable(what, 300));
  }

 private:
  static constexpr size_t kProblemsMax = 100;
  struct Frame {
    JsonValue* value = nullptr;
    JsonValue* next = nullptr;  // where the value of the key just read goes
    std::string key;
    bool duplicate = false;
    std::unordered_set<std::string> keys;
  };

  bool Fail(size_t offset, std::string what) {
    out_.readable = false;
    out_.problems.assign(1, {static_cast<uint32_t>(std::min(offset, text_.size())), "", std::move(what)});
    return false;
  }

  // The token just read begins at the first character after the previous token that is neither space nor
  // separator.
  uint32_t Begin() const {
    size_t at = std::min(previous_end_, text_.size());
    while (at < text_.size() && std::string_view(" \t\r\n,:").find(text_[at]) != std::string_view::npos) at++;
    return static_cast<uint32_t>(at);
  }

  std::string PathOf(const std::string& last) const {
    std::string path;
    for (size_t i = 0; i + 1 < stack_.size(); i++) {
      path += stack_[i].value->kind == JsonKind::kArray
                  ? "[" + std::to_string(stack_[i].value->items.size() - 1) + "]."
                  : stack_[i].key + ".";
    }
    return path + last;
  }

  JsonValue* Place() {
    if (++values_ > limits_.values_max) {
      Fail(taken_, "more than " + std::to_string(limits_.values_max) + " values");
      return nullptr;
    }
    if (stack_.empty()) return &out_.root;
    Frame& frame = stack_.back();
    if (frame.value->kind == JsonKind::kObject) return frame.next;
    return &frame.value->items.emplace_back();
  }

  bool Leaf(JsonValue leaf) {
    JsonValue* place = Place();
    if (place == nullptr) return false;
    leaf.begin = Begin();
    leaf.end = static_cast<uint32_t>(taken_);
    if (leaf.kind == JsonKind::kInteger ||
        leaf.kind == JsonKind::kNumber) {  // the library looked one character ahead
      leaf.end = static_cast<uint32_t>(
          std::min(text_.find_first_not_of("+-0123456789.eE", leaf.begin), text_.size()));
    }
    previous_end_ = leaf.end;
    *place = std::move(leaf);
    return true;
  }

  bool Integer(bool negative, uint64_t magnitude) {
    JsonValue leaf;
    leaf.kind = JsonKind::kInteger;
    leaf.negative = negative;
    leaf.magnitude = magnitude;
    leaf.number = negative ? -static_cast<double>(magnitude) : static_cast<double>(magnitude);
    return Leaf(std::move(leaf));
  }

  bool Open(JsonKind kind) {
    if (stack_.size() >= limits_.depth_max)
      return Fail(taken_, "nested deeper than " + std::to_string(limits_.depth_max));
    JsonValue* place = Place();
    if (place == nullptr) return false;
    if (stack_.size() > 0 && place == &spare_)
      place = &spares_.emplace_back();  // the value of a duplicate key: read, then dropped
    place->kind = kind;
    place->begin = Begin();
    stack_.push_back({place, nullptr, {}, false, {}});
    previous_end_ = taken_;
    return true;
  }

  bool Close() {
    stack_.back().value->end = static_cast<uint32_t>(taken_);
    stack_.pop_back();
    previous_end_ = taken_;
    return true;
  }

  const std::string_view text_;
  const JsonLimits limits_;
  ParsedJson& out_;
  size_t taken_ = 0;
  size_t previous_end_ = 0;
  size_t values_ = 0;
  std::vector<Frame> stack_;
  JsonValue spare_;
  std::deque<JsonValue> spares_;  // never moves: frames point into it
};

}  // namespace

std::string_view JsonKindName(JsonKind kind) {
  switch (kind) {
    case JsonKind::kNull:
      return "null";
    case JsonKind::kBool:
      return "a boolean";
    case JsonKind::kInteger:
      return "a whole number";
    case JsonKind::kNumber:
      return "a number";
    case JsonKind::kString:
      return "a string";
    case JsonKind::kArray:
      return "an array";
    case JsonKind::kObject:
      return "an object";
  }
  return "";
}

const JsonValue* JsonValue::Find(std::string_view key) const {
  for (const JsonMember& member : members) {
    if (member.key == key) return &member.value;
  }
  return nullptr;
}

JsonPosition PositionOf(std::string_view text, size_t offset) {
  offset = std::min(offset, text.size());
  JsonPosition position;
  const std::string_view before = text.substr(0, offset);
  position.line += static_cast<size_t>(std::count(before.begin(), before.end(), '\n'));
  const size_t line_begin = before.rfind('\n');
  position.column = line_begin == std::string_view::npos ? offset + 1 : offset - line_begin;
  return position;
}

ParsedJson ParseStrictJson(std::string_view text, const JsonLimits& limits) {
  ParsedJson out;
  if (text.size() > std::min<size_t>(limits.bytes_max, UINT32_MAX)) {
    out.problems.push_back({0, "", "larger than " + std::to_string(limits.bytes_max) + " bytes"});
    return out;
  }
  out.readable = true;
  TreeBuilder builder(text, limits, out);
  const CountingIterator first{text.data(), builder.taken()};
  const CountingIterator last{text.data() + text.size(), builder.taken()};
  if (!nlohmann::json::sax_parse(first, last, &builder) && out.readable) out.readable = false;
  return out;
}

}  // namespace laneway::ops
