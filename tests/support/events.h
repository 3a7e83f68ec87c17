// events.h: records of the events topic in few words, a Ledger to fold them, and the memory of closed jobs in
// a map.
//
// Role:       tests.
// Threads:    one.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "fleet/ledger.h"

namespace laneway::testing {

// Jobs closed, with every closing and reopening, as FinishedJobs asks for.
class MemoryFinished : public FinishedJobs {
 public:
  void Put(const JobId& job, Offset at, std::string state, bool was_reopened) override {
    auto& versions = jobs_[job];
    std::erase_if(versions, [&](const Version& version) { return !was_reopened || version.closed >= at; });
    versions.push_back({.closed = at, .state = std::move(state)});
  }
  std::optional<std::string> Get(const JobId& job, Offset as_of) override {
    const auto found = jobs_.find(job);
    if (found == jobs_.end()) return std::nullopt;
    for (auto it = found->second.rbegin(); it != found->second.rend(); ++it) {
      if (it->closed < as_of && it->reopened >= as_of) return it->state;
    }
    return std::nullopt;
  }
  bool Contains(const JobId& job, Offset as_of) override { return Get(job, as_of).has_value(); }
  void Reopen(const JobId& job, Offset at) override {
    for (Version& version : jobs_[job]) {
      if (version.closed < at && version.reopened == kNever) version.reopened = at;
    }
  }

 private:
  static constexpr Offset kNever = ~Offset{0};
  struct Version {
    Offset closed = 0;
    Offset reopened = kNever;
    std::string state;
  };
  std::map<JobId, std::vector<Version>> jobs_;
};

inline constexpr JobId kJob{7, 1};
inline constexpr StoreId kStore{5, 1};
inline constexpr StoreId kOtherStore{5, 2};
inline constexpr IncarnationId kFirstLife{9, 1};
inline constexpr IncarnationId kSecondLife{9, 2};
inline constexpr const char* kOne = "DTF-01";
inline constexpr const char* kTwo = "DTF-02";

inline v1::Event About(const JobId& job, uint32_t task = 0, uint32_t attempt = 0) {
  v1::Event event;
  event.set_job_id(job.ToBytes());
  event.set_task(task);
  event.set_attempt(attempt);
  return event;
}

struct JobWords {
  uint32_t tasks = 1;
  std::vector<uint32_t> phase_of{};  // of each task; empty: one phase
  uint32_t phases = 0;
  uint32_t max_attempts = 2;
  uint32_t max_losses = 2;
  bool file = false;
  v1::LateSuccess late_success = v1::ACCEPT;
  int64_t not_before_ms = 0;
};

inline v1::JobSpec SpecOf(const JobWords& words) {
  v1::JobSpec spec;
  spec.set_handler("noop");
  spec.set_max_attempts(words.max_attempts);
  spec.set_max_losses(words.max_losses);
  spec.set_late_success(words.late_success);
  spec.mutable_backoff()->set_initial_ms(1000);
  spec.mutable_backoff()->set_factor(2);
  return spec;
}

inline v1::Event Submit(const JobId& job = kJob, const JobWords& words = {}) {
  v1::Event event = About(job);
  v1::JobSubmitted& submitted = *event.mutable_job_submitted();
  submitted.set_name("a job");
  submitted.set_source(words.file ? v1::FILE : v1::API);
  *submitted.mutable_spec() = SpecOf(words);
  submitted.set_not_before_ms(words.not_before_ms);
  for (uint32_t i = 0; i < words.phases; i++) submitted.add_phases("phase " + std::to_string(i));
  if (words.file) {
    submitted.mutable_file()->set_path("a.csv");
    submitted.mutable_file()->set_size(3);
    submitted.mutable_file()->set_inode(11);
    return event;
  }
  const size_t tasks = words.phase_of.empty() ? words.tasks : words.phase_of.size();
  for (size_t i = 0; i < tasks; i++)
    submitted.add_tasks()->set_phase(words.phase_of.empty() ? 0 : words.phase_of[i]);
  return event;
}

inline v1::Event Part(const JobId& job, uint32_t part, uint32_t parts, uint32_t tasks) {
  v1::Event event = Submit(job, {.tasks = tasks});
  event.mutable_job_submitted()->set_part(part);
  event.mutable_job_submitted()->set_parts(parts);
  return event;
}

// About the first task of kJob unless said otherwise.
struct At {
  JobId job = kJob;
  uint32_t task = 1;
  v1::Event Event(uint32_t attempt) const { return About(job, task, attempt); }
};

inline v1::Event Assign(uint32_t attempt, std::string_view worker, Epoch epoch = 0, At at = {},
                        StoreId store = kStore) {
  v1::Event event = at.Event(attempt);
  event.mutable_task_assigned()->set_worker(std::string(worker));
  event.mutable_task_assigned()->set_store(store.ToBytes());
  event.mutable_task_assigned()->set_epoch(epoch);
  event.mutable_task_assigned()->set_lane(4);
  return event;
}

inline v1::Event Start(uint32_t attempt, std::string_view worker, At at = {}, StoreId store = kStore,
                       IncarnationId incarnation = kFirstLife) {
  v1::Event event = at.Event(attempt);
  event.mutable_task_started()->set_worker(std::string(worker));
  event.mutable_task_started()->set_store(store.ToBytes());
  event.mutable_task_started()->set_incarnation(incarnation.ToBytes());
  return event;
}

inline v1::Event Progress(uint32_t attempt, std::string_view worker, uint32_t percent, At at = {}) {
  v1::Event event = at.Event(attempt);
  event.mutable_task_progressed()->set_worker(std::string(worker));
  event.mutable_task_progressed()->set_percent(percent);
  event.mutable_task_progressed()->set_message("halfway");
  event.mutable_task_progressed()->set_checkpoint("page 5");
  return event;
}

inline v1::Event Succeed(uint32_t attempt, std::string_view worker, At at = {}) {
  v1::Event event = at.Event(attempt);
  event.mutable_task_succeeded()->set_worker(std::string(worker));
  return event;
}

inline v1::Event Fail(uint32_t attempt, std::string_view worker, v1::Ending ending = v1::EXIT_CODE,
                      At at = {}) {
  v1::Event event = at.Event(attempt);
  event.mutable_task_failed()->set_worker(std::string(worker));
  event.mutable_task_failed()->set_ending(ending);
  event.mutable_task_failed()->set_exit_code(3);
  event.mutable_task_failed()->set_message("no such page");
  return event;
}

inline v1::Event Release(uint32_t attempt, std::string_view worker, At at = {}) {
  v1::Event event = at.Event(attempt);
  event.mutable_task_released()->set_worker(std::string(worker));
  return event;
}

inline v1::Event Republish(uint32_t attempt, std::string_view worker, At at = {}) {
  v1::Event event = at.Event(attempt);
  event.mutable_task_republished()->set_worker(std::string(worker));
  event.mutable_task_republished()->set_reason("worker_lost");
  return event;
}

inline v1::Event OpenPhase(uint32_t phase, const JobId& job = kJob) {
  v1::Event event = About(job);
  event.mutable_phase_opened()->set_phase(phase);
  return event;
}

inline v1::Event Cancel(const JobId& job = kJob) {
  v1::Event event = About(job);
  event.mutable_job_cancelled()->set_reason("not needed");
  return event;
}

inline v1::Event Redrive(uint32_t attempt, At at = {}) {
  v1::Event event = at.Event(attempt);
  event.mutable_task_redriven()->set_by("somebody");
  return event;
}

inline v1::Event Claim(const JobId& job = kJob) {
  v1::Event event = About(job);
  event.mutable_file_claimed();
  return event;
}

// `attempt` 0: as records were before they named one.
inline v1::Event MovedTo(std::string_view path, const JobId& job = kJob, uint32_t attempt = 0) {
  v1::Event event = attempt == 0 ? About(job) : About(job, 1, attempt);
  event.mutable_file_moved()->set_path(std::string(path));
  return event;
}

inline v1::Event Gone(uint32_t attempt, Epoch epoch = 0, const JobId& job = kJob) {
  v1::Event event = About(job, 1, attempt);
  event.mutable_file_gone()->set_epoch(epoch);
  event.mutable_file_gone()->set_reason("nowhere");
  return event;
}

inline v1::Event Mark(Epoch epoch) {
  v1::Event event;
  event.mutable_epoch_opened()->set_epoch(epoch);
  return event;
}

inline v1::Event Lost(std::string_view worker, uint64_t judged, IncarnationId incarnation = kFirstLife,
                      std::string_view reason = "silent") {
  v1::Event event;
  event.mutable_worker_lost()->set_worker(std::string(worker));
  event.mutable_worker_lost()->set_incarnation(incarnation.ToBytes());
  event.mutable_worker_lost()->set_heartbeat_offset(judged);
  event.mutable_worker_lost()->set_reason(std::string(reason));
  return event;
}

// What the companion says that saw the process end: it knows of no heartbeats.
inline v1::Event LastWords(std::string_view worker, IncarnationId incarnation) {
  return Lost(worker, 0, incarnation, "process_died");
}

inline v1::Event Returned(std::string_view worker, uint64_t judged, IncarnationId incarnation = kFirstLife) {
  v1::Event event;
  event.mutable_worker_returned()->set_worker(std::string(worker));
  event.mutable_worker_returned()->set_incarnation(incarnation.ToBytes());
  event.mutable_worker_returned()->set_heartbeat_offset(judged);
  return event;
}

inline v1::Event BrowserLost(std::string_view worker, uint64_t judged) {
  v1::Event event;
  event.mutable_browser_lost()->set_worker(std::string(worker));
  event.mutable_browser_lost()->set_health_offset(judged);
  return event;
}

inline v1::Event BrowserReturned(std::string_view worker, uint64_t judged) {
  v1::Event event;
  event.mutable_browser_returned()->set_worker(std::string(worker));
  event.mutable_browser_returned()->set_health_offset(judged);
  return event;
}

inline v1::Event Carry(const v1::JobState& state, Offset covers) {
  v1::Event event;
  event.set_job_id(state.job_id());
  event.mutable_job_carried()->set_state(state.SerializeAsString());
  event.mutable_job_carried()->set_covers_offset(covers);
  return event;
}

// A ledger of one partition, and the records it was given.
class Fold {
 public:
  explicit Fold(Offset first = 0, size_t orphan_records_max = 1000)
      : ledger(std::make_unique<Ledger>(
            LedgerOptions{.partitions = 1, .orphan_records_max = orphan_records_max}, &finished)),
        next(first) {
    ledger->StartAt(0, first);
  }
  FoldVerdict Take(const v1::Event& event) {
    changes.clear();
    now = now + Millis(10);
    records.emplace_back(now, event);
    return ledger->Apply(0, next++, now, event, &changes);
  }
  // "PENDING 1", "RUNNING 2 DTF-01", "SUCCEEDED 1", …; of a closed job too.
  std::string TaskIs(const At& at = {}) const {
    const auto state = ledger->Load(at.job);
    if (!state || at.task > static_cast<uint32_t>(state->tasks_size())) return "none";
    const v1::TaskState& task = state->tasks(static_cast<int>(at.task) - 1);
    const TaskState kind = static_cast<TaskState>(task.kind());
    return std::string(TaskStateName(kind)) + " " + std::to_string(task.attempt()) +
           (IsHeld(kind) ? " " + task.worker() : "");
  }
  const Task& TaskOf(const At& at = {}) const { return ledger->Find(at.job)->tasks[at.task - 1]; }
  std::string JobIs(const JobId& job = kJob) const {
    const Job* found = ledger->Find(job);
    return found == nullptr ? "none" : std::string(JobPhaseName(found->phase()));
  }
  bool Said(Change::Kind kind) const {
    for (const Change& change : changes) {
      if (change.kind == kind) return true;
    }
    return false;
  }
  // A ledger that goes on from this one's snapshot.
  std::unique_ptr<Ledger> Restored(FinishedJobs* closed) const {
    auto copy = std::make_unique<Ledger>(LedgerOptions{.partitions = 1}, closed);
    ledger->Snapshot(0, [&](const v1::PartitionSnapshot& piece) {
      v1::PartitionSnapshot read;
      read.ParseFromString(piece.SerializeAsString());
      copy->Restore(read);
    });
    return copy;
  }

  MemoryFinished finished;
  std::unique_ptr<Ledger> ledger;
  std::vector<Change> changes;  // of the last record
  std::vector<std::pair<LogTime, v1::Event>> records;
  Offset next = 0;
  LogTime now{1'000'000};
};

}  // namespace laneway::testing
