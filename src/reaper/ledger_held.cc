#include "reaper/ledger_held.h"

namespace laneway::reaper {

FoldSays SaysOf(const std::string& worker, const WorkerVerdicts& verdicts) {
  FoldSays says{WorkerId(worker),       verdicts.lost, verdicts.browser_lost, verdicts.judged, {},
                verdicts.browser_judged};
  if (verdicts.lost && verdicts.reason == "process_died") says.died = verdicts.incarnation;
  return says;
}

void LedgerHeld::ForEach(const WorkerId& worker, const Each& each) const {
  for (const TaskId& id : ledger_->HeldBy(worker.name)) {
    const Job* job = ledger_->Find(id.job);
    const Task* task = job == nullptr ? nullptr : job->Find(id.n);
    if (task == nullptr || (task->state != TaskState::kAssigned && task->state != TaskState::kRunning))
      continue;
    const bool running = task->state == TaskState::kRunning;
    // One that runs and may go on without the browser it began with needs none any more.
    const bool needs_browser = job->spec != nullptr && job->spec->needs_browser() &&
                               !(running && job->spec->on_browser_loss() == v1::CONTINUE_TASK);
    each(id, task->attempt, running, needs_browser);
  }
}

}  // namespace laneway::reaper
