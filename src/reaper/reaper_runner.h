// reaper_runner.h: the shell of a reaper: listens to the process's fold, appends what the core says.
//
// Role:       FoldListener; one for each process that runs a reaper.
// Output:     records of `events` and `alerts`; lines to whom the assembly says.
// Threads:    the fold's loop.
#pragma once

#include <functional>
#include <memory>

#include "fold/fleet_fold.h"
#include "log/log.h"
#include "ops/loop.h"
#include "reaper/ledger_held.h"
#include "reaper/reaper.h"

namespace laneway::reaper {

struct ReaperPorts {
  ops::Loop* loop = nullptr;
  log::Log* log = nullptr;
  fold::FleetFold* fold = nullptr;  // this is added to its listeners by the assembly
};

class ReaperRunner : public fold::FoldListener {
 public:
  ReaperRunner(ReaperPorts ports, ReaperOptions options, uint32_t alert_partitions,
               std::function<void(const Line&)> tell);
  ~ReaperRunner() override;

  void OnEvent(uint32_t partition, Offset offset, LogTime time, const v1::Event& event, FoldVerdict verdict,
               std::span<const Change> changes) override;
  void OnHeartbeat(const Member& member) override;
  void OnBrowserHealth(const v1::BrowserHealth& health, Offset offset, LogTime time) override;
  void OnBatchEnd(bool caught_up) override;
  void OnTouch(bool in_touch) override;

  const Reaper& core() const { return reaper_; }

 private:
  void Says(const std::string& worker);
  void Step();

  const ReaperPorts ports_;
  const uint32_t alert_partitions_;
  const std::function<void(const Line&)> tell_;
  LedgerHeld held_;
  Reaper reaper_;
  bool in_touch_ = false;
  bool alive_told_ = false;
  ops::Loop::TimerId timer_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace laneway::reaper
