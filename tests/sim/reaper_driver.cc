#include "sim/reaper_driver.h"

#include <algorithm>
#include <utility>

namespace laneway::sim {

ReaperDriver::ReaperDriver(World* world, ProcRef proc, const HostClock* clock, Witness* witness)
    : world_(world),
      proc_(proc),
      witness_(witness),
      fold_(world, proc, clock, this),
      held_(&fold_.ledger()),
      reaper_({}, &held_) {}

absl::Status ReaperDriver::Start() {
  if (absl::Status status = fold_.Open(); !status.ok()) return status;
  started_ = true;
  fold_.Follow();
  return absl::OkStatus();
}

void ReaperDriver::Says(const std::string& worker) {
  const WorkerVerdicts* verdicts = fold_.ledger().Verdicts(worker);
  if (verdicts == nullptr) return;
  reaper_.OnFoldSays(reaper::SaysOf(worker, *verdicts), verdicts->reason, fold_.Now());
}

void ReaperDriver::OnEvent(uint32_t, Offset, LogTime, const v1::Event& event, FoldVerdict verdict,
                           std::span<const Change>) {
  if (verdict != FoldVerdict::kAccepted) return;
  if (event.has_worker_lost()) Says(event.worker_lost().worker());
  if (event.has_worker_returned()) Says(event.worker_returned().worker());
  if (event.has_browser_lost()) Says(event.browser_lost().worker());
  if (event.has_browser_returned()) Says(event.browser_returned().worker());
}

void ReaperDriver::OnHeartbeat(const Member& member) {
  reaper_.OnAwake(fold_.Now());
  if (!alive_told_) Says(member.id.name);
  Beat beat;
  beat.worker = member.id;
  beat.incarnation = member.incarnation;
  beat.offset = member.heartbeat == 0 ? 0 : member.heartbeat - 1;
  beat.lane_poll_age = member.lane_poll_age;
  beat.has_browser = member.has_browser;
  beat.leaving = member.leaving;
  reaper_.OnBeat(beat, member.browser_port, member.last_beat);
}

void ReaperDriver::OnBrowserHealth(const v1::BrowserHealth& health, Offset offset, LogTime time) {
  reaper_.OnBrowserHealth(health, offset, time);
}

void ReaperDriver::OnTouch(bool in_touch) {
  if (in_touch || !in_touch_) return;
  in_touch_ = false;
  reaper_.OnLostTouch(fold_.Now());
}

void ReaperDriver::OnBatchEnd(bool caught_up) {
  if (caught_up && !in_touch_) {
    in_touch_ = true;
    if (!std::exchange(alive_told_, true)) {
      for (const auto& [id, member] : fold_.members().all()) Says(id.name);
    }
    reaper_.OnCaughtUp(fold_.Now());
  }
  if (started_) Step();
}

void ReaperDriver::Step() {
  reaper::Commands out;
  const LogTime now = fold_.Now();
  reaper_.Step(now, &out);
  for (reaper::Append& append : out.appends) {
    std::vector<log::NewRecord> records;
    for (const v1::Event& event : append.events) {
      if (event.has_worker_lost() && event.worker_lost().reason() == "silent") {
        witness_->OnSilenceSaid(event.worker_lost().worker(), world_->now() - proc_->in_touch_since);
      }
      if (event.has_browser_lost())
        witness_->OnBrowserLostSaid(event.browser_lost(), world_->now() - proc_->in_touch_since);
      records.push_back(fold::RecordOf(event, fold::PartitionOf(event, fold_.ledger().partitions())));
    }
    proc_->client->Append(std::move(records),
                          [this, token = append.token](const absl::Status& status, std::span<const Offset>) {
                            world_->Post(proc_, world_->rng().Delay(2, 50), [this, token, status] {
                              reaper_.OnAppended(token, status, fold_.Now());
                              Step();
                            });
                          });
  }
  for (const reaper::Line& line : out.lines) {
    world_->Tell(HashBytes(line.text),
                 [&] { return absl::StrCat(proc_->name, ": ", line.worker.name, " ", line.text); });
  }
  const uint64_t timer = ++timer_;
  if (const auto due = reaper_.NextDeadline()) {
    world_->Post(proc_, std::clamp<int64_t>((*due - now).count(), 1, 1000), [this, timer] {
      if (timer == timer_) Step();
    });
  }
}

}  // namespace laneway::sim
