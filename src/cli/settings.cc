#include "cli/settings.h"

#include <unistd.h>

#include <iostream>

namespace laneway::cli {

void AddSettingsOptions(Command& command, SettingsOptions& options) {
  command.Option("--config", options.config,
                 "Configuration file (else LANEWAY_CONFIG, else laneway.json when it is there)");
  command.Repeated("--set", options.set,
                   "One setting: SECTION.FIELD=VALUE, as job.timeout=10m; may be repeated");
}

ops::ConfigSources SourcesOf(const SettingsOptions& options) {
  ops::ConfigSources sources;
  sources.environment = ops::ProcessEnvironment();
  sources.file = options.config;
  if (sources.file.empty()) sources.file = sources.environment["LANEWAY_CONFIG"];
  if (sources.file.empty() && access("laneway.json", F_OK) == 0) sources.file = "laneway.json";
  for (const std::string& setting : options.set) sources.flags.push_back({setting, "--set"});
  sources.flags.insert(sources.flags.end(), options.flags.begin(), options.flags.end());
  return sources;
}

std::optional<ops::EffectiveConfig> LoadSettings(const SettingsOptions& options, bool zone_jobs) {
  ops::ConfigSources sources = SourcesOf(options);
  sources.zone_jobs = zone_jobs;
  ops::ConfigResult result = ops::LoadConfig(sources);
  for (const ops::ConfigProblem& problem : result.problems) std::cerr << problem.ToString() << "\n";
  if (!result.problems.empty()) {
    Complain(std::to_string(result.problems.size()) +
             (result.problems.size() == 1 ? " mistake" : " mistakes") + " in the configuration");
    return std::nullopt;
  }
  for (const std::string& warning : result.config->warnings) Complain("warning: " + warning);
  return std::move(result.config);
}

}  // namespace laneway::cli
