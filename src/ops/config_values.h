// config_values.h: one value of the configuration: from JSON or text, through its rule, into the message.
// Internal to ops.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "laneway/v1/config.pb.h"
#include "ops/config_rules.h"
#include "ops/strict_json.h"

namespace laneway::ops {

// Why a value was refused.
struct ValueProblem {
  std::string found;
  std::string hint;
};

// A flag's or variable's text as the JSON value its rule wants; a text that does not fit becomes a string,
// which the rule then refuses.
JsonValue JsonFromText(const ConfigRule& rule, std::string_view text);

// Checks `value` by `rule` and stores it at `path`. Nothing when it was fine.
std::optional<ValueProblem> SetConfigValue(const ConfigRule& rule, std::string_view path,
                                           const JsonValue& value, v1::Config& config);

// The value at `path` as it would be written in a file: JSON.
std::string ConfigValueAsJson(const ConfigRule& rule, std::string_view path, const v1::Config& config);

}  // namespace laneway::ops
