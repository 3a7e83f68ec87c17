// autoscale.h: how many workers would clear what is open in the time it should take.
//
// Role:       pure; for the metric that autoscalers follow.
// Source:     Little's law: slots in use = rate * time of one task.
// Threads:    any.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "fleet/log_time.h"

namespace laneway {

struct OpenWork {
  uint64_t tasks = 0;       // waiting, assigned and running
  double run_seconds = 0;   // of one task, lately
  Millis drain_time{0};     // in which it should be done
  uint32_t slots_each = 1;  // of one worker
};

// 0 when nothing is open. Never more than a slot for each task, whatever it takes.
inline uint32_t WantedWorkers(const OpenWork& work) {
  if (work.tasks == 0) return 0;
  const double tasks = static_cast<double>(work.tasks);
  const double seconds = std::max(0.001, static_cast<double>(work.drain_time.count()) / 1000);
  const double slots = std::clamp(tasks * work.run_seconds / seconds, 1.0, tasks);
  return static_cast<uint32_t>(std::min(1e6, std::ceil(slots / std::max(1U, work.slots_each))));
}

}  // namespace laneway
