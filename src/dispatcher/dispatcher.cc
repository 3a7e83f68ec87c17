#include "dispatcher/dispatcher.h"

#include <algorithm>

#include "fleet/planted.h"

namespace laneway::dispatcher {

std::string_view StandingName(Standing standing) {
  constexpr std::string_view kNames[] = {"standby", "electing", "staging", "marking",
                                         "fencing", "active",   "gone"};
  return kNames[static_cast<size_t>(standing)];
}

Dispatcher::Dispatcher(DispatcherOptions options, const Ledger* ledger, const Members* members)
    : options_(std::move(options)),
      ledger_(ledger),
      members_(members),
      placement_(std::make_unique<Placement>(options_.placement)),
      lanes_(options_.lanes) {}

Dispatcher::~Dispatcher() = default;

v1::Event Dispatcher::About(const JobId& job, uint32_t n, uint32_t attempt) {
  v1::Event event;
  event.set_job_id(job.ToBytes());
  event.set_task(n);
  event.set_attempt(attempt);
  return event;
}

void Dispatcher::Alert(std::string subject, v1::Severity severity, std::string kind, std::string message,
                       Commands* out) {
  v1::Alert& alert = out->alerts.emplace_back();
  alert.set_subject(std::move(subject));
  alert.set_severity(severity);
  alert.set_kind(std::move(kind));
  alert.set_message(std::move(message));
}

// ---- election (rules L2, E1, Z3): staging folder, then marks in every partition, then the fence, then
// active

void Dispatcher::SetOwner(bool owner, LogTime now, Commands* out) {
  owner_ = owner;
  if (standing_ == Standing::kGone) return;
  if (owner && standing_ == Standing::kStandby) Stand(now, out);
  // rule E1: who no longer owns the partition steps down
  if (!owner && standing_ != Standing::kStandby) StepDown(out);
}

void Dispatcher::Stand(LogTime now, Commands* out) {
  standing_ = Standing::kElecting;
  standing_since_ = now;
  out->control.emplace_back().mutable_epoch_elected()->set_dispatcher(options_.incarnation.ToBytes());
}

void Dispatcher::OnControl(const v1::ControlRecord& record, Offset offset, const Member* member, LogTime now,
                           Commands* out) {
  if (record.what_case() == v1::ControlRecord::kEpochElected) {
    const bool mine = record.epoch_elected().dispatcher() == options_.incarnation.ToBytes();
    if (mine && standing_ == Standing::kElecting) {
      epoch_ = offset + 1;
      standing_ = Standing::kStaging;  // rule Z3: the folder is there before the first mark is
      out->zone.make_staging = true;
    } else if (!mine && offset + 1 > epoch_ && standing_ != Standing::kStandby &&
               standing_ != Standing::kElecting && !LANEWAY_PLANTED(kE1NeverStepsDown)) {
      // rule E1: an incarnation has one staging folder and one epoch; its owner stands again as a new one
      StepDown(out);
    }
    return;
  }
  if (!active()) return;
  // `control` keeps the newest table only: what a predecessor's late one has overwritten is said again.
  if (record.has_lane_table() && record.lane_table().epoch() < epoch_) TellLaneTable(out);
  if (member == nullptr) return;
  Offer(*member, out);
  MaybeDrain(*member, now, out);
}

void Dispatcher::OnStagingMade(const absl::Status& status, LogTime now, Commands* out) {
  if (standing_ != Standing::kStaging) return;
  if (!status.ok()) {
    Alert("zone", v1::CRITICAL, "zone", "the staging folder cannot be made: " + std::string(status.message()),
          out);
    StepDown(out);
    return;
  }
  standing_ = Standing::kMarking;
  standing_since_ = now;
  mark_accepted_.assign(ledger_->partitions(), false);
  Mark(out);
  if (LANEWAY_PLANTED(kL2ActiveBeforeMarks)) {
    standing_ = Standing::kFencing;
    out->zone.fence_others = true;
  }
}

void Dispatcher::Mark(Commands* out) const {
  for (uint32_t partition = 0; partition < ledger_->partitions(); partition++) {
    auto& [to, mark] = out->marks.emplace_back();
    to = partition;
    mark.mutable_epoch_opened()->set_epoch(epoch_);
    mark.mutable_epoch_opened()->set_dispatcher(options_.incarnation.ToBytes());
  }
}

void Dispatcher::MarkRead(uint32_t partition, const v1::EpochOpened& mark, FoldVerdict verdict,
                          Commands* out) {
  const bool mine = mark.epoch() == epoch_ && mark.dispatcher() == options_.incarnation.ToBytes();
  if (!mine && mark.epoch() > epoch_ && epoch_ != 0 && !LANEWAY_PLANTED(kE1NeverStepsDown))
    return StepDown(out);
  if (!mine || standing_ != Standing::kMarking) return;
  if (verdict == FoldVerdict::kAccepted) mark_accepted_[partition] = true;
  // rule L2: a newer epoch came first
  if (verdict != FoldVerdict::kAccepted && !mark_accepted_[partition]) return StepDown(out);
  if (std::find(mark_accepted_.begin(), mark_accepted_.end(), false) != mark_accepted_.end() &&
      !LANEWAY_PLANTED(kL2OneMarkIsEnough))
    return;
  standing_ = Standing::kFencing;
  out->zone.fence_others = true;  // rule Z3: before anything is decided
}

void Dispatcher::OnFenced(const absl::Status& status, LogTime now, Commands* out) {
  if (standing_ != Standing::kFencing) return;
  if (!status.ok()) return StepDown(out);
  Activate(now, out);
}

void Dispatcher::Activate(LogTime now, Commands* out) {
  standing_ = Standing::kActive;
  std::map<WorkerId, uint32_t> capacities;
  for (const auto& [id, member] : members_->all()) {
    if (member.registered) capacities[id] = member.capacity;
  }
  const auto& owners = members_->lane_owners();
  if (!owners.empty() && owners.rbegin()->first >= lanes_.lanes())  // grown since this process looked
    lanes_ = LaneTable(owners.rbegin()->first + 1);
  lanes_.Restore(owners, capacities);
  for (const auto& [id, member] : members_->all()) Offer(member, out);
  for (Lane lane = 0; lane < lanes_.lanes(); lane++) OpenLane(lane, out);
  TellLaneTable(out);
  for (const JobId& id : ledger_->OpenJobs()) TakeUp(*ledger_->Find(id), now, out);
  for (const TaskId& dead : dead_while_standby_) {
    if (const Job* job = ledger_->Find(dead.job)) Bury(*job, dead.n, out);
  }
  dead_while_standby_.clear();
  for (const auto& [id, member] : members_->all()) MaybeDrain(member, now, out);
  next_sweep_ = now + options_.again_after;
  next_reconcile_ = now + options_.reconcile_every;
  next_carry_ = now + options_.reconcile_every;
  out->zone.look_for_leftovers = true;
  PlaceTasks(now, out);
}

void Dispatcher::StepDown(Commands* out) {
  standing_ = Standing::kGone;
  out->stepped_down = true;
  awaiting_.clear();
  journeys_.clear();
  departures_.clear();
}

// ---- inputs

void Dispatcher::OnEvent(uint32_t partition, const v1::Event& event, FoldVerdict verdict,
                         std::span<const Change> changes, LogTime now, Commands* out) {
  if (standing_ == Standing::kGone) return;
  if (event.what_case() == v1::Event::kEpochOpened)
    return MarkRead(partition, event.epoch_opened(), verdict, out);
  if (!active()) {
    for (const Change& change : changes) {
      constexpr size_t kDeadRememberedMax = 10000;
      if (change.kind == Change::Kind::kTaskDead && dead_while_standby_.size() < kDeadRememberedMax)
        dead_while_standby_.push_back(change.task);
    }
    return;
  }
  ArrivedEvent(event);
  for (const Change& change : changes) OnChange(change, event, now, out);
  if (event.has_task_assigned() && verdict != FoldVerdict::kAccepted) NotAssigned(event);
}

// An assignment that does not count: its task waits again, if the fold says it does.
void Dispatcher::NotAssigned(const v1::Event& event) {
  const auto id = JobId::FromBytes(event.job_id());
  const Job* job = id ? ledger_->Find(*id) : nullptr;
  const Task* task = job != nullptr ? job->Find(event.task()) : nullptr;
  if (task == nullptr || task->state != TaskState::kPending || task->phase != job->open_phase) return;
  placement_->Release({job->id, event.task()}, std::nullopt);
  Waits(*job, event.task());
}

// Whatever its verdict: an event of ours that was read back is not on its way any more.
void Dispatcher::ArrivedEvent(const v1::Event& event) {
  if (awaiting_.empty()) return;
  const auto id = JobId::FromBytes(event.job_id());
  if (!id) return;
  const v1::Event::WhatCase what = event.what_case();
  if (what == v1::Event::kJobSubmitted) Arrived(*id, 0, Await::kSubmit);
  if (what == v1::Event::kTaskAssigned) Arrived(*id, event.task(), Await::kAssign);
  if (what == v1::Event::kPhaseOpened) Arrived(*id, 0, Await::kPhase);
  if (what == v1::Event::kFileClaimed) Arrived(*id, 0, Await::kClaim);
  if (what == v1::Event::kFileMoved) Arrived(*id, 0, Await::kMoved);
  if (what == v1::Event::kFileGone) Arrived(*id, 0, Await::kGone);
  if (what == v1::Event::kJobCancelled) Arrived(*id, 0, Await::kCancel);
  if (what == v1::Event::kTaskRepublished) Arrived(*id, event.task(), Await::kRepublish);
  if (what == v1::Event::kJobCarried) Arrived(*id, 0, Await::kCarry);
}

bool Dispatcher::Expect(const JobId& job, uint32_t n, Await what, LogTime now) {
  if (now < hold_until_) return false;
  const auto [it, added] = awaiting_.try_emplace({job, n, what}, now);
  if (!added && now - it->second < options_.again_after) return false;
  it->second = now;
  return true;
}

void Dispatcher::OnEventFailed(const v1::Event& event, LogTime now, Commands* out) {
  if (!event.has_phase_opened()) ArrivedEvent(event);  // nothing but Sweep would open the phase
  if (event.has_job_submitted() && event.job_submitted().has_file()) {  // the next look tells it again
    out->zone.forget.push_back(event.job_submitted().file().path());
  }
  hold_until_ = std::max(hold_until_, now + Millis(100));
  if (event.has_phase_opened()) {  // nothing else would think of it again: Sweep does
    if (const auto job = JobId::FromBytes(event.job_id())) awaiting_[{*job, 0, Await::kPhase}] = now;
  }
  // What was appended all the same is read back as accepted, and taken up then.
  if (event.has_task_assigned()) NotAssigned(event);
}

void Dispatcher::OnMarkFailed(LogTime, Commands* out) {
  if (standing_ == Standing::kMarking) StepDown(out);
}

void Dispatcher::OnControlFailed(const v1::ControlRecord& record, LogTime now, Commands* out) {
  if (record.what_case() == v1::ControlRecord::kEpochElected && standing_ == Standing::kElecting) {
    standing_since_ = now;  // OnTick stands again
  }
  if (record.what_case() == v1::ControlRecord::kLaneTable && active()) TellLaneTable(out);
}

void Dispatcher::OnTick(LogTime now, Commands* out) {
  if (standing_ == Standing::kElecting && now - standing_since_ >= options_.again_after) Stand(now, out);
  if (!active()) return;
  if (next_sweep_ && now >= *next_sweep_) {
    next_sweep_ = now + options_.again_after;
    Sweep(now, out);
  }
  if (next_reconcile_ && now >= *next_reconcile_) {
    next_reconcile_ = now + options_.reconcile_every;
    out->zone.look_for_leftovers = true;
  }
  if (next_carry_ && now >= *next_carry_) {
    next_carry_ = now + options_.retention / 16;
    CarryOld(now, out);
    // once more: the first ones will be forgotten by the log, and who begins to read behind them needs one
    Mark(out);
  }
  PlaceTasks(now, out);
}

std::optional<LogTime> Dispatcher::NextDeadline(LogTime now) const {
  if (standing_ == Standing::kElecting) return standing_since_ + options_.again_after;
  if (!active()) return std::nullopt;
  std::optional<LogTime> next = next_sweep_;
  if (const auto placement = placement_->NextDeadline(now))
    next = next ? std::min(*next, *placement) : *placement;
  return next;
}

void Dispatcher::OnHeartbeat(const Member& member, LogTime now, Commands* out) {
  if (!active()) return;
  Offer(member, out);
  MaybeDrain(member, now, out);
  MaybeHandOver(&member, out);
  CheckHeld(member, now, out);
  MaybeTrim(member, out);
  PlaceTasks(now, out);
}

}  // namespace laneway::dispatcher
