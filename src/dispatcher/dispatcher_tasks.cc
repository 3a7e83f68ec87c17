// dispatcher_tasks.cc: from PENDING to a packet in a lane, and back.
#include <algorithm>

#include "dispatcher/dispatcher.h"
#include "fleet/planted.h"
#include "fleet/retry_policy.h"
#include "fleet/why_waiting.h"

namespace laneway::dispatcher {
namespace {

constexpr Millis kLaneTurn{1000};

}  // namespace

using Kind = Change::Kind;

// Everything that is to be done for an open job, from its state alone: what a new dispatcher does for each,
// and Sweep for those that hang.
void Dispatcher::TakeUp(const Job& job, LogTime now, Commands* out) {
  if (!job.submitted_whole()) {
    if (now - job.submitted > options_.submission_abandoned && Expect(job.id, 0, Await::kCancel, now)) {
      v1::Event event = About(job.id);
      event.mutable_job_cancelled()->set_reason("its submission was never completed");
      event.mutable_job_cancelled()->set_by("dispatcher");
      out->events.push_back(std::move(event));
    }
    return;
  }
  for (uint32_t n = 1; n <= job.tasks.size(); n++) {
    const Task& task = job.tasks[n - 1];
    if (task.state == TaskState::kPending && task.phase == job.open_phase) Waits(job, n);
    if (task.state == TaskState::kAssigned) Assigned(job, n, now, out);
    if (task.state == TaskState::kRunning)
      placement_->Occupy({job.id, n}, NeedsOfJob(job), WorkerId(ledger_->WorkerName(task.worker)), now);
  }
  if (job.is_finished()) return Depart(job, now, out);
  MaybeOpenPhase(job, now, out);
}

void Dispatcher::OnChange(const Change& change, const v1::Event& event, LogTime now, Commands* out) {
  const Job* job = change.task.job.empty() ? nullptr : ledger_->Find(change.task.job);
  switch (change.kind) {
    case Kind::kTaskPending:
      LetGo(change, event, out);
      Waits(*job, change.task.n);
      break;
    case Kind::kTaskAssigned:
      Assigned(*job, change.task.n, now, out);
      break;
    case Kind::kTaskStarted:
      journeys_.erase(change.task);
      break;
    case Kind::kTaskSucceeded:
      LetGo(change, event, out);
      MaybeOpenPhase(*job, now, out);
      break;
    case Kind::kTaskDead:
      LetGo(change, event, out);
      Bury(*job, change.task.n, out);
      break;
    case Kind::kTaskCancelled:
      LetGo(change, event, out);
      break;
    case Kind::kJobFinished:
      Depart(*job, now, out);
      break;
    case Kind::kFileClaimed:
      if (job->is_finished()) Depart(*job, now, out);
      break;
    case Kind::kJobClosed:
      departures_.erase(change.task.job);
      vanished_.erase(change.task.job);
      in_processing_.erase(change.task.job);
      if (job->file) closed_since_look_.insert(change.task.job);
      break;
    case Kind::kWorkerLost:
    case Kind::kWorkerReturned:
    case Kind::kBrowserLost:
    case Kind::kBrowserReturned:
      if (const Member* member = members_->Find(WorkerId(ledger_->WorkerName(change.worker))))
        Offer(*member, out);
      break;
    case Kind::kJobOpened:
    case Kind::kTaskProgressed:
    case Kind::kJobReopened:
    case Kind::kEpochOpened:
      break;
  }
}

const Needs& Dispatcher::NeedsOfJob(const Job& job) {
  const auto [it, added] = needs_.try_emplace(job.spec.get());
  if (!added) return it->second.second;
  constexpr size_t kSpecsMax = 4096;
  if (needs_.size() > kSpecsMax) {  // specs nobody uses any more; Placement keeps Needs of its own
    std::erase_if(needs_, [](const auto& entry) {
      return entry.second.first != nullptr && entry.second.first.use_count() == 1;
    });
  }
  auto& [spec, needs] = needs_[job.spec.get()];
  spec = job.spec;
  needs = NeedsOf(*spec);
  return needs;
}

void Dispatcher::Waits(const Job& job, uint32_t n) {
  placement_->Add({job.id, n}, NeedsOfJob(job), job.spec->priority(), job.tasks[n - 1].due);
}

// The fold has accepted an assignment, ours or (at start) an older one's: rule L7 allows to act now.
void Dispatcher::Assigned(const Job& job, uint32_t n, LogTime now, Commands* out) {
  const TaskId id{job.id, n};
  const Task& task = job.tasks[n - 1];
  placement_->Remove(id);
  placement_->Occupy(id, NeedsOfJob(job), WorkerId(ledger_->WorkerName(task.worker)), now);
  Journey& journey = journeys_[id];
  journey = Journey{.attempt = task.attempt, .since = now};
  if (job.file) return AskPlace(job, journey, now, out);
  SendPacket(job, n, journey, now, out);
}

// A held attempt is over, or its task waits again.
void Dispatcher::LetGo(const Change& change, const v1::Event& event, Commands* out) {
  std::optional<Lane> lane;
  if (const auto journey = journeys_.find(change.task); journey != journeys_.end()) {
    if (journey->second.stage >= Journey::Stage::kSending) lane = journey->second.lane;
    journeys_.erase(journey);
  }
  placement_->Remove(change.task);
  // How long its script ran, as the worker measured it: what lies between the records is the log's time, not
  // the task's.
  std::optional<Millis> ran;
  if (event.has_task_succeeded()) ran = Millis(event.task_succeeded().duration_ms());
  if (event.has_task_failed()) ran = Millis(event.task_failed().duration_ms());
  placement_->Release(change.task, ran);  // also what was assigned and is not read back yet
  if (event.has_task_released()) placement_->HandedBack(WorkerId(event.task_released().worker()));
  if (change.held_attempt == 0) return;
  const v1::Event::WhatCase what = event.what_case();
  const bool said_by_holder = (what == v1::Event::kTaskFailed || what == v1::Event::kTaskReleased ||
                               what == v1::Event::kTaskSucceeded) &&
                              change.by_attempt == change.held_attempt;
  if (said_by_holder) return;
  SendCancel(WorkerId(ledger_->WorkerName(change.held_by)), change.task, change.held_attempt,
             "superseded or finished", lane, out);
}

void Dispatcher::PlaceTasks(LogTime now, Commands* out) {
  if (!active() || now < hold_until_) return;
  lane_turn_ = static_cast<size_t>(now.ms / kLaneTurn.count());
  for (const Assignment& assignment : placement_->Place(now, options_.place_at_once_max)) {
    const Job* job = ledger_->Find(assignment.task.job);
    const Task* task = job != nullptr ? job->Find(assignment.task.n) : nullptr;
    const Member* member = members_->Find(assignment.worker);
    const auto lane = LaneFor(assignment.worker);
    if (task == nullptr || task->state != TaskState::kPending || member == nullptr || !lane) {
      placement_->Release(assignment.task, std::nullopt);
      if (task != nullptr && task->state == TaskState::kPending) Waits(*job, assignment.task.n);
      continue;
    }
    awaiting_[{job->id, assignment.task.n, Await::kAssign}] = now;
    v1::Event& event = out->events.emplace_back(About(job->id, assignment.task.n, task->attempt));
    v1::TaskAssigned& assigned = *event.mutable_task_assigned();
    assigned.set_worker(assignment.worker.name);
    assigned.set_store(member->store.ToBytes());  // rule L3
    assigned.set_lane(*lane);
    assigned.set_epoch(epoch_);
    if (LANEWAY_PLANTED(kL7ActOnAck)) {  // acts on its own intention
      Journey& journey = journeys_[assignment.task];
      journey = Journey{.attempt = task->attempt, .since = now};
      v1::LaneRecord record;
      *record.mutable_packet() = PacketOf(*job, assignment.task.n, member->store);
      SendToLane(*lane, assignment.worker, std::move(record), assignment.task, task->attempt, out);
    }
  }
}

v1::WorkPacket Dispatcher::PacketOf(const Job& job, uint32_t n, const StoreId& store) const {
  const Task& task = job.tasks[n - 1];
  v1::WorkPacket packet;
  packet.set_job_id(job.id.ToBytes());
  packet.set_task(n);
  packet.set_attempt(task.attempt);
  packet.set_epoch(epoch_);
  packet.set_store(store.ToBytes());
  *packet.mutable_spec() = *job.spec;
  packet.mutable_spec()->clear_payload();
  packet.set_name(job.name);
  packet.set_failures(task.failures);
  if (job.file && !LANEWAY_PLANTED(kRetryForgetsFile)) *packet.mutable_file() = job.file->identity;
  if (job.file && task.attempt == 1) *packet.mutable_file() = job.file->identity;
  packet.set_payload(job.spec->payload());
  if (!task.detail) return packet;
  packet.set_data_source(task.detail->spec.data_source());
  if (!task.detail->spec.payload().empty()) packet.set_payload(task.detail->spec.payload());
  if (task.detail->checkpoint) packet.set_checkpoint(*task.detail->checkpoint);
  return packet;
}

void Dispatcher::SendPacket(const Job& job, uint32_t n, Journey& journey, LogTime now, Commands* out) {
  const Task& task = job.tasks[n - 1];
  const WorkerId worker(ledger_->WorkerName(task.worker));
  const auto lane = LaneFor(worker);  // a lane the worker owns now (rule P1)
  journey.since = now;
  if (!lane) {
    const bool waited = journey.stage == Journey::Stage::kWaiting;
    journey.stage = Journey::Stage::kWaiting;
    // It has lost all its lanes since it was chosen (others came, and there are fewer lanes than workers):
    // nothing will ever reach it.
    if (waited && lanes_.LanesOf(worker).empty()) Republish(job, n, "no_lane", now, out);
    return;
  }
  journey.stage = Journey::Stage::kSending;
  journey.lane = *lane;
  v1::LaneRecord record;
  *record.mutable_packet() = PacketOf(job, n, task.store);
  if (journey.changed) *record.mutable_packet()->mutable_file() = *journey.changed;
  SendToLane(*lane, worker, std::move(record), {job.id, n}, task.attempt, out);
}

void Dispatcher::OnLaneAppended(const LaneAppend& record, bool ok, Offset offset, LogTime now) {
  if (const auto flying = in_flight_.find(record.lane); flying != in_flight_.end() && --flying->second == 0)
    in_flight_.erase(flying);
  if (!ok) hold_until_ = std::max(hold_until_, now + Millis(100));
  if (record.record.has_handover()) {
    const auto handover = handovers_.find(record.lane);
    if (handover == handovers_.end()) return;
    handover->second.sent = ok;
    if (ok) {
      handover->second.mark = offset;
      handover->second.marked = now;
    }
    return;
  }
  if (ok && (record.record.has_packet() || record.record.has_cancel()))
    last_sent_[record.lane] = {WorkerId(record.record.worker()), offset};
  if (record.record.has_drain() && !ok) drain_marked_.erase(WorkerId(record.record.worker()));
  if (record.task.n == 0 || !record.record.has_packet()) return;
  const auto found = journeys_.find(record.task);
  if (found == journeys_.end() || found->second.attempt != record.attempt ||
      found->second.stage != Journey::Stage::kSending)
    return;
  found->second.stage = ok ? Journey::Stage::kSent : Journey::Stage::kWaiting;
  found->second.offset = offset;
  found->second.since = now;
}

// Rules P1 and W2, for everything the fold says this worker has.
void Dispatcher::CheckHeld(const Member& member, LogTime now, Commands* out) {
  for (const TaskId& id : ledger_->HeldBy(member.id.name)) {
    if (const Job* job = ledger_->Find(id.job)) CheckTask(member, *job, id.n, now, out);
  }
  // attempts that are over, of which the worker has not heard
  for (const auto& [id, attempt] : member.held) {
    const Job* job = ledger_->Find(id.job);
    const Task* task = job != nullptr ? job->Find(id.n) : nullptr;
    const bool over =
        task == nullptr ? ledger_->IsClosed(id.job) : IsFinished(task->state) || task->attempt > attempt;
    // A result that is on its way needs no cancel: only what was superseded does. Being told twice does no
    // harm.
    if (over && member.last_beat > (task != nullptr ? task->started : LogTime{}))
      SendCancel(member.id, id, attempt, "superseded or finished", std::nullopt, out);
  }
}

void Dispatcher::CheckTask(const Member& member, const Job& job, uint32_t n, LogTime now, Commands* out) {
  const TaskId id{job.id, n};
  const Task& task = job.tasks[n - 1];
  const bool held = member.held.contains({id, task.attempt});
  if (held) return;
  if (task.state == TaskState::kRunning) {
    // Rule W2: it runs under an incarnation or a store that is not the one that beats now.
    const bool gone = task.incarnation != member.incarnation || task.store != member.store;
    if (gone && member.last_beat > task.started && !LANEWAY_PLANTED(kW2NotHeldIgnored))
      Republish(job, n, "not_held", now, out);
    return;
  }
  // nobody may start it (L3)
  if (task.store != member.store && member.last_beat > task.assigned)
    return Republish(job, n, "store_lost", now, out);
  const auto found = journeys_.find(id);
  if (found == journeys_.end() || found->second.stage != Journey::Stage::kSent ||
      LANEWAY_PLANTED(kP1NeverResend))
    return;
  // Rule P1: it can still read the packet while its position lies at or before it, in a lane that is its own.
  const auto position = member.lanes.find(found->second.lane);
  const bool owned =
      lanes_.Owner(found->second.lane) == member.id && !handovers_.contains(found->second.lane);
  const bool unread = position != member.lanes.end() && position->second.next <= found->second.offset;
  if (LANEWAY_PLANTED(kW2AssignedRepublished)) return Republish(job, n, "not_held", now, out);
  if (unread || (position == member.lanes.end() && owned)) return;
  SendPacket(job, n, found->second, now, out);
}

void Dispatcher::Republish(const Job& job, uint32_t n, std::string_view reason, LogTime now, Commands* out) {
  if (!Expect(job.id, n, Await::kRepublish, now)) return;
  const Task& task = job.tasks[n - 1];
  v1::Event& event = out->events.emplace_back(About(job.id, n, task.attempt));
  event.mutable_task_republished()->set_reason(std::string(reason));
  event.mutable_task_republished()->set_worker(ledger_->WorkerName(task.worker));
}

void Dispatcher::SendCancel(const WorkerId& worker, const TaskId& task, uint32_t attempt,
                            std::string_view reason, std::optional<Lane> same, Commands* out) {
  const auto lane = LaneFor(worker, same);
  if (!lane || LANEWAY_PLANTED(kCancelIgnored)) return;
  v1::LaneRecord record;
  v1::CancelAttempt& cancel = *record.mutable_cancel();
  cancel.set_job_id(task.job.ToBytes());
  cancel.set_task(task.n);
  cancel.set_attempt(attempt);
  cancel.set_reason(std::string(reason));
  SendToLane(*lane, worker, std::move(record), task, attempt, out);
}

void Dispatcher::Bury(const Job& job, uint32_t n, Commands* out) {
  const Task* task = job.Find(n);
  if (task == nullptr || task->state != TaskState::kDead) return;
  v1::DeadLetter& letter = out->dead_letters.emplace_back();
  letter.set_job_id(job.id.ToBytes());
  letter.set_task(n);
  letter.set_attempt(task->attempt);
  letter.set_job_name(job.name);
  if (job.file) letter.set_file(job.file->identity.path());
  letter.set_ending(task->last_ending);
  letter.set_worker(ledger_->WorkerName(task->worker));
  if (!task->detail) return;
  letter.set_reason(task->detail->last_message);
  letter.set_data_source(task->detail->spec.data_source());
  for (const v1::AttemptState& attempt : task->detail->attempts) {
    letter.add_evidence("attempt " + std::to_string(attempt.attempt()) + " on " + attempt.worker() + ": " +
                        attempt.outcome() + (attempt.message().empty() ? "" : ": " + attempt.message()));
  }
}

void Dispatcher::MaybeOpenPhase(const Job& job, LogTime now, Commands* out) {
  const bool early = LANEWAY_PLANTED(kPhaseOpensEarly) && !job.is_finished();
  if (!early && (job.is_finished() || job.unfinished_in_phase != 0 || job.dead != 0)) return;
  if (job.open_phase + 1 >= job.phase_count()) return;
  if (!Expect(job.id, 0, Await::kPhase, now)) {
    awaiting_.try_emplace({job.id, 0, Await::kPhase}, now);  // nothing else will remind us: Sweep does
    return;
  }
  v1::Event& event = out->events.emplace_back(About(job.id));
  event.mutable_phase_opened()->set_phase(job.open_phase + 1);
  event.mutable_phase_opened()->set_epoch(epoch_);
}

// What has waited too long for an answer is decided again, from the state of its job.
void Dispatcher::Sweep(LogTime now, Commands* out) {
  std::set<TaskId> again;
  for (auto entry = awaiting_.begin(); entry != awaiting_.end();) {  // unordered: sorted by the set
    const auto late = entry++;
    if (now - late->second < options_.again_after) continue;
    again.insert({late->first.job, late->first.n});
    awaiting_.erase(late);
  }
  for (const auto& [id, journey] : journeys_) {
    const bool stuck = journey.stage == Journey::Stage::kWaiting ||
                       journey.stage == Journey::Stage::kPlacing || journey.stage == Journey::Stage::kSending;
    if (stuck && now - journey.since >= options_.again_after) again.insert(id);
  }
  for (const auto& [id, departure] : departures_) {
    if (now - departure.since >= options_.again_after) again.insert({id, 0});
  }
  for (const TaskId& id : again) {
    const Job* job = ledger_->Find(id.job);
    if (job == nullptr) {
      departures_.erase(id.job);
      continue;
    }
    const auto journey = journeys_.find(id);
    if (journey != journeys_.end() && job->Find(id.n) != nullptr &&
        job->tasks[id.n - 1].state == TaskState::kAssigned) {
      if (journey->second.stage == Journey::Stage::kPlacing)
        AskPlace(*job, journey->second, now, out);
      else if (journey->second.stage != Journey::Stage::kSent)
        SendPacket(*job, id.n, journey->second, now, out);
    } else if (const Task* task = job->Find(id.n);
               task != nullptr && task->state == TaskState::kPending && task->phase == job->open_phase) {
      placement_->Release(id, std::nullopt);
      Waits(*job, id.n);
    } else if (job->is_finished()) {
      Depart(*job, now, out);
    } else if (id.n == 0) {
      MaybeOpenPhase(*job, now, out);
    }
  }
  MaybeHandOver(nullptr, out);
}

// Rule L5: jobs that are still unfinished at half the retention are written again.
void Dispatcher::CarryOld(LogTime now, Commands* out) {
  for (const JobId& id : ledger_->OpenJobs()) {
    const Job& job = *ledger_->Find(id);
    if (now - job.submitted < Millis(options_.retention) / 2) {
      if (job.submitted_whole()) continue;
      TakeUp(job, now, out);
      continue;
    }
    if (!job.submitted_whole() || !Expect(id, 0, Await::kCarry, now)) continue;
    v1::Event& event = out->events.emplace_back(About(id));
    event.mutable_job_carried()->set_state(ledger_->ToState(job).SerializeAsString());
    event.mutable_job_carried()->set_covers_offset(
        ledger_->next_offset(EventPartition(id, ledger_->partitions())));
  }
}

}  // namespace laneway::dispatcher
