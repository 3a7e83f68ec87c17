// up.h: what `laneway up` was asked for, and the function that does it.
#pragma once

#include <string>
#include <vector>

#include "cli/settings.h"
#include "ops/config.h"

namespace laneway::cli {

struct UpOptions {
  SettingsOptions settings;
  std::string zone;
  std::string data;
  std::string workers;
  std::string capacity;
  std::string listen;
  std::string handler;
  std::vector<std::string> exec;
  bool until_idle = false;
  bool json_logs = false;
  bool quiet = false;
  bool verbose = false;
};

// Gives the exit code.
int RunUp(const UpOptions& options, const ops::EffectiveConfig& config);

}  // namespace laneway::cli
