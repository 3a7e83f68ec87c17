// ledger_jobs.cc: how jobs come into the Ledger: submissions, in one record or several, and jobs carried over
// the end of retention. And what is said about workers.
#include <algorithm>

#include "fleet/ledger.h"
#include "fleet/ledger_now.h"
#include "fleet/planted.h"

namespace laneway {

namespace {

void AddTask(Job& job, v1::TaskSpec spec) {
  Task& task = job.tasks.emplace_back();
  task.phase = spec.phase();
  task.due = job.not_before.ms > job.submitted.ms ? job.not_before : job.submitted;
  if (!spec.data_source().empty() || !spec.payload().empty())
    *task.More().spec.mutable_data_source() = std::move(*spec.mutable_data_source());
  if (!spec.payload().empty()) *task.More().spec.mutable_payload() = std::move(*spec.mutable_payload());
}

constexpr std::string_view kProcessDied = "process_died";

// Appended by who saw the process end and stopped its scripts.
bool IsLastWords(const v1::WorkerLost& lost) {
  return lost.reason() == kProcessDied || lost.held_size() != 0;
}

// A submission that the rest of the fold could not live with.
bool IsMalformed(const v1::JobSubmitted& submitted) {
  const uint32_t phases = std::max(1, submitted.phases_size());
  if (submitted.part() == 0 && !submitted.has_spec()) return true;
  if (submitted.part() >= std::max(1U, submitted.parts())) return true;
  if (submitted.has_file() && (submitted.parts() > 1 || submitted.tasks_size() > 1 || phases > 1))
    return true;
  if (submitted.part() != 0) return false;  // only the first part names the phases
  return std::any_of(submitted.tasks().begin(), submitted.tasks().end(),
                     [&](const v1::TaskSpec& spec) { return spec.phase() >= phases; });
}

}  // namespace

FoldVerdict Ledger::Submitted(Now& now, const v1::Event& event) {
  const auto id = JobId::FromBytes(event.job_id());
  const v1::JobSubmitted& submitted = event.job_submitted();
  if (!id || IsMalformed(submitted)) return FoldVerdict::kMalformed;
  Partition& p = partitions_[now.partition];
  const auto known = p.jobs.find(*id);
  if (known != p.jobs.end()) return SubmittedPart(now, *known->second, submitted);
  if (finished_->Contains(*id, now.offset)) return FoldVerdict::kDuplicate;
  if (submitted.part() != 0) return FoldVerdict::kUnknownJob;

  auto job = std::make_unique<Job>();
  job->id = *id;
  job->name = submitted.name();
  job->source = submitted.source();
  job->spec = InternSpec(submitted.spec());
  job->submitted = now.time;
  job->not_before = LogTime{submitted.not_before_ms()};
  job->phases.assign(submitted.phases().begin(), submitted.phases().end());
  job->parts_expected = std::max(1U, submitted.parts());
  job->tasks_expected = submitted.task_count();
  if (submitted.has_file()) {
    job->file = std::make_unique<JobFile>();
    job->file->identity = submitted.file();
  }
  DropOrphans(p, *id);
  return SubmittedPart(now, *Insert(std::move(job)), submitted);
}

// Parts count in their order: what was said before is a duplicate, what is missing something cannot be.
FoldVerdict Ledger::SubmittedPart(Now& now, Job& job, const v1::JobSubmitted& part) {
  if (job.submitted_whole() || part.part() < job.parts_seen) return FoldVerdict::kDuplicate;
  if (part.part() != job.parts_seen || std::max(1U, part.parts()) != job.parts_expected || job.is_finished())
    return FoldVerdict::kMalformed;
  for (const v1::TaskSpec& spec : part.tasks()) {
    if (spec.phase() >= job.phase_count()) return FoldVerdict::kMalformed;
  }
  const size_t before = job.tasks.size();
  job.tasks.reserve(std::min<size_t>(job.tasks_expected, 100000));
  for (const v1::TaskSpec& spec : part.tasks()) AddTask(job, spec);
  job.parts_seen++;
  if (job.submitted_whole() && job.tasks.empty()) AddTask(job, {});
  tasks_now_[static_cast<size_t>(TaskState::kPending)] += job.tasks.size() - before;
  if (job.submitted_whole()) OpenJob(now, job);
  return FoldVerdict::kAccepted;
}

void Ledger::OpenJob(Now& now, Job& job) {
  job.tasks.shrink_to_fit();
  SkipEmptyPhases(job);
  now.Say(Change::Kind::kJobOpened, {job.id, 0});
  for (uint32_t n = 1; n <= job.tasks.size(); n++) {
    if (job.tasks[n - 1].phase == job.open_phase) now.Say(Change::Kind::kTaskPending, {job.id, n});
  }
}

// Rule L5. Who knows the job ignores it; who does not takes the state and folds what came after; it is void
// when that could not be read.
FoldVerdict Ledger::Carried(Now& now, const v1::Event& event) {
  const auto id = JobId::FromBytes(event.job_id());
  v1::JobState state;
  if (!id || !state.ParseFromString(event.job_carried().state()) || state.job_id() != event.job_id())
    return FoldVerdict::kMalformed;
  Partition& p = partitions_[now.partition];
  const bool known = p.jobs.contains(*id);
  if (finished_->Contains(*id, now.offset)) return FoldVerdict::kJobFinished;
  if (known && !LANEWAY_PLANTED(kL5CarriedReplaces)) return FoldVerdict::kDuplicate;
  if (event.job_carried().covers_offset() < std::max(p.first, p.orphans_from)) return FoldVerdict::kVoidCarry;
  if (known) {
    CountIn(*p.jobs[*id], -1);
    p.jobs.erase(*id);
  }
  Job& job = *Insert(FromState(state));
  now.Say(Change::Kind::kJobOpened, {job.id, 0});
  for (uint32_t n = 1; n <= job.tasks.size(); n++) {
    const Task& task = job.tasks[n - 1];
    if (task.state == TaskState::kPending && task.phase == job.open_phase)
      now.Say(Change::Kind::kTaskPending, {*id, n});
    if (task.state == TaskState::kAssigned) now.Say(Change::Kind::kTaskAssigned, {*id, n});
    if (task.state == TaskState::kRunning) now.Say(Change::Kind::kTaskStarted, {*id, n});
  }
  const auto orphans = p.orphans.extract(*id);
  if (orphans.empty()) return FoldVerdict::kAccepted;
  p.orphan_records -= orphans.mapped().size();
  for (const Partition::Orphan& orphan : orphans.mapped()) {
    v1::Event later;
    if (orphan.offset < event.job_carried().covers_offset() || !later.ParseFromString(orphan.event)) continue;
    // With its own offset and time: who knew the job has folded it under these.
    Now then{now.partition, orphan.offset, orphan.time, now.changes};
    Dispatch(then, later);
  }
  return FoldVerdict::kAccepted;
}

void Ledger::DropOrphans(Partition& partition, const JobId& job) {
  const auto found = partition.orphans.find(job);
  if (found == partition.orphans.end()) return;
  partition.orphan_records -= found->second.size();
  partition.orphans.erase(found);
}

// ---- workers and browsers (rule R2): a verdict names the beat it judges

FoldVerdict Ledger::Lost(Now& now, const v1::Event& event) {
  const v1::WorkerLost& lost = event.worker_lost();
  if (lost.worker().empty()) return FoldVerdict::kMalformed;
  WorkerVerdicts& worker = verdicts_[lost.worker()];
  if (worker.lost) return FoldVerdict::kWorkerIsLost;
  const auto incarnation = IncarnationId::FromBytes(lost.incarnation()).value_or(IncarnationId{});
  // Rule R2: no later beat, and of last words, which know of no beats, no later incarnation (ULIDs: they
  // grow) was accepted.
  const bool later =
      IsLastWords(lost) ? incarnation < worker.incarnation : lost.heartbeat_offset() < worker.judged;
  if (later && !LANEWAY_PLANTED(kR2LostAnyBeat)) return FoldVerdict::kOldBeat;
  worker.lost = true;
  worker.judged = std::max<uint64_t>(worker.judged, lost.heartbeat_offset());
  worker.incarnation = incarnation;
  worker.reason = lost.reason();
  now.SayWorker(Change::Kind::kWorkerLost, Intern(lost.worker()));
  return FoldVerdict::kAccepted;
}

FoldVerdict Ledger::Returned(Now& now, const v1::Event& event) {
  const v1::WorkerReturned& returned = event.worker_returned();
  if (returned.worker().empty()) return FoldVerdict::kMalformed;
  WorkerVerdicts& worker = verdicts_[returned.worker()];
  if (!worker.lost) return FoldVerdict::kWorkerIsNotLost;
  const auto incarnation = IncarnationId::FromBytes(returned.incarnation()).value_or(IncarnationId{});
  if (returned.heartbeat_offset() <= worker.judged) return FoldVerdict::kOldBeat;
  // Last words name no beat: whatever that incarnation said was said before them.
  if (worker.reason == kProcessDied && incarnation == worker.incarnation) return FoldVerdict::kOldBeat;
  worker.lost = false;
  worker.judged = returned.heartbeat_offset();
  worker.incarnation = incarnation;
  worker.reason.clear();
  now.SayWorker(Change::Kind::kWorkerReturned, Intern(returned.worker()));
  return FoldVerdict::kAccepted;
}

FoldVerdict Ledger::BrowserLost(Now& now, const v1::Event& event) {
  const v1::BrowserLost& lost = event.browser_lost();
  if (lost.worker().empty()) return FoldVerdict::kMalformed;
  WorkerVerdicts& worker = verdicts_[lost.worker()];
  if (worker.browser_lost) return FoldVerdict::kWorkerIsLost;
  if (lost.health_offset() < worker.browser_judged) return FoldVerdict::kOldBeat;
  worker.browser_lost = true;
  worker.browser_judged = std::max<uint64_t>(worker.browser_judged, lost.health_offset());
  now.SayWorker(Change::Kind::kBrowserLost, Intern(lost.worker()));
  return FoldVerdict::kAccepted;
}

FoldVerdict Ledger::BrowserReturned(Now& now, const v1::Event& event) {
  const v1::BrowserReturned& returned = event.browser_returned();
  if (returned.worker().empty()) return FoldVerdict::kMalformed;
  WorkerVerdicts& worker = verdicts_[returned.worker()];
  if (!worker.browser_lost) return FoldVerdict::kWorkerIsNotLost;
  if (returned.health_offset() <= worker.browser_judged) return FoldVerdict::kOldBeat;
  worker.browser_lost = false;
  worker.browser_judged = returned.health_offset();
  now.SayWorker(Change::Kind::kBrowserReturned, Intern(returned.worker()));
  return FoldVerdict::kAccepted;
}

// ---- names and settings that many share

WorkerIndex Ledger::Intern(const std::string& worker) {
  const auto [it, added] = worker_index_.try_emplace(worker, static_cast<WorkerIndex>(worker_names_.size()));
  if (added) {
    worker_names_.push_back(worker);
    held_.emplace_back();
  }
  return it->second;
}

std::shared_ptr<const v1::JobSpec> Ledger::InternSpec(const v1::JobSpec& spec) {
  std::string bytes = spec.SerializeAsString();
  if (const auto found = specs_.find(bytes); found != specs_.end()) {
    if (auto shared = found->second.lock()) return shared;
  }
  if (specs_.size() >= 1024) {  // forget what nobody uses; the order does not matter
    std::erase_if(specs_, [](const auto& entry) { return entry.second.expired(); });
  }
  auto shared = std::make_shared<const v1::JobSpec>(spec);
  specs_[std::move(bytes)] = shared;
  return shared;
}

Job* Ledger::Insert(std::unique_ptr<Job> job) {
  Partition& p = partitions_[EventPartition(job->id, partitions())];
  CountIn(*job, 1);
  for (uint32_t n = 1; n <= job->tasks.size(); n++) {
    const Task& task = job->tasks[n - 1];
    if (IsHeld(task.state)) held_[task.worker].insert({job->id, n});
  }
  const JobId id = job->id;
  return (p.jobs[id] = std::move(job)).get();
}

}  // namespace laneway
