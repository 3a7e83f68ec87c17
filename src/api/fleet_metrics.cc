#include "api/fleet_metrics.h"

#include <algorithm>
#include <cmath>

#include "api/shapes.h"
#include "fleet/autoscale.h"

namespace laneway::api {
namespace {

using ops::Counter;
using ops::Gauge;
using Kind = Change::Kind;

double Seconds(Millis time) { return static_cast<double>(time.count()) / 1000; }

}  // namespace

FleetMetrics::Pending::Pending(ops::Histogram histogram)
    : of(histogram), bounds(ops::Metrics::Bounds(histogram)), counts(bounds.size() + 1) {}

void FleetMetrics::Pending::Add(double seconds) {
  size_t bucket = 0;  // a dozen bounds: looking at each in turn is the fastest
  while (bucket < bounds.size() && seconds > bounds[bucket]) bucket++;
  counts[bucket]++;
  sum += seconds;
  number++;
}

void FleetMetrics::Pending::Flush(ops::Metrics& metrics) {
  if (number == 0) return;
  metrics.ObserveMany(of, counts, sum);
  std::fill(counts.begin(), counts.end(), 0);
  sum = 0;
  number = 0;
}

FleetMetrics::FleetMetrics(const fold::FleetFold* fold, Millis drain_time)
    : fold_(fold), drain_time_(drain_time) {}

void FleetMetrics::OnEvent(uint32_t, Offset, LogTime time, const v1::Event& event, FoldVerdict verdict,
                           std::span<const Change> changes) {
  if (!counting_) return;
  if (verdict != FoldVerdict::kAccepted) {
    ignored_[static_cast<size_t>(verdict)]++;
    return;
  }
  for (const Change& change : changes) OnChange(change, time);
  if (event.has_task_succeeded()) {
    attempts_[kSucceeded]++;
  } else if (event.has_task_failed()) {
    attempts_[kFailed]++;
  } else if (event.has_task_released()) {
    attempts_[kReleased]++;
  } else if (event.has_task_republished()) {
    attempts_[kRepublished]++;
    const std::string& reason = event.task_republished().reason();
    const auto known = republished_.find(reason);
    known != republished_.end() ? known->second++ : republished_[reason]++;
  }
}

void FleetMetrics::OnChange(const Change& change, LogTime time) {
  const auto reached = [this](TaskState state) { tasks_[static_cast<size_t>(state)]++; };
  switch (change.kind) {
    case Kind::kTaskPending:
      return reached(TaskState::kPending);
    case Kind::kTaskAssigned:
      return reached(TaskState::kAssigned);
    case Kind::kTaskStarted: {
      reached(TaskState::kRunning);
      const Job* job = fold_->ledger().Find(change.task.job);
      const Task* task = job == nullptr ? nullptr : job->Find(change.task.n);
      if (task != nullptr) latency_.Add(std::max(0.0, Seconds(time - task->due)));
      return;
    }
    case Kind::kTaskSucceeded: {
      reached(TaskState::kSucceeded);
      if (change.held_since.ms == 0) return;
      const double seconds = Seconds(time - change.held_since);
      duration_.Add(seconds);
      run_seconds_ += (seconds - run_seconds_) * 0.02;
      return;
    }
    case Kind::kTaskDead:
      dead_++;
      return reached(TaskState::kDead);
    case Kind::kTaskCancelled:
      if (change.held_attempt != 0) attempts_[kCancelled]++;
      return reached(TaskState::kCancelled);
    case Kind::kJobOpened:
      jobs_[static_cast<size_t>(JobPhase::kPending)]++;
      return;
    case Kind::kJobFinished:
      if (const Job* job = fold_->ledger().Find(change.task.job)) jobs_[static_cast<size_t>(job->phase())]++;
      return;
    case Kind::kTaskProgressed:
    case Kind::kJobReopened:
    case Kind::kFileClaimed:
    case Kind::kJobClosed:
    case Kind::kEpochOpened:
    case Kind::kWorkerLost:
    case Kind::kWorkerReturned:
    case Kind::kBrowserLost:
    case Kind::kBrowserReturned:
      return;
  }
}

void FleetMetrics::FlushCounters() {
  const auto flush = [this](Counter counter, uint64_t& count, std::string_view label) {
    if (count != 0) metrics_.Add(counter, static_cast<double>(count), {label});
    count = 0;
  };
  for (size_t i = 0; i < kJobPhases; i++)
    flush(Counter::kJobs, jobs_[i], JobPhaseName(static_cast<JobPhase>(i)));
  for (size_t i = 0; i < kTaskStates; i++)
    flush(Counter::kTasks, tasks_[i], TaskStateName(static_cast<TaskState>(i)));
  for (size_t i = 0; i < kVerdicts; i++)
    flush(Counter::kEventsIgnored, ignored_[i], VerdictName(static_cast<FoldVerdict>(i)));
  constexpr std::string_view kOutcomeNames[kOutcomes] = {"succeeded", "failed", "released", "republished",
                                                         "cancelled"};
  for (size_t i = 0; i < kOutcomes; i++) flush(Counter::kTaskAttempts, attempts_[i], kOutcomeNames[i]);
  for (auto& [reason, count] : republished_) flush(Counter::kRepublished, count, reason);
  if (dead_ != 0) metrics_.Add(Counter::kDeadLetters, static_cast<double>(dead_));
  dead_ = 0;
  duration_.Flush(metrics_);
  latency_.Flush(metrics_);
}

FleetMetrics::Backlog FleetMetrics::SetWorkers(LogTime now) {
  Backlog backlog;
  std::set<std::string> present;
  for (const auto& [id, member] : fold_->members().all()) {
    const WorkerVerdicts* verdicts = fold_->ledger().Verdicts(id.name);
    const WorkerState state = StateOf(member, verdicts);
    if (state == WorkerState::kGone || IsPhantom(member)) continue;
    present.insert(id.name);
    metrics_.Set(Gauge::kWorkerUp, state == WorkerState::kLost ? 0 : 1, {id.name});
    metrics_.Set(Gauge::kWorkerCapacity, member.capacity, {id.name});
    if (member.has_browser)
      metrics_.Set(Gauge::kBrowserConnected, member.browser_connected ? 1 : 0, {id.name});
    if (member.has_browser && member.browser_generation != 0) {
      const auto [known, first] = browsers_.try_emplace(id.name, member.browser_generation);
      const uint32_t before =
          std::min(std::exchange(known->second, member.browser_generation), member.browser_generation);
      metrics_.Add(Counter::kBrowserRestarts, first ? 0 : member.browser_generation - before, {id.name});
    }
    if (member.beats)
      metrics_.Set(Gauge::kHeartbeatAge, std::max(0.0, Seconds(now - member.last_beat)), {id.name});
    double running = 0;
    for (const TaskId& held : fold_->ledger().HeldBy(id.name)) {
      const Job* job = fold_->ledger().Find(held.job);
      const Task* task = job == nullptr ? nullptr : job->Find(held.n);
      if (task == nullptr) continue;
      running += task->state == TaskState::kRunning ? 1 : 0;
      backlog[{task->lane, id.name}]++;
    }
    metrics_.Set(Gauge::kTasksRunning, running, {id.name});
  }
  for (const std::string& worker : workers_) {
    if (present.contains(worker)) continue;
    metrics_.RemoveWorker(worker);
    browsers_.erase(worker);
  }
  workers_ = std::move(present);
  return backlog;
}

// Attempts on a lane that have not ended: of its owner, and of who had it before and still runs some.
void FleetMetrics::SetLanes(Backlog backlog) {
  for (const auto& [lane, owner] : fold_->members().lane_owners()) {
    if (workers_.contains(owner.name)) backlog.try_emplace({lane, owner.name}, 0);
  }
  for (const auto& [key, count] : backlog)
    metrics_.Set(Gauge::kLaneBacklog, count, {std::to_string(key.first), key.second});
  for (const auto& [key, count] : lanes_) {
    if (!backlog.contains(key)) metrics_.Remove(Gauge::kLaneBacklog, {std::to_string(key.first), key.second});
  }
  lanes_ = std::move(backlog);
}

void FleetMetrics::SetFleet(const FleetViews& views, LogTime now) {
  const auto& tasks = fold_->ledger().tasks_now();
  metrics_.Set(Gauge::kTasksPending, static_cast<double>(tasks[static_cast<size_t>(TaskState::kPending)]));
  metrics_.Set(Gauge::kFoldLag, static_cast<double>(fold_->Lag()));
  uint32_t capacity = 1;
  for (const auto& [id, member] : fold_->members().all()) {
    if (workers_.contains(id.name)) capacity = std::max(capacity, member.capacity);
  }
  uint64_t open = 0;
  for (const TaskState state : {TaskState::kPending, TaskState::kAssigned, TaskState::kRunning})
    open += tasks[static_cast<size_t>(state)];
  metrics_.Set(
      Gauge::kAutoscaleWantedWorkers,
      WantedWorkers(
          {.tasks = open, .run_seconds = run_seconds_, .drain_time = drain_time_, .slots_each = capacity}));
  if (views.dispatcher) {
    const DispatcherFigures dispatcher = views.dispatcher();
    metrics_.Set(Gauge::kDispatcherActive, dispatcher.active ? 1 : 0);
    metrics_.Set(Gauge::kDispatcherEpoch, static_cast<double>(dispatcher.epoch));
  }
  if (!views.zone) return;
  const ZoneFigures zone = views.zone();
  metrics_.Set(Gauge::kZoneFiles, static_cast<double>(zone.present), {"incoming"});
  const double oldest = static_cast<double>(zone.oldest_mtime_ns) / 1e9;
  const double age = static_cast<double>(now.ms) / 1000 - oldest;
  metrics_.Set(Gauge::kZoneOldestFile,
               zone.present == 0 || zone.oldest_mtime_ns == 0 ? 0 : std::max(0.0, age));
}

void FleetMetrics::Refresh(const FleetViews& views, LogTime now) {
  FlushCounters();
  SetLanes(SetWorkers(now));
  SetFleet(views, now);
}

}  // namespace laneway::api
