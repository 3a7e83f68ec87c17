// worker_driver.h: a worker's process in the simulation (the calls of src/worker/worker_runner.cc), and the
// scripts it starts.
//
// Role:       shell of the real Worker over the simulated log, store and file system. Scripts are events:
//             they start, report, end.
// Threads:    one.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "log/store_then_log.h"
#include "sim/browser_driver.h"
#include "sim/witness.h"
#include "sim/world.h"
#include "worker/attempt_folders.h"
#include "worker/control_words.h"
#include "worker/worker.h"
#include "worker/worker_store.h"

namespace laneway::sim {

class WorkerDriver {
 public:
  WorkerDriver(World* world, ProcRef proc, const HostClock* clock, Witness* witness, WorkerId id,
               uint32_t capacity, SimBrowser* browser, std::function<void()> ended);
  absl::Status Start();
  // `ended` is called when all is reported and the process may end.
  void BeginShutdown(worker::Shutdown mode);

  // The process has died: its companion stops the scripts. What they were.
  void StopScripts();
  bool started() const { return core_ != nullptr; }
  const worker::Worker& core() const { return *core_; }
  const ProcRef& proc() const { return proc_; }
  const IncarnationId& incarnation() const { return incarnation_; }
  bool idle() const { return core_->idle(); }

 private:
  struct Script {
    worker::AttemptKey key;
    uint32_t browser_generation = 0;  // what it began with; 0: it needs none
    bool goes_on = false;             // without the browser that it began with
    bool stopped = false;             // it was told to stop
    bool over = false;
  };
  worker::Now Time() const;
  void WakeUp();
  void Pass();
  void ReadControl();
  void SetLanes(const v1::LaneTableSnapshot& table);
  void ReadLanes(worker::Now now);
  bool ReadLane(Lane lane, Offset from, worker::Now now);
  void StepAll(worker::Now now);
  bool CarryOut(worker::Commands& out, worker::Now now);
  void SendCommit(const worker::Commit& commit);
  void SendHeartbeat(const v1::Heartbeat& beat);
  void SendBrowserHealth(const v1::BrowserHealth& health);
  void OnBrowserNews(BrowserNews news);
  void AfterSteps();
  void End();
  bool StartAttempt(const worker::Run& run, worker::Now now);
  void EndScript(const std::shared_ptr<Script>& script, worker::Ended ended);
  void Deliver(worker::ExecutorEvent event);

  World* world_;
  ProcRef proc_;
  const HostClock* clock_;
  Witness* witness_;
  WorkerId id_;
  uint32_t capacity_;
  SimBrowser* const machine_;  // may be null
  IncarnationId incarnation_;
  StoreId store_;
  ProcFs fs_;
  log::StoreThenLog notes_first_;
  log::Journal* const journal_;
  std::unique_ptr<worker::Worker> core_;
  std::unique_ptr<log::Watch> watch_;
  Offset control_next_ = 0;
  worker::ControlWords control_;
  const std::function<void()> ended_;
  bool end_told_ = false;
  bool woken_ = false;
  bool passing_ = false;
  uint64_t timer_ = 0;
  std::map<worker::AttemptKey, std::shared_ptr<Script>> scripts_;
  worker::AttemptFolders folders_{&fs_, id_};
  std::unique_ptr<BrowserDriver> browser_;
  std::deque<BrowserNews> news_;
  worker::BrowserState told_;
  worker::BrowserUse use_told_;
};

}  // namespace laneway::sim
