// ledger.h: the fold of the `events` topic: the state of every job, and the only judge of what counts.
//
// Role:       pure core; dispatcher, reaper, API and auditor run the same one.
// Input:      records of `events`, partition by partition, in the order of their offsets, with the time the
//             log wrote on them.
// Output:     a verdict on each (accepted, or ignored and why), and what changed by it.
// Invariants: (1) the same records give the same state and the same verdicts, whoever reads them and
//             whenever; (2) at most one success of a task is accepted, and what is finished stays finished
//             unless it is redriven; (3) an attempt number is given once (rule L1); (4) memory is bounded by
//             what is open: closed jobs go to FinishedJobs. Rules:      L1–L6 are kept here; each is named
//             where it is kept.
// Threads:    one owner.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "fleet/hash_map.h"
#include "fleet/ids.h"
#include "fleet/job.h"
#include "fleet/log_time.h"
#include "laneway/v1/event.pb.h"
#include "laneway/v1/snapshot.pb.h"

namespace laneway {

// Why an event counts, or does not. The names reach users and the label `reason` of
// laneway_events_ignored_total.
enum class FoldVerdict : uint8_t {
  kAccepted,
  kDuplicate,  // this was said before: a second submission, claim, mark, …
  kUnknownJob,
  kUnknownTask,
  kJobFinished,
  kJobUnfinished,
  kTaskFinished,
  kSuperseded,  // about an attempt that is not the current one
  kNotPending,
  kNotHeld,      // no worker has the attempt
  kNotAssigned,  // TaskStarted of an attempt that runs already, or was never assigned
  kOtherWorker,  // from a worker, or a store, that does not hold it
  kOldEpoch,
  kBeforeRedrive,  // a result of an attempt before the redrive
  kNotDead,
  kNotClosed,
  kLateSuccess,  // the job asked to reject them
  kPhaseNotReady,
  kOldBeat,  // judges a heartbeat older than what is known
  kWorkerIsLost,
  kWorkerIsNotLost,
  kVoidCarry,  // what it covers lies before what this reader could read
  kMalformed,
};
inline constexpr size_t kVerdicts = static_cast<size_t>(FoldVerdict::kMalformed) + 1;
std::string_view VerdictName(FoldVerdict verdict);  // "duplicate", … a label
std::string_view VerdictText(FoldVerdict verdict);  // a sentence for people

// What an accepted event did. Emitted in order; a job's own change comes after those of its tasks.
struct Change {
  enum class Kind : uint8_t {
    kJobOpened,    // all parts are there
    kTaskPending,  // waits (again), due at Task::due, under Task::attempt
    kTaskAssigned,
    kTaskStarted,
    kTaskProgressed,
    kTaskSucceeded,
    kTaskDead,
    kTaskCancelled,
    kJobFinished,
    kJobReopened,  // redriven
    kFileClaimed,
    kJobClosed,  // it is about to be forgotten: the last moment to look at it
    kEpochOpened,
    kWorkerLost,
    kWorkerReturned,
    kBrowserLost,
    kBrowserReturned,
  };
  Kind kind = Kind::kTaskPending;
  TaskId task{};  // n == 0: about the job
  TaskState before = TaskState::kPending;
  uint32_t held_attempt = 0;        // the attempt that was held before this change; 0: none
  WorkerIndex held_by = kNoWorker;  // and who held it
  LogTime held_since{};             // when it started; 0: it had not
  // the attempt the event was about; of a late success not the one that was held
  uint32_t by_attempt = 0;
  WorkerIndex worker = kNoWorker;  // of changes about workers
};

// Remembers closed jobs: id → serialized v1::JobState. In memory for simulation, RocksDB in life.
// It may be ahead of a fold that replays from its snapshot; so everything said to it carries the offset (in
// the job's partition) at which it was said, and a job counts as closed only as of the offset that is asked
// for: closed before it, and not reopened before it.
class FinishedJobs {
 public:
  virtual ~FinishedJobs() = default;
  virtual void Put(const JobId& job, Offset at, std::string state, bool was_reopened) = 0;
  virtual std::optional<std::string> Get(const JobId& job, Offset as_of) = 0;
  virtual bool Contains(const JobId& job, Offset as_of) = 0;
  virtual void Reopen(const JobId& job, Offset at) = 0;
};

struct WorkerVerdicts {  // what the fold says of a worker
  bool lost = false;
  bool browser_lost = false;
  IncarnationId incarnation;
  uint64_t judged = 0;
  uint64_t browser_judged = 0;
  std::string reason;
};

struct LedgerOptions {
  uint32_t partitions = 8;
  size_t orphan_records_max = 100000;  // a partition's, of jobs whose beginning could not be read (rule L5)
};

class Ledger {
 public:
  Ledger(LedgerOptions options, FinishedJobs* finished);
  Ledger(const Ledger&) = delete;
  Ledger& operator=(const Ledger&) = delete;

  // Where a reader begins that has no snapshot: the oldest record kept. Before the first Apply to the
  // partition.
  void StartAt(uint32_t partition, Offset first);
  // Folds one record. Changes are appended to `changes`. Records must come without gaps in each partition.
  FoldVerdict Apply(uint32_t partition, Offset offset, LogTime time, const v1::Event& event,
                    std::vector<Change>* changes);
  // A record that cannot be read as an Event still takes its offset.
  void Skip(uint32_t partition, Offset offset, LogTime time);

  // Open jobs, and those that the last Apply closed: changes can be looked at until the next one.
  const Job* Find(const JobId& job) const;
  std::optional<v1::JobState> Load(const JobId& job) const;  // open or closed
  bool IsClosed(const JobId& job) const {
    return finished_->Contains(job, next_offset(EventPartition(job, partitions())));
  }
  std::vector<JobId> OpenJobs() const;  // ascending
  size_t open_jobs() const;

  uint32_t partitions() const { return static_cast<uint32_t>(partitions_.size()); }
  Offset next_offset(uint32_t partition) const { return partitions_[partition].next; }
  Epoch epoch(uint32_t partition) const { return partitions_[partition].epoch; }
  LogTime last_time(uint32_t partition) const { return partitions_[partition].time; }

  const std::string& WorkerName(WorkerIndex index) const;  // "" for kNoWorker
  WorkerIndex FindWorker(std::string_view name) const;     // kNoWorker when never heard of
  const WorkerVerdicts* Verdicts(std::string_view worker) const;
  std::vector<TaskId> HeldBy(std::string_view worker) const;  // ASSIGNED or RUNNING there; ascending

  // How many tasks are in each state (open jobs), and how many ended in each since the fold began.
  const std::array<uint64_t, kTaskStates>& tasks_now() const { return tasks_now_; }
  const std::array<uint64_t, kTaskStates>& tasks_ended() const { return tasks_ended_; }
  const std::array<uint64_t, kJobPhases>& jobs_ended() const { return jobs_ended_; }

  // The partition at rest, in pieces of at most ~1,000 jobs; every piece names partition and offset. Restore
  // takes them in any order, before any Apply.
  void Snapshot(uint32_t partition, const std::function<void(const v1::PartitionSnapshot&)>& piece) const;
  void Restore(const v1::PartitionSnapshot& piece);

  // The same for the same state, however it was reached.
  uint64_t Digest() const;

  v1::JobState ToState(const Job& job) const;
  v1::JobState ToStateWithoutTasks(const Job& job) const;  // for readers of jobs with many tasks
  v1::TaskState ToState(const Task& task) const;

 private:
  struct Partition {
    Offset first = 0;  // the first record this reader could read
    Offset next = 0;
    Epoch epoch = 0;
    bool epoch_is_sure = true;  // false: the mark in force where this reader began could not be read
    LogTime time;
    HashMap<JobId, std::unique_ptr<Job>> jobs;
    struct Orphan {
      Offset offset = 0;
      LogTime time;
      std::string event;
    };
    std::map<JobId, std::vector<Orphan>> orphans;
    size_t orphan_records = 0;
    Offset orphans_from = 0;  // orphans are complete from here on
  };
  struct Now;  // one Apply

  FoldVerdict Dispatch(Now& now, const v1::Event& event);
  FoldVerdict Submitted(Now& now, const v1::Event& event);
  FoldVerdict SubmittedPart(Now& now, Job& job, const v1::JobSubmitted& part);
  FoldVerdict Assigned(Now& now, const v1::Event& event);
  FoldVerdict Started(Now& now, const v1::Event& event);
  FoldVerdict Progressed(Now& now, const v1::Event& event);
  FoldVerdict Succeeded(Now& now, const v1::Event& event);
  FoldVerdict Failed(Now& now, const v1::Event& event);
  FoldVerdict Released(Now& now, const v1::Event& event);
  FoldVerdict Republished(Now& now, const v1::Event& event);
  FoldVerdict Opened(Now& now, const v1::Event& event);
  FoldVerdict Cancelled(Now& now, const v1::Event& event);
  FoldVerdict Redriven(Now& now, const v1::Event& event);
  FoldVerdict Claimed(Now& now, const v1::Event& event);
  FoldVerdict Moved(Now& now, const v1::Event& event);
  FoldVerdict Gone(Now& now, const v1::Event& event);
  FoldVerdict Carried(Now& now, const v1::Event& event);
  FoldVerdict Epoched(Now& now, const v1::Event& event);
  FoldVerdict Lost(Now& now, const v1::Event& event);
  FoldVerdict Returned(Now& now, const v1::Event& event);
  FoldVerdict BrowserLost(Now& now, const v1::Event& event);
  FoldVerdict BrowserReturned(Now& now, const v1::Event& event);

  struct Spot {  // a task an event is about
    Job* job = nullptr;
    Task* task = nullptr;
    FoldVerdict missing = FoldVerdict::kAccepted;
  };
  Spot Locate(Now& now, const v1::Event& event);
  // For events of the current attempt from the worker that holds it.
  FoldVerdict CheckHolder(const Spot& spot, const v1::Event& event, const std::string& worker) const;

  void SetState(Task& task, TaskState state);
  void EndAttempt(Now& now, Task& task, uint32_t attempt, std::string_view outcome, v1::Ending ending,
                  int32_t exit_code, std::string_view message);
  void LetGo(Job& job, Task& task, uint32_t n);
  static LogTime KeptPlace(const Now& now, const Task& task);
  void BackToPending(Now& now, Job& job, uint32_t n, LogTime due, const Change& held);
  void Die(Now& now, Job& job, uint32_t n, const Change& held);
  void FinishTask(Now& now, Job& job, uint32_t n, TaskState state, const Change& held);
  void MaybeFinishJob(Now& now, Job& job);
  void FinishJob(Now& now, Job& job);
  void CloseJob(Now& now, Job& job);
  void OpenJob(Now& now, Job& job);
  Change Held(const Job& job, const Task& task, uint32_t n) const;
  void RecountPhase(Job& job) const;
  void SkipEmptyPhases(Job& job) const;
  void DropOrphans(Partition& partition, const JobId& job);

  void MaybeLearnEpoch(uint32_t partition, Epoch epoch);
  WorkerIndex Intern(const std::string& worker);
  std::shared_ptr<const v1::JobSpec> InternSpec(const v1::JobSpec& spec);
  std::unique_ptr<Job> FromState(const v1::JobState& state);
  Job* Insert(std::unique_ptr<Job> job);
  void CountIn(const Job& job, int sign);

  LedgerOptions options_;
  FinishedJobs* finished_;
  std::vector<Partition> partitions_;
  std::vector<std::string> worker_names_;
  std::unordered_map<std::string, WorkerIndex> worker_index_;
  std::map<std::string, WorkerVerdicts, std::less<>> verdicts_;
  std::vector<HashSet<TaskId>> held_;  // by WorkerIndex
  std::unordered_map<std::string, std::weak_ptr<const v1::JobSpec>> specs_;
  std::array<uint64_t, kTaskStates> tasks_now_{};
  std::array<uint64_t, kTaskStates> tasks_ended_{};
  std::array<uint64_t, kJobPhases> jobs_ended_{};
  std::vector<std::unique_ptr<Job>> just_closed_;
};

}  // namespace laneway
