#include <iostream>
#include <memory>

#include "cli/commands.h"
#include "cli/exit_codes.h"
#include "cli/settings.h"

namespace laneway::cli {
namespace {

int Check(const SettingsOptions& options) {
  const auto config = LoadSettings(options, false);
  if (!config) return kUsage;
  const auto& job = config->values.job();
  if (job.exec().empty() && job.handler().empty()) {
    Complain("note: neither job.exec nor job.handler is set; `laneway up` will want --exec or --handler");
  }
  const std::string file = SourcesOf(options).file;
  std::cout << (file.empty() ? "the defaults" : file) << ": fine\n";
  return kDone;
}

int Show(const SettingsOptions& options, bool origin) {
  const auto config = LoadSettings(options, false);
  if (!config) return kUsage;
  std::cout << (origin ? config->ToTable() : config->ToJson());
  return kDone;
}

}  // namespace

void AddConfig(Command& root) {
  struct Options {
    SettingsOptions check;
    SettingsOptions show;
    bool origin = false;
  };
  auto options = std::make_shared<Options>();
  Command& config = root.Add("config", "Checks and shows the configuration");
  Command& check = config.Add("check", "Checks strictly and tells every mistake at once");
  check.Examples({"laneway config check --config laneway.json"});
  AddSettingsOptions(check, options->check);
  check.Run([options] { return Check(options->check); });
  Command& show = config.Add("show", "Shows the effective configuration");
  show.Examples({"laneway config show", "laneway config show --origin --set job.timeout=10m"});
  AddSettingsOptions(show, options->show);
  show.Flag("--origin", options->origin, "Where each value came from");
  show.Run([options] { return Show(options->show, options->origin); });
}

}  // namespace laneway::cli
