// ledger_steps.cc: the steps that the Ledger's events are made of: a task's way from state to state, the end
// of an attempt, of a phase, of a job.
#include <algorithm>

#include "fleet/ledger.h"
#include "fleet/ledger_now.h"

namespace laneway {

using Kind = Change::Kind;

void Ledger::SetState(Task& task, TaskState state) {
  tasks_now_[static_cast<size_t>(task.state)]--;
  task.state = state;
  tasks_now_[static_cast<size_t>(state)]++;
}

Change Ledger::Held(const Job& job, const Task& task, uint32_t n) const {
  Change change{.task = {job.id, n}, .before = task.state};
  if (!IsHeld(task.state)) return change;
  change.held_attempt = task.attempt;
  change.held_by = task.worker;
  change.held_since = task.started;
  return change;
}

void Ledger::EndAttempt(Now& now, Task& task, uint32_t attempt, std::string_view outcome, v1::Ending ending,
                        int32_t exit_code, std::string_view message) {
  auto& attempts = task.More().attempts;
  if (attempt != task.attempt) {  // a late result: its attempt ended before, as something else
    for (v1::AttemptState& old : attempts) {
      if (old.attempt() != attempt) continue;
      old.set_outcome(std::string(outcome));
      old.set_ended_ms(now.time.ms);
    }
    return;
  }
  if (!attempts.empty() && attempts.back().attempt() == attempt) return;
  if (attempts.size() >= kAttemptsKept) attempts.erase(attempts.begin());
  v1::AttemptState& state = attempts.emplace_back();
  state.set_attempt(attempt);
  state.set_worker(WorkerName(task.worker));
  state.set_assigned_ms(task.assigned.ms);
  state.set_started_ms(task.started.ms);
  state.set_ended_ms(now.time.ms);
  state.set_outcome(std::string(outcome));
  state.set_ending(ending);
  state.set_exit_code(exit_code);
  state.set_message(std::string(message));
}

void Ledger::LetGo(Job& job, Task& task, uint32_t n) {
  if (IsHeld(task.state)) held_[task.worker].erase({job.id, n});
}

// A task that was lost or handed back is not to blame: it keeps its place among those that wait.
LogTime Ledger::KeptPlace(const Now& now, const Task& task) { return std::min(task.due, now.time); }

// Rule L1: every return to PENDING takes the next attempt number.
void Ledger::BackToPending(Now& now, Job& job, uint32_t n, LogTime due, const Change& held) {
  Task& task = job.tasks[n - 1];
  LetGo(job, task, n);
  SetState(task, TaskState::kPending);
  task.attempt++;
  task.due = due;
  task.worker = kNoWorker;
  task.lane = 0;
  task.store = StoreId{};
  task.incarnation = IncarnationId{};
  task.assigned = task.started = LogTime{};
  task.percent = 0;
  now.Say(Kind::kTaskPending, {job.id, n}, held);
}

void Ledger::Die(Now& now, Job& job, uint32_t n, const Change& held) {
  job.dead++;
  FinishTask(now, job, n, TaskState::kDead, held);
}

void Ledger::FinishTask(Now& now, Job& job, uint32_t n, TaskState state, const Change& held) {
  Task& task = job.tasks[n - 1];
  LetGo(job, task, n);
  SetState(task, state);
  tasks_ended_[static_cast<size_t>(state)]++;
  now.Say(state == TaskState::kDead ? Kind::kTaskDead : Kind::kTaskSucceeded, {job.id, n}, held);
  if (task.phase == job.open_phase && job.unfinished_in_phase > 0) job.unfinished_in_phase--;
  MaybeFinishJob(now, job);
}

void Ledger::MaybeFinishJob(Now& now, Job& job) {
  if (job.is_finished() || job.unfinished_in_phase != 0) return;
  if (job.dead == 0 && job.open_phase + 1 < job.phase_count()) return;  // the dispatcher opens the next phase
  for (uint32_t n = 1; n <= job.tasks.size(); n++) {                    // phases that never open
    Task& task = job.tasks[n - 1];
    if (task.phase <= job.open_phase || IsFinished(task.state)) continue;
    SetState(task, TaskState::kCancelled);
    tasks_ended_[static_cast<size_t>(TaskState::kCancelled)]++;
    now.Say(Kind::kTaskCancelled, {job.id, n});
  }
  FinishJob(now, job);
}

void Ledger::FinishJob(Now& now, Job& job) {
  job.finished = now.time;
  jobs_ended_[static_cast<size_t>(job.phase())]++;
  now.Say(Kind::kJobFinished, {job.id, 0});
  if (!job.file) CloseJob(now, job);  // rule L6: only a file keeps a finished job open
}

void Ledger::CloseJob(Now& now, Job& job) {
  job.closed = true;
  now.Say(Kind::kJobClosed, {job.id, 0});
  const bool reopened =
      std::any_of(job.tasks.begin(), job.tasks.end(), [](const Task& task) { return task.floor > 1; });
  finished_->Put(job.id, now.offset, ToState(job).SerializeAsString(), reopened);
  CountIn(job, -1);
  auto node = partitions_[now.partition].jobs.extract(job.id);
  just_closed_.push_back(std::move(node.mapped()));
}

// A phase without tasks is over at once; the first that has some is open.
void Ledger::SkipEmptyPhases(Job& job) const {
  RecountPhase(job);
  while (job.unfinished_in_phase == 0 && job.open_phase + 1 < job.phase_count()) {
    job.open_phase++;
    RecountPhase(job);
  }
}

void Ledger::RecountPhase(Job& job) const {
  job.unfinished_in_phase = 0;
  for (const Task& task : job.tasks)
    job.unfinished_in_phase += task.phase == job.open_phase && !IsFinished(task.state) ? 1U : 0U;
}

void Ledger::CountIn(const Job& job, int sign) {
  for (const Task& task : job.tasks)
    tasks_now_[static_cast<size_t>(task.state)] += static_cast<uint64_t>(static_cast<int64_t>(sign));
}

}  // namespace laneway
