// up.h: what `laneway up` and `laneway run` were asked for, and the function that does it.
#pragma once

#include <string>
#include <vector>

#include "cli/settings.h"
#include "node/node.h"
#include "ops/config.h"

namespace laneway::cli {

struct UpOptions {
  SettingsOptions settings;
  node::Roles roles;
  std::string name = "laneway";  // of the process: "dispatcher"; a worker's is its id
  std::string brokers;
  std::string id;
  std::string zone;
  std::string data;
  std::string workers;
  std::string capacity;
  std::string listen;
  std::string handler;
  std::string drain_timeout;
  std::vector<std::string> exec;
  bool until_idle = false;
  bool json_logs = false;
  bool quiet = false;
  bool verbose = false;
};

// Flags of every role; of those that use the zone; of those that know what is run for a file; of workers.
void AddCommonFlags(Command& command, UpOptions& options);
void AddZoneFlag(Command& command, UpOptions& options);
void AddJobFlags(Command& command, UpOptions& options);
void AddWorkerFlags(Command& command, UpOptions& options);
// What the flags say, as settings of the configuration.
void Translate(UpOptions& options);

// Gives the exit code.
int RunUp(const UpOptions& options, const ops::EffectiveConfig& config);

}  // namespace laneway::cli
