// config_checks.h: what fields of the configuration must be to each other. Internal to ops.
#pragma once

#include <string>
#include <vector>

#include "ops/config.h"

namespace laneway::ops {

// Reads the secrets that are referred to, then checks the fields together. Origins must be filled in.
void ResolveSecrets(const ConfigSources& sources, EffectiveConfig& config,
                    std::vector<ConfigProblem>& problems);
void CheckTogether(const ConfigSources& sources, EffectiveConfig& config,
                   std::vector<ConfigProblem>& problems);

}  // namespace laneway::ops
