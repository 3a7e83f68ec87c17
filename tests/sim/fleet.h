// fleet.h: one simulated fleet from its first event to its end.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "sim/browser_driver.h"
#include "sim/checker.h"
#include "sim/dispatcher_driver.h"
#include "sim/reaper_driver.h"
#include "sim/worker_driver.h"
#include "sim/workload.h"
#include "sim/world.h"

namespace laneway::sim {

struct Outcome {
  uint64_t seed = 0;
  std::string violation;  // empty: all promises were kept
  uint64_t hash = 0;
  int64_t virtual_ms = 0;
  std::map<std::string, uint64_t> counters;
  std::deque<std::string> lines;
};

Outcome RunSeed(uint64_t seed, bool tracing);

class Fleet {
 public:
  Fleet(const Plan& plan, bool tracing);
  Outcome Run();

 private:
  // A member and the process it runs as just now.
  struct Member {
    std::string name;
    HostClock clock;
    uint32_t capacity = 0;                // of a worker
    std::unique_ptr<SimBrowser> browser;  // of its machine; may be null
    std::unique_ptr<DispatcherDriver> dispatcher;
    std::unique_ptr<ReaperDriver> reaper;
    std::unique_ptr<WorkerDriver> worker;
    ProcRef proc;
    bool gone = false;             // for good
    int64_t comes_back_after = 0;  // once it has ended on purpose
    bool alive() const { return proc && proc->alive; }
  };
  enum class Role { kDispatcher, kReaper, kWorker };

  void MakeTopics();
  void Start(Role role, size_t index);
  void Crash(Role role, size_t index, int64_t restart_after);
  void ToGraveyard(Member& member);
  // A worker is shut down on purpose; when it has ended it comes back after this.
  void Stop(size_t index, worker::Shutdown mode, int64_t restart_after);
  void Ended(size_t index, const ProcRef& proc);
  // Whether this worker may be taken away for good: one always stays, with a browser where any has one.
  bool MayLeave(size_t index);
  Member& Of(Role role, size_t index);
  std::vector<std::pair<Role, size_t>> Everyone();
  std::pair<Role, size_t> Anyone();
  void Elect(size_t owner);
  void TellOwner(size_t index, int64_t delay);

  void PlanFaults();
  void PlanFaultsOfWorkers();
  void PlanFaultsOfBrowsers();
  void Often(uint32_t per_hour, std::string_view name, std::function<void()> fault);
  void PowerLoss();
  void Garbage();
  void TrimEvents();
  void Heal();
  void Watch();

  World world_;
  Checker checker_;
  std::vector<Member> dispatchers_;
  std::vector<Member> reapers_;
  std::vector<Member> workers_;
  std::vector<Member> graveyard_;
  std::unique_ptr<Workload> workload_;
  std::unique_ptr<log::SimClient> operator_;
  size_t owner_ = 0;
  bool healed_ = false;
  bool done_ = false;
};

}  // namespace laneway::sim
