// settings.h: the configuration as the command line gives it: --config, --set and the flags of their own
// name.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "cli/command.h"
#include "ops/config.h"

namespace laneway::cli {

struct SettingsOptions {
  std::string config;                  // else LANEWAY_CONFIG, else ./laneway.json when it is there
  std::vector<std::string> set;        // SECTION.FIELD=VALUE
  std::vector<ops::ConfigFlag> flags;  // what other flags mean
};

void AddSettingsOptions(Command& command, SettingsOptions& options);
// Nothing when something was wrong: all of it was told on stderr, and the exit code is kUsage.
std::optional<ops::EffectiveConfig> LoadSettings(const SettingsOptions& options, bool zone_jobs);
ops::ConfigSources SourcesOf(const SettingsOptions& options);

}  // namespace laneway::cli
