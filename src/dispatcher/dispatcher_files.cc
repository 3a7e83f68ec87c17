// dispatcher_files.cc: from a file in incoming/ to a job, to an attempt's folder, to an output folder (rules
// I1, L6, Z1–Z5).
#include <algorithm>

#include "dispatcher/dispatcher.h"
#include "fleet/planted.h"
#include "ops/random_ids.h"

namespace laneway::dispatcher {

namespace {

JobId IdOf(const zone::Identity& file, uint32_t closed) {
  return ops::FileJobId({.path = file.path,
                         .size = file.size,
                         .mtime_ns = file.mtime_ns,
                         .inode = file.inode,
                         .closed_count = closed});
}

// Where earlier attempts had the file. History is bounded; the zone searches further when it must.
std::vector<zone::EarlierAttempt> EarlierOf(const v1::TaskState& task) {
  std::vector<zone::EarlierAttempt> earlier;
  for (const v1::AttemptState& attempt : task.attempts()) {
    if (!attempt.worker().empty()) earlier.push_back({attempt.attempt(), WorkerId(attempt.worker())});
  }
  if (!task.worker().empty()) earlier.push_back({task.attempt(), WorkerId(task.worker())});
  return earlier;
}

zone::Place PlaceOf(const v1::JobState& state) {
  if (state.cancelled() || state.tasks().empty()) return zone::Place::kFailed;
  if (state.tasks(0).kind() == v1::SUCCEEDED) return zone::Place::kCompleted;
  return state.tasks(0).last_ending() == v1::BAD_INPUT ? zone::Place::kQuarantine : zone::Place::kFailed;
}

}  // namespace

// ---- arrivals

void Dispatcher::OnLookBegins(bool full) {
  closed_since_look_.clear();
  for (auto& [job, again] : vanished_) again = again || full;
}

// The job this arrival is, or shall be: the first of its identity's jobs that is not closed.
JobId Dispatcher::JobOf(const zone::Identity& file) const {
  JobId id = IdOf(file, 0);
  for (uint32_t closed = 1; ledger_->IsClosed(id); closed++) id = IdOf(file, closed);
  return id;
}

void Dispatcher::OnFindings(const zone::Findings& findings, LogTime now, Commands* out) {
  if (!active()) return;
  for (const zone::Identity& file : findings.complete) Submit(file, now, out);
  Withdraw(now, out);
  for (const zone::Identity& file : findings.vanished) Vanished(file);
  for (const zone::Refused& refused : findings.refused) {
    out->zone.refuse.push_back(refused.path);
    Alert(refused.path, v1::WARNING, "file_refused", "moved to quarantine/: " + refused.reason, out);
  }
  for (const zone::Refused& unreadable : findings.unreadable) {
    Alert(unreadable.path, v1::WARNING, "folder_unreadable", unreadable.reason, out);
  }
}

void Dispatcher::Submit(const zone::Identity& file, LogTime now, Commands* out) {
  JobId id = IdOf(file, 0);
  bool doubtful = false;
  for (uint32_t closed = 1; ledger_->IsClosed(id); closed++) {
    // Rule I1: the number of closed jobs is that of before the look. Closed since: what was seen may be the
    // file of the job that has just ended.
    doubtful = doubtful || (closed_since_look_.contains(id) && !LANEWAY_PLANTED(kI1CountAfterLook));
    id = IdOf(file, closed);
  }
  if (doubtful) {
    out->zone.forget.push_back(file.path);
    return;
  }
  vanished_.erase(id);
  if (const Job* job = ledger_->Find(id)) {
    // Its own job waits: known. One that has left already: this may be the same file put back; it is told
    // again until that job is closed.
    if (job->is_finished() || job->file->claimed) out->zone.forget.push_back(file.path);
    return;
  }
  if (!Expect(id, 0, Await::kSubmit, now)) {
    out->zone.forget.push_back(file.path);
    return;
  }
  v1::Event& event = out->events.emplace_back(About(id));
  v1::JobSubmitted& submitted = *event.mutable_job_submitted();
  submitted.set_name(file.path.substr(file.path.rfind('/') + 1));
  for (char& c : *submitted.mutable_name()) {
    if (static_cast<unsigned char>(c) < 0x20 || static_cast<unsigned char>(c) >= 0x7f) c = '?';
  }
  submitted.set_source(v1::FILE);
  *submitted.mutable_file() = zone::ToProto(file);
  *submitted.mutable_spec() = options_.file_spec;
}

void Dispatcher::Vanished(const zone::Identity& file) {
  const JobId id = JobOf(file);
  if (ledger_->Find(id) != nullptr) vanished_.try_emplace(id, false);
}

// A file withdrawn by its owner cancels its job: once it was missed in two looks, and was never claimed.
void Dispatcher::Withdraw(LogTime now, Commands* out) {
  for (auto it = vanished_.begin(); it != vanished_.end();) {
    const auto& [id, again] = *it;
    const Job* job = ledger_->Find(id);
    const Task* task = job != nullptr ? job->Find(1) : nullptr;
    const bool waits =
        task != nullptr && task->state == TaskState::kPending && task->attempt == 1 && !job->file->claimed;
    if (!waits || in_processing_.contains(id)) {  // it was assigned: the zone will say where it is
      it = vanished_.erase(it);
      continue;
    }
    ++it;
    if (!again || !Expect(job->id, 0, Await::kCancel, now)) continue;
    v1::Event& event = out->events.emplace_back(About(job->id));
    event.mutable_job_cancelled()->set_reason("its file was withdrawn from incoming/ before it was taken");
    event.mutable_job_cancelled()->set_by("dispatcher");
  }
}

// ---- to an attempt's folder

void Dispatcher::AskPlace(const Job& job, Journey& journey, LogTime now, Commands* out) {
  const Task& task = job.tasks[0];
  journey.stage = Journey::Stage::kPlacing;
  // the zone answers each request; a lost answer is asked for again much later
  journey.since = now + options_.again_after * 30;
  zone::PlaceRequest& request = out->zone.place.emplace_back();
  request.task = {job.id, 1};
  request.attempt = task.attempt;
  request.worker = WorkerId(ledger_->WorkerName(task.worker));
  request.file = zone::IdentityOf(job.file->identity);
  request.claimed = job.file->claimed && !LANEWAY_PLANTED(kZ4TakeAgain);
  request.redriven_from = job.file->final_path;
  request.outputs = WritesOutputs(job.spec->handler());
  if (!task.detail) return;
  for (const v1::AttemptState& attempt : task.detail->attempts) {
    if (!attempt.worker().empty()) request.earlier.push_back({attempt.attempt(), WorkerId(attempt.worker())});
  }
}

// What failed in the zone is tried again until it succeeds: somebody should know.
void Dispatcher::ZoneInTrouble(const absl::Status& status, LogTime now, Commands* out) {
  constexpr Millis kPause{60000};
  if (status.ok() || (zone_trouble_told_ && now - *zone_trouble_told_ < kPause)) return;
  zone_trouble_told_ = now;
  Alert("zone", v1::CRITICAL, "zone",
        "files cannot be moved, which is tried again: " + std::string(status.message()), out);
}

void Dispatcher::OnPlaced(const zone::PlaceRequest& request, const zone::PlaceResult& result, LogTime now,
                          Commands* out) {
  // rule Z3
  if (absl::IsFailedPrecondition(result.status) && result.outcome == zone::PlaceOutcome::kRetry)
    return StepDown(out);
  if (!active()) return;
  const Job* job = ledger_->Find(request.task.job);
  const auto found = journeys_.find(request.task);
  if (job == nullptr || found == journeys_.end() || found->second.attempt != request.attempt) return;
  Journey& journey = found->second;
  const Task& task = job->tasks[0];
  if (task.state != TaskState::kAssigned || task.attempt != request.attempt ||
      journey.stage != Journey::Stage::kPlacing)
    return;
  switch (result.outcome) {
    case zone::PlaceOutcome::kPlaced:
      in_processing_.erase(job->id);
      if (result.found != request.file)
        journey.changed = std::make_unique<v1::FileIdentity>(zone::ToProto(result.found));
      return SendPacket(*job, 1, journey, now, out);
    case zone::PlaceOutcome::kRetry:
      journey.since = now;
      return ZoneInTrouble(result.status, now, out);
    case zone::PlaceOutcome::kNowhere:
    case zone::PlaceOutcome::kReplaced:
      break;
  }
  if (!journey.missed_once) {  // looked for twice before it is given up
    journey.missed_once = true;
    journey.since = now + (options_.look_again_after - options_.again_after);
    if (next_sweep_) next_sweep_ = std::min(*next_sweep_, now + options_.look_again_after);
    return;
  }
  if (!Expect(job->id, 0, Await::kGone, now)) {
    journey.since = now;
    return;
  }
  const std::string reason = result.outcome == zone::PlaceOutcome::kReplaced
                                 ? "its file was replaced by another of the same name before it was taken"
                                 : "its file is nowhere in the zone: withdrawn or removed by somebody else";
  v1::Event& event = out->events.emplace_back(About(job->id, 1, task.attempt));
  event.mutable_file_gone()->set_epoch(epoch_);  // rule L6
  event.mutable_file_gone()->set_reason(reason);
  journey.since = now;  // asked for again when this append is lost
  Alert(job->id.ToString(), v1::WARNING, "file_gone", reason, out);
}

// ---- to an output folder

zone::FinishRequest Dispatcher::FinishOf(const JobId& id, const v1::JobState& state) const {
  zone::FinishRequest request;
  request.task = {id, 1};
  request.place = PlaceOf(state);
  request.claimed = state.claimed();
  if (state.cancelled()) request.redriven_from = state.final_path();
  request.outputs = !state.has_spec() || WritesOutputs(state.spec().handler());
  if (state.has_file()) request.file = zone::IdentityOf(state.file());
  if (state.tasks().empty()) return request;
  const v1::TaskState& task = state.tasks(0);
  request.attempt = task.attempt();
  request.earlier = EarlierOf(task);
  if (task.attempts().empty()) return request;
  const v1::AttemptState* last = &task.attempts(task.attempts_size() - 1);
  for (const v1::AttemptState& attempt : task.attempts()) {
    if (attempt.outcome() == "succeeded") last = &attempt;
  }
  request.output_attempt = last->attempt();
  request.output_worker = WorkerId(last->worker());
  return request;
}

void Dispatcher::Depart(const Job& job, LogTime now, Commands* out) {
  if (!job.file) {  // nothing but outputs, one folder for each task
    const v1::JobState state = ledger_->ToState(job);
    for (int i = 0; i < state.tasks_size(); i++) {
      if (state.tasks(i).attempts().empty() || state.spec().handler() == "noop") continue;
      v1::JobState one;
      one.set_cancelled(state.cancelled());
      *one.add_tasks() = state.tasks(i);
      zone::FinishRequest request = FinishOf(job.id, one);
      request.task.n = static_cast<uint32_t>(i) + 1;
      out->zone.finish.push_back(std::move(request));
    }
    return;
  }
  Departure& departure = departures_[job.id];
  if (departure.asked) return;
  departure.asked = true;
  departure.since = now + options_.again_after * 30;
  zone::FinishRequest request = FinishOf(job.id, ledger_->ToState(job));
  if (LANEWAY_PLANTED(kZ4OutputUnclaimed)) request.claimed = true;
  out->zone.finish.push_back(std::move(request));
  if (!LANEWAY_PLANTED(kL6ClosedBeforeRename)) return;
  v1::Event& event = out->events.emplace_back(About(job.id));
  event.mutable_file_moved()->set_path("completed/?");
}

void Dispatcher::OnFinished(const zone::FinishRequest& request, const zone::FinishResult& result, LogTime now,
                            Commands* out) {
  // rule Z3
  if (absl::IsFailedPrecondition(result.status) && result.outcome == zone::FinishOutcome::kRetry)
    return StepDown(out);
  if (!active()) return;
  const auto found = departures_.find(request.task.job);
  const Job* job = ledger_->Find(request.task.job);
  if (found == departures_.end() || job == nullptr || !job->file) return;
  if (request.attempt < job->tasks[0].floor) return;  // asked for before a redrive: the file has moved since
  found->second.asked = false;
  found->second.since = now;
  if (!job->is_finished()) return;
  v1::Event event = About(job->id);
  switch (result.outcome) {
    case zone::FinishOutcome::kRetry:
      return ZoneInTrouble(result.status, now, out);
    // rule Z4: the claim first; when it is in the fold, Depart asks again
    case zone::FinishOutcome::kClaimed:
      if (job->file->claimed) return Depart(*job, now, out);
      if (!Expect(job->id, 0, Await::kClaim, now)) return;
      event.mutable_file_claimed()->set_epoch(epoch_);
      break;
    case zone::FinishOutcome::kNowhere:
      if (!Expect(job->id, 0, Await::kMoved, now)) return;
      event = About(job->id, 1, request.attempt);
      event.mutable_file_moved();
      if (!job->cancelled)
        Alert(job->id.ToString(), v1::WARNING, "file_gone", "its file is nowhere, though the job has ended",
              out);
      break;
    case zone::FinishOutcome::kMoved:
      if (!Expect(job->id, 0, Await::kMoved, now)) return;
      event = About(job->id, 1, request.attempt);
      event.mutable_file_moved()->set_path(result.path);  // rule L6: after the rename
      break;
  }
  out->events.push_back(std::move(event));
}

// ---- what lies below processing/ and should not, or not any more

void Dispatcher::OnLeftovers(const std::vector<zone::Leftover>& leftovers, LogTime now, Commands* out) {
  if (!active()) return;
  for (const zone::Leftover& leftover : leftovers) LeftoverFound(leftover, now, out);
}

void Dispatcher::LeftoverFound(const zone::Leftover& leftover, LogTime now, Commands* out) {
  if (!leftover.task) return;  // not named as we name folders: reported by doctor, left alone
  const Job* job = ledger_->Find(leftover.task->job);
  const Task* task = job != nullptr ? job->Find(leftover.task->n) : nullptr;
  const auto closed = job == nullptr ? ledger_->Load(leftover.task->job) : std::nullopt;
  // rule Z1: newer than what this fold knows
  if (task != nullptr && leftover.attempt > task->attempt) return;
  const v1::FileIdentity* identity = job != nullptr && job->file    ? &job->file->identity
                                     : closed && closed->has_file() ? &closed->file()
                                                                    : nullptr;
  if (!leftover.file) {
    const bool over =
        task != nullptr ? (task->attempt > leftover.attempt || IsFinished(task->state)) : closed.has_value();
    if (over && !leftover.in_staging && job != nullptr) out->zone.remove_if_empty.push_back(leftover);
    if (closed && !leftover.in_staging) {  // outputs of a job that ended while nobody looked
      v1::JobState one = *closed;
      if (static_cast<int>(leftover.task->n) > one.tasks_size()) return;
      const v1::TaskState of_task = one.tasks(static_cast<int>(leftover.task->n) - 1);
      one.clear_file();
      one.clear_tasks();
      *one.add_tasks() = of_task;
      zone::FinishRequest request = FinishOf(leftover.task->job, one);
      request.task.n = leftover.task->n;
      if (closed->has_file()) request.output_attempt = 0;
      out->zone.finish.push_back(std::move(request));
    }
    return;
  }
  const bool own = identity != nullptr && leftover.file->inode == identity->inode() &&
                   leftover.file->size == identity->size() && leftover.file->mtime_ns == identity->mtime_ns();
  // a stranger goes back where it came from (rule Z2); in an attempt's folder it is a work file of the script
  if (!own) {
    if (!leftover.in_staging) return;
    std::string path =
        identity != nullptr ? identity->path() : leftover.path.substr(leftover.path.rfind('/') + 1);
    out->zone.put_back.emplace_back(leftover, std::move(path));
    return;
  }
  if (closed) {
    out->zone.finish.push_back(FinishOf(leftover.task->job, *closed));
    return;
  }
  if (job->is_finished()) return Depart(*job, now, out);
  in_processing_.insert(job->id);  // not withdrawn: it is on its way
}

}  // namespace laneway::dispatcher
