#include "report/chronicle.h"

#include <algorithm>
#include <utility>

#include "fleet/members.h"
#include "fleet/retry_policy.h"

namespace laneway::report {
namespace {

using Kind = Change::Kind;
constexpr size_t kReasonBytesMax = 300;

std::string FirstLine(std::string_view text) {
  return std::string(text.substr(0, std::min(text.find('\n'), kReasonBytesMax)));
}

std::string HowItEnded(const v1::TaskFailed& failed) {
  if (failed.ending() == v1::EXIT_CODE) return "exit " + std::to_string(failed.exit_code());
  if (failed.ending() == v1::SIGNAL) return "signal " + std::to_string(failed.signal());
  return std::string(EndingName(failed.ending()));
}

std::string WhyItFailed(const v1::Event& event) {
  if (event.has_task_republished()) return event.task_republished().reason();
  if (event.has_file_gone()) return FirstLine(event.file_gone().reason());
  if (!event.has_task_failed()) return "";
  const std::string message = FirstLine(event.task_failed().message());
  const std::string how = HowItEnded(event.task_failed());
  return message.empty() || message == how ? how : how + ": " + message;
}

std::string NameOf(const Job& job) {
  if (job.file) return job.file->identity.path();
  return job.name.empty() ? job.id.ToString() : job.name;
}

// Whose record it is, of those that workers write.
const std::string* Writer(const v1::Event& event) {
  if (event.has_task_started()) return &event.task_started().worker();
  if (event.has_task_progressed()) return &event.task_progressed().worker();
  if (event.has_task_succeeded()) return &event.task_succeeded().worker();
  if (event.has_task_failed()) return &event.task_failed().worker();
  if (event.has_task_released()) return &event.task_released().worker();
  return nullptr;
}

}  // namespace

void Chronicle::ClosedJobs::Put(const JobId& job, Offset, std::string state, bool) {
  ids_.insert(job);
  states_[job] = std::move(state);
}
std::optional<std::string> Chronicle::ClosedJobs::Get(const JobId& job, Offset) {
  const auto found = states_.find(job);
  if (found == states_.end()) return std::nullopt;
  return found->second;
}
bool Chronicle::ClosedJobs::Contains(const JobId& job, Offset) { return ids_.contains(job); }
void Chronicle::ClosedJobs::Reopen(const JobId& job, Offset) {
  ids_.erase(job);
  states_.erase(job);
}

Chronicle::Chronicle(ChronicleOptions options)
    : options_(options),
      ledger_({.partitions = options.partitions}, &closed_),
      incidents_(options.incidents_max) {}

void Chronicle::OnUnreadable(uint32_t partition, Offset offset, LogTime time) {
  ledger_.Skip(partition, offset, time);
  if (Inside(time)) figures_.unreadable_records++;
}

void Chronicle::OnEvent(uint32_t partition, Offset offset, LogTime time, const v1::Event& event) {
  const LogTime before = ledger_.last_time(partition);
  if (time >= options_.since && !std::exchange(begun_, true)) Begin();
  changes_.clear();
  const FoldVerdict verdict = ledger_.Apply(partition, offset, time, event, &changes_);
  const LogTime now = ledger_.last_time(partition);
  now_ = std::max(now_, now);
  if (time < before) figures_.clock_steps++;
  incidents_.Listen(Inside(now));
  if (const std::string* writer = Writer(event)) incidents_.OnWorkerSign(*writer, now);
  if (verdict != FoldVerdict::kAccepted) {
    if (Inside(now))
      (verdict == FoldVerdict::kUnknownJob ? figures_.unknown_records : figures_.ignored_records)++;
    return;
  }
  if (event.has_task_assigned()) incidents_.OnAssigned(event.task_assigned().epoch(), now);
  if (event.has_file_moved() || event.has_file_claimed() || event.has_phase_opened())
    incidents_.OnDispatcherSign(now);
  if (event.has_task_failed()) CountFailure(event, now);
  for (const Change& change : changes_) OnChange(change, event, now);
  if (event.has_task_redriven()) {
    const auto job = JobId::FromBytes(event.job_id());
    incidents_.OnRedriven({*job, event.task()}, now);
    if (Inside(now)) figures_.redriven++;
  }
  if (!changes_.empty()) Levels(now);
}

// What was under way when the window began has its results in it: then its time counts from the window's
// start.
void Chronicle::Begin() {
  if (open_ != 0) figures_.first_submitted = options_.since;
  if (ledger_.tasks_now()[static_cast<size_t>(TaskState::kRunning)] != 0)
    figures_.first_start = options_.since;
}

void Chronicle::Levels(LogTime now) {
  const auto& tasks = ledger_.tasks_now();
  const uint64_t running = tasks[static_cast<size_t>(TaskState::kRunning)];
  const uint64_t waiting =
      tasks[static_cast<size_t>(TaskState::kPending)] + tasks[static_cast<size_t>(TaskState::kAssigned)];
  const uint64_t open = running + waiting;
  if (Inside(now) && (open != 0 || open_ != 0))
    timeline_.Level(now, static_cast<int64_t>(waiting), static_cast<int64_t>(running));
  if (open_ == 0 && open != 0 && quiet_since_.ms != 0 && figures_.first_submitted < quiet_since_)
    figures_.idle += Clip(quiet_since_, now);
  if (open == 0) quiet_since_ = open_ == 0 ? quiet_since_ : now;
  open_ = open;
}

void Chronicle::OnChange(const Change& change, const v1::Event& event, LogTime now) {
  const Job* job = change.task.job.empty() ? nullptr : ledger_.Find(change.task.job);
  switch (change.kind) {
    case Kind::kJobOpened:
      if (job != nullptr) JobOpened(*job, event, now);
      break;
    case Kind::kTaskStarted:
      if (job != nullptr) Started(*job, change.task, now);
      break;
    case Kind::kTaskPending:
      Ended(change, now);
      if (job != nullptr && change.held_by != kNoWorker) SetBack(*job, change, event, now);
      break;
    case Kind::kTaskSucceeded:
      Ended(change, now);
      Succeeded(change, event, now);
      break;
    case Kind::kTaskDead:
      Ended(change, now);
      incidents_.OnEnded(change.task);
      if (job != nullptr) incidents_.OnDead(Describe(*job, change, WhyItFailed(event)), now);
      if (Inside(now)) figures_.tasks.failed++;
      break;
    case Kind::kTaskCancelled:
      Ended(change, now);
      incidents_.OnEnded(change.task);
      if (Inside(now)) figures_.tasks.cancelled++;
      break;
    case Kind::kJobFinished:
      if (job != nullptr && Inside(now)) JobFinished(*job);
      break;
    case Kind::kJobReopened:
      if (job != nullptr && Inside(now)) JobReopened(*job);
      break;
    case Kind::kJobClosed:
      if (job != nullptr && job->dead == 0) closed_.DropState(job->id);
      break;
    case Kind::kEpochOpened:
      Epoch(event.epoch_opened().epoch(), now);
      break;
    case Kind::kWorkerLost:
    case Kind::kWorkerReturned:
    case Kind::kBrowserLost:
    case Kind::kBrowserReturned:
      OnVerdict(change, event, now);
      break;
    case Kind::kTaskAssigned:
    case Kind::kTaskProgressed:
    case Kind::kFileClaimed:
      break;
  }
}

void Chronicle::OnVerdict(const Change& change, const v1::Event& event, LogTime now) {
  const std::string& name = ledger_.WorkerName(change.worker);
  if (change.kind == Kind::kBrowserLost) return BrowserFrom(name, event.browser_lost().reason(), now);
  if (change.kind == Kind::kBrowserReturned) return BrowserTo(name, now);
  Worker& worker = Of(name);
  if (change.kind == Kind::kWorkerLost) {
    incidents_.OnWorkerLost(name, event.worker_lost().reason(), now);
    if (worker.lost_since.ms == 0) worker.lost_since = now;
    if (Inside(now)) worker.figures.losses++;
    return;
  }
  incidents_.OnWorkerReturned(name, now);
  AddSpan(worker.figures.lost_spans, worker.figures.lost, std::exchange(worker.lost_since, LogTime{}), now);
}

// ---- jobs

void Chronicle::JobOpened(const Job& job, const v1::Event& event, LogTime now) {
  if (!Inside(now) || event.has_job_carried()) return;  // what is carried was submitted before
  if (figures_.first_submitted.ms == 0 || now < figures_.first_submitted) figures_.first_submitted = now;
  figures_.tasks.submitted += job.tasks.size();
  figures_.jobs.submitted++;
  if (job.file) figures_.files.submitted++;
  if (!options_.keep_inputs) return;
  if (figures_.inputs.size() < options_.inputs_max) {
    figures_.inputs.push_back({NameOf(job), job.file ? job.file->identity.size() : job.tasks.size()});
  } else {
    figures_.inputs_complete = false;
  }
}

namespace {
uint64_t& Outcome(Outcomes& outcomes, JobPhase phase) {
  if (phase == JobPhase::kSucceeded) return outcomes.succeeded;
  return phase == JobPhase::kCancelled ? outcomes.cancelled : outcomes.failed;
}
}  // namespace

void Chronicle::JobFinished(const Job& job) {
  Outcome(figures_.jobs, job.phase())++;
  if (!job.file) return;
  Outcome(figures_.files, job.phase())++;
  if (job.phase() == JobPhase::kSucceeded) figures_.bytes += job.file->identity.size();
}

void Chronicle::JobReopened(const Job& job) {  // only what had a dead task is
  if (figures_.jobs.failed > 0) figures_.jobs.failed--;
  if (job.file && figures_.files.failed > 0) figures_.files.failed--;
  if (figures_.tasks.failed > 0) figures_.tasks.failed--;
}

// ---- attempts

void Chronicle::Started(const Job& job, TaskId id, LogTime now) {
  const Task* task = job.Find(id.n);
  if (task == nullptr || task->worker == kNoWorker) return;
  const std::string& name = ledger_.WorkerName(task->worker);
  incidents_.OnStarted(id, name, now);
  Worker& worker = Of(name);
  if (worker.running++ == 0) worker.busy_since = now;
  if (!Inside(now)) return;
  worker.figures.started++;
  worker.figures.running_max = std::max(worker.figures.running_max, worker.running);
  if (figures_.first_start.ms == 0 || now < figures_.first_start) figures_.first_start = now;
  if (task->failures != 0 || task->losses != 0 || task->floor != 1) return;
  figures_.wait.Add(now - (task->phase == 0 ? std::max(job.submitted, job.not_before) : task->due));
}

void Chronicle::Ended(const Change& change, LogTime now) {
  if (change.held_by == kNoWorker || change.held_since.ms == 0) return;
  Worker& worker = Of(ledger_.WorkerName(change.held_by));
  if (worker.running != 0 && --worker.running == 0) Busy(worker.figures.name, worker, now);
  if (Inside(now)) figures_.last_end = std::max(figures_.last_end, now);
}

void Chronicle::Busy(const std::string& name, Worker& worker, LogTime now) {
  const LogTime from = std::max(worker.busy_since, options_.since);
  const LogTime to = std::min(now, options_.until);
  if (to <= from) return;
  worker.figures.busy += to - from;
  timeline_.Busy(worker_index_[name], from, to);
}

Incidents::SetBack Chronicle::Describe(const Job& job, const Change& change, std::string why) const {
  std::string label = NameOf(job);
  if (job.tasks.size() > 1) label += "/" + std::to_string(change.task.n);
  return {change.task, std::move(label), ledger_.WorkerName(change.held_by), std::move(why)};
}

void Chronicle::SetBack(const Job& job, const Change& change, const v1::Event& event, LogTime now) {
  const Incidents::SetBack what = Describe(job, change, WhyItFailed(event));
  if (event.has_task_failed()) {
    const bool loss = CountsAsLoss(event.task_failed().ending());
    if (loss) {
      incidents_.OnInterrupted(what, now);
    } else {
      incidents_.OnRetry(what, now);
    }
    if (Inside(now)) (loss ? figures_.republished : figures_.retries)++;
  } else if (event.has_task_republished()) {
    incidents_.OnRepublished(what, event.task_republished().reason(), now);
    if (!Inside(now)) return;
    figures_.republished++;
    Of(what.worker).figures.interrupted++;
  }
}

void Chronicle::CountFailure(const v1::Event& event, LogTime now) {
  if (!Inside(now)) return;
  const v1::TaskFailed& failed = event.task_failed();
  const std::string how = HowItEnded(failed);
  const bool full = figures_.failures.size() >= options_.failures_max && !figures_.failures.contains(how);
  figures_.failures[full ? "others" : how]++;
  WorkerFigures& worker = Of(failed.worker()).figures;
  if (CountsAsLoss(failed.ending())) {
    worker.interrupted++;
  } else {
    worker.failed++;
    timeline_.Failed(now);
  }
}

void Chronicle::Succeeded(const Change& change, const v1::Event& event, LogTime now) {
  const v1::TaskSucceeded& success = event.task_succeeded();
  incidents_.OnEnded(change.task);
  if (!Inside(now)) return;
  figures_.last_end = std::max(figures_.last_end, now);
  figures_.tasks.succeeded++;
  figures_.records += success.records();
  const bool current = change.by_attempt == change.held_attempt && change.held_since.ms != 0;
  // late: as it says itself
  const Millis took = current ? now - change.held_since : Millis(success.duration_ms());
  figures_.duration.Add(took);
  Worker& worker = Of(success.worker());
  worker.figures.succeeded++;
  worker.figures.duration.Add(took);
  timeline_.Done(worker_index_[success.worker()], now);
}

// ---- dispatchers, workers, browsers

void Chronicle::Epoch(uint64_t epoch, LogTime now) {
  if (epoch <= epoch_) return;  // its mark in another partition
  if (epoch_ != 0) incidents_.OnTakeover(epoch, open_, now);
  epoch_ = epoch;
}

void Chronicle::OnHeartbeat(const v1::Heartbeat& beat, LogTime time) {
  if (beat.worker().empty()) return;
  incidents_.OnWorkerSign(beat.worker(), time);
  if (beat.browser_connected()) incidents_.OnBrowserSign(beat.worker(), time);
  if (!Inside(time)) return;
  WorkerFigures& worker = Of(beat.worker()).figures;
  worker.capacity = std::max(worker.capacity, beat.capacity());
}

// A browser counts as lost only after its worker's process had it: starting is no loss.
void Chronicle::OnBrowserHealth(const v1::BrowserHealth& health, LogTime time) {
  if (health.worker().empty()) return;
  incidents_.Listen(Inside(time));
  Worker& worker = Of(health.worker());
  const bool same_process = health.incarnation() == worker.browser_incarnation;
  const bool had = std::exchange(worker.had_browser, health.connected()) && same_process;
  const bool replaced = had && health.connected() && health.generation() != worker.generation;
  // Ended by its worker: nothing was lost.
  const bool recycled = health.note().starts_with(kRecycled) || (replaced && worker.browser_rests);
  const bool planned = recycled || health.note() == kWorkerStops;
  worker.browser_rests = health.resting();
  if (had && !planned && (!health.connected() || replaced)) {
    BrowserFrom(health.worker(), health.note().empty() ? "disconnected" : FirstLine(health.note()), time);
  }
  if (health.connected()) BrowserTo(health.worker(), time);
  worker.browser_incarnation = health.incarnation();
  worker.generation = health.generation();
}

void Chronicle::BrowserFrom(const std::string& name, std::string_view why, LogTime now) {
  Worker& worker = Of(name);
  incidents_.OnBrowserLost(name, why, now);
  if (worker.browser_since.ms != 0) return;
  worker.browser_since = now;
  if (Inside(now)) worker.figures.browser_losses++;
}

void Chronicle::BrowserTo(const std::string& name, LogTime now) {
  Worker& worker = Of(name);
  incidents_.OnBrowserReturned(name, now);
  AddSpan(worker.figures.browser_spans, worker.figures.without_browser,
          std::exchange(worker.browser_since, LogTime{}), now);
}

Chronicle::Worker& Chronicle::Of(const std::string& name) {
  const auto [it, added] = worker_index_.try_emplace(name, static_cast<uint32_t>(workers_.size()));
  if (added) workers_.emplace_back().figures.name = name;
  return workers_[it->second];
}

Millis Chronicle::Clip(LogTime from, LogTime to) const {
  return std::max(std::min(to, options_.until) - std::max(from, options_.since), Millis(0));
}

void Chronicle::AddSpan(std::vector<Span>& spans, Millis& total, LogTime from, LogTime to) {
  if (from.ms == 0 || Clip(from, to) == Millis(0)) return;
  total += Clip(from, to);
  if (spans.size() < options_.spans_max)
    spans.push_back({std::max(from, options_.since), std::min(to, options_.until)});
}

// ---- the end

Figures Chronicle::Finish() {
  const LogTime end = std::min(now_, options_.until);
  figures_.read_until = end;
  for (const auto& [name, index] : worker_index_) {
    Worker& worker = workers_[index];
    if (worker.running != 0) {
      figures_.still_running = true;
      figures_.last_end = std::max(figures_.last_end, end);
      Busy(name, worker, end);
    }
  }
  for (Worker& worker : workers_) {
    AddSpan(worker.figures.lost_spans, worker.figures.lost, worker.lost_since, figures_.last_end);
    AddSpan(worker.figures.browser_spans, worker.figures.without_browser, worker.browser_since,
            figures_.last_end);
  }
  for (const JobId& id : ledger_.OpenJobs()) {
    const Job* job = ledger_.Find(id);
    if (job == nullptr || job->is_finished()) continue;
    figures_.jobs.open++;
    if (job->file) figures_.files.open++;
  }
  figures_.tasks.open = open_;
  figures_.kinds = incidents_.kinds();
  figures_.incidents = incidents_.Rows();
  figures_.incidents_not_listed = incidents_.not_listed();
  std::sort(figures_.inputs.begin(), figures_.inputs.end());
  WorkersByName();
  return std::move(figures_);
}

void Chronicle::WorkersByName() {
  std::vector<uint32_t> place(workers_.size());
  for (const auto& [name, index] : worker_index_) {
    place[index] = static_cast<uint32_t>(figures_.workers.size());
    figures_.workers.push_back(std::move(workers_[index].figures));
  }
  figures_.bucket_width = timeline_.width();
  figures_.buckets = timeline_.Buckets();
  for (Timeline::Bucket& bucket : figures_.buckets) {
    std::map<uint32_t, uint32_t> done;
    std::map<uint32_t, int64_t> busy;
    for (const auto& [worker, count] : bucket.done) done[place[worker]] = count;
    for (const auto& [worker, ms] : bucket.busy_ms) busy[place[worker]] = ms;
    bucket.done = std::move(done);
    bucket.busy_ms = std::move(busy);
  }
}

}  // namespace laneway::report
