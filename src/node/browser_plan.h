// browser_plan.h: the browser of one worker, as the configuration has it.
//
// Role:       pure but for the search for the program.
// Threads:    functions.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "fleet/ids.h"
#include "laneway/v1/config.pb.h"
#include "worker/browser/browsers.h"

namespace laneway::node {

// The worker's number by its name, as worker.id_pattern has it (DTF-03: 3), so that it keeps its port
// wherever it is started; `place` (from 1) when its name follows no pattern.
uint32_t WorkerNumber(const std::string& id_pattern, const WorkerId& worker, uint32_t place);

// The debugging port of the worker's browser.
uint16_t BrowserPort(const v1::Config& config, const WorkerId& worker, uint32_t place);

// `environment`: ours, NAME=value. `place`: the worker's in this process, from 1.
worker::BrowserSpec BrowserSpecOf(const v1::Config& config, const WorkerId& worker, uint32_t place,
                                  const std::vector<std::string>& environment);

}  // namespace laneway::node
