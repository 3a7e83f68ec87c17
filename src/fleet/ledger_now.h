// ledger_now.h: one Apply of the Ledger: which record it is, and where its changes go. Private to ledger*.cc.
#pragma once

#include <vector>

#include "fleet/ledger.h"

namespace laneway {

struct Ledger::Now {
  uint32_t partition;
  Offset offset;
  LogTime time;
  std::vector<Change>* changes;

  void Say(Change::Kind kind, TaskId task, TaskState before = TaskState::kPending) {
    changes->push_back({.kind = kind, .task = task, .before = before});
  }
  // With who held the task until now.
  void Say(Change::Kind kind, TaskId task, const Change& held) {
    changes->push_back(held);
    changes->back().kind = kind;
    changes->back().task = task;
  }
  void SayWorker(Change::Kind kind, WorkerIndex worker) {
    changes->push_back({.kind = kind, .worker = worker});
  }
};

}  // namespace laneway
