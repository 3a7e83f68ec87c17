// shapes.h: jobs, tasks, workers, lanes, dead letters and alerts as the API shows them.
//
// Role:       pure: a view is taken on the fold's loop, where the ledger is; it is written as JSON anywhere.
//             Bounds:     a view holds the tasks of one page, whatever the job's size.
// Threads:    functions; values.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "fleet/ledger.h"
#include "fleet/members.h"
#include "laneway/v1/report.pb.h"
#include "laneway/v1/snapshot.pb.h"
#include "ops/json_writer.h"

namespace laneway::api {

using TaskCounts = std::array<uint64_t, kTaskStates>;

struct TaskView {
  uint32_t n = 0;
  v1::TaskState state;
  std::string waits_for;  // PENDING: why it waits
};

struct TaskPage {
  uint32_t first = 1;  // number of the first task
  uint32_t limit = 0;  // 0: no tasks at all
};

struct JobView {
  v1::JobState head;  // without tasks
  JobPhase state = JobPhase::kPending;
  TaskCounts counts{};
  std::vector<TaskCounts> phases;
  std::vector<TaskView> tasks;
  uint32_t next = 0;  // the first task of the next page; 0: there is none
  bool with_tasks = false;
};

JobView ViewOf(const Ledger& ledger, const Job& job, TaskPage page);
JobView ViewOf(v1::JobState state, TaskPage page);
// Whether one of its tasks is, or was, with this worker.
bool WasOn(const Ledger& ledger, const Job& job, WorkerIndex worker);
bool WasOn(const v1::JobState& state, const std::string& worker);
JobPhase PhaseOf(const v1::JobState& state);

void WriteJob(ops::JsonWriter& out, const JobView& job);
std::string_view SourceName(v1::JobSource source);

enum class WorkerState : uint8_t { kUp, kPaused, kDraining, kLost, kGone };
std::string_view WorkerStateName(WorkerState state);  // "UP", …
WorkerState StateOf(const Member& member, const WorkerVerdicts* verdicts);
// An operator named it, but no such worker was ever here.
bool IsPhantom(const Member& member);

struct WorkerView {
  Member member;
  WorkerState state = WorkerState::kUp;
  std::string reason;
  uint64_t running = 0;
  uint64_t queued = 0;
  std::vector<Lane> lanes;
  std::vector<TaskId> tasks;  // held; only for a single worker
  bool with_tasks = false;
};
WorkerView ViewOf(const Ledger& ledger, const Members& members, const Member& member, bool with_tasks);
void WriteWorker(ops::JsonWriter& out, const WorkerView& worker, LogTime now);

struct LaneView {
  Lane lane = 0;
  std::string worker;
  uint64_t backlog = 0;  // attempts sent here that have not ended
  uint64_t lag = 0;      // of them: not read by the worker as of its last heartbeat
  Offset end = 0;
  std::optional<LaneRead> read;
};
void WriteLane(ops::JsonWriter& out, const LaneView& lane);

struct DeadView {
  v1::DeadLetter letter;
  LogTime died;
  TaskState state = TaskState::kDead;
  bool known = false;  // its job is still remembered
};
void WriteDead(ops::JsonWriter& out, const DeadView& dead);
void WriteAlert(ops::JsonWriter& out, const v1::Alert& alert, LogTime time);

// "exit_code", "timeout", …; empty for none.
std::string EndingName(v1::Ending ending);

}  // namespace laneway::api
