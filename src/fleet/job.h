// job.h: what the fold knows of a job and its tasks.
//
// Role:       pure data, owned and changed by the Ledger, read by everyone.
// Shapes:     a job's tasks are numbered from 1; tasks[i] is task i+1. Rarely used fields stand apart,
//             because a million tasks may wait.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "fleet/ids.h"
#include "fleet/log_time.h"
#include "laneway/v1/event.pb.h"
#include "laneway/v1/snapshot.pb.h"

namespace laneway {

enum class TaskState : uint8_t { kPending, kAssigned, kRunning, kSucceeded, kDead, kCancelled };
inline constexpr size_t kTaskStates = 6;
constexpr bool IsFinished(TaskState s) { return s >= TaskState::kSucceeded; }
constexpr bool IsHeld(TaskState s) { return s == TaskState::kAssigned || s == TaskState::kRunning; }
std::string_view TaskStateName(TaskState state);  // "PENDING", …

enum class JobPhase : uint8_t { kSubmitting, kPending, kRunning, kSucceeded, kFailed, kCancelled };
inline constexpr size_t kJobPhases = 6;
std::string_view JobPhaseName(
    JobPhase phase);  // "PENDING", … (a job whose parts are not all there is PENDING, too)

// A worker's place in the Ledger's table of names. kNoWorker: nobody.
using WorkerIndex = uint32_t;
inline constexpr WorkerIndex kNoWorker = ~0U;

// False: a builtin handler that writes nothing. Its attempts have no output folder, and nothing runs in
// theirs.
inline bool WritesOutputs(std::string_view handler) { return handler.empty() || handler == "copy"; }

// of each task's history; the numbers of failures and losses are exact all the same
inline constexpr size_t kAttemptsKept = 20;

struct Task {
  // What few tasks have.
  struct Detail {
    v1::TaskSpec spec;
    std::string message;
    std::optional<std::string> checkpoint;
    std::string output;
    uint64_t records = 0;
    std::vector<v1::AttemptState> attempts;  // ended ones, the newest kAttemptsKept
    std::string last_message;                // why the last failed attempt failed
  };

  TaskState state = TaskState::kPending;
  uint8_t percent = 0;
  v1::Ending last_ending = v1::ENDING_UNSPECIFIED;
  uint32_t phase = 0;
  uint32_t attempt = 1;  // the current one: waiting, held, or the last
  uint32_t floor = 1;    // results of lower attempts do not count (rule L4)
  uint32_t failures = 0;
  uint32_t losses = 0;
  WorkerIndex worker = kNoWorker;
  Lane lane = 0;
  LogTime due;
  LogTime assigned;
  LogTime started;
  StoreId store;
  IncarnationId incarnation;
  std::unique_ptr<Detail> detail;

  Detail& More() {
    if (!detail) detail = std::make_unique<Detail>();
    return *detail;
  }
};

struct JobFile {
  v1::FileIdentity identity;
  std::string final_path;  // FileMoved.path: where it ended
  bool claimed = false;    // it is known to have left incoming/
};

struct Job {
  JobId id;
  std::string name;
  std::shared_ptr<const v1::JobSpec> spec;  // shared by all jobs that say the same
  std::unique_ptr<JobFile> file;            // none: a started job
  std::vector<std::string> phases;          // empty: one, "main"
  std::vector<Task> tasks;
  LogTime submitted;
  LogTime finished;  // 0: not yet
  LogTime not_before;
  v1::JobSource source = v1::JOB_SOURCE_UNSPECIFIED;
  uint32_t open_phase = 0;
  uint32_t unfinished_in_phase = 0;  // tasks of the open phase that are not finished
  uint32_t dead = 0;
  uint32_t parts_expected = 1;
  uint32_t parts_seen = 0;
  uint32_t tasks_expected = 0;
  bool cancelled = false;
  bool closed = false;  // finished, and its file (if any) has arrived where it belongs
  std::string reason;   // why it was cancelled, or its file is gone

  bool submitted_whole() const { return parts_seen == parts_expected; }
  bool is_finished() const { return finished.ms != 0; }
  uint32_t phase_count() const { return phases.empty() ? 1 : static_cast<uint32_t>(phases.size()); }
  JobPhase phase() const;
  const Task* Find(uint32_t n) const { return n >= 1 && n <= tasks.size() ? &tasks[n - 1] : nullptr; }
  // DeadLetter, quarantine: an input that must not be tried again.
  bool bad_input() const {
    return !tasks.empty() && tasks[0].state == TaskState::kDead && tasks[0].last_ending == v1::BAD_INPUT;
  }
};

}  // namespace laneway
