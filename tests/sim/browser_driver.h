// browser_driver.h: a worker's browser in the simulation: SimBrowser is what runs on the machine and outlives
// its worker's process, BrowserDriver what keeps it there (the calls of src/worker/browser/browsers.cc).
//
// Role:       shell of the real BrowserGuard over a made-up browser, keeper and debugging port.
// Threads:    one.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "sim/witness.h"
#include "sim/world.h"
#include "worker/browser/guard.h"

namespace laneway::sim {

class BrowserDriver;

// Its process, and what is wrong with it.
class SimBrowser {
 public:
  SimBrowser(World* world, std::string name) : world_(world), name_(std::move(name)) {}

  void Exit(const std::string& why);
  void Hang(int64_t ms);
  void Drop();  // the connection to its debugging port
  void FailStarts(int64_t ms);
  void HoldStarts(int64_t ms);  // they are done only then
  void LoseHealth(int64_t ms);  // what its worker says of it does not reach the log
  void Heal();

  bool runs() const { return runs_; }
  bool health_lost() const { return world_->now() < health_lost_until_; }

 private:
  friend class BrowserDriver;
  bool hung() const { return world_->now() < hung_until_; }
  void Tell(uint64_t what, const std::string& text) const;

  World* world_;
  const std::string name_;
  BrowserDriver* user_ = nullptr;  // who started or adopted it
  bool runs_ = false;
  uint32_t generation_ = 0;
  int64_t listens_at_ = 0;
  int64_t hung_until_ = 0;
  int64_t starts_fail_until_ = 0;
  int64_t starts_held_until_ = 0;
  int64_t health_lost_until_ = 0;
};

struct BrowserNews {
  std::optional<worker::BrowserState> state;
  std::vector<worker::BrowserLine> lines;
};

class BrowserDriver {
 public:
  using Told = std::function<void(BrowserNews news)>;
  BrowserDriver(World* world, ProcRef proc, const HostClock* clock, Witness* witness, WorkerId worker,
                SimBrowser* browser, Told told);
  void Begin();
  void OnUse(const worker::BrowserUse& use);
  // Its worker has ended.
  void Close(std::function<void()> closed);

 private:
  friend class SimBrowser;
  using Link = uint64_t;
  Millis Now() const;
  void Take(const worker::GuardEvent& event);
  void Step();
  void CarryOut(worker::GuardCommands commands);
  void CheckState(const worker::BrowserState& state);
  // The keeper.
  void Launch();
  void LaunchNow();
  void End(worker::BrowserEnd how);
  void OnExit(const std::string& why);
  void KeeperSays(worker::GuardEvent event, int64_t delay);
  // The debugging port.
  void Attach(Link link, int64_t patience_ms);
  void Ask(Link link, worker::Probe probe, uint32_t generation);
  void PortSays(Link link, worker::GuardEvent event);
  void OnPort(Link link, const worker::GuardEvent& event);

  World* world_;
  ProcRef proc_;
  const HostClock* clock_;
  Witness* witness_;
  const WorkerId worker_;
  SimBrowser* const browser_;
  const Told told_;
  const worker::GuardLimits limits_;
  worker::BrowserGuard guard_;
  // Each source in its own order, however late.
  std::deque<worker::GuardEvent> from_keeper_;
  std::deque<std::pair<Link, worker::GuardEvent>> from_port_;
  std::deque<worker::BrowserUse> uses_;
  Link link_ = 0;  // 0: none
  Link attached_ = 0;
  Link next_link_ = 1;
  std::optional<std::pair<worker::Probe, Millis>> asked_;
  uint32_t answered_ = 0;  // the generation that answered last
  uint64_t timer_ = 0;
  std::function<void()> closed_;
};

}  // namespace laneway::sim
