#include "ops/config_values.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "fleet/ids.h"
#include "ops/check.h"
#include "ops/json_writer.h"
#include "ops/text.h"
#include "ops/units.h"

namespace laneway::ops {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

constexpr size_t kShownMax = 200;
constexpr size_t kWrongShown = 5;  // of a list's elements
constexpr size_t kTextMax = 4096;
constexpr size_t kWordsMax = 1000;

struct Field {
  Message* message;
  const FieldDescriptor* field;
  const Reflection& reflection() const { return *message->GetReflection(); }
};

// The field a rule speaks of. A test walks all rules, so that a missing field is a broken build, not a
// surprise.
Field Resolve(const ConfigRule& rule, std::string_view path, v1::Config& config) {
  Message* message = &config;
  if (rule.path.find('*') != std::string_view::npos) {
    const size_t begin = rule.path.find('*');
    const size_t end = path.rfind('.');
    message =
        &(*config.mutable_placement()->mutable_resources())[std::string(path.substr(begin, end - begin))];
  } else {
    std::string_view rest = path;
    for (size_t dot = rest.find('.'); dot != std::string_view::npos; dot = rest.find('.')) {
      const FieldDescriptor* section =
          message->GetDescriptor()->FindFieldByName(std::string(rest.substr(0, dot)));
      LANEWAY_CHECK(section != nullptr, "a configuration rule without its section");
      message = message->GetReflection()->MutableMessage(message, section);
      rest.remove_prefix(dot + 1);
    }
  }
  const FieldDescriptor* field = message->GetDescriptor()->FindFieldByName(rule.ProtoName());
  LANEWAY_CHECK(field != nullptr, "a configuration rule without its field");
  return {message, field};
}

std::string Quoted(std::string_view text) { return "\"" + Printable(text, kShownMax) + "\""; }

std::string Shown(const JsonValue& value) {
  switch (value.kind) {
    case JsonKind::kString:
      return Quoted(value.text);
    case JsonKind::kBool:
      return value.boolean ? "true" : "false";
    case JsonKind::kInteger:
      return (value.negative ? "-" : "") + std::to_string(value.magnitude);
    case JsonKind::kNumber:
      return Printable(value.text, kShownMax);
    case JsonKind::kArray:
      return value.items.empty() ? "an empty array" : "an array";
    case JsonKind::kNull:
    case JsonKind::kObject:
      break;
  }
  return std::string(JsonKindName(value.kind));
}

std::string Meant(std::string_view what) { return "did you mean " + std::string(what) + "?"; }

// "30 sec" → "30s", "64mb" → "64MiB": what people write when they mean a duration or a size.
std::string NearUnit(const ConfigRule& rule, const JsonValue& value) {
  const bool duration = rule.kind == ConfigKind::kDuration;
  if (value.kind == JsonKind::kInteger && !value.negative) {
    return Meant("\"" + std::to_string(value.magnitude) + (duration ? "s" : "MiB") + "\"");
  }
  if (value.kind != JsonKind::kString) return "";
  std::string digits;
  std::string letters;
  for (char c : value.text) {
    if (c >= '0' && c <= '9' && letters.empty()) digits.push_back(c);
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')) letters.push_back(static_cast<char>(c | 0x20));
  }
  static constexpr std::pair<std::string_view, std::string_view> kDurations[] = {
      {"", "s"},    {"sec", "s"},  {"secs", "s"},  {"second", "s"},  {"seconds", "s"},
      {"s", "s"},   {"min", "m"},  {"mins", "m"},  {"minute", "m"},  {"minutes", "m"},
      {"m", "m"},   {"hr", "h"},   {"hour", "h"},  {"hours", "h"},   {"h", "h"},
      {"day", "d"}, {"days", "d"}, {"msec", "ms"}, {"millis", "ms"}, {"ms", "ms"}};
  static constexpr std::pair<std::string_view, std::string_view> kSizes[] = {
      {"", "MiB"},    {"k", "KiB"}, {"kb", "KiB"}, {"kib", "KiB"}, {"m", "MiB"}, {"mb", "MiB"},
      {"mib", "MiB"}, {"g", "GiB"}, {"gb", "GiB"}, {"gib", "GiB"}, {"b", "B"},   {"bytes", "B"}};
  const auto look = [&](const auto& table) {
    for (const auto& [written, unit] : table) {
      if (written == letters && !digits.empty()) return Meant("\"" + digits + std::string(unit) + "\"");
    }
    return std::string();
  };
  return duration ? look(kDurations) : look(kSizes);
}

bool Within(const ConfigRule& rule, double value) { return value >= rule.min && value <= rule.max; }

bool IsPrefix(std::string_view text) { return text.empty() || IsWorkerName(text); }

bool IsVariable(std::string_view text) {
  const auto may_stand = [](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '_';
  };
  return !text.empty() && text.size() <= 256 && !absl::ascii_isdigit(static_cast<unsigned char>(text[0])) &&
         std::all_of(text.begin(), text.end(), may_stand) && !text.starts_with("LANEWAY_");
}

bool IsLabel(std::string_view text) {
  if (text.empty() || text.size() > 64) return false;
  return std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           std::string_view("._-=/").find(c) != std::string_view::npos;
  });
}

bool IsKafkaSetting(std::string_view text) {
  const size_t equals = text.find('=');
  if (equals == 0 || equals == std::string_view::npos || text.size() > 8192) return false;
  const auto may_stand = [](char c) {
    return absl::ascii_islower(static_cast<unsigned char>(c)) || c == '.' || c == '_';
  };
  return std::all_of(text.begin(), text.begin() + static_cast<ptrdiff_t>(equals), may_stand);
}

bool IsBroker(std::string_view text) {
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos || colon == 0) return false;
  const auto port = ParseWhole(text.substr(colon + 1));
  return port && *port > 0 && *port <= 65535 && text.find_first_of(" \t\n,/") == std::string_view::npos;
}

// Of a string that fits its rule's kind. `text` may be any bytes but NUL, which no path and no argument can
// hold.
bool TextFits(const ConfigRule& rule, const std::string& text) {
  if (text.size() > kTextMax || text.find('\0') != std::string::npos) return false;
  switch (rule.kind) {
    case ConfigKind::kPath:
      return !text.empty();
    case ConfigKind::kChoice:
      return std::find(rule.choices.begin(), rule.choices.end(), text) != rule.choices.end();
    case ConfigKind::kPrefix:
      return IsPrefix(text);
    case ConfigKind::kWorkerPattern: {
      const auto name = FillWorkerPattern(text, 1);
      return name && IsWorkerName(*name);
    }
    case ConfigKind::kListen:
      return ParseListen(text).has_value();
    case ConfigKind::kRate:
      return text.empty() || ParseRate(text).has_value();
    case ConfigKind::kLabels:
      return IsLabel(text);
    case ConfigKind::kVariables:
      return IsVariable(text);
    case ConfigKind::kBrokers:
      return IsBroker(text);
    case ConfigKind::kKafka:
      return IsKafkaSetting(text);
    case ConfigKind::kSecret: {
      const bool reference = text.rfind("${env:", 0) == 0 || text.rfind("${file:", 0) == 0;
      return text.empty() || (reference && text.back() == '}' && text.find(':') + 2 < text.size());
    }
    case ConfigKind::kText:
    case ConfigKind::kWords:
    case ConfigKind::kBool:
    case ConfigKind::kWhole:
    case ConfigKind::kNumber:
    case ConfigKind::kDuration:
    case ConfigKind::kSize:
      return true;
  }
  return false;
}

std::optional<ValueProblem> SetNumber(const ConfigRule& rule, const Field& to, const JsonValue& value) {
  const bool unit = rule.kind == ConfigKind::kDuration || rule.kind == ConfigKind::kSize;
  if (unit) {
    std::optional<uint64_t> number;
    if (value.kind == JsonKind::kString && rule.kind == ConfigKind::kSize) number = ParseSize(value.text);
    if (value.kind == JsonKind::kString && rule.kind == ConfigKind::kDuration) {
      if (const auto duration = ParseDuration(value.text)) number = static_cast<uint64_t>(duration->count());
    }
    if (!number) return ValueProblem{Shown(value), NearUnit(rule, value)};
    if (!Within(rule, static_cast<double>(*number))) return ValueProblem{Shown(value), ""};
    to.reflection().SetUInt64(to.message, to.field, *number);
    return std::nullopt;
  }
  const bool whole = rule.kind == ConfigKind::kWhole;
  if (value.kind != JsonKind::kInteger && (whole || value.kind != JsonKind::kNumber)) {
    double number = 0;
    const bool quoted =
        value.kind == JsonKind::kString && absl::SimpleAtod(value.text, &number) && Within(rule, number);
    return ValueProblem{Shown(value), quoted ? Meant(Printable(value.text) + " (without quotes)") : ""};
  }
  if (!Within(rule, value.number)) return ValueProblem{Shown(value), ""};
  if (whole) {
    to.reflection().SetUInt32(to.message, to.field, static_cast<uint32_t>(value.magnitude));
  } else {
    to.reflection().SetDouble(to.message, to.field, value.number);
  }
  return std::nullopt;
}

std::optional<ValueProblem> SetList(const ConfigRule& rule, const Field& to, const JsonValue& value) {
  if (value.kind != JsonKind::kArray) {
    const bool one = value.kind == JsonKind::kString && !value.text.empty();
    return ValueProblem{Shown(value), one ? Meant("[" + Quoted(value.text) + "]") : ""};
  }
  if (value.items.size() > kWordsMax)
    return ValueProblem{"more than " + std::to_string(kWordsMax) + " entries", ""};
  std::string wrong;
  size_t count = 0;
  for (size_t i = 0; i < value.items.size(); i++) {
    const JsonValue& item = value.items[i];
    if (item.kind == JsonKind::kString && TextFits(rule, item.text)) continue;
    if (count++ < kWrongShown)
      wrong += (wrong.empty() ? "" : ", ") + Shown(item) + " at [" + std::to_string(i) + "]";
  }
  if (count > kWrongShown) wrong += " and " + std::to_string(count - kWrongShown) + " more";
  if (count > 0) return ValueProblem{wrong, ""};
  if (rule.kind == ConfigKind::kWords && !value.items.empty() && value.items[0].text.empty()) {
    return ValueProblem{"an empty program name", ""};
  }
  to.reflection().ClearField(to.message, to.field);
  for (const JsonValue& item : value.items) to.reflection().AddString(to.message, to.field, item.text);
  return std::nullopt;
}

std::optional<ValueProblem> SetText(const ConfigRule& rule, const Field& to, const JsonValue& value) {
  const bool secret = rule.kind == ConfigKind::kSecret;
  if (value.kind != JsonKind::kString)
    return ValueProblem{secret ? "a literal value (not shown)" : Shown(value), ""};
  if (!TextFits(rule, value.text)) {
    if (secret) return ValueProblem{"a literal value (not shown)", ""};
    std::string near;
    if (rule.kind == ConfigKind::kChoice) near = Nearest(value.text, rule.choices);
    if (rule.kind == ConfigKind::kListen && ParseWhole(value.text)) near = "127.0.0.1:" + value.text;
    if (rule.kind == ConfigKind::kListen && !value.text.empty() && value.text[0] == ':')
      near = "127.0.0.1" + value.text;
    return ValueProblem{Quoted(value.text), near.empty() ? "" : Meant(Quoted(near))};
  }
  to.reflection().SetString(to.message, to.field, value.text);
  return std::nullopt;
}

}  // namespace

JsonValue JsonFromText(const ConfigRule& rule, std::string_view text) {
  JsonValue value;
  value.kind = JsonKind::kString;
  value.text = std::string(text);
  if (rule.kind == ConfigKind::kBool && (text == "true" || text == "false")) {
    value.kind = JsonKind::kBool;
    value.boolean = text == "true";
  } else if (rule.kind == ConfigKind::kWhole || rule.kind == ConfigKind::kNumber ||
             (rule.IsList() && !text.empty() && text[0] == '[')) {
    ParsedJson parsed = ParseStrictJson(text, {.bytes_max = 1 << 20, .values_max = 10'000, .depth_max = 4});
    if (parsed.readable && parsed.problems.empty() && parsed.root.kind != JsonKind::kString)
      value = std::move(parsed.root);
  } else if (rule.IsList() &&
             (text.empty() ||
              rule.kind != ConfigKind::kWords)) {  // arguments may hold commas, labels may not
    value.kind = JsonKind::kArray;
    for (std::string_view rest = text; !rest.empty();) {
      const size_t comma = std::min(rest.find(','), rest.size());
      value.items.emplace_back().kind = JsonKind::kString;
      value.items.back().text = std::string(rest.substr(0, comma));
      rest.remove_prefix(std::min(comma + 1, rest.size()));
    }
  }
  return value;
}

std::optional<ValueProblem> SetConfigValue(const ConfigRule& rule, std::string_view path,
                                           const JsonValue& value, v1::Config& config) {
  const Field to = Resolve(rule, path, config);
  if (rule.IsList()) return SetList(rule, to, value);
  switch (rule.kind) {
    case ConfigKind::kBool:
      if (value.kind != JsonKind::kBool) {
        const bool quoted =
            value.kind == JsonKind::kString && (value.text == "true" || value.text == "false");
        return ValueProblem{Shown(value), quoted ? Meant(value.text + " (without quotes)") : ""};
      }
      to.reflection().SetBool(to.message, to.field, value.boolean);
      return std::nullopt;
    case ConfigKind::kWhole:
    case ConfigKind::kNumber:
    case ConfigKind::kDuration:
    case ConfigKind::kSize:
      return SetNumber(rule, to, value);
    case ConfigKind::kText:
    case ConfigKind::kPath:
    case ConfigKind::kChoice:
    case ConfigKind::kPrefix:
    case ConfigKind::kWorkerPattern:
    case ConfigKind::kListen:
    case ConfigKind::kSecret:
    case ConfigKind::kRate:
    case ConfigKind::kWords:
    case ConfigKind::kLabels:
    case ConfigKind::kVariables:
    case ConfigKind::kBrokers:
    case ConfigKind::kKafka:
      return SetText(rule, to, value);
  }
  return std::nullopt;
}

std::string ConfigValueAsJson(const ConfigRule& rule, std::string_view path, const v1::Config& config) {
  v1::Config copy = config;  // Resolve makes what is missing
  const Field from = Resolve(rule, path, copy);
  const Reflection& reflection = from.reflection();
  JsonWriter out;
  switch (rule.kind) {
    case ConfigKind::kBool:
      out.Value(reflection.GetBool(*from.message, from.field));
      break;
    case ConfigKind::kWhole:
      out.Value(reflection.GetUInt32(*from.message, from.field));
      break;
    case ConfigKind::kNumber:
      out.Value(reflection.GetDouble(*from.message, from.field));
      break;
    case ConfigKind::kDuration: {
      const uint64_t ms = reflection.GetUInt64(*from.message, from.field);
      out.Value(FormatDuration(std::chrono::milliseconds(static_cast<int64_t>(ms))));
      break;
    }
    case ConfigKind::kSize:
      out.Value(FormatSize(reflection.GetUInt64(*from.message, from.field)));
      break;
    case ConfigKind::kWords:
    case ConfigKind::kLabels:
    case ConfigKind::kVariables:
    case ConfigKind::kBrokers:
    case ConfigKind::kKafka:
      out.BeginArray();
      for (int i = 0; i < reflection.FieldSize(*from.message, from.field); i++) {
        out.Value(reflection.GetRepeatedString(*from.message, from.field, i));
      }
      out.EndArray();
      break;
    case ConfigKind::kText:
    case ConfigKind::kPath:
    case ConfigKind::kChoice:
    case ConfigKind::kPrefix:
    case ConfigKind::kWorkerPattern:
    case ConfigKind::kListen:
    case ConfigKind::kSecret:
    case ConfigKind::kRate:
      out.Value(reflection.GetString(*from.message, from.field));
      break;
  }
  return out.Take();
}

}  // namespace laneway::ops
