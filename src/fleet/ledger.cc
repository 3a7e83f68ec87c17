#include "fleet/ledger.h"

#include <algorithm>
#include <cstdlib>

#include "fleet/ledger_now.h"
#include "fleet/planted.h"
#include "fleet/retry_policy.h"

namespace laneway {

namespace {
using Kind = Change::Kind;

bool IsAboutTask(v1::Event::WhatCase what) {
  return what >= v1::Event::kTaskAssigned && what <= v1::Event::kTaskRepublished;
}
}  // namespace

Ledger::Ledger(LedgerOptions options, FinishedJobs* finished)
    : options_(options), finished_(finished), partitions_(options.partitions) {}

void Ledger::StartAt(uint32_t partition, Offset first) {
  Partition& p = partitions_[partition];
  p.first = p.next = p.orphans_from = first;
  p.epoch_is_sure = first == 0;
}

void Ledger::Skip(uint32_t partition, Offset offset, LogTime time) {
  Partition& p = partitions_[partition];
  p.next = offset + 1;
  p.time = std::max(p.time, time);
}

FoldVerdict Ledger::Apply(uint32_t partition, Offset offset, LogTime time, const v1::Event& event,
                          std::vector<Change>* changes) {
  Partition& p = partitions_[partition];
  if (offset < p.next) {
    std::abort();  // a reader that hands a record in twice would corrupt every verdict after it
  }
  Skip(partition, offset, time);
  just_closed_.clear();
  Now now{partition, offset, p.time, changes};
  const size_t first = changes->size();
  const FoldVerdict verdict = Dispatch(now, event);
  for (size_t i = first; i < changes->size(); i++) (*changes)[i].by_attempt = event.attempt();
  return verdict;
}

FoldVerdict Ledger::Dispatch(Now& now, const v1::Event& event) {
  switch (event.what_case()) {
    case v1::Event::kJobSubmitted:
      return Submitted(now, event);
    case v1::Event::kTaskAssigned:
      return Assigned(now, event);
    case v1::Event::kTaskStarted:
      return Started(now, event);
    case v1::Event::kTaskProgressed:
      return Progressed(now, event);
    case v1::Event::kTaskSucceeded:
      return Succeeded(now, event);
    case v1::Event::kTaskFailed:
      return Failed(now, event);
    case v1::Event::kTaskReleased:
      return Released(now, event);
    case v1::Event::kTaskRepublished:
      return Republished(now, event);
    case v1::Event::kPhaseOpened:
      return Opened(now, event);
    case v1::Event::kJobCancelled:
      return Cancelled(now, event);
    case v1::Event::kTaskRedriven:
      return Redriven(now, event);
    case v1::Event::kFileClaimed:
      return Claimed(now, event);
    case v1::Event::kFileMoved:
      return Moved(now, event);
    case v1::Event::kFileGone:
      return Gone(now, event);
    case v1::Event::kWorkerLost:
      return Lost(now, event);
    case v1::Event::kWorkerReturned:
      return Returned(now, event);
    case v1::Event::kBrowserLost:
      return BrowserLost(now, event);
    case v1::Event::kBrowserReturned:
      return BrowserReturned(now, event);
    case v1::Event::kEpochOpened:
      return Epoched(now, event);
    case v1::Event::kJobCarried:
      return Carried(now, event);
    case v1::Event::WHAT_NOT_SET:
      return FoldVerdict::kMalformed;
  }
  return FoldVerdict::kMalformed;
}

// Finds what an event is about. A job that is not open is either closed, or its beginning could not be read:
// then the record is kept for a JobCarried.
Ledger::Spot Ledger::Locate(Now& now, const v1::Event& event) {
  const auto id = JobId::FromBytes(event.job_id());
  if (!id) return {.missing = FoldVerdict::kMalformed};
  Partition& p = partitions_[now.partition];
  const auto found = p.jobs.find(*id);
  if (found == p.jobs.end()) {
    if (finished_->Contains(*id, now.offset)) return {.missing = FoldVerdict::kJobFinished};
    if (p.orphan_records < options_.orphan_records_max) {
      p.orphans[*id].push_back({now.offset, now.time, event.SerializeAsString()});
      p.orphan_records++;
    } else {  // too many: what is carried from before here cannot be completed any more
      p.orphans.clear();
      p.orphan_records = 0;
      p.orphans_from = now.offset + 1;
    }
    return {.missing = FoldVerdict::kUnknownJob};
  }
  Job* job = found->second.get();
  if (!IsAboutTask(event.what_case())) return {.job = job};
  if (!job->submitted_whole() || event.task() < 1 || event.task() > job->tasks.size())
    return {.job = job, .missing = FoldVerdict::kUnknownTask};
  return {.job = job, .task = &job->tasks[event.task() - 1]};
}

FoldVerdict Ledger::CheckHolder(const Spot& spot, const v1::Event& event, const std::string& worker) const {
  if (spot.missing != FoldVerdict::kAccepted) return spot.missing;
  const Task& task = *spot.task;
  if (IsFinished(task.state)) return FoldVerdict::kTaskFinished;
  if (event.attempt() != task.attempt) return FoldVerdict::kSuperseded;
  if (!IsHeld(task.state)) return FoldVerdict::kNotHeld;
  if (WorkerName(task.worker) != worker) return FoldVerdict::kOtherWorker;
  return FoldVerdict::kAccepted;
}

FoldVerdict Ledger::Assigned(Now& now, const v1::Event& event) {
  const Spot spot = Locate(now, event);
  if (spot.missing != FoldVerdict::kAccepted) return spot.missing;
  Task& task = *spot.task;
  const v1::TaskAssigned& assigned = event.task_assigned();
  if (IsFinished(task.state)) return FoldVerdict::kTaskFinished;
  if (event.attempt() != task.attempt) return FoldVerdict::kSuperseded;
  if (task.state != TaskState::kPending || task.phase > spot.job->open_phase) return FoldVerdict::kNotPending;
  MaybeLearnEpoch(now.partition, assigned.epoch());
  // EpochOpened makes older assignments void
  if (assigned.epoch() != epoch(now.partition)) return FoldVerdict::kOldEpoch;
  const auto store = StoreId::FromBytes(assigned.store());
  if (!store || assigned.worker().empty()) return FoldVerdict::kMalformed;
  task.worker = Intern(assigned.worker());
  task.store = *store;
  task.lane = assigned.lane();
  task.assigned = now.time;
  task.started = LogTime{};
  task.incarnation = IncarnationId{};
  SetState(task, TaskState::kAssigned);
  held_[task.worker].insert({spot.job->id, event.task()});
  now.Say(Kind::kTaskAssigned, {spot.job->id, event.task()});
  return FoldVerdict::kAccepted;
}

// Rule L3: once per attempt, only while it is ASSIGNED to this worker, only from the store that the
// assignment names.
FoldVerdict Ledger::Started(Now& now, const v1::Event& event) {
  const Spot spot = Locate(now, event);
  const v1::TaskStarted& started = event.task_started();
  const FoldVerdict holder = CheckHolder(spot, event, started.worker());
  if (holder != FoldVerdict::kAccepted) return holder;
  Task& task = *spot.task;
  if (task.state != TaskState::kAssigned && !LANEWAY_PLANTED(kL3StartedTwice))
    return FoldVerdict::kNotAssigned;
  const auto store = StoreId::FromBytes(started.store());
  const auto incarnation = IncarnationId::FromBytes(started.incarnation());
  if (!store || !incarnation) return FoldVerdict::kMalformed;
  if (*store != task.store) return FoldVerdict::kOtherWorker;
  task.incarnation = *incarnation;
  task.started = now.time;
  task.percent = 0;
  const TaskState before = task.state;
  SetState(task, TaskState::kRunning);
  if (spot.job->file) spot.job->file->claimed = true;
  now.Say(Kind::kTaskStarted, {spot.job->id, event.task()}, before);
  return FoldVerdict::kAccepted;
}

FoldVerdict Ledger::Progressed(Now& now, const v1::Event& event) {
  const Spot spot = Locate(now, event);
  const v1::TaskProgressed& progressed = event.task_progressed();
  const FoldVerdict holder = CheckHolder(spot, event, progressed.worker());
  if (holder != FoldVerdict::kAccepted) return holder;
  Task& task = *spot.task;
  if (task.state != TaskState::kRunning) return FoldVerdict::kNotHeld;
  if (progressed.has_percent()) task.percent = static_cast<uint8_t>(std::min(progressed.percent(), 100U));
  Task::Detail& more = task.More();
  if (!progressed.message().empty()) more.message = progressed.message();
  if (progressed.has_checkpoint()) more.checkpoint = progressed.checkpoint();
  if (progressed.records() != 0) more.records = progressed.records();
  now.Say(Kind::kTaskProgressed, {spot.job->id, event.task()}, TaskState::kRunning);
  return FoldVerdict::kAccepted;
}

// First success wins: of any attempt up to the current one, while the task is unfinished. The work was done.
FoldVerdict Ledger::Succeeded(Now& now, const v1::Event& event) {
  const Spot spot = Locate(now, event);
  if (spot.missing != FoldVerdict::kAccepted) return spot.missing;
  Job& job = *spot.job;
  Task& task = *spot.task;
  const v1::TaskSucceeded& success = event.task_succeeded();
  if (IsFinished(task.state) && !LANEWAY_PLANTED(kSecondSuccess)) return FoldVerdict::kTaskFinished;
  if (event.attempt() == 0 || event.attempt() > task.attempt) return FoldVerdict::kSuperseded;
  // rule L4
  if (event.attempt() < task.floor && !LANEWAY_PLANTED(kL4LateResultAfterRedrive))
    return FoldVerdict::kBeforeRedrive;
  const bool current = event.attempt() == task.attempt;
  if (current && !IsHeld(task.state) && !IsFinished(task.state)) return FoldVerdict::kNotHeld;
  if (current && WorkerName(task.worker) != success.worker()) return FoldVerdict::kOtherWorker;
  if (!current && job.spec->late_success() == v1::REJECT) return FoldVerdict::kLateSuccess;
  const Change held = Held(job, task, event.task());
  if (!success.output().empty()) task.More().output = success.output();
  if (success.records() != 0) task.More().records = success.records();
  if (!current && IsHeld(task.state))
    EndAttempt(now, task, task.attempt, "superseded", v1::ENDING_UNSPECIFIED, 0,
               "an earlier attempt succeeded");
  LetGo(job, task, event.task());  // while task.worker is still who holds it
  if (!current) task.worker = Intern(success.worker());
  EndAttempt(now, task, event.attempt(), "succeeded", v1::ENDING_UNSPECIFIED, 0, "");
  if (job.file) job.file->claimed = true;
  task.percent = 100;
  FinishTask(now, job, event.task(), TaskState::kSucceeded, held);
  return FoldVerdict::kAccepted;
}

FoldVerdict Ledger::Failed(Now& now, const v1::Event& event) {
  const Spot spot = Locate(now, event);
  const v1::TaskFailed& failed = event.task_failed();
  const FoldVerdict holder = CheckHolder(spot, event, failed.worker());
  if (holder != FoldVerdict::kAccepted) return holder;
  Job& job = *spot.job;
  Task& task = *spot.task;
  const Change held = Held(job, task, event.task());
  if (failed.has_checkpoint()) task.More().checkpoint = failed.checkpoint();
  task.last_ending = failed.ending();
  task.More().last_message = failed.message();
  if (!CountsAsLoss(failed.ending())) {
    task.failures++;
  } else if (task.state == TaskState::kRunning) {  // rule L1: only what had started is a loss
    task.losses++;
  }
  EndAttempt(now, task, task.attempt, "failed", failed.ending(), failed.exit_code(), failed.message());
  // The fold itself derives what follows: no further record can be lost.
  const RetryAnswer answer = AfterFailure(*job.spec, failed.ending(), task.failures, task.losses);
  if (answer.decision == RetryDecision::kDead) {
    Die(now, job, event.task(), held);
  } else {
    const LogTime due = CountsAsLoss(failed.ending()) ? KeptPlace(now, task) : now.time + answer.delay;
    BackToPending(now, job, event.task(), due, held);
  }
  return FoldVerdict::kAccepted;
}

FoldVerdict Ledger::Released(Now& now, const v1::Event& event) {
  const Spot spot = Locate(now, event);
  const FoldVerdict holder = CheckHolder(spot, event, event.task_released().worker());
  if (holder != FoldVerdict::kAccepted) return holder;
  const Change held = Held(*spot.job, *spot.task, event.task());
  EndAttempt(now, *spot.task, spot.task->attempt, "released", v1::ENDING_UNSPECIFIED, 0,
             event.task_released().reason());
  if (LANEWAY_PLANTED(kL1ReleaseKeepsAttempt)) spot.task->attempt--;
  // rule L1: under the next number; counts towards nothing
  BackToPending(now, *spot.job, event.task(), KeptPlace(now, *spot.task), held);
  return FoldVerdict::kAccepted;
}

FoldVerdict Ledger::Republished(Now& now, const v1::Event& event) {
  const Spot spot = Locate(now, event);
  if (spot.missing != FoldVerdict::kAccepted) return spot.missing;
  Job& job = *spot.job;
  Task& task = *spot.task;
  if (IsFinished(task.state)) return FoldVerdict::kTaskFinished;
  if (event.attempt() != task.attempt) return FoldVerdict::kSuperseded;
  if (!IsHeld(task.state)) return FoldVerdict::kNotHeld;
  const Change held = Held(job, task, event.task());
  const bool started = task.state == TaskState::kRunning;
  const bool browser = started && event.task_republished().ending() == v1::BROWSER_GONE;
  EndAttempt(now, task, task.attempt, "republished", browser ? v1::BROWSER_GONE : v1::ENDING_UNSPECIFIED, 0,
             event.task_republished().reason());
  if (!started) {  // rule L1: losses of attempts that never started count towards nothing
    BackToPending(now, job, event.task(), KeptPlace(now, task), held);
    return FoldVerdict::kAccepted;
  }
  task.losses++;
  task.More().last_message = (browser ? "lost with the browser of " : "lost with worker ") +
                             WorkerName(held.held_by) + " (" + event.task_republished().reason() + ")";
  task.last_ending = browser ? v1::BROWSER_GONE : v1::INTERRUPTED;
  const RetryAnswer answer = AfterFailure(*job.spec, task.last_ending, task.failures, task.losses);
  if (answer.decision == RetryDecision::kDead) {
    Die(now, job, event.task(), held);
  } else {
    BackToPending(now, job, event.task(), KeptPlace(now, task), held);
  }
  return FoldVerdict::kAccepted;
}

FoldVerdict Ledger::Opened(Now& now, const v1::Event& event) {
  const Spot spot = Locate(now, event);
  if (spot.missing != FoldVerdict::kAccepted) return spot.missing;
  Job& job = *spot.job;
  const uint32_t phase = event.phase_opened().phase();
  if (!job.submitted_whole() || job.is_finished()) return FoldVerdict::kJobFinished;
  if (phase <= job.open_phase) return FoldVerdict::kDuplicate;
  if (phase != job.open_phase + 1 || phase >= job.phase_count()) return FoldVerdict::kPhaseNotReady;
  if ((job.unfinished_in_phase != 0 || job.dead != 0) && !LANEWAY_PLANTED(kPhaseOpensEarly))
    return FoldVerdict::kPhaseNotReady;
  job.open_phase = phase;
  SkipEmptyPhases(job);
  for (uint32_t n = 1; n <= job.tasks.size(); n++) {
    Task& task = job.tasks[n - 1];
    if (task.phase != job.open_phase) continue;
    task.due = now.time;
    now.Say(Kind::kTaskPending, {job.id, n});
  }
  MaybeFinishJob(now, job);  // the phases that were left may have no tasks
  return FoldVerdict::kAccepted;
}

FoldVerdict Ledger::Cancelled(Now& now, const v1::Event& event) {
  const Spot spot = Locate(now, event);
  if (spot.missing != FoldVerdict::kAccepted) return spot.missing;
  Job& job = *spot.job;
  if (job.is_finished()) return FoldVerdict::kJobFinished;
  job.cancelled = true;
  job.reason = event.job_cancelled().reason();
  for (uint32_t n = 1; n <= job.tasks.size(); n++) {
    Task& task = job.tasks[n - 1];
    if (IsFinished(task.state)) continue;
    const Change held = Held(job, task, n);
    if (IsHeld(task.state)) EndAttempt(now, task, task.attempt, "cancelled", v1::STOPPED, 0, job.reason);
    LetGo(job, task, n);
    SetState(task, TaskState::kCancelled);
    tasks_ended_[static_cast<size_t>(TaskState::kCancelled)]++;
    now.Say(Kind::kTaskCancelled, {job.id, n}, held);
  }
  FinishJob(now, job);
  return FoldVerdict::kAccepted;
}

// Rule L4: counts only while the task is DEAD in the attempt it names and its job is closed (a job without a
// file has nothing to close).
FoldVerdict Ledger::Redriven(Now& now, const v1::Event& event) {
  const auto id = JobId::FromBytes(event.job_id());
  if (!id) return FoldVerdict::kMalformed;
  Partition& p = partitions_[now.partition];
  const auto open = p.jobs.find(*id);
  std::unique_ptr<Job> reopened;
  Job* job = open == p.jobs.end() ? nullptr : open->second.get();
  if (job == nullptr) {
    const auto bytes = finished_->Get(*id, now.offset);
    v1::JobState state;
    if (!bytes || !state.ParseFromString(*bytes)) return FoldVerdict::kUnknownJob;
    reopened = FromState(state);
    job = reopened.get();
  }
  if (event.task() < 1 || event.task() > job->tasks.size()) return FoldVerdict::kUnknownTask;
  Task& task = job->tasks[event.task() - 1];
  if (task.state != TaskState::kDead) return FoldVerdict::kNotDead;
  if (event.attempt() != task.attempt && !LANEWAY_PLANTED(kL4RedriveAnyAttempt))
    return FoldVerdict::kSuperseded;
  if (job->file && !job->closed) return FoldVerdict::kNotClosed;
  if (reopened) {
    finished_->Reopen(*id, now.offset);
    job = Insert(std::move(reopened));
  }
  const bool was_finished = job->is_finished();
  job->closed = false;
  job->finished = LogTime{};
  if (!job->cancelled) job->reason.clear();
  job->dead--;
  task.failures = task.losses = 0;
  task.last_ending = v1::ENDING_UNSPECIFIED;
  Change held;
  BackToPending(now, *job, event.task(), now.time, held);
  task.floor = task.attempt;
  for (Task& later : job->tasks) {  // phases that the failure had closed may open again
    if (later.phase > job->open_phase && later.state == TaskState::kCancelled)
      SetState(later, TaskState::kPending);
  }
  RecountPhase(*job);
  if (was_finished) now.Say(Kind::kJobReopened, {*id, 0});
  return FoldVerdict::kAccepted;
}

FoldVerdict Ledger::Claimed(Now& now, const v1::Event& event) {
  const Spot spot = Locate(now, event);
  if (spot.missing != FoldVerdict::kAccepted) return spot.missing;
  if (!spot.job->file) return FoldVerdict::kMalformed;
  if (spot.job->file->claimed) return FoldVerdict::kDuplicate;
  spot.job->file->claimed = true;
  now.Say(Kind::kFileClaimed, {spot.job->id, 0});
  return FoldVerdict::kAccepted;
}

// Rule L6: closes a file's job.
FoldVerdict Ledger::Moved(Now& now, const v1::Event& event) {
  const Spot spot = Locate(now, event);
  if (spot.missing != FoldVerdict::kAccepted) return spot.missing;
  Job& job = *spot.job;
  if (!job.file || job.tasks.empty()) return FoldVerdict::kMalformed;
  // Rule L4: said of the file before a redrive, by a second dispatcher or a second time. (Older records name
  // no attempt.)
  if (event.attempt() != 0 && event.attempt() < job.tasks[0].floor) return FoldVerdict::kBeforeRedrive;
  if (!job.is_finished()) return FoldVerdict::kJobUnfinished;
  job.file->final_path = event.file_moved().path();
  CloseJob(now, job);
  return FoldVerdict::kAccepted;
}

// Rule L6: FileGone carries the epoch, as an assignment does.
FoldVerdict Ledger::Gone(Now& now, const v1::Event& event) {
  const Spot spot = Locate(now, event);
  if (spot.missing != FoldVerdict::kAccepted) return spot.missing;
  Job& job = *spot.job;
  if (!job.file || job.tasks.empty()) return FoldVerdict::kMalformed;
  Task& task = job.tasks[0];
  if (IsFinished(task.state)) return FoldVerdict::kTaskFinished;
  if (event.attempt() != task.attempt) return FoldVerdict::kSuperseded;
  if (task.state == TaskState::kRunning) return FoldVerdict::kNotPending;
  MaybeLearnEpoch(now.partition, event.file_gone().epoch());
  if (event.file_gone().epoch() != epoch(now.partition) && !LANEWAY_PLANTED(kL6GoneAnyEpoch))
    return FoldVerdict::kOldEpoch;
  const Change held = Held(job, task, 1);
  if (IsHeld(task.state))
    EndAttempt(now, task, task.attempt, "failed", v1::FILE_MISSING, 0, event.file_gone().reason());
  job.reason = event.file_gone().reason();
  job.file->claimed = true;
  job.file->final_path.clear();  // where it was before a redrive it is not any more
  task.last_ending = v1::FILE_MISSING;
  task.More().last_message = job.reason;
  Die(now, job, 1, held);
  CloseJob(now, job);
  return FoldVerdict::kAccepted;
}

// Where a reader began behind the mark in force, the highest epoch that anybody acts under is it: nobody acts
// under a mark that was not read back. (Active dispatchers repeat their marks, so that this does not last.)
void Ledger::MaybeLearnEpoch(uint32_t partition, Epoch epoch) {
  Partition& p = partitions_[partition];
  if (!p.epoch_is_sure) p.epoch = std::max(p.epoch, epoch);
}

// Rule L2: only a higher epoch than every one before it in this partition.
FoldVerdict Ledger::Epoched(Now& now, const v1::Event& event) {
  Partition& p = partitions_[now.partition];
  p.epoch_is_sure = true;
  if (event.epoch_opened().epoch() <= p.epoch && !LANEWAY_PLANTED(kL2AnyEpochCounts))
    return FoldVerdict::kOldEpoch;
  p.epoch = event.epoch_opened().epoch();
  now.Say(Kind::kEpochOpened, {});
  return FoldVerdict::kAccepted;
}

}  // namespace laneway
