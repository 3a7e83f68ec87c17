// actions.h: puts dead tasks back, batch by batch. Internal to api; on the fold's loop.
#pragma once

#include <functional>
#include <vector>

#include "api/fleet_state.h"

namespace laneway::api {

struct DeadTask {
  TaskId task;
  uint32_t attempt = 0;  // the one that died
};

struct RedriveResult {
  absl::Status status;  // of the append that ended it early
  uint64_t redriven = 0;
  uint64_t refused = 0;
  FoldVerdict refusal = FoldVerdict::kNotDead;  // the last one
};
using RedriveDone = std::function<void(const RedriveResult&)>;

void Redrive(const StatePtr& state, std::vector<DeadTask> tasks, const ActionBody& action, RedriveDone done);

}  // namespace laneway::api
