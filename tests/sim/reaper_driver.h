// reaper_driver.h: a reaper's process in the simulation: the calls of src/reaper/reaper_runner.cc, on virtual
// time.
#pragma once

#include <memory>

#include "reaper/ledger_held.h"
#include "reaper/reaper.h"
#include "sim/fold_driver.h"
#include "sim/witness.h"
#include "sim/world.h"

namespace laneway::sim {

class ReaperDriver : public fold::FoldListener {
 public:
  ReaperDriver(World* world, ProcRef proc, const HostClock* clock, Witness* witness);
  absl::Status Start();

  void OnEvent(uint32_t partition, Offset offset, LogTime time, const v1::Event& event, FoldVerdict verdict,
               std::span<const Change> changes) override;
  void OnHeartbeat(const Member& member) override;
  void OnBrowserHealth(const v1::BrowserHealth& health, Offset offset, LogTime time) override;
  void OnBatchEnd(bool caught_up) override;
  void OnTouch(bool in_touch) override;

  const FoldDriver& fold() const { return fold_; }
  const ProcRef& proc() const { return proc_; }

 private:
  void Says(const std::string& worker);
  void Step();

  World* world_;
  ProcRef proc_;
  Witness* witness_;
  FoldDriver fold_;
  reaper::LedgerHeld held_;
  reaper::Reaper reaper_;
  bool started_ = false;
  bool in_touch_ = false;
  bool alive_told_ = false;
  uint64_t timer_ = 0;
};

}  // namespace laneway::sim
