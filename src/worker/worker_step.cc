// The deciding half of Worker: what goes into the next commit, what runs, what is told.
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "fleet/planted.h"
#include "worker/worker.h"

namespace laneway::worker {
namespace {

constexpr Millis kPositionDelay{1000};  // a position alone waits so long for company
constexpr Offset kPositionMove = 1000;  // … or until it has moved so far
constexpr Millis kBeatGap{100};         // between heartbeats of state changes

}  // namespace

bool Worker::LeaseHolds(Now now) const {
  return contact_ && now.boot - *contact_ < options_.heartbeat_timeout * 2 / 3;
}

bool Worker::MayStart(Now now) const { return !shutdown_ && !await_lane_ends_ && LeaseHolds(now); }

// A long script must not keep short ones waiting that were given to this worker in advance.
void Worker::HandBackWhatCannotStart(Now now) {
  if (browser_.usable() || ready_browser_.empty()) {
    browserless_since_.reset();
  } else if (!browserless_since_) {
    browserless_since_ = now.boot;
  } else if (now.boot - *browserless_since_ >= options_.queue_patience) {
    ReleaseAll({&ready_browser_}, "its worker's browser is away");
  }
  if (!free_slots_.empty() || (ready_.empty() && ready_browser_.empty())) return stuck_since_.reset();
  if (!stuck_since_) stuck_since_ = now.boot;
  if (now.boot - *stuck_since_ >= options_.queue_patience)
    ReleaseAll({&ready_, &ready_browser_}, "its worker is busy");
}

void Worker::Step(Now now, Commands* out) {
  if (settle_) Settle(out, now);
  HandBackWhatCannotStart(now);
  if (shutdown_ && !shutdown_stopped_ && now.boot >= shutdown_deadline_) {
    shutdown_stopped_ = true;
    StopAll(StopReason::kShutdown);
  }
  for (Attempt* attempt : stopping_) {
    if (attempt->stage != Stage::kRunning || attempt->stop_sent) continue;
    attempt->stop_sent = true;
    out->stops.push_back({attempt->key, attempt->stop_reason});
  }
  stopping_.clear();
  if (fatal_.ok() && !in_flight_) {
    if (retry_) {
      if (now.boot >= retry_at_) Send(out, now);
    } else {
      BuildBatch(now);
      if (!BatchIsEmpty()) Send(out, now);
    }
  }
  if (fatal_.ok()) StepHeartbeat(now, out);
  if (fatal_.ok()) StepBrowserHealth(now, out);
  std::move(children_.begin(), children_.end(), std::back_inserter(out->children));
  std::move(lines_.begin(), lines_.end(), std::back_inserter(out->lines));
  std::move(alerts_.begin(), alerts_.end(), std::back_inserter(out->alerts));
  children_.clear();
  lines_.clear();
  alerts_.clear();
}

void Worker::StopAll(StopReason reason) {
  for (Attempts* list : {&starting_, &running_}) {
    for (Attempt& attempt : *list) StopOrDrop(attempt, reason);
  }
}

// The batch.

v1::AttemptNote* Worker::Note(Attempt& attempt, v1::HeldStage stage) {
  v1::AttemptNote* note = batch_.notes.add_attempts();
  note->set_job_id(attempt.key.task.job.ToBytes());
  note->set_task(attempt.key.task.n);
  note->set_attempt(attempt.key.attempt);
  note->set_stage(stage);
  if (!attempt.noted) {
    note->set_lane(attempt.lane);
    note->set_offset(attempt.offset);
  }
  attempt.noted = true;
  attempt.noted_seq = batch_.seq;
  notes_since_++;
  bytes_since_ += 40;
  return note;
}

bool Worker::BatchIsEmpty() const {
  return batch_.events.empty() && batch_.notes.attempts_size() == 0 && batch_.notes.lanes_size() == 0 &&
         !drain_dirty_;
}

void Worker::BuildBatch(Now now) {
  batch_.seq = next_seq_;
  batch_.drop_below = 0;
  batch_.notes.Clear();
  batch_.events.Clear();
  // The first step after a restart holds all results in doubt: the next one will prove that they were
  // appended (notes.h).
  const size_t records_max =
      first_batch_ ? ended_.size() + options_.commit_records_max : options_.commit_records_max;
  AddResults(records_max);
  AddProgress(now, records_max);
  AddStarts(now, records_max);
  AddQueued();
  AddDropped();
  AddLanes(now);
  batch_.notes.set_drained(drain_);
  if (notes_since_ > options_.compact_notes_max || bytes_since_ > options_.compact_bytes_max) AddSnapshot();
}

void Worker::AddResults(size_t records_max) {
  while (!ended_.empty() && static_cast<size_t>(batch_.events.size()) < records_max) {
    Attempt& attempt = ended_.front();
    v1::Event* event = batch_.events.Add();
    event->Swap(&attempt.result);
    // Rule W3: a release is noted no later than it is appended.
    if (!(LANEWAY_PLANTED(kW3ReleaseUnnoted) && event->has_task_released())) {
      *Note(attempt, v1::FINISHED)->mutable_result() = *event;
      bytes_since_ += 64;
    }
    Move(attempt, Stage::kReporting);
  }
}

Millis Worker::ProgressDue(const Attempt& attempt) const {
  if (attempt.progress_sent < Millis(0)) return Millis(0);
  return attempt.progress_sent +
         (attempt.checkpoint_fresh ? options_.checkpoint_interval : options_.progress_interval);
}

void Worker::AddProgress(Now now, size_t records_max) {
  for (size_t i = 0; i < progressing_.size();) {
    Attempt& attempt = *progressing_[i];
    if (now.boot < ProgressDue(attempt) || static_cast<size_t>(batch_.events.size()) >= records_max) {
      i++;
      continue;
    }
    v1::Event* event = batch_.events.Add();
    event->set_job_id(attempt.key.task.job.ToBytes());
    event->set_task(attempt.key.task.n);
    event->set_attempt(attempt.key.attempt);
    v1::TaskProgressed* progressed = event->mutable_task_progressed();
    progressed->set_worker(options_.id.name);
    progressed->set_percent(attempt.percent);
    progressed->set_message(attempt.message);
    progressed->set_records(attempt.records);
    if (attempt.checkpoint_fresh) progressed->set_checkpoint(*attempt.checkpoint);
    attempt.progress = attempt.progress_listed = attempt.checkpoint_fresh = false;
    attempt.progress_sent = now.boot;
    progressing_[i] = progressing_.back();
    progressing_.pop_back();
  }
}

// Rule W1: a slot is taken and TaskStarted goes to the log; the script runs when that was answered (Settle).
void Worker::AddStarts(Now now, size_t records_max) {
  if (!MayStart(now)) return;
  while (!free_slots_.empty() && static_cast<size_t>(batch_.events.size()) < records_max) {
    Attempt* next = ready_.empty() ? nullptr : &ready_.front();
    if (LANEWAY_PLANTED(kBrowserHoldsAll) && options_.has_browser && !browser_.usable()) return;
    const bool usable = browser_.usable() || LANEWAY_PLANTED(kBrowserUnasked);
    const bool browser = usable && !ready_browser_.empty();
    if (browser && (next == nullptr || ready_browser_.front().order < next->order))
      next = &ready_browser_.front();
    if (next == nullptr) return;
    v1::AttemptNote* note = Note(*next, v1::STARTING);
    if (LANEWAY_PLANTED(kRunsAgainAfterRestart)) *note->mutable_packet() = next->packet;
    v1::Event* event = batch_.events.Add();
    event->set_job_id(note->job_id());
    event->set_task(note->task());
    event->set_attempt(note->attempt());
    v1::TaskStarted* started = event->mutable_task_started();
    started->set_worker(options_.id.name);
    started->set_store(store_bytes_);
    started->set_incarnation(incarnation_bytes_);
    if (next->packet.spec().needs_browser()) {
      started->set_browser_generation(next->browser_generation = browser_.generation);
      browser_use_.users++;
      browser_use_.tasks++;
    }
    next->slot = free_slots_.back();
    free_slots_.pop_back();
    slots_used_++;
    Move(*next, Stage::kStarting);
  }
}

void Worker::AddQueued() {
  for (Attempt* attempt : fresh_) {
    if (attempt->noted || attempt->stage == Stage::kDropped) continue;
    v1::AttemptNote* note = Note(*attempt, v1::QUEUED);
    *note->mutable_packet() = attempt->packet;
    bytes_since_ += note->packet().ByteSizeLong();
  }
  fresh_.clear();
}

void Worker::AddDropped() {
  while (!dropped_.empty()) {
    Note(dropped_.front(), v1::FORGOTTEN);
    Free(dropped_.front());
  }
  for (const AttemptKey& key : forgotten_) {
    v1::AttemptNote* note = batch_.notes.add_attempts();
    note->set_job_id(key.task.job.ToBytes());
    note->set_task(key.task.n);
    note->set_attempt(key.attempt);
    note->set_stage(v1::FORGOTTEN);
    notes_since_++;
  }
  forgotten_.clear();
}

void Worker::NoteLane(Lane lane, LaneState& state) {
  v1::LaneNote* note = batch_.notes.add_lanes();
  note->set_lane(lane);
  note->set_next_offset(state.next);
  note->set_epoch(state.epoch);
  note->set_released(state.released);
  state.sent = state.next;
  state.dirty = false;
  state.moved_at = Millis(-1);
}

void Worker::AddLanes(Now now) {
  bool due = !BatchIsEmpty();
  for (const auto& [lane, state] : lanes_) {
    due = due || state.dirty || state.next >= state.sent + kPositionMove ||
          (state.moved_at >= Millis(0) && now.boot - state.moved_at >= kPositionDelay);
  }
  if (!due) return;
  for (auto& [lane, state] : lanes_) {
    if (state.next != state.sent || state.dirty) NoteLane(lane, state);
  }
}

// The notes so far, and everything open that they do not name: older journal values are needed no more.
void Worker::AddSnapshot() {
  for (Attempts* list : {&ready_, &ready_browser_, &blocked_, &running_, &ended_}) {
    for (Attempt& attempt : *list) {
      if (attempt.noted_seq == batch_.seq) continue;
      attempt.noted = false;  // so that the note names lane and offset again
      v1::AttemptNote* note = Note(attempt, attempt.started ? v1::STARTING : v1::QUEUED);
      if (!attempt.started) *note->mutable_packet() = attempt.packet;
    }
  }
  for (const auto& [id, number] : tombstones_) {
    const auto it = tasks_.find(id);
    if (it == tasks_.end() || it->second.buried != number) continue;
    v1::AttemptNote* note = batch_.notes.add_attempts();
    note->set_job_id(id.job.ToBytes());
    note->set_task(id.n);
    note->set_attempt(it->second.had);
    note->set_stage(v1::FORGOTTEN);
  }
  batch_.notes.clear_lanes();
  for (auto& [lane, state] : lanes_) NoteLane(lane, state);
  batch_.drop_below = batch_.seq;
  notes_since_ = bytes_since_ = 0;
}

void Worker::Send(Commands* out, Now now) {
  in_flight_ = true;
  retry_ = false;
  out->commits.push_back({++token_, &batch_});
  if (LANEWAY_PLANTED(kW1StartBeforeAck)) {
    while (!starting_.empty()) StartNow(starting_.front(), out, now);
  }
}

// The commit was answered OK: what waited for it happens now.
void Worker::Settle(Commands* out, Now now) {
  settle_ = false;
  first_batch_ = false;
  next_seq_ = batch_.seq + 1;
  drain_dirty_ = drain_ != batch_.notes.drained();
  drain_durable_ = batch_.notes.drained();
  for (const v1::LaneNote& note : batch_.notes.lanes()) {
    LaneState& lane = lanes_[note.lane()];
    if (note.released() && lane.durable != note.next_offset())
      beat_now_ = true;  // the dispatcher waits for it
    lane.durable = note.next_offset();
  }
  while (!reporting_.empty()) {
    Attempt& attempt = reporting_.front();
    if (!attempt.line.empty()) {
      lines_.push_back({std::move(attempt.line), attempt.key, attempt.packet.file().path()});
    }
    held_--;
    Unlink(attempt);
    Free(attempt);
  }
  for (const v1::Event& event : batch_.events) {
    counters_.succeeded += event.has_task_succeeded();
    counters_.failed += event.has_task_failed();
    counters_.released += event.has_task_released();
    counters_.started += event.has_task_started();
  }
  while (!starting_.empty()) StartNow(starting_.front(), out, now);
}

void Worker::StartNow(Attempt& attempt, Commands* out, Now now) {
  attempt.started = true;
  if (attempt.stop) {
    FreeSlot(attempt);
    if (attempt.stop_reason == StopReason::kBrowserGone)
      return EndWithout(attempt, v1::BROWSER_GONE, "its browser was lost before its script ran");
    return EndWithout(attempt, attempt.stop_reason == StopReason::kShutdown ? v1::INTERRUPTED : v1::STOPPED,
                      "stopped before its script ran");
  }
  if (attempt.browser_generation != 0 && !browser_.connected && !LANEWAY_PLANTED(kBrowserUnasked)) {
    FreeSlot(attempt);
    return EndWithout(attempt, v1::BROWSER_GONE, "its browser was away when its script was to run");
  }
  attempt.started_ms = now.wall.ms;
  Move(attempt, Stage::kRunning);
  lines_.push_back({"Task Started", attempt.key, attempt.packet.file().path()});
  out->runs.push_back({attempt.key, &attempt.packet});
}

// Heartbeats.

bool Worker::EverythingReported() const {
  return held_ == 0 && !in_flight_ && !retry_ && !settle_ && BatchIsEmpty();
}

void Worker::StepHeartbeat(Now now, Commands* out) {
  const bool drained = DrainIsDone();
  if (drained != drain_told_) beat_now_ = true;
  const bool leave = shutdown_ && !leave_beat_sent_ && EverythingReported();
  if (leave) beat_now_ = true;
  if (beat_out_ || leave_beat_sent_) return;
  if (now.boot < beat_at_ && !leave && !(beat_now_ && now.boot - beat_sent_ >= kBeatGap)) return;
  beat_now_ = false;
  beat_out_ = true;
  beat_sent_ = now.boot;
  beat_at_ = now.boot + options_.heartbeat_interval;
  drain_told_ = drained;
  leave_beat_sent_ = leave;
  out->heartbeats.push_back(MakeHeartbeat(now));
}

v1::Heartbeat Worker::MakeHeartbeat(Now now) const {
  v1::Heartbeat beat;
  beat.set_worker(options_.id.name);
  beat.set_incarnation(incarnation_bytes_);
  beat.set_store(store_bytes_);
  beat.set_capacity(options_.capacity);
  for (const std::string& label : options_.labels) beat.add_labels(label);
  for (const Attempts* list :
       {&running_, &starting_, &ended_, &reporting_, &ready_, &ready_browser_, &blocked_}) {
    for (const Attempt& attempt : *list) {
      v1::RunningTask* held = beat.add_held();
      held->set_job_id(attempt.key.task.job.ToBytes());
      held->set_task(attempt.key.task.n);
      held->set_attempt(attempt.key.attempt);
      held->set_started_ms(attempt.started_ms);
      held->set_percent(attempt.percent);
      held->set_started(attempt.started);
    }
  }
  for (const auto& [lane, state] : lanes_) {
    v1::LanePosition* position = beat.add_lanes();
    position->set_lane(lane);
    position->set_next_offset(state.durable);
    position->set_finished_below(FinishedBelow(lane));
  }
  bool reads = false;
  ForEachLane([&](Lane, Offset) { reads = true; });
  // A full queue does not read on, and is no failure to read.
  if (reads && polled_) beat.set_lane_poll_age_ms(static_cast<uint32_t>((now.boot - *polled_).count()));
  beat.set_has_browser(options_.has_browser);
  beat.set_browser_connected(browser_.usable());
  beat.set_browser_port(browser_.port);
  beat.set_browser_generation(browser_.generation);
  beat.set_draining_done(DrainIsDone());
  beat.set_paused_by_itself(paused_ || disk_full_);
  beat.set_note(disk_full_ ? "no space for notes and events" : evidence_);
  beat.set_leaving(leave_beat_sent_);
  beat.set_stopping(shutdown_);
  return beat;
}

void Worker::StepBrowserHealth(Now now, Commands* out) {
  if (!options_.has_browser || health_out_ || (!health_now_ && now.boot < health_at_)) return;
  health_now_ = false;
  health_out_ = true;
  health_at_ = now.boot + options_.browser_health_interval;
  v1::BrowserHealth& health = out->browser_health.emplace_back();
  health.set_worker(options_.id.name);
  health.set_incarnation(incarnation_bytes_);
  health.set_connected(browser_.connected);
  health.set_resting(browser_.resting);
  health.set_port(browser_.port);
  health.set_generation(browser_.generation);
  health.set_note(browser_.note);
}

std::optional<Millis> Worker::NextDeadline() const {
  std::optional<Millis> next;
  const auto at = [&next](Millis time) { next = next ? std::min(*next, time) : time; };
  if (!fatal_.ok()) return next;
  if (shutdown_ && !shutdown_stopped_) at(shutdown_deadline_);
  if (stuck_since_) at(*stuck_since_ + options_.queue_patience);
  if (browserless_since_) at(*browserless_since_ + options_.queue_patience);
  if (options_.has_browser && !health_out_) at(health_now_ ? Millis(0) : health_at_);
  if (!beat_out_ && !leave_beat_sent_) at(beat_now_ ? beat_sent_ + kBeatGap : beat_at_);
  if (in_flight_) return next;
  if (retry_) at(retry_at_);
  if (retry_) return next;
  for (const Attempt* attempt : progressing_) at(ProgressDue(*attempt));
  for (const auto& [lane, state] : lanes_) {
    if (state.moved_at >= Millis(0)) at(state.moved_at + kPositionDelay);
  }
  return next;
}

}  // namespace laneway::worker
