// worker.h: takes the work packets of its lanes, decides what runs, and reports how it ended.
//
// Role:       pure core of one worker; its shell (worker_runner.h) or the simulator carries out what it says.
// Input:      lane records in order, answers to its commits and heartbeats, events of the executor, which
//             lanes it owns, browser state, shutdown. Inputs only change its state; Step() decides. Call Step
//             once after all inputs that are there: what came together goes into one commit.
// Output:     Commands: at most one Commit in flight (notes + events, to be carried out as one
//             Journal::Commit), runs, stops, heartbeats, lines, alerts.
// Invariants: (1) W1: an attempt is run only after the commit with its TaskStarted was answered OK; (2) L3:
//             only packets that name this store are taken; (3) no attempt number is run twice, across
//             restarts too; (4) W3: an attempt waits until every lower one of its task was reported; a
//             release is noted no later than it is appended; (5) a result stays until its append was answered
//             OK; (6) without contact to the log for 2/3 of the heartbeat timeout nothing new starts; (7)
//             everything waiting here is bounded (queue_max, tombstones_max).
// Threads:    one owner. No clock, no chance, no I/O: `Now` is handed in.
#pragma once

#include <cstdint>
#include <deque>
#include <initializer_list>
#include <list>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "fleet/hash_map.h"
#include "fleet/ids.h"
#include "fleet/log_time.h"
#include "laneway/v1/event.pb.h"
#include "laneway/v1/lane.pb.h"
#include "laneway/v1/member.pb.h"
#include "laneway/v1/report.pb.h"
#include "laneway/v1/store.pb.h"
#include "worker/browser_state.h"
#include "worker/executor.h"
#include "worker/notes.h"

namespace laneway::worker {

struct WorkerOptions {
  WorkerId id;
  StoreId store;
  IncarnationId incarnation;
  uint32_t capacity = 1;
  std::vector<std::string> labels;
  Millis heartbeat_interval{15000};
  Millis heartbeat_timeout{30000};
  bool has_browser = false;
  Millis browser_health_interval{15000};
  uint32_t queue_max = 65536;       // attempts held; beyond it lanes are not read on
  uint32_t tombstones_max = 32768;  // tasks that are over and whose packets are ignored
  // Different tasks in a row that could not even run here; 0: never pauses itself.
  uint32_t pause_after_failures = 3;
  uint32_t commit_records_max = 4096;
  uint64_t compact_notes_max = 65536;     // notes since the last snapshot …
  uint64_t compact_bytes_max = 16 << 20;  // … and about their bytes
  Millis progress_interval{1000};         // of one attempt
  Millis checkpoint_interval{100};
  // With every slot busy and nothing started for so long, what waits here is handed back: another worker may
  // be free. So is what waits for a browser that is away.
  Millis queue_patience{500};
  Millis retry_first{20};  // a commit that was not answered OK, doubling up to
  Millis retry_max{1000};
};

// `wall` is for people and lines; `boot` counts on through a suspend, and is what leases are measured with.
struct Now {
  LogTime wall;
  Millis boot{0};
};

// One step: its notes and its events. Stays valid and unchanged until its Commit was answered.
struct Batch {
  uint64_t seq = 0;  // the journal value to be written
  // Older journal values go in the same write: the notes hold everything that is open. 0: none.
  uint64_t drop_below = 0;
  v1::WorkerNotes notes;
  google::protobuf::RepeatedPtrField<v1::Event> events;
};

struct Commit {
  uint64_t token = 0;
  const Batch* batch = nullptr;
};
// Verify the file (when the packet has one), then Start; what cannot be started comes back as Ended. The
// packet is valid until then.
struct Run {
  AttemptKey key;
  const v1::WorkPacket* packet = nullptr;
};
struct Stop {
  AttemptKey key;
  StopReason reason = StopReason::kCancelled;
};
// What is to be known to stop survivors of a crash: unsynced, one value a slot.
struct ChildNote {
  uint32_t slot = 0;
  AttemptKey key;
  int32_t pid = 0;
  uint64_t pid_start = 0;
};
// One line of worker.log. `text` in the words people know ("Task Started"), the rest as job=… attempt=…
// file=….
struct Line {
  std::string text;
  std::optional<AttemptKey> key;
  std::string file;
};

struct Commands {
  std::vector<Commit> commits;  // one at the most
  std::vector<Run> runs;
  std::vector<Stop> stops;
  std::vector<ChildNote> children;
  std::vector<v1::Heartbeat> heartbeats;  // one at the most; the shell adds host, version, memory, CPU
  std::vector<v1::BrowserHealth> browser_health;  // one at the most
  std::vector<Line> lines;
  std::vector<v1::Alert> alerts;
  void Clear();
  bool empty() const;
};

enum class Shutdown : uint8_t { kDrain, kAtOnce };

struct WorkerCounters {
  uint64_t packets = 0;
  uint64_t packets_ignored = 0;  // had already, void, another store's
  uint64_t records_bad = 0;
  uint64_t started = 0;
  uint64_t succeeded = 0;
  uint64_t failed = 0;
  uint64_t released = 0;
  uint64_t commit_retries = 0;
  uint64_t browser_restarts = 0;
};

class Worker {
 public:
  Worker(WorkerOptions options, Restored restored);

  // Lanes it owns now. A lane it owned before is read on until its handover mark (rule P2).
  void SetLanes(std::span<const Lane> owned);
  // Reads lanes on: `each(lane, from)`. Nothing while the queue is full.
  template <class Each>
  void ForEachLane(Each each) const {
    if (fatal_.ok() && held_ < options_.queue_max)
      for (const auto& [lane, state] : lanes_)
        if (state.reading) each(lane, state.next);
  }
  // Records in the lane's order; a packet is moved out of the record.
  void OnLaneRecord(Lane lane, Offset offset, v1::LaneRecord&& record);
  // A record that cannot be parsed is counted and passed over.
  void OnBadRecord(Lane lane, Offset offset);
  // After each read, also an empty one: everything below `next` was handed in; `at_end`: there was nothing
  // more.
  void OnLaneRead(Lane lane, Offset next, bool at_end, Now now);

  void OnCommitted(uint64_t token, const absl::Status& status, Now now);
  void OnHeartbeatAnswered(const absl::Status& status, Now now);
  void OnBrowserHealthAnswered(const absl::Status& status, Now now);
  void OnExecutor(const ExecutorEvent& event, Now now);
  void OnBrowser(const BrowserState& browser);
  const BrowserUse& browser_use() const { return browser_use_; }
  const BrowserState& browser() const { return browser_; }
  // An operator says go on: ends a pause the worker gave itself, and voids drain marks of earlier words.
  // `intent`: 1 + its offset in `control`.
  void OnResume(uint64_t intent = 0);
  void BeginShutdown(Shutdown mode, Millis drain_timeout, Now now);

  // Decides; appends to `out`.
  void Step(Now now, Commands* out);
  // Before it (on the boot clock), Step does nothing unless an input came.
  std::optional<Millis> NextDeadline() const;

  // Everything is reported and the last heartbeat is out: the process may end.
  bool finished() const { return shutdown_ && leave_beat_answered_; }
  // Not OK: the log refuses this worker for good (DATA_LOSS, FAILED_PRECONDITION, …). It does nothing any
  // more; scripts were told to stop.
  const absl::Status& fatal() const { return fatal_; }

  uint32_t running() const { return slots_used_; }
  uint32_t queued() const {
    return static_cast<uint32_t>(ready_.size() + ready_browser_.size() + blocked_.size());
  }
  bool idle() const { return held_ == 0 && !in_flight_; }
  bool paused_by_itself() const { return paused_; }
  const WorkerCounters& counters() const { return counters_; }
  const WorkerOptions& options() const { return options_; }
  // Low watermark: everything below is finished and reported.
  Offset FinishedBelow(Lane lane) const;
  // The same of every lane it owns.
  std::vector<std::pair<Lane, Offset>> FinishedInOwn() const;

 private:
  enum class Stage : uint8_t {
    kReady,
    kReadyBrowser,
    kBlocked,
    kStarting,
    kRunning,
    kEnded,
    kReporting,
    kDropped,
    kFree
  };
  struct Attempt {
    AttemptKey key;
    Stage stage = Stage::kFree;
    bool noted = false;      // QUEUED or later stands in the store
    uint64_t noted_seq = 0;  // in which step
    uint64_t order = 0;      // as taken
    bool started = false;    // its TaskStarted is in the log
    bool stop = false;       // cancelled or superseded
    bool stop_sent = false;
    bool doubtful = false;  // its lease lapsed while it waited: what goes wrong with it accuses nobody
    StopReason stop_reason = StopReason::kCancelled;
    Lane lane = 0;
    Offset offset = 0;
    uint32_t slot = 0;
    uint32_t browser_generation = 0;  // what it began with; 0: none
    bool browser_replaced = false;    // that one was lost meanwhile
    v1::WorkPacket packet;
    v1::Event result;  // once ended
    std::string line;  // to be written when the result is durable
    int64_t started_ms = 0;
    uint32_t percent = 0;
    // What the script reported and is not appended yet.
    bool progress = false;
    bool progress_listed = false;
    bool checkpoint_fresh = false;
    Millis progress_sent{-1};
    std::string message;
    std::optional<std::string> checkpoint;
    std::optional<std::string> output;
    uint64_t records = 0;
    Attempt* higher = nullptr;  // the next open attempt of the same task
    std::list<Attempt>::iterator self;
  };
  using Attempts = std::list<Attempt>;
  struct Task {
    uint32_t had = 0;           // the highest attempt taken, cancelled or over
    Attempt* lowest = nullptr;  // open ones, ascending
    uint64_t buried = 0;        // number of its tombstone; 0: none
  };
  struct LaneState {
    Offset next = 0;     // read so far
    Offset sent = 0;     // in the commit in flight
    Offset durable = 0;  // in the store
    Epoch epoch = 0;
    bool owned = false;
    bool reading = false;
    bool released = false;  // the last record for us was a handover mark
    bool drain_marked = false;
    bool dirty = false;   // epoch or released changed
    bool at_end = false;  // seen since the lane was taken away
    Millis moved_at{-1};  // first unnoted move; -1: none
  };

  // worker.cc: inputs.
  void TakePacket(Lane lane, Offset offset, v1::WorkPacket&& packet);
  void TakeCancel(const v1::CancelAttempt& cancel);
  void OnReported(Attempt& attempt, const Reported& reported);
  void OnEnded(Attempt& attempt, const Ended& ended);
  void Restore(Restored restored);
  Attempt* Find(const AttemptKey& key);
  void Move(Attempt& attempt, Stage to);
  Attempts& ListOf(Stage stage);
  Attempt& NewAttempt(const AttemptKey& key, Lane lane, Offset offset);
  void Queue(Attempt& attempt);
  void Unlink(Attempt& attempt);
  void Free(Attempt& attempt);
  void Bury(const TaskId& id, Task& task);
  void StopOrDrop(Attempt& attempt, StopReason reason);
  void ReleaseAll(std::initializer_list<Attempts*> lists, std::string_view reason);
  void ReleaseQueue(std::string_view reason);
  void Release(Attempt& attempt, std::string_view reason);
  void EndWithout(Attempt& attempt, v1::Ending ending, std::string_view message);
  void FreeSlot(Attempt& attempt);
  void BrowserOver(Attempt& attempt);
  void Touch(Now now);
  void Accuse(const Attempt& attempt, bool ok, v1::Ending ending, const std::string& message);
  static void UpdateReading(LaneState& lane);
  bool DrainIsDone() const;
  void EndDrain();
  std::string EndLine(const Attempt& attempt, const v1::Event& result) const;

  // worker_step.cc: decisions.
  bool LeaseHolds(Now now) const;
  bool MayStart(Now now) const;
  void HandBackWhatCannotStart(Now now);
  void BuildBatch(Now now);
  void AddResults(size_t records_max);
  void AddProgress(Now now, size_t records_max);
  void AddStarts(Now now, size_t records_max);
  void AddQueued();
  void AddDropped();
  void NoteLane(Lane lane, LaneState& state);
  void AddLanes(Now now);
  void AddSnapshot();
  bool BatchIsEmpty() const;
  Millis ProgressDue(const Attempt& attempt) const;
  v1::AttemptNote* Note(Attempt& attempt, v1::HeldStage stage);
  void Send(Commands* out, Now now);
  void Settle(Commands* out, Now now);
  void StartNow(Attempt& attempt, Commands* out, Now now);
  void StopAll(StopReason reason);
  void StepHeartbeat(Now now, Commands* out);
  void StepBrowserHealth(Now now, Commands* out);
  v1::Heartbeat MakeHeartbeat(Now now) const;
  bool EverythingReported() const;

  WorkerOptions options_;
  std::string store_bytes_;
  std::string incarnation_bytes_;

  HashMap<TaskId, Task> tasks_;  // looked up only, never iterated
  std::deque<std::pair<TaskId, uint64_t>> tombstones_;
  uint64_t burials_ = 0;

  Attempts ready_, ready_browser_, blocked_, starting_, running_, ended_, reporting_, dropped_, free_;
  size_t held_ = 0;              // open attempts
  std::vector<Attempt*> fresh_;  // taken, not noted yet
  std::vector<uint32_t> free_slots_;
  uint32_t slots_used_ = 0;
  std::optional<Millis> stuck_since_;        // every slot is busy, and something waits for one
  std::optional<Millis> browserless_since_;  // something waits for a browser that is away
  std::vector<Attempt*> stopping_;           // stops to be sent
  std::vector<AttemptKey> forgotten_;        // tombstones to be noted for attempts that were never held
  std::vector<Attempt*> progressing_;

  std::map<Lane, LaneState> lanes_;
  std::vector<ChildNote> children_;
  std::vector<Line> lines_;
  std::vector<v1::Alert> alerts_;

  Batch batch_;
  bool in_flight_ = false;  // batch_ is sent and not answered
  bool retry_ = false;      // batch_ was answered with an error and waits for retry_at_
  bool settle_ = false;     // batch_ was answered OK; Step carries out what waited for it
  Millis retry_at_{0};
  Millis retry_delay_{0};
  uint64_t token_ = 0;
  uint64_t next_seq_ = 1;
  uint64_t notes_since_ = 0;
  uint64_t bytes_since_ = 0;
  bool drain_dirty_ = false;
  bool first_batch_ = true;
  uint64_t orders_ = 0;

  std::optional<Millis> contact_;  // when the log last answered OK
  bool await_lane_ends_ =
      false;  // after a restart: cancels that wait in the lanes are read before anything starts

  bool drain_ = false;    // drain mark read
  uint64_t resumed_ = 0;  // the last word to go on
  bool drain_durable_ = false;
  bool drain_told_ = false;
  bool shutdown_ = false;
  bool shutdown_stopped_ = false;
  Millis shutdown_deadline_{0};
  bool leave_beat_sent_ = false;
  bool leave_beat_answered_ = false;

  Millis beat_at_{0};  // the next regular heartbeat
  Millis beat_sent_{-1000};
  bool beat_now_ = true;  // a state change is to be told at once
  bool beat_out_ = false;
  std::optional<Millis> polled_;

  BrowserState browser_;
  BrowserUse browser_use_;
  Millis health_at_{0};  // the next regular word about the browser
  bool health_now_ = true;
  bool health_out_ = false;
  std::vector<TaskId> accusers_;  // different tasks that could not run here, in a row
  std::string evidence_;
  bool paused_ = false;
  bool disk_full_ = false;
  absl::Status fatal_;
  WorkerCounters counters_;
};

}  // namespace laneway::worker
