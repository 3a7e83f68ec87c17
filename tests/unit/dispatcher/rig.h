// rig.h: a dispatcher with a real Ledger and Members: what it appends is read back, what it asks of the zone
// is answered as the test says.
//
// Role:       tests. Nothing happens by itself: Run() carries out what was decided.
// Threads:    one.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "dispatcher/dispatcher.h"
#include "fleet/planted.h"
#include "support/events.h"

namespace laneway::dispatcher {

using namespace laneway::testing;  // the words of the events

class Rig {
 public:
  static constexpr uint32_t kPartitions = 2;
  static constexpr Millis kAgain{2000};

  explicit Rig(uint32_t lane_count = 2) : ledger({.partitions = kPartitions}, &finished) {
    options.incarnation = IncarnationId{3, 1};
    options.lanes = lane_count;
    options.again_after = kAgain;
    options.file_spec = SpecOf({});
    Boot();
  }
  // A new dispatcher over the same fold: as a successor, or after a restart.
  void Boot() {
    core = std::make_unique<Dispatcher>(options, &ledger, &members);
    out.clear();
  }
  void Become() {  // active
    core->SetOwner(true, now, &out);
    Run();
  }

  // ---- what others say
  FoldVerdict Say(const v1::Event& event, uint32_t partition) {
    std::vector<Change> changes;
    now = now + Millis(10);
    const FoldVerdict verdict = ledger.Apply(partition, ledger.next_offset(partition), now, event, &changes);
    core->OnEvent(partition, event, verdict, changes, now, &out);
    return verdict;
  }
  FoldVerdict Say(const v1::Event& event) { return Say(event, PartitionOf(event)); }
  void Control(const v1::ControlRecord& record) {
    const Offset at = controls++;
    core->OnControl(record, at, members.OnControl(record, at), now, &out);
  }
  void Elect(IncarnationId who) {
    v1::ControlRecord record;
    record.mutable_epoch_elected()->set_dispatcher(who.ToBytes());
    Control(record);
  }
  void Intend(std::string_view worker, v1::Intent intent) {
    v1::ControlRecord record;
    record.mutable_operator_intent()->set_worker(std::string(worker));
    record.mutable_operator_intent()->set_intent(intent);
    Control(record);
  }
  struct Beat {
    uint32_t capacity = 1;
    std::vector<std::pair<TaskId, uint32_t>> held{};
    std::map<Lane, Offset> lanes{};  // read up to here
    IncarnationId incarnation = kFirstLife;
    StoreId store = kStore;
    bool paused = false;
    bool drained = false;
    bool stopping = false;
  };
  void Beats(std::string_view worker, const Beat& beat) {
    v1::Heartbeat record;
    record.set_worker(std::string(worker));
    record.set_incarnation(beat.incarnation.ToBytes());
    record.set_store(beat.store.ToBytes());
    record.set_capacity(beat.capacity);
    record.set_paused_by_itself(beat.paused);
    record.set_draining_done(beat.drained);
    record.set_stopping(beat.stopping);
    for (const auto& [task, attempt] : beat.held) {
      v1::RunningTask& held = *record.add_held();
      held.set_job_id(task.job.ToBytes());
      held.set_task(task.n);
      held.set_attempt(attempt);
    }
    for (const auto& [lane, next] : beat.lanes) {
      v1::LanePosition& position = *record.add_lanes();
      position.set_lane(lane);
      position.set_next_offset(next);
      position.set_finished_below(next);
    }
    now = now + Millis(10);
    core->OnHeartbeat(*members.OnHeartbeat(record, beats++, now), now, &out);
  }
  void Joins(std::string_view worker, uint32_t capacity = 1) {
    Beats(worker, {.capacity = capacity});
    Run();
  }
  void Advance(Millis by) {
    now = now + by;
    core->OnTick(now, &out);
    Run();
  }

  // ---- carries out what was decided, until nothing is left
  void Run() {
    for (int round = 0; round < 100; round++) {
      if (out.empty()) core->OnTick(now, &out);
      if (out.empty()) break;
      Commands work = std::exchange(out, Commands{});
      stepped_down |= work.stepped_down;
      for (const v1::Alert& alert : work.alerts) alerts.push_back(alert.kind());
      for (const v1::DeadLetter& letter : work.dead_letters) dead.push_back(letter);
      for (const Trim& trim : work.trims) trims.push_back(trim);
      if (work.lanes_wanted != 0) lanes_wanted = work.lanes_wanted;
      for (const v1::ControlRecord& record : work.control) Control(record);
      for (const auto& [partition, mark] : work.marks)
        keep_marks ? (void)kept_marks.emplace_back(partition, mark) : (void)Say(mark, partition);
      for (const LaneAppend& append : work.lanes)
        keep_lanes ? (void)kept_lanes.push_back(append) : Appended(append);
      for (const v1::Event& event : work.events) Decided(event);
      Zone(work.zone);
    }
  }
  void Appended(const LaneAppend& append) {
    lanes[append.lane].push_back(append.record);
    core->OnLaneAppended(append, true, lanes[append.lane].size() - 1, now);
  }
  void ReadBackKept() {
    for (const v1::Event& event : std::exchange(kept, {})) Say(event);
    Run();
  }

  // ---- looking
  std::string TaskIs(const At& at = {}) const {
    const auto state = ledger.Load(at.job);
    if (!state || at.task > static_cast<uint32_t>(state->tasks_size())) return "none";
    const v1::TaskState& task = state->tasks(static_cast<int>(at.task) - 1);
    const TaskState kind = static_cast<TaskState>(task.kind());
    return std::string(TaskStateName(kind)) + " " + std::to_string(task.attempt()) +
           (IsHeld(kind) ? " " + task.worker() : "");
  }
  // "packet 1", "cancel 1", "handover DTF-02", "drain", in the order of the lanes.
  std::vector<std::string> SaidTo(std::string_view worker) const {
    std::vector<std::string> said;
    for (const auto& [lane, records] : lanes) {
      for (const v1::LaneRecord& record : records) {
        if (record.worker() != worker) continue;
        if (record.has_packet()) said.push_back("packet " + std::to_string(record.packet().attempt()));
        if (record.has_cancel()) said.push_back("cancel " + std::to_string(record.cancel().attempt()));
        if (record.has_handover()) said.push_back("handover " + record.handover().to());
        if (record.has_drain()) said.push_back("drain");
      }
    }
    return said;
  }
  size_t Packets() const {
    size_t packets = 0;
    for (const auto& [lane, records] : lanes) {
      for (const v1::LaneRecord& record : records) packets += record.has_packet() ? 1 : 0;
    }
    return packets;
  }
  std::pair<Lane, Offset> LastPacket() const {
    std::pair<Lane, Offset> last{99, 0};
    for (const auto& [lane, records] : lanes) {
      for (Offset at = 0; at < records.size(); at++) {
        if (records[at].has_packet()) last = {lane, at};
      }
    }
    return last;
  }
  std::vector<std::string> Decisions() const {  // which events it has appended
    std::vector<std::string> names;
    for (const v1::Event& event : decided)
      names.push_back(event.GetDescriptor()->FindFieldByNumber(event.what_case())->name());
    return names;
  }
  JobId OnlyJob() const { return ledger.OpenJobs().size() == 1 ? ledger.OpenJobs().front() : JobId{}; }

  DispatcherOptions options;
  MemoryFinished finished;
  Ledger ledger;
  Members members;
  std::unique_ptr<Dispatcher> core;
  Commands out;
  LogTime now{1'000'000'000};
  Offset controls = 0;
  Offset beats = 0;
  bool stepped_down = false;

  // How the log takes what is decided.
  bool lose_events = false;  // the append fails
  bool keep_events = false;  // acknowledged, but not read back yet
  bool keep_marks = false;
  bool keep_lanes = false;
  std::vector<v1::Event> kept;
  std::vector<std::pair<uint32_t, v1::Event>> kept_marks;
  std::vector<LaneAppend> kept_lanes;
  // What the zone answers.
  zone::PlaceOutcome place = zone::PlaceOutcome::kPlaced;
  absl::Status place_status;
  std::optional<zone::FinishOutcome> finish;  // none: claims what is not claimed, moves the rest
  std::optional<zone::Identity> changed;      // the file as it lies in the attempt's folder
  bool zone_waits = false;                    // staging and fence are not answered

  std::vector<v1::Event> decided;
  std::map<Lane, std::vector<v1::LaneRecord>> lanes;
  std::vector<Trim> trims;
  uint32_t lanes_wanted = 0;
  std::vector<std::string> alerts;
  std::vector<v1::DeadLetter> dead;
  std::vector<std::string>
      zone_log;  // "staging", "fence", "place 1", "finish completed claimed", "forget a.csv", …

 private:
  static uint32_t PartitionOf(const v1::Event& event) {
    if (const auto job = JobId::FromBytes(event.job_id())) return EventPartition(*job, kPartitions);
    const std::string& worker =
        event.has_worker_lost() ? event.worker_lost().worker() : event.worker_returned().worker();
    return EventPartition(WorkerId(worker), kPartitions);
  }
  void Decided(const v1::Event& event) {
    decided.push_back(event);
    if (lose_events) return core->OnEventFailed(event, now, &out);
    if (keep_events) return kept.push_back(event);
    Say(event);
  }
  void Zone(const ZoneWork& work) {
    if (work.make_staging) zone_log.push_back("staging");
    if (work.fence_others) zone_log.push_back("fence");
    if (work.make_staging && !zone_waits) core->OnStagingMade(absl::OkStatus(), now, &out);
    if (work.fence_others && !zone_waits) core->OnFenced(absl::OkStatus(), now, &out);
    for (const std::string& path : work.forget) zone_log.push_back("forget " + path);
    for (const std::string& path : work.refuse) zone_log.push_back("refuse " + path);
    for (const auto& [leftover, path] : work.put_back)
      zone_log.push_back("put back " + leftover.path + " as " + path);
    for (const zone::Leftover& leftover : work.remove_if_empty) zone_log.push_back("remove " + leftover.path);
    for (const zone::PlaceRequest& request : work.place) {
      zone_log.push_back("place " + std::to_string(request.attempt) + (request.claimed ? " claimed" : "") +
                         (request.redriven_from.empty() ? "" : " from " + request.redriven_from));
      zone::PlaceResult result{
          .outcome = place, .status = place_status, .found = changed.value_or(request.file)};
      core->OnPlaced(request, result, now, &out);
    }
    for (const zone::FinishRequest& request : work.finish) {
      zone_log.push_back("finish " + std::string(zone::PlaceName(request.place)) +
                         (request.claimed ? " claimed" : ""));
      zone::FinishResult result;
      result.outcome =
          finish.value_or(request.claimed ? zone::FinishOutcome::kMoved : zone::FinishOutcome::kClaimed);
      result.status = place_status;
      if (request.file) result.path = std::string(zone::PlaceName(request.place)) + "/" + request.file->path;
      core->OnFinished(request, result, now, &out);
    }
  }
};

// A rule and the story that proves it: an empty answer. Each planted bug must make the story tell another.
inline void Proves(std::string (*story)(), [[maybe_unused]] std::initializer_list<planted::Bug> bugs) {
  EXPECT_EQ(story(), "");
#if LANEWAY_PLANTED_BUGS
  for (const planted::Bug bug : bugs) {
    planted::switched_on[bug] = true;
    EXPECT_NE(story(), "") << planted::kBugs[bug].name;
    planted::switched_on[bug] = false;
  }
#endif
}

}  // namespace laneway::dispatcher
