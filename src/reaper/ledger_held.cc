#include "reaper/ledger_held.h"

namespace laneway::reaper {

void LedgerHeld::ForEach(const WorkerId& worker, const Each& each) const {
  for (const TaskId& id : ledger_->HeldBy(worker.name)) {
    const Job* job = ledger_->Find(id.job);
    const Task* task = job == nullptr ? nullptr : job->Find(id.n);
    if (task == nullptr || (task->state != TaskState::kAssigned && task->state != TaskState::kRunning))
      continue;
    each(id, task->attempt, task->state == TaskState::kRunning,
         job->spec != nullptr && job->spec->needs_browser());
  }
}

}  // namespace laneway::reaper
