#include "reaper/reaper_runner.h"

#include <algorithm>
#include <utility>

namespace laneway::reaper {
namespace {

constexpr Millis kLook{1000};  // the level of rule R1 is looked at so often at least, while anybody is lost

}  // namespace

ReaperRunner::ReaperRunner(ReaperPorts ports, ReaperOptions options, uint32_t alert_partitions,
                           std::function<void(const Line&)> tell)
    : ports_(ports),
      alert_partitions_(alert_partitions),
      tell_(std::move(tell)),
      held_(&ports_.fold->ledger()),
      reaper_(options, &held_) {}

ReaperRunner::~ReaperRunner() {
  *alive_ = false;
  ports_.loop->Cancel(timer_);
}

void ReaperRunner::Says(const std::string& worker) {
  const WorkerVerdicts* verdicts = ports_.fold->ledger().Verdicts(worker);
  if (verdicts == nullptr) return;
  reaper_.OnFoldSays(SaysOf(worker, *verdicts), verdicts->reason, ports_.fold->Now());
}

void ReaperRunner::OnEvent(uint32_t, Offset, LogTime, const v1::Event& event, FoldVerdict verdict,
                           std::span<const Change>) {
  if (verdict != FoldVerdict::kAccepted) return;
  if (event.has_worker_lost()) Says(event.worker_lost().worker());
  if (event.has_worker_returned()) Says(event.worker_returned().worker());
  if (event.has_browser_lost()) Says(event.browser_lost().worker());
  if (event.has_browser_returned()) Says(event.browser_returned().worker());
}

void ReaperRunner::OnHeartbeat(const Member& member) {
  reaper_.OnAwake(ports_.fold->Now());
  if (!alive_told_) Says(member.id.name);  // what a snapshot said of it was told to nobody
  Beat beat;
  beat.worker = member.id;
  beat.incarnation = member.incarnation;
  beat.offset = member.heartbeat == 0 ? 0 : member.heartbeat - 1;
  beat.lane_poll_age = member.lane_poll_age;
  beat.has_browser = member.has_browser;
  beat.leaving = member.leaving;
  reaper_.OnBeat(beat, member.browser_port, member.last_beat);
}

void ReaperRunner::OnBrowserHealth(const v1::BrowserHealth& health, Offset offset, LogTime time) {
  reaper_.OnBrowserHealth(health, offset, time);
}

void ReaperRunner::OnTouch(bool in_touch) {
  if (in_touch || !in_touch_) return;  // in touch again: once everything was read, OnBatchEnd
  in_touch_ = false;
  reaper_.OnLostTouch(ports_.fold->Now());
}

void ReaperRunner::OnBatchEnd(bool caught_up) {
  if (caught_up && !in_touch_) {
    in_touch_ = true;
    if (!std::exchange(alive_told_, true)) {
      for (const auto& [id, member] : ports_.fold->members().all()) Says(id.name);
    }
    reaper_.OnCaughtUp(ports_.fold->Now());
  }
  Step();
}

void ReaperRunner::Step() {
  Commands out;
  const LogTime now = ports_.fold->Now();
  reaper_.Step(now, &out);
  for (Append& append : out.appends) {
    std::vector<log::NewRecord> records;
    for (const v1::Event& event : append.events) {
      records.push_back(fold::RecordOf(event, fold::PartitionOf(event, ports_.fold->ledger().partitions())));
    }
    ports_.log->Append(std::move(records), [this, alive = alive_, loop = ports_.loop, token = append.token](
                                               const absl::Status& status, std::span<const Offset>) {
      loop->Post([this, alive, token, status] {
        if (!*alive) return;
        reaper_.OnAppended(token, status, ports_.fold->Now());
        Step();
      });
    });
  }
  if (!out.alerts.empty()) {
    std::vector<log::NewRecord> records;
    for (const v1::Alert& alert : out.alerts) {
      records.push_back({{log::Topic::kAlerts, EventPartition(WorkerId(alert.subject()), alert_partitions_)},
                         log::RecordType::kAlert,
                         alert.subject(),
                         alert.SerializeAsString()});
    }
    ports_.log->Append(std::move(records), [](const absl::Status&, std::span<const Offset>) {});
  }
  for (const Line& line : out.lines) tell_(line);
  ports_.loop->Cancel(timer_);
  timer_ = {};
  const auto due = reaper_.NextDeadline();
  if (due) timer_ = ports_.loop->RunAfter(std::clamp(*due - now, Millis(1), kLook), [this] { Step(); });
}

}  // namespace laneway::reaper
