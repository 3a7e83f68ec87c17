// cmd_run.cc: one role of a fleet whose processes meet in Kafka.
#include <memory>

#include "cli/commands.h"
#include "cli/exit_codes.h"
#include "cli/up.h"

namespace laneway::cli {
namespace {

// Each role has a folder of its own below the default one, so that all can be tried in one place.
int RunRole(UpOptions& options) {
  if (options.data.empty())
    options.settings.flags.push_back({"log.data=data/" + options.name, "laneway run"});
  Translate(options);
  const auto config = LoadSettings(options.settings, options.roles.dispatcher);
  if (!config) return kUsage;
  if (config->values.log().backend() != "kafka") {
    Complain(
        "the processes of a fleet meet in Kafka: give --brokers HOST:PORT, or log.backend \"kafka\" and "
        "log.brokers in the configuration (one process alone is  laneway up)");
    return kUsage;
  }
  return RunUp(options, *config);
}

std::shared_ptr<UpOptions> AddRole(Command& run, const std::string& name, node::Roles roles,
                                   const std::string& about, const std::vector<std::string>& examples,
                                   const std::function<void(Command&, UpOptions&)>& flags) {
  auto options = std::make_shared<UpOptions>();
  options->roles = roles;
  options->name = name;
  Command& role = run.Add(name, about);
  role.Examples(examples);
  role.Option("--brokers", options->brokers, "Kafka brokers, HOST:PORT,…");
  AddCommonFlags(role, *options);
  flags(role, *options);
  role.Run([options] { return RunRole(*options); });
  return options;
}

}  // namespace

void AddRun(Command& root) {
  Command& run = root.Add("run", "Runs one role of a distributed fleet");
  AddRole(
      run, "dispatcher", {.workers = false, .reaper = false, .api = false},
      "Takes files, places tasks; one is active, others stand by",
      {"laneway run dispatcher --brokers kafka1:9092,kafka2:9092 --zone /srv/dispatch --exec bash process.sh "
       "{file}"},
      [](Command& role, UpOptions& options) {
        AddZoneFlag(role, options);
        AddJobFlags(role, options);
      });
  AddRole(run, "worker", {.dispatcher = false, .reaper = false, .api = false}, "Runs tasks",
          {"laneway run worker --brokers kafka1:9092 --zone /srv/dispatch --id DTF-03",
           "laneway run worker --brokers kafka1:9092 --zone /srv/dispatch --workers 3"},
          [](Command& role, UpOptions& options) {
            role.Option("--id", options.id,
                        "The worker's name; else --workers of them, named by worker.id_pattern");
            AddZoneFlag(role, options);
            AddWorkerFlags(role, options);
          });
  AddRole(run, "reaper", {.dispatcher = false, .workers = false, .api = false},
          "Gives the tasks of silent workers to others; any number may run",
          {"laneway run reaper --brokers kafka1:9092"}, [](Command&, UpOptions&) {});
  AddRole(run, "api", {.dispatcher = false, .workers = false, .reaper = false},
          "Answers HTTP; any number may run",
          {"laneway run api --brokers kafka1:9092 --listen 127.0.0.1:3000"},
          [](Command& role, UpOptions& options) {
            role.Option("--listen", options.listen, "Address of the API");
          });
}

}  // namespace laneway::cli
