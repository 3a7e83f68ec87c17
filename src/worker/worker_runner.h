// worker_runner.h: the shell of the workers of one process, all on one loop.
//
// Role:       reads their lanes and the control topic, feeds the cores, carries out what they say: journal
//             commits, the executor, heartbeats, worker.log. Answers come from other threads into one inbox;
//             one wake handles everything that is there, which is where commits become large and throughput
//             comes from.
// Output:     log records, store values, scripts.
// Promises:   (1) notes and events of a step are one Journal::Commit; (2) a file is verified before its
//             script starts; (3) a wake reads a bounded part of a lane, so that no flood of packets delays a
//             heartbeat.
// Threads:    OnExecutorEvent and OnBrowser: any. Everything else: the loop's.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "fleet/hash_map.h"
#include "log/log.h"
#include "log/store.h"
#include "ops/clock.h"
#include "ops/loop.h"
#include "worker/browser/browsers.h"
#include "worker/control_words.h"
#include "worker/executor.h"
#include "worker/run_spec.h"
#include "worker/worker.h"
#include "worker/worker_log.h"
#include "worker/worker_store.h"
#include "zone/fs.h"

namespace laneway::worker {

struct RunnerPorts {
  ops::Loop* loop = nullptr;
  const ops::Clock* clock = nullptr;
  log::Log* log = nullptr;
  log::Journal* journal = nullptr;
  log::Store* store = nullptr;
  Executor* executor = nullptr;  // scripts; its events go to OnExecutorEvent
  Executor* builtin = nullptr;   // handlers; null: `executor` runs them too
  zone::Fs* fs =
      nullptr;  // of the zone; may be null without one: then only builtin handlers without files can run
};

struct RunnerOptions {
  uint32_t event_partitions = 8;
  uint32_t heartbeat_partitions = 1;
  uint32_t alert_partitions = 1;
  std::string host;
  std::string version;
  size_t lane_bytes_per_wake = 4 << 20;
  bool worker_log = true;
};

struct RunnerWorker {
  WorkerOptions options;  // `store` is set from `opened`
  RunContext context;
  Opened opened;  // its children were stopped
};

class WorkerRunner {
 public:
  WorkerRunner(RunnerPorts ports, RunnerOptions options);
  ~WorkerRunner();
  WorkerRunner(const WorkerRunner&) = delete;
  WorkerRunner& operator=(const WorkerRunner&) = delete;

  // Before Start. Makes logs/<worker>/ and processing/<worker>/.
  absl::Status Add(RunnerWorker worker);
  void Start();

  void OnExecutorEvent(const ExecutorEvent& event);
  void OnBrowser(const WorkerId& worker, BrowserNews news);
  // Called on the loop when a worker's use of its browser has changed.
  void OnBrowserUse(std::function<void(const WorkerId&, const BrowserUse&)> told) {
    on_use_ = std::move(told);
  }

  // `done` is called once, on the loop, when every worker has said its last word. A second call can only
  // make it sooner.
  void BeginShutdown(Shutdown mode, Millis drain_timeout, std::function<void()> done);
  // Called on the loop when the log refuses a worker for good.
  void OnFatal(std::function<void(const WorkerId&, const absl::Status&)> told) {
    on_fatal_ = std::move(told);
  }

  struct View {
    WorkerId id;
    uint32_t capacity = 0;
    uint32_t running = 0;
    uint32_t queued = 0;
    bool idle = true;
    bool paused_by_itself = false;
    bool has_browser = false;
    bool browser_connected = false;
    uint64_t lines_lost = 0;
    uint64_t lane_records_bad = 0;
    WorkerCounters counters;
  };
  std::vector<View> Views() const;
  // What the workers have finished in the lanes they own: everything below these offsets.
  std::vector<std::pair<Lane, Offset>> Finished() const;

 private:
  struct Inbox;
  struct One;  // a worker

  Now Time() const;
  void Pass();
  void TakeInbox();
  void ReadControl(Now now);
  void SetLanes(const v1::LaneTableSnapshot& table);
  void ReadLanes(One& one, Now now);
  void ReadLane(One& one, Lane lane, Offset from, size_t* room, Now now);
  void StepOne(One& one, Now now);
  bool CarryOut(One& one, Now now);
  void SendCommit(One& one, const Commit& commit);
  void SendHeartbeat(One& one, v1::Heartbeat beat);
  void SendBrowserHealth(One& one, const v1::BrowserHealth& health);
  void SendAlerts(std::vector<v1::Alert> alerts);
  void TakeBrowserNews(One& one, BrowserNews news, Now now);
  void StartAttempt(One& one, const Run& run, Now now);
  void WatchLanes(One& one);
  void Arm();
  One* FindWorker(const std::string& name);

  const RunnerPorts ports_;
  const RunnerOptions options_;
  std::shared_ptr<Inbox> inbox_;
  std::vector<std::unique_ptr<One>> workers_;
  HashMap<TaskId, std::vector<std::pair<uint32_t, One*>>> running_;  // which worker runs an attempt
  std::unique_ptr<log::Watch> control_watch_;
  Offset control_next_ = 0;
  ControlWords control_;
  std::optional<Millis> control_due_;  // `control` is to be read
  bool start_failed_ = false;
  ops::Loop::TimerId timer_;
  std::function<void()> shutdown_done_;
  std::function<void(const WorkerId&, const absl::Status&)> on_fatal_;
  std::function<void(const WorkerId&, const BrowserUse&)> on_use_;
};

}  // namespace laneway::worker
