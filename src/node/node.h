// node.h: one process of the fleet: the roles it was asked to play, around one log.
//
// Role:       assembly: opens everything in the order in which each part may rely on the one before, and
//             closes it in the opposite one.
// Promises:   (1) nothing of an earlier process runs on when the workers start: its companion has ended, its
//             survivors were stopped, and its last words are in the log; (2) Stop leaves no script behind and
//             writes a snapshot, so that the next start has little to read.
// Errors:     what a user can mend comes back as a status that says what, where and what to do.
// Threads:    Start, Stop and the getters: one owner. Loops: "fold" (ledger, dispatcher, reaper), "workers",
//             "zone", the log's committer, the HTTP server.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "api/fleet_api.h"
#include "api/fleet_metrics.h"
#include "api/http_server.h"
#include "dispatcher/dispatcher_runner.h"
#include "fold/fleet_fold.h"
#include "laneway/v1/config.pb.h"
#include "log/kafka_ownership.h"
#include "node/backend.h"
#include "node/tally.h"
#include "node/worker_metrics.h"
#include "ops/clock.h"
#include "ops/loop.h"
#include "ops/secret.h"
#include "worker/executor.h"
#include "worker/worker_runner.h"
#include "zone/posix_fs.h"

namespace laneway::worker {
class Browsers;
class Companion;
}  // namespace laneway::worker
namespace laneway::reaper {
class ReaperRunner;
}

namespace laneway::node {

// What this process does. On the embedded log it is the whole fleet, and does everything.
struct Roles {
  bool dispatcher = true;
  bool workers = true;
  bool reaper = true;
  bool api = true;

  bool folds() const { return dispatcher || reaper || api; }
};

struct NodeOptions {
  v1::Config config;
  Roles roles;
  std::string name = "laneway";  // of this process, for people who read records
  ops::Secret<std::string> api_token;
  std::map<std::string, ops::Secret<std::string>> kafka;  // log.kafka, its references resolved
  bool api_optional = false;  // its address is taken: go on without, and say so through on_not_served
  bool metrics_optional = false;
  std::function<void(const absl::Status&)> on_not_served;
  std::vector<WorkerId> workers;
  // false: nothing is taken from incoming/; started jobs have their folders in the zone all the same
  bool serve_zone = true;
  std::string version;
  std::function<void(const v1::Alert&)> on_alert;  // on the fold's loop
  // "Worker Lost (silent for 30 s)"; `good`: there is nothing to look after. Any thread.
  std::function<void(const WorkerId&, const std::string&, bool good)> on_line;
  std::function<void(const std::string&)> on_note;  // for people: what stands between it and the brokers
  // Meanwhile: waits for at most so long. True: the process is to end. None: nothing is asked twice.
  std::function<bool(Millis)> give_up;
  std::function<void(const log::EngineHealth&)> on_log_health;  // it has changed; on a thread of the log's
  std::function<void(const absl::Status&)> on_fatal;  // any thread: the process should end, and say why
};

class Node {
 public:
  static absl::StatusOr<std::unique_ptr<Node>> Start(NodeOptions options);
  ~Node();  // Stop(0)

  // Takes nothing new, lets running scripts end for at most this long, then stops them; flushes and closes.
  void Stop(Millis drain_timeout);
  // Makes a Stop under way hurry: scripts are stopped at once, and browsers killed.
  void Hurry();

  // Every job has ended, and nothing in incoming/ can become one.
  bool Idle();

  TallyView View() const { return tally_ ? tally_->View() : TallyView{}; }
  dispatcher::ZoneView Zone();
  log::EngineHealth Health() const { return backend_->Health(); }

  ops::Loop& fold_loop() { return fold_loop_; }
  fold::FleetFold& fold() { return *fold_; }
  Backend& backend() { return *backend_; }
  const dispatcher::DispatcherRunner& dispatcher() const { return *dispatcher_; }
  // Before Start returns nobody else may listen; these hear of everything that follows.
  const v1::Config& config() const { return options_.config; }
  // Where the servers listen, with their real ports; nothing when off.
  std::optional<ops::ListenAddress> api_address() const;
  std::optional<ops::ListenAddress> metrics_address() const;

 private:
  explicit Node(NodeOptions options);

  absl::Status OpenLog();
  absl::Status OpenZone();
  absl::Status OpenData();
  absl::Status OpenCompanion();
  absl::Status OpenWorkers();
  absl::Status AddWorkers();
  absl::Status OpenBrowsers();
  absl::Status OpenFold();
  absl::Status OpenDispatcher();
  void OpenReaper();
  absl::Status TellLastWords();
  void OpenApi();
  absl::Status Serve();
  void StopServing();
  absl::Status RegisterWorkers();
  absl::Status RetireOthers(std::vector<log::NewRecord>* records);
  absl::Status AppendAndWait(const std::vector<log::NewRecord>& records);
  void Run();
  void RunFold();
  absl::Status StandForElection();
  void ShowLag();
  void StopWorkers(Millis drain_timeout);
  void StopFold();
  void TrimOld();

  NodeOptions options_;
  std::string data_;       // absolute
  std::string zone_root_;  // absolute
  IncarnationId incarnation_;
  const ops::Clock* clock_;
  std::shared_ptr<worker::Companion> companion_;
  Patience patience_;
  std::unique_ptr<Backend> backend_;
  std::unique_ptr<zone::PosixFs> fs_;
  ops::Loop fold_loop_{"fold"};
  ops::Loop worker_loop_{"workers"};
  std::unique_ptr<worker::Executor> executor_;
  std::unique_ptr<worker::WorkerRunner> workers_;
  std::unique_ptr<worker::Browsers> browsers_;
  bool browsers_gone_ = false;  // on the workers' loop: nobody there may touch them any more
  std::vector<worker::Opened> opened_;
  std::map<Lane, Offset> lag_shown_;  // on the workers' loop
  std::unique_ptr<fold::FleetFold> fold_;
  std::unique_ptr<dispatcher::DispatcherRunner> dispatcher_;
  std::unique_ptr<reaper::ReaperRunner> reaper_;
  std::unique_ptr<Tally> tally_;
  std::unique_ptr<api::FleetMetrics> metrics_;     // where there is a fold
  std::unique_ptr<WorkerMetrics> worker_metrics_;  // where there is none
  // for the log's committer, which runs before there are metrics
  std::atomic<api::FleetMetrics*> append_times_{nullptr};
  std::unique_ptr<api::FleetApi> api_;
  std::unique_ptr<api::HttpServer> api_server_;
  std::unique_ptr<api::HttpServer> metrics_server_;
  std::unique_ptr<log::KafkaOwnership> ownership_;
  bool running_ = false;
};

PlacementLimits LimitsOf(const v1::PlacementConfig& config);

}  // namespace laneway::node
