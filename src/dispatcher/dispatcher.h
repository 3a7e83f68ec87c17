// dispatcher.h: places tasks and moves files: the decisions of the one active dispatcher.
//
// Role:       state machine without I/O; the shell (dispatcher_runner.h) and the simulator carry out what it
//             says.
// Input:      what the process's fold has read (events with their verdicts, heartbeats, control), what the
//             zone found, the passing of time.
// Output:     Commands (commands.h).
// Invariants: (1) it acts only on what its own fold has accepted (rule L7), never on its own intention or on
//             an acknowledgement; (2) it is active only while every mark of its epoch was read back as
//             accepted (rules L2, E1); (3) all it does may be repeated by its successor: whatever is not
//             confirmed by the fold is decided again, from the level of the state and not from the edge of an
//             event.
// Threads:    one owner, the same as the Ledger's and the Members'.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "dispatcher/commands.h"
#include "fleet/hash_map.h"
#include "fleet/ids.h"
#include "fleet/lane_table.h"
#include "fleet/ledger.h"
#include "fleet/members.h"
#include "fleet/placement.h"
#include "zone/scanner.h"
#include "zone/zone.h"

namespace laneway::dispatcher {

struct DispatcherOptions {
  IncarnationId incarnation;
  PlacementLimits placement;
  v1::JobSpec file_spec;  // what every file's job asks for
  uint32_t lanes = 8;
  Millis retention{90LL * 24 * 3600 * 1000};  // of the events topic
  // an unanswered append, or a file that could not be moved, is tried again after this long
  Millis again_after{2000};
  // a file looked for in vain is looked for once more; meanwhile it holds a worker's slot
  Millis look_again_after{200};
  Millis reconcile_every{60000};
  Millis submission_abandoned{3600000};  // a submission whose parts do not come is given up
  size_t place_at_once_max = 4096;
};

enum class Standing : uint8_t {
  kStandby,   // folds along
  kElecting,  // its election is on its way to `control`
  kStaging,   // the zone makes its staging folder
  kMarking,   // its marks are on their way to the partitions
  kFencing,   // all marks were accepted; the zone fences the staging folders of others
  kActive,
  kGone,  // stepped down
};
std::string_view StandingName(Standing standing);

class Dispatcher {
 public:
  // Reads `ledger` and `members`; whoever owns them changes them before each On… call.
  Dispatcher(DispatcherOptions options, const Ledger* ledger, const Members* members);
  ~Dispatcher();

  // Whether it owns the control partition (the means of election; on the embedded log always).
  void SetOwner(bool owner, LogTime now, Commands* out);
  // An event was folded: `changes` are those of this event alone.
  void OnEvent(uint32_t partition, const v1::Event& event, FoldVerdict verdict,
               std::span<const Change> changes, LogTime now, Commands* out);
  void OnHeartbeat(const Member& member, LogTime now, Commands* out);
  // A control record was folded; `member` as Members::OnControl answered.
  void OnControl(const v1::ControlRecord& record, Offset offset, const Member* member, LogTime now,
                 Commands* out);
  void OnTick(LogTime now, Commands* out);
  // Before it, OnTick does nothing.
  std::optional<LogTime> NextDeadline(LogTime now) const;

  // Answers to appends. What failed comes back as it was, and is decided again later.
  void OnEventFailed(const v1::Event& event, LogTime now, Commands* out);
  void OnMarkFailed(LogTime now, Commands* out);
  void OnControlFailed(const v1::ControlRecord& record, LogTime now, Commands* out);
  void OnLaneAppended(const LaneAppend& record, bool ok, Offset offset, LogTime now);
  // The topic has this many partitions now.
  void OnLanesGrown(uint32_t lanes, Commands* out);

  // Answers of the zone.
  void OnStagingMade(const absl::Status& status, LogTime now, Commands* out);
  void OnFenced(const absl::Status& status, LogTime now, Commands* out);
  void OnPlaced(const zone::PlaceRequest& request, const zone::PlaceResult& result, LogTime now,
                Commands* out);
  void OnFinished(const zone::FinishRequest& request, const zone::FinishResult& result, LogTime now,
                  Commands* out);
  void OnLeftovers(const std::vector<zone::Leftover>& leftovers, LogTime now, Commands* out);
  // A look at incoming/ is about to be taken (rule I1: what is closed from here on makes its findings
  // doubtful). `full`: at all of it, so that what it does not find is not there.
  void OnLookBegins(bool full = true);
  void OnFindings(const zone::Findings& findings, LogTime now, Commands* out);

  Standing standing() const { return standing_; }
  bool active() const { return standing_ == Standing::kActive; }
  Epoch epoch() const { return epoch_; }
  const IncarnationId& incarnation() const { return options_.incarnation; }
  const Placement& placement() const { return *placement_; }
  const LaneTable& lane_table() const { return lanes_; }

 private:
  // An append whose outcome the fold has not shown yet. Decided again when it fails or takes too long.
  enum class Await : uint8_t { kSubmit, kAssign, kPhase, kClaim, kMoved, kGone, kCancel, kRepublish, kCarry };
  struct Awaited {
    JobId job;
    uint32_t n = 0;
    Await what = Await::kSubmit;
    friend bool operator==(const Awaited&, const Awaited&) = default;
  };
  struct AwaitedHash {
    size_t operator()(const Awaited& a) const {
      return std::hash<TaskId>()({a.job, a.n * 16 + static_cast<uint32_t>(a.what)});
    }
  };
  // An attempt that is ASSIGNED, on its way to its worker.
  struct Journey {
    enum class Stage : uint8_t { kPlacing, kWaiting, kSending, kSent } stage = Stage::kPlacing;
    bool missed_once = false;  // the zone did not find its file; it looks again
    uint32_t attempt = 0;
    Lane lane = 0;
    Offset offset = 0;  // kSent: of the packet
    LogTime since;
    // its file as it lies there, when the script of an earlier attempt wrote into it
    std::unique_ptr<v1::FileIdentity> changed;
  };
  // A finished job's file on its way out.
  struct Departure {
    bool asked = false;
    LogTime since;
  };
  struct Handover {
    WorkerId from;
    WorkerId to;
    bool sent = false;
    std::optional<Offset> mark;
    LogTime marked;  // when the mark was answered
  };
  struct LastSent {
    WorkerId to;
    Offset offset = 0;
  };

  // dispatcher.cc: election, inputs
  void Stand(LogTime now, Commands* out);
  void Mark(Commands* out) const;
  void MarkRead(uint32_t partition, const v1::EpochOpened& mark, FoldVerdict verdict, Commands* out);
  void Activate(LogTime now, Commands* out);
  void StepDown(Commands* out);
  // false: on its way already, or the log refuses just now
  bool Expect(const JobId& job, uint32_t n, Await what, LogTime now);
  void Arrived(const JobId& job, uint32_t n, Await what) { awaiting_.erase({job, n, what}); }
  void ArrivedEvent(const v1::Event& event);
  void NotAssigned(const v1::Event& event);
  static v1::Event About(const JobId& job, uint32_t n = 0, uint32_t attempt = 0);
  void ZoneInTrouble(const absl::Status& status, LogTime now, Commands* out);
  static void Alert(std::string subject, v1::Severity severity, std::string kind, std::string message,
                    Commands* out);

  // dispatcher_tasks.cc
  void TakeUp(const Job& job, LogTime now, Commands* out);
  void OnChange(const Change& change, const v1::Event& event, LogTime now, Commands* out);
  void Waits(const Job& job, uint32_t n);
  void Assigned(const Job& job, uint32_t n, LogTime now, Commands* out);
  void LetGo(const Change& change, const v1::Event& event, Commands* out);
  void PlaceTasks(LogTime now, Commands* out);
  v1::WorkPacket PacketOf(const Job& job, uint32_t n, const StoreId& store) const;
  void SendPacket(const Job& job, uint32_t n, Journey& journey, LogTime now, Commands* out);
  void SendCancel(const WorkerId& worker, const TaskId& task, uint32_t attempt, std::string_view reason,
                  std::optional<Lane> same, Commands* out);
  void Bury(const Job& job, uint32_t n, Commands* out);
  void MaybeOpenPhase(const Job& job, LogTime now, Commands* out);
  void Republish(const Job& job, uint32_t n, std::string_view reason, LogTime now, Commands* out);
  const Needs& NeedsOfJob(const Job& job);
  std::optional<Lane> LaneFor(const WorkerId& worker, std::optional<Lane> same = std::nullopt) const;
  void CheckHeld(const Member& member, LogTime now, Commands* out);
  void CheckTask(const Member& member, const Job& job, uint32_t n, LogTime now, Commands* out);
  void Sweep(LogTime now, Commands* out);
  void CarryOld(LogTime now, Commands* out);

  // dispatcher_files.cc
  void AskPlace(const Job& job, Journey& journey, LogTime now, Commands* out);
  void Depart(const Job& job, LogTime now, Commands* out);
  void Submit(const zone::Identity& file, LogTime now, Commands* out);
  void Vanished(const zone::Identity& file);
  void Withdraw(LogTime now, Commands* out);
  void LeftoverFound(const zone::Leftover& leftover, LogTime now, Commands* out);
  JobId JobOf(const zone::Identity& file) const;
  zone::FinishRequest FinishOf(const JobId& id, const v1::JobState& state) const;

  // dispatcher_members.cc
  void Offer(const Member& member, Commands* out);
  WorkerOffer Offered(const Member& member) const;
  void Pauses(const Member& member, bool able);
  bool AllPaused() const { return !paused_.empty() && paused_.size() == able_.size(); }
  void OfferTasks(const Member& member);
  // Lost, or gone in good order: reads nothing until it is back.
  bool IsAway(const Member& member) const;
  void TakeLanesOfAway(std::vector<LaneMove>* moves);
  bool HasUsableLane(const WorkerId& worker) const;
  void OpenLane(Lane lane, Commands* out);
  void CarryOutMoves(const std::vector<LaneMove>& moves);
  void MaybeHandOver(const Member* owner, Commands* out);
  void MaybeDrain(const Member& member, LogTime now, Commands* out);
  void TellLaneTable(Commands* out);
  void MaybeTrim(const Member& member, Commands* out);
  bool InFlight(Lane lane) const;
  void SendToLane(Lane lane, const WorkerId& worker, v1::LaneRecord record, TaskId task, uint32_t attempt,
                  Commands* out);

  DispatcherOptions options_;
  const Ledger* ledger_;
  const Members* members_;
  Standing standing_ = Standing::kStandby;
  bool owner_ = false;
  Epoch epoch_ = 0;
  std::vector<bool> mark_accepted_;
  LogTime standing_since_;

  std::unique_ptr<Placement> placement_;
  LaneTable lanes_;
  HashMap<Awaited, LogTime, AwaitedHash> awaiting_;
  HashMap<TaskId, Journey> journeys_;
  HashMap<JobId, Departure> departures_;
  std::unordered_map<const v1::JobSpec*, std::pair<std::shared_ptr<const v1::JobSpec>, Needs>> needs_;
  std::vector<TaskId> dead_while_standby_;  // told as dead letters when it becomes active
  std::set<JobId> closed_since_look_;       // rule I1
  // waiting jobs whose file was missed; true: another look has begun since
  std::map<JobId, bool> vanished_;
  std::optional<LogTime> zone_trouble_told_;
  // jobs whose file was seen below processing/ when it became active
  std::set<JobId> in_processing_;

  std::set<WorkerId> able_;    // who could be given tasks, but for a pause of its own
  std::set<WorkerId> paused_;  // of them: who paused itself
  uint64_t table_version_ = 0;
  std::map<Lane, Handover> handovers_;
  std::map<Lane, LastSent> last_sent_;  // packets and cancels
  size_t lane_turn_ = 0;                // which of a worker's lanes is written now
  std::map<Lane, uint32_t> in_flight_;  // lane records that are not answered
  std::map<WorkerId, LogTime> drain_marked_;
  std::map<Lane, Offset> trimmed_;
  std::optional<LogTime> next_sweep_;
  std::optional<LogTime> next_reconcile_;
  std::optional<LogTime> next_carry_;
  LogTime hold_until_;  // the log refused: nothing new before
};

}  // namespace laneway::dispatcher
