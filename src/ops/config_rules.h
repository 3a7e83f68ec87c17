// config_rules.h: what each field of the configuration may be: its kind, default, limits and meaning.
// Internal to ops.
//
// Role:       a table; a test holds it against config.proto in both directions.
// Threads:    constants.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace laneway::ops {

enum class ConfigKind : uint8_t {
  kText,
  kPath,
  kChoice,
  kPrefix,
  kWorkerPattern,
  kListen,
  kSecret,
  kRate,
  kBool,
  kWhole,
  kNumber,
  kDuration,
  kSize,
  kWords,
  kLabels,
  kVariables,
  kBrokers,
  kKafka,
};

struct ConfigRule {
  std::string_view path;  // as written in the file; "placement.resources.*.rate" for any name
  ConfigKind kind;
  std::string_view standard;  // the default, as a flag would give it
  double min = 0;             // numbers; milliseconds; bytes
  double max = 0;
  std::vector<std::string> choices = {};
  std::string_view doc = {};

  bool IsList() const {
    return kind == ConfigKind::kWords || kind == ConfigKind::kLabels || kind == ConfigKind::kVariables ||
           kind == ConfigKind::kBrokers || kind == ConfigKind::kKafka;
  }
  // The field's name in config.proto: durations carry `_ms` there.
  std::string ProtoName() const;
  // One phrase: what is allowed.
  std::string Allowed() const;
};

std::span<const ConfigRule> ConfigRules();
// Nothing when there is no such field. Names of resources match "*".
const ConfigRule* FindConfigRule(std::string_view path);

}  // namespace laneway::ops
