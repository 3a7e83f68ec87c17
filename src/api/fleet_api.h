// fleet_api.h: the fleet over HTTP: jobs, workers, lanes, dead letters, alerts, events, health.
//
// Role:       shell: listener of the process's fold, and the routes of its HTTP server (docs/http.md).
// Input:      requests, on the server's thread; what the fold tells, on its loop.
// Output:     answers; events of people (submit, cancel, redrive) and intents, through the log.
// Promises:   (1) what was acknowledged was read back by the fold: it is durable, and the next read shows it;
//             (2) the fold's loop is never held for long: lists go on in slices, text is made and logs are
//             read on a loop of its own; (3) a submission is taken once for its idempotency key. Bounds:
//             submissions in flight, rows of a page, records looked at for a timeline, streams.
// Threads:    Routes, Begin, Stop: the owner. The rest: as said above.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "api/http.h"
#include "fold/fleet_fold.h"
#include "laneway/v1/config.pb.h"
#include "log/log.h"
#include "ops/clock.h"
#include "ops/loop.h"

namespace laneway::api {

class FleetMetrics;
struct FleetState;

struct ZoneFigures {
  uint64_t present = 0;  // files in incoming/
  uint64_t waiting = 0;  // of them: not complete yet
  int64_t oldest_mtime_ns = 0;
};

struct DispatcherFigures {
  bool active = false;
  Epoch epoch = 0;
  bool may_stand_by = false;  // another process may be the active one
};

// What other roles of this process tell. Called on the fold's loop; an empty one says nothing.
struct FleetViews {
  // tasks of a job that wait, in its open phase; a sentence for each
  std::function<std::vector<std::string>(const Job&, const std::vector<uint32_t>& tasks, LogTime)>
      why_waiting;
  std::function<DispatcherFigures()> dispatcher;
  std::function<ZoneFigures()> zone;
  std::function<absl::Status()> log_health;  // RESOURCE_EXHAUSTED: the disk is full
};

struct FleetApiPorts {
  ops::Loop* loop = nullptr;  // the fold's
  fold::FleetFold* fold = nullptr;
  log::Log* log = nullptr;
  const ops::Clock* clock = nullptr;
  FleetMetrics* metrics = nullptr;
  std::vector<std::pair<std::string, ops::Loop*>> loops;  // that must tick for the process to be alive
};

struct FleetApiOptions {
  v1::JobConfig job;  // what a job definition leaves out
  std::string deployment;
};

class FleetApi : public fold::FoldListener {
 public:
  FleetApi(FleetApiPorts ports, FleetApiOptions options, FleetViews views);
  ~FleetApi() override;

  std::vector<Route> Routes();
  // GET /metrics alone, for a server of its own.
  std::vector<Route> MetricsRoutes();

  // On the fold's loop, after the fold was opened: from here on lists are complete.
  void Begin();
  // After the servers have stopped, before the fold's loop does.
  void Stop();

  void OnEvent(uint32_t partition, Offset offset, LogTime time, const v1::Event& event, FoldVerdict verdict,
               std::span<const Change> changes) override;
  void OnControl(const v1::ControlRecord& record, Offset offset, const Member* member) override;
  void OnAlert(const v1::Alert& alert, LogTime time) override;
  void OnBatchEnd(bool caught_up) override;
  void OnTouch(bool in_touch) override;

 private:
  std::shared_ptr<FleetState> state_;
};

// The document of GET /openapi.json.
std::string_view OpenApiDocument();

}  // namespace laneway::api
