#include <memory>

#include "cli/commands.h"
#include "cli/exit_codes.h"
#include "cli/up.h"

namespace laneway::cli {
namespace {

// What the flags say, as settings of the configuration.
void Translate(UpOptions& options) {
  const auto flag = [&](const std::string& name, const std::string& path, const std::string& value) {
    if (!value.empty()) options.settings.flags.push_back({path + "=" + value, name});
  };
  flag("--zone", "zone.path", options.zone);
  flag("--data", "log.data", options.data);
  flag("--workers", "worker.in_process_thread_count", options.workers);
  flag("--capacity", "worker.capacity", options.capacity);
  flag("--listen", "api.listen", options.listen);
  if (!options.exec.empty()) {
    options.settings.flags.push_back({ops::ListSetting("job.exec", options.exec), "--exec"});
    options.settings.flags.push_back({"job.handler=", "--exec"});
  }
  if (!options.handler.empty()) {
    options.settings.flags.push_back({"job.exec=", "--handler"});
    options.settings.flags.push_back({"job.handler=" + options.handler, "--handler"});
  }
}

}  // namespace

void AddUp(Command& root) {
  auto options = std::make_shared<UpOptions>();
  Command& up = root.Add("up", "Runs a fleet");
  up.Examples({"laneway up --zone dispatch --workers 3 --exec bash process.sh {file}",
               "laneway up --until-idle --zone dispatch --exec ./clean {file} {output_dir}",
               "laneway up --config laneway.json"});
  AddSettingsOptions(up, options->settings);
  up.Option("--zone", options->zone, "The dispatch zone");
  up.Option("--data", options->data, "Folder of the log and the workers' state");
  up.Option("--workers", options->workers, "Workers in this process; 0: none");
  up.Option("--capacity", options->capacity, "Tasks each worker runs at once");
  up.Option("--listen", options->listen, "Address of the API, or off");
  up.Option("--handler", options->handler, "A builtin handler instead of a program: noop, sleep, fail, copy");
  up.Flag("--until-idle", options->until_idle,
          "End when the zone is empty and every job has ended, with a summary; exit 1 if a task died");
  up.Flag("--json-logs", options->json_logs, "Log lines as JSON");
  up.Flag("-q,--quiet", options->quiet, "Only warnings and errors");
  up.Flag("-v,--verbose", options->verbose, "More");
  up.Rest("--exec", options->exec, "Program and arguments for each file, with {file} and its kin");
  up.Run([options] {
    Translate(*options);
    const auto config = LoadSettings(options->settings, true);
    if (!config) return static_cast<int>(kUsage);
    return RunUp(*options, *config);
  });
}

}  // namespace laneway::cli
