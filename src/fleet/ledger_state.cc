// ledger_state.cc: the Ledger at rest: what is kept of a job, snapshots, the digest; and looking things up.
#include <algorithm>

#include "fleet/ledger.h"
#include "fleet/planted.h"

namespace laneway {

v1::JobState Ledger::ToStateWithoutTasks(const Job& job) const {
  v1::JobState state;
  state.set_job_id(job.id.ToBytes());
  state.set_name(job.name);
  state.set_source(job.source);
  *state.mutable_spec() = *job.spec;
  for (const std::string& phase : job.phases) state.add_phases(phase);
  state.set_submitted_ms(job.submitted.ms);
  state.set_finished_ms(job.finished.ms);
  state.set_not_before_ms(job.not_before.ms);
  state.set_open_phase(job.open_phase);
  state.set_cancelled(job.cancelled);
  state.set_closed(job.closed);
  state.set_reason(job.reason);
  state.set_parts_expected(job.parts_expected);
  state.set_parts_seen(job.parts_seen);
  state.set_tasks_expected(job.tasks_expected);
  if (job.file) {
    *state.mutable_file() = job.file->identity;
    state.set_claimed(job.file->claimed);
    state.set_final_path(job.file->final_path);
  }
  return state;
}

v1::JobState Ledger::ToState(const Job& job) const {
  v1::JobState state = ToStateWithoutTasks(job);
  state.mutable_tasks()->Reserve(static_cast<int>(job.tasks.size()));
  for (const Task& task : job.tasks) *state.add_tasks() = ToState(task);
  return state;
}

v1::TaskState Ledger::ToState(const Task& task) const {
  v1::TaskState out;
  out.set_kind(static_cast<v1::TaskStateKind>(task.state));
  out.set_attempt(task.attempt);
  out.set_floor(task.floor);
  out.set_failures(task.failures);
  out.set_losses(task.losses);
  out.set_due_ms(task.due.ms);
  if (task.phase != 0) out.mutable_spec()->set_phase(task.phase);
  out.set_percent(task.percent);
  out.set_last_ending(task.last_ending);
  if (task.worker != kNoWorker) {
    out.set_worker(WorkerName(task.worker));
    out.set_lane(task.lane);
    out.set_assigned_ms(task.assigned.ms);
    out.set_started_ms(task.started.ms);
    if (!task.store.empty()) out.set_store(task.store.ToBytes());
    if (!task.incarnation.empty()) out.set_incarnation(task.incarnation.ToBytes());
  }
  if (!task.detail) return out;
  const Task::Detail& more = *task.detail;
  if (!more.spec.data_source().empty()) out.mutable_spec()->set_data_source(more.spec.data_source());
  if (!more.spec.payload().empty()) out.mutable_spec()->set_payload(more.spec.payload());
  out.set_message(more.message);
  if (more.checkpoint) out.set_checkpoint(*more.checkpoint);
  out.set_records(more.records);
  out.set_output(more.output);
  out.set_last_message(more.last_message);
  for (const v1::AttemptState& attempt : more.attempts) *out.add_attempts() = attempt;
  return out;
}

std::unique_ptr<Job> Ledger::FromState(const v1::JobState& state) {
  auto job = std::make_unique<Job>();
  job->id = JobId::FromBytes(state.job_id()).value_or(JobId{});
  job->name = state.name();
  job->source = state.source();
  job->spec = InternSpec(state.spec());
  job->phases.assign(state.phases().begin(), state.phases().end());
  job->submitted = LogTime{state.submitted_ms()};
  job->finished = LogTime{state.finished_ms()};
  job->not_before = LogTime{state.not_before_ms()};
  job->open_phase = state.open_phase();
  job->cancelled = state.cancelled();
  job->closed = state.closed();
  job->reason = state.reason();
  job->parts_expected = state.parts_expected();
  job->parts_seen = state.parts_seen();
  job->tasks_expected = state.tasks_expected();
  if (state.has_file()) {
    job->file = std::make_unique<JobFile>();
    job->file->identity = state.file();
    job->file->claimed = state.claimed();
    job->file->final_path = state.final_path();
  }
  job->tasks.resize(static_cast<size_t>(state.tasks_size()));
  for (int i = 0; i < state.tasks_size(); i++) {
    const v1::TaskState& in = state.tasks(i);
    Task& task = job->tasks[static_cast<size_t>(i)];
    task.state = static_cast<TaskState>(in.kind());
    task.phase = in.spec().phase();
    task.attempt = in.attempt();
    task.floor = in.floor();
    task.failures = in.failures();
    task.losses = in.losses();
    task.due = LogTime{in.due_ms()};
    task.percent = static_cast<uint8_t>(in.percent());
    task.last_ending = in.last_ending();
    if (!in.worker().empty()) {
      task.worker = Intern(in.worker());
      task.lane = in.lane();
      task.assigned = LogTime{in.assigned_ms()};
      task.started = LogTime{in.started_ms()};
      task.store = StoreId::FromBytes(in.store()).value_or(StoreId{});
      task.incarnation = IncarnationId::FromBytes(in.incarnation()).value_or(IncarnationId{});
    }
    if (task.state == TaskState::kDead) job->dead++;
    if (!in.spec().data_source().empty()) task.More().spec.set_data_source(in.spec().data_source());
    if (!in.spec().payload().empty()) task.More().spec.set_payload(in.spec().payload());
    if (!in.message().empty()) task.More().message = in.message();
    if (in.has_checkpoint()) task.More().checkpoint = in.checkpoint();
    if (in.records() != 0) task.More().records = in.records();
    if (!in.output().empty()) task.More().output = in.output();
    if (!in.last_message().empty()) task.More().last_message = in.last_message();
    if (in.attempts_size() != 0) task.More().attempts.assign(in.attempts().begin(), in.attempts().end());
  }
  RecountPhase(*job);
  return job;
}

void Ledger::Snapshot(uint32_t partition,
                      const std::function<void(const v1::PartitionSnapshot&)>& piece) const {
  constexpr int kJobsPerPiece = 1000;
  const Partition& p = partitions_[partition];
  v1::PartitionSnapshot out;
  const auto begin = [&] {
    out.Clear();
    out.set_partition(partition);
    out.set_next_offset(LANEWAY_PLANTED(kSnapshotSkipsTail) ? p.next + 3 : p.next);
    out.set_epoch(p.epoch);
    out.set_last_time_ms(p.time.ms);
  };
  begin();
  for (const auto& [name, worker] : verdicts_) {
    if (EventPartition(WorkerId(name), partitions()) != partition) continue;
    v1::WorkerState& state = *out.add_workers();
    state.set_worker(name);
    state.set_lost(worker.lost);
    state.set_incarnation(worker.incarnation.ToBytes());
    state.set_judged(worker.judged);
    state.set_reason(worker.reason);
    state.set_browser_lost(worker.browser_lost);
    state.set_browser_judged(worker.browser_judged);
  }
  // Restore takes them in any order; but the same state is to be written down the same way.
  std::vector<const Job*> sorted;
  sorted.reserve(p.jobs.size());
  for (const auto& entry : p.jobs) sorted.push_back(entry.second.get());  // unordered: sorted below
  std::sort(sorted.begin(), sorted.end(), [](const Job* a, const Job* b) { return a->id < b->id; });
  for (const Job* job : sorted) {
    *out.add_jobs() = ToState(*job);
    if (out.jobs_size() < kJobsPerPiece) continue;
    piece(out);
    begin();
  }
  piece(out);
}

void Ledger::Restore(const v1::PartitionSnapshot& piece) {
  Partition& p = partitions_[piece.partition()];
  p.first = p.next = p.orphans_from = piece.next_offset();
  p.epoch = piece.epoch();
  p.epoch_is_sure = true;
  p.time = LogTime{piece.last_time_ms()};
  for (const v1::WorkerState& state : piece.workers()) {
    Intern(state.worker());
    WorkerVerdicts& worker = verdicts_[state.worker()];
    worker.lost = state.lost();
    worker.incarnation = IncarnationId::FromBytes(state.incarnation()).value_or(IncarnationId{});
    worker.judged = state.judged();
    worker.reason = state.reason();
    worker.browser_lost = state.browser_lost();
    worker.browser_judged = state.browser_judged();
  }
  for (const v1::JobState& state : piece.jobs()) Insert(FromState(state));
}

uint64_t Ledger::Digest() const {
  uint64_t sum = 0;
  for (const Partition& p : partitions_) {
    sum = Mix64(sum ^ p.next) + Mix64(p.epoch) + Mix64(static_cast<uint64_t>(p.time.ms));
    uint64_t jobs = 0;
    // unordered: a sum
    for (const auto& entry : p.jobs) jobs += HashBytes(ToState(*entry.second).SerializeAsString());
    sum = Mix64(sum ^ jobs);
  }
  for (const auto& [name, worker] : verdicts_) {
    sum = Mix64(sum ^ Mix64(worker.incarnation.hi ^ Mix64(worker.incarnation.lo)) ^ HashBytes(worker.reason));
    sum = Mix64(sum ^ HashBytes(name) ^ worker.judged ^ (worker.lost ? 1U : 0U) ^
                (worker.browser_lost ? 2U : 0U) ^ worker.browser_judged << 32);
  }
  return sum;
}

const Job* Ledger::Find(const JobId& job) const {
  const auto& jobs = partitions_[EventPartition(job, partitions())].jobs;
  if (const auto found = jobs.find(job); found != jobs.end()) return found->second.get();
  for (const auto& closed : just_closed_) {
    if (closed->id == job) return closed.get();
  }
  return nullptr;
}

std::optional<v1::JobState> Ledger::Load(const JobId& job) const {
  const auto& jobs = partitions_[EventPartition(job, partitions())].jobs;
  if (const auto found = jobs.find(job); found != jobs.end()) return ToState(*found->second);
  const auto bytes = finished_->Get(job, next_offset(EventPartition(job, partitions())));
  v1::JobState state;
  if (!bytes || !state.ParseFromString(*bytes)) return std::nullopt;
  return state;
}

std::vector<JobId> Ledger::OpenJobs() const {
  std::vector<JobId> ids;
  ids.reserve(open_jobs());
  for (const Partition& p : partitions_) {
    for (const auto& entry : p.jobs) ids.push_back(entry.first);  // unordered: sorted below
  }
  std::sort(ids.begin(), ids.end());
  return ids;
}

size_t Ledger::open_jobs() const {
  size_t count = 0;
  for (const Partition& p : partitions_) count += p.jobs.size();
  return count;
}

const std::string& Ledger::WorkerName(WorkerIndex index) const {
  static const std::string kNobody;
  return index < worker_names_.size() ? worker_names_[index] : kNobody;
}

WorkerIndex Ledger::FindWorker(std::string_view name) const {
  const auto found = worker_index_.find(std::string(name));
  return found == worker_index_.end() ? kNoWorker : found->second;
}

const WorkerVerdicts* Ledger::Verdicts(std::string_view worker) const {
  const auto found = verdicts_.find(worker);
  return found == verdicts_.end() ? nullptr : &found->second;
}

std::vector<TaskId> Ledger::HeldBy(std::string_view worker) const {
  const WorkerIndex index = FindWorker(worker);
  if (index == kNoWorker) return {};
  std::vector<TaskId> tasks(held_[index].begin(), held_[index].end());  // unordered: sorted below
  std::sort(tasks.begin(), tasks.end());
  return tasks;
}

JobPhase Job::phase() const {
  if (!submitted_whole() && finished.ms == 0) return JobPhase::kSubmitting;
  // not finished: a dead task of it was redriven
  if (finished.ms != 0 && cancelled) return JobPhase::kCancelled;
  if (finished.ms != 0) return dead == 0 ? JobPhase::kSucceeded : JobPhase::kFailed;
  for (const Task& task : tasks) {
    if (task.state != TaskState::kPending || task.attempt > 1) return JobPhase::kRunning;
  }
  return JobPhase::kPending;
}

std::string_view TaskStateName(TaskState state) {
  constexpr std::string_view kNames[kTaskStates] = {"PENDING",   "ASSIGNED", "RUNNING",
                                                    "SUCCEEDED", "DEAD",     "CANCELLED"};
  return kNames[static_cast<size_t>(state)];
}

std::string_view JobPhaseName(JobPhase phase) {
  constexpr std::string_view kNames[kJobPhases] = {"PENDING",   "PENDING", "RUNNING",
                                                   "SUCCEEDED", "FAILED",  "CANCELLED"};
  return kNames[static_cast<size_t>(phase)];
}

namespace {
struct VerdictWords {
  std::string_view name;
  std::string_view text;
};
constexpr VerdictWords kVerdictWords[kVerdicts] = {
    {"accepted", "it counts"},
    {"duplicate", "the same was said before"},
    {"unknown_job", "no job of this id is known"},
    {"unknown_task", "the job has no such task, or its submission is not complete"},
    {"job_finished", "the job has ended"},
    {"job_unfinished", "the job has not ended"},
    {"task_finished", "the task has ended: the first result won"},
    {"superseded", "it speaks of an attempt that is not the current one"},
    {"not_pending", "the task does not wait for a worker"},
    {"not_held", "no worker holds the attempt"},
    {"not_assigned", "the attempt was started before"},
    {"other_worker", "it comes from a worker, or a store, that does not hold the attempt"},
    {"old_epoch", "it was written under the epoch of a dispatcher that has been succeeded"},
    {"before_redrive", "it is a result of an attempt before the task was redriven"},
    {"not_dead", "the task is not dead"},
    {"not_closed", "the job's file has not arrived in its output folder"},
    {"late_success", "the job rejects results of superseded attempts"},
    {"phase_not_ready", "the phase before has not succeeded"},
    {"old_beat", "it judges a heartbeat older than what is known"},
    {"worker_is_lost", "the worker is called lost already"},
    {"worker_is_not_lost", "the worker is not called lost"},
    {"void_carry", "it rests on records that could not be read"},
    {"malformed", "it cannot be understood"},
};
}  // namespace

std::string_view VerdictName(FoldVerdict verdict) { return kVerdictWords[static_cast<size_t>(verdict)].name; }
std::string_view VerdictText(FoldVerdict verdict) { return kVerdictWords[static_cast<size_t>(verdict)].text; }

}  // namespace laneway
