#include "cli/up.h"

namespace laneway::cli {

void AddCommonFlags(Command& command, UpOptions& options) {
  AddSettingsOptions(command, options.settings);
  command.Option("--data", options.data, "Folder of this process's own state");
  command.Flag("--json-logs", options.json_logs, "Log lines as JSON");
  command.Flag("-q,--quiet", options.quiet, "Only warnings and errors");
  command.Flag("-v,--verbose", options.verbose, "More");
}

void AddZoneFlag(Command& command, UpOptions& options) {
  command.Option("--zone", options.zone, "The dispatch zone");
}

void AddJobFlags(Command& command, UpOptions& options) {
  command.Option("--handler", options.handler,
                 "A builtin handler instead of a program: noop, sleep, fail, copy");
  command.Rest("--exec", options.exec, "Program and arguments for each file, with {file} and its kin");
}

void AddWorkerFlags(Command& command, UpOptions& options) {
  command.Option("--workers", options.workers, "Workers in this process; 0: none");
  command.Option("--capacity", options.capacity, "Tasks each worker runs at once");
  command.Option("--drain-timeout", options.drain_timeout, "How long running tasks may go on after SIGTERM");
}

void Translate(UpOptions& options) {
  std::vector<ops::ConfigFlag>& flags = options.settings.flags;
  const auto flag = [&](const std::string& name, const std::string& path, const std::string& value) {
    if (!value.empty()) flags.push_back({path + "=" + value, name});
  };
  flag("--zone", "zone.path", options.zone);
  flag("--data", "log.data", options.data);
  flag("--workers", "worker.in_process_thread_count", options.workers);
  flag("--capacity", "worker.capacity", options.capacity);
  flag("--drain-timeout", "worker.drain_timeout", options.drain_timeout);
  flag("--listen", "api.listen", options.listen);
  flag("--brokers", "log.brokers", options.brokers);
  if (!options.brokers.empty()) flags.push_back({"log.backend=kafka", "--brokers"});
  if (!options.exec.empty()) {
    flags.push_back({ops::ListSetting("job.exec", options.exec), "--exec"});
    flags.push_back({"job.handler=", "--exec"});
  }
  if (!options.handler.empty()) {
    flags.push_back({"job.exec=", "--handler"});
    flags.push_back({"job.handler=" + options.handler, "--handler"});
  }
}

}  // namespace laneway::cli
