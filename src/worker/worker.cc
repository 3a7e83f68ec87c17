#include "worker/worker.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "fleet/planted.h"
#include "fleet/retry_policy.h"

namespace laneway::worker {
namespace {

constexpr size_t kFreeMax = 4096;  // attempts kept for use again

void SetKey(const AttemptKey& key, v1::Event* event) {
  event->set_job_id(key.task.job.ToBytes());
  event->set_task(key.task.n);
  event->set_attempt(key.attempt);
}

std::optional<AttemptKey> KeyOf(const std::string& job_id, uint32_t task, uint32_t attempt) {
  const auto job = JobId::FromBytes(job_id);
  if (!job || task == 0 || attempt == 0) return std::nullopt;
  return AttemptKey{TaskId{*job, task}, attempt};
}

// Every other answer means that this worker has lost its right, its log or its mind.
bool MayRetry(absl::StatusCode code) {
  return code == absl::StatusCode::kUnknown || code == absl::StatusCode::kUnavailable ||
         code == absl::StatusCode::kDeadlineExceeded || code == absl::StatusCode::kResourceExhausted ||
         code == absl::StatusCode::kAborted || code == absl::StatusCode::kCancelled;
}

}  // namespace

void Commands::Clear() {
  commits.clear();
  runs.clear();
  stops.clear();
  children.clear();
  heartbeats.clear();
  browser_health.clear();
  lines.clear();
  alerts.clear();
}

bool Commands::empty() const {
  return commits.empty() && runs.empty() && stops.empty() && children.empty() && heartbeats.empty() &&
         browser_health.empty() && lines.empty() && alerts.empty();
}

Worker::Worker(WorkerOptions options, Restored restored)
    : options_(std::move(options)),
      store_bytes_(options_.store.ToBytes()),
      incarnation_bytes_(options_.incarnation.ToBytes()) {
  options_.capacity = std::max(options_.capacity, 1U);
  for (uint32_t slot = options_.capacity; slot-- > 0;) free_slots_.push_back(slot);
  Restore(std::move(restored));
}

// What the store says after a crash: results in doubt are sent again, what was starting is reported as
// interrupted, what was queued goes on when the lease still holds.
void Worker::Restore(Restored restored) {
  next_seq_ = restored.next_seq;
  drain_ = drain_durable_ = restored.drained;
  for (const auto& [lane, noted] : restored.lanes) {
    LaneState& state = lanes_[lane];
    state.next = state.sent = state.durable = noted.next_offset;
    state.epoch = noted.epoch;
    state.released = noted.released;
    state.drain_marked = drain_;
    UpdateReading(state);
  }
  for (const AttemptKey& key : restored.tombstones) {
    Task& task = tasks_[key.task];
    task.had = std::max(task.had, key.attempt);
    Bury(key.task, task);
  }
  const bool lease_held = restored.away && *restored.away < options_.heartbeat_timeout;
  // Lower attempts first, so that a higher one finds what it has to wait for (rule W3).
  std::stable_sort(restored.attempts.begin(), restored.attempts.end(), [](const auto& a, const auto& b) {
    return a.key.task == b.key.task && a.key.attempt < b.key.attempt;
  });
  for (RestoredAttempt& was : restored.attempts) {
    Attempt& attempt = NewAttempt(was.key, was.lane, was.offset);
    attempt.packet = std::move(was.packet);
    attempt.noted = true;
    attempt.doubtful = true;
    const bool again = LANEWAY_PLANTED(kRunsAgainAfterRestart) && was.stage == v1::STARTING;
    if (was.stage == v1::QUEUED || again) {
      Queue(attempt);
      if (drain_ || !lease_held) {
        Release(attempt, drain_ ? "draining" : "lease lapsed");
      } else {
        await_lane_ends_ = true;
      }
    } else if (was.stage == v1::STARTING) {
      attempt.started = true;
      EndWithout(attempt, v1::INTERRUPTED, "the worker's process went away beneath it");
      if (LANEWAY_PLANTED(kInterruptedUnreported)) {
        Unlink(attempt);
        held_--;
        Free(attempt);
      }
    } else {
      attempt.result = std::move(was.result);
      attempt.started = !attempt.result.has_task_released();
      Move(attempt, Stage::kEnded);
    }
  }
}

Worker::Attempts& Worker::ListOf(Stage stage) {
  switch (stage) {
    case Stage::kReady:
      return ready_;
    case Stage::kReadyBrowser:
      return ready_browser_;
    case Stage::kBlocked:
      return blocked_;
    case Stage::kStarting:
      return starting_;
    case Stage::kRunning:
      return running_;
    case Stage::kEnded:
      return ended_;
    case Stage::kReporting:
      return reporting_;
    case Stage::kDropped:
      return dropped_;
    case Stage::kFree:
      return free_;
  }
  return free_;
}

void Worker::Move(Attempt& attempt, Stage to) {
  Attempts& target = ListOf(to);
  target.splice(target.end(), ListOf(attempt.stage), attempt.self);
  attempt.stage = to;
}

Worker::Attempt& Worker::NewAttempt(const AttemptKey& key, Lane lane, Offset offset) {
  if (free_.empty()) {
    free_.emplace_back();
    free_.back().self = std::prev(free_.end());
  }
  Attempt& attempt = free_.front();
  attempt.key = key;
  attempt.lane = lane;
  attempt.offset = offset;
  attempt.order = ++orders_;
  Task& task = tasks_[key.task];
  task.had = std::max(task.had, key.attempt);
  task.buried = 0;
  Attempt** link = &task.lowest;
  while (*link != nullptr && (*link)->key.attempt < key.attempt) link = &(*link)->higher;
  attempt.higher = *link;
  *link = &attempt;
  held_++;
  Move(attempt, Stage::kReady);
  return attempt;
}

// Rule W3: an attempt waits until every lower one of its task was ended and reported.
void Worker::Queue(Attempt& attempt) {
  const bool lowest = tasks_.find(attempt.key.task)->second.lowest == &attempt;
  if (!lowest && !LANEWAY_PLANTED(kW3HigherFirst)) return Move(attempt, Stage::kBlocked);
  Move(attempt, attempt.packet.spec().needs_browser() ? Stage::kReadyBrowser : Stage::kReady);
}

// It is over: the next attempt of its task may go on, or the task's tombstone is set.
void Worker::Unlink(Attempt& attempt) {
  const auto it = tasks_.find(attempt.key.task);
  Task& task = it->second;
  Attempt** link = &task.lowest;
  while (*link != &attempt) link = &(*link)->higher;
  *link = attempt.higher;
  attempt.higher = nullptr;
  if (task.lowest == nullptr) {
    Bury(it->first, task);
  } else if (task.lowest->stage == Stage::kBlocked) {
    Queue(*task.lowest);
  }
}

void Worker::Free(Attempt& attempt) {
  const Attempts::iterator self = attempt.self;
  Move(attempt, Stage::kFree);
  if (free_.size() > kFreeMax) {
    free_.erase(self);
    return;
  }
  // The packet keeps its memory for the next one.
  v1::WorkPacket packet = std::move(attempt.packet);
  packet.Clear();
  attempt = Attempt();
  attempt.packet = std::move(packet);
  attempt.self = self;
}

// Remembers that the task's attempts were had, for as long as a packet for them may still come: bounded by
// tombstones_max.
void Worker::Bury(const TaskId& id, Task& task) {
  task.buried = ++burials_;
  tombstones_.emplace_back(id, task.buried);
  while (tombstones_.size() > options_.tombstones_max) {
    const auto it = tasks_.find(tombstones_.front().first);
    if (it != tasks_.end() && it->second.buried == tombstones_.front().second) tasks_.erase(it);
    tombstones_.pop_front();
  }
}

Worker::Attempt* Worker::Find(const AttemptKey& key) {
  const auto it = tasks_.find(key.task);
  if (it == tasks_.end()) return nullptr;
  Attempt* attempt = it->second.lowest;
  while (attempt != nullptr && attempt->key.attempt != key.attempt) attempt = attempt->higher;
  return attempt;
}

// Lanes.

void Worker::UpdateReading(LaneState& lane) {
  // Everything for us stands before the mark; when the table was faster than the mark, the mark is still to
  // come (rule P2).
  lane.reading = lane.owned || !(lane.released && lane.at_end);
}

void Worker::SetLanes(std::span<const Lane> owned) {
  for (auto& [lane, state] : lanes_) {
    if (state.owned && std::find(owned.begin(), owned.end(), lane) == owned.end()) {
      state.owned = false;
      state.at_end = false;
    }
  }
  for (const Lane lane : owned) {
    LaneState& state = lanes_[lane];
    if (std::exchange(state.owned, true) || !state.released) continue;
    state.released = false;  // when it is taken away again, a mark of its own says so
    state.dirty = true;
  }
  for (auto& [lane, state] : lanes_) UpdateReading(state);
}

void Worker::OnLaneRecord(Lane lane, Offset offset, v1::LaneRecord&& record) {
  LaneState& state = lanes_[lane];
  if (offset < state.next) return;  // read before
  state.next = offset + 1;
  if (record.what_case() == v1::LaneRecord::kEpochOpened) {
    if (record.epoch_opened().epoch() <= state.epoch) return;
    state.epoch = record.epoch_opened().epoch();
    return;
  }
  if (record.worker() != options_.id.name) return;
  switch (record.what_case()) {
    case v1::LaneRecord::kPacket:
      state.released = false;
      if (drain_ && state.drain_marked)
        EndDrain();  // rule P2: behind the mark only who is no more drained is given work
      return TakePacket(lane, offset, std::move(*record.mutable_packet()));
    case v1::LaneRecord::kCancel:
      return TakeCancel(record.cancel());
    case v1::LaneRecord::kHandover:
      if (record.handover().epoch() < state.epoch) return;
      state.released = true;
      state.dirty = true;
      return;
    case v1::LaneRecord::kDrain:
      if (record.drain().epoch() < state.epoch) return;
      // The word to go on was read before the mark that it overtook.
      if (record.drain().intent() != 0 && record.drain().intent() <= resumed_) return;
      state.drain_marked = true;
      if (drain_) return;
      drain_ = drain_dirty_ = true;
      // Packets that stand before the marks of other lanes are read, and released, before the drain is done
      // (rule P2).
      for (auto& [other, its] : lanes_) its.at_end = false;
      return ReleaseQueue("draining");
    case v1::LaneRecord::kEpochOpened:
    case v1::LaneRecord::WHAT_NOT_SET:
      counters_.records_bad++;
  }
}

void Worker::OnBadRecord(Lane lane, Offset offset) {
  counters_.records_bad++;
  LaneState& state = lanes_[lane];
  state.next = std::max(state.next, offset + 1);
}

void Worker::OnLaneRead(Lane lane, Offset next, bool at_end, Now now) {
  polled_ = now.boot;
  LaneState& state = lanes_[lane];
  state.next = std::max(state.next, next);
  if (state.next > state.sent && state.moved_at < Millis(0)) state.moved_at = now.boot;
  if (at_end) state.at_end = true;
  UpdateReading(state);
  if (await_lane_ends_ && at_end) {
    await_lane_ends_ = std::any_of(lanes_.begin(), lanes_.end(), [](const auto& entry) {
      return entry.second.reading && !entry.second.at_end;
    });
  }
}

void Worker::TakePacket(Lane lane, Offset offset, v1::WorkPacket&& packet) {
  const auto key = KeyOf(packet.job_id(), packet.task(), packet.attempt());
  if (!key) {
    counters_.records_bad++;
    return;
  }
  counters_.packets++;
  // Rule L3: a lost disk or a copied machine has another store, and may not start what was given to this one.
  const bool ours = packet.store() == store_bytes_ || LANEWAY_PLANTED(kL3AnyStore);
  const auto it = tasks_.find(key->task);
  const bool had = it != tasks_.end() && key->attempt <= it->second.had;
  if (!ours || packet.epoch() < lanes_[lane].epoch || had) {
    counters_.packets_ignored++;
    return;
  }
  for (Attempt* lower = it == tasks_.end() ? nullptr : it->second.lowest; lower != nullptr;) {
    Attempt* next = lower->higher;
    StopOrDrop(*lower, StopReason::kSuperseded);
    lower = next;
  }
  if (LANEWAY_PLANTED(kQueueDrops) && slots_used_ >= options_.capacity) return;
  Attempt& attempt = NewAttempt(*key, lane, offset);
  attempt.packet.Swap(&packet);
  fresh_.push_back(&attempt);
  Queue(attempt);
  if (drain_ || shutdown_) Release(attempt, drain_ ? "draining" : "shutting down");
}

void Worker::TakeCancel(const v1::CancelAttempt& cancel) {
  const auto key = KeyOf(cancel.job_id(), cancel.task(), cancel.attempt());
  if (!key) {
    counters_.records_bad++;
    return;
  }
  if (LANEWAY_PLANTED(kCancelIgnored)) return;
  Task& task = tasks_[key->task];
  if (key->attempt > task.had) {
    // Its packet may still come, through another lane: it is not to be taken then.
    task.had = key->attempt;
    forgotten_.push_back(*key);
    if (task.lowest == nullptr) Bury(key->task, task);
  }
  for (Attempt* attempt = task.lowest; attempt != nullptr && attempt->key.attempt <= key->attempt;) {
    Attempt* next = attempt->higher;
    StopOrDrop(*attempt, StopReason::kCancelled);
    attempt = next;
  }
}

void Worker::StopOrDrop(Attempt& attempt, StopReason reason) {
  switch (attempt.stage) {
    case Stage::kReady:
    case Stage::kReadyBrowser:
    case Stage::kBlocked:
      Move(attempt, Stage::kDropped);
      held_--;
      return Unlink(attempt);
    case Stage::kStarting:
    case Stage::kRunning:
      if (attempt.stop) return;
      attempt.stop = true;
      attempt.stop_reason = reason;
      if (attempt.stage == Stage::kRunning) stopping_.push_back(&attempt);
      return;
    case Stage::kEnded:
    case Stage::kReporting:
    case Stage::kDropped:
    case Stage::kFree:
      return;
  }
}

void Worker::Release(Attempt& attempt, std::string_view reason) {
  SetKey(attempt.key, &attempt.result);
  v1::TaskReleased* released = attempt.result.mutable_task_released();
  released->set_worker(options_.id.name);
  released->set_reason(std::string(reason));
  attempt.line = absl::StrCat("Task Released (", std::string(reason), ")");
  Move(attempt, Stage::kEnded);
}

void Worker::ReleaseAll(std::initializer_list<Attempts*> lists, std::string_view reason) {
  std::vector<Attempt*> queued;
  for (Attempts* list : lists) {
    for (Attempt& attempt : *list) queued.push_back(&attempt);
  }
  for (Attempt* attempt : queued) Release(*attempt, reason);
}

void Worker::ReleaseQueue(std::string_view reason) {
  ReleaseAll({&ready_, &ready_browser_, &blocked_}, reason);
}

// Ends an attempt that has no Ended of an executor.
void Worker::EndWithout(Attempt& attempt, v1::Ending ending, std::string_view message) {
  SetKey(attempt.key, &attempt.result);
  v1::TaskFailed* failed = attempt.result.mutable_task_failed();
  failed->set_worker(options_.id.name);
  failed->set_ending(ending);
  failed->set_message(std::string(message));
  attempt.line = EndLine(attempt, attempt.result);
  Move(attempt, Stage::kEnded);
}

// Answers.

void Worker::Touch(Now now) {
  const bool lapsed = contact_ && now.boot - *contact_ >= options_.heartbeat_timeout;
  contact_ = now.boot;
  // By now the queue was given to others, or will be: it is handed back rather than run a second time.
  if (lapsed) ReleaseQueue("lease lapsed");
}

void Worker::OnCommitted(uint64_t token, const absl::Status& status, Now now) {
  if (!in_flight_ || token != token_) return;
  in_flight_ = false;
  if (status.ok()) {
    settle_ = true;
    disk_full_ = false;
    retry_delay_ = Millis(0);
    return Touch(now);
  }
  if (!MayRetry(status.code())) {
    fatal_ = status;
    StopAll(StopReason::kShutdown);
    alerts_.emplace_back();
    alerts_.back().set_subject(options_.id.name);
    alerts_.back().set_severity(v1::CRITICAL);
    alerts_.back().set_kind("worker_stopped");
    alerts_.back().set_message(absl::StrCat(options_.id.name, " – Worker Stopped (", status.ToString(), ")"));
    return;
  }
  // May have happened: the same step under the same number is written again, and the fold drops doubled
  // events.
  counters_.commit_retries++;
  disk_full_ = status.code() == absl::StatusCode::kResourceExhausted;
  retry_ = true;
  retry_delay_ = std::min(std::max(retry_delay_ * 2, options_.retry_first), options_.retry_max);
  retry_at_ = now.boot + retry_delay_;
  if (LANEWAY_PLANTED(kOutboxForgets)) batch_.events.Clear();
}

void Worker::OnHeartbeatAnswered(const absl::Status& status, Now now) {
  beat_out_ = false;
  if (leave_beat_sent_) leave_beat_answered_ = true;
  if (status.ok()) return Touch(now);
  beat_at_ = std::min(beat_at_, now.boot + options_.retry_max);
}

void Worker::OnBrowserHealthAnswered(const absl::Status& status, Now now) {
  health_out_ = false;
  if (!status.ok()) health_at_ = std::min(health_at_, now.boot + options_.retry_max);
}

std::vector<std::pair<Lane, Offset>> Worker::FinishedInOwn() const {
  std::vector<std::pair<Lane, Offset>> finished;
  for (const auto& [lane, state] : lanes_) {
    if (state.owned) finished.emplace_back(lane, FinishedBelow(lane));
  }
  return finished;
}

Offset Worker::FinishedBelow(Lane lane) const {
  const auto it = lanes_.find(lane);
  if (it == lanes_.end()) return 0;
  Offset low = it->second.durable;
  for (const Attempts* list :
       {&ready_, &ready_browser_, &blocked_, &starting_, &running_, &ended_, &reporting_}) {
    for (const Attempt& attempt : *list) {
      if (attempt.lane == lane) low = std::min(low, attempt.offset);
    }
  }
  return low;
}

}  // namespace laneway::worker
