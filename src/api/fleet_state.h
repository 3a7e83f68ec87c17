// fleet_state.h: what the routes share. Internal to api.
#pragma once

#include <atomic>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "api/change_feed.h"
#include "api/fleet_api.h"
#include "api/open_jobs.h"
#include "ops/strict_json.h"

namespace laneway::api {

inline constexpr size_t kAlertsKept = 1000;
inline constexpr uint32_t kPageDefault = 100;
inline constexpr uint32_t kPageMax = 1000;
inline constexpr uint64_t kSubmissionBytesMax = 64 << 20;  // of job definitions that are not answered yet
inline constexpr uint32_t kSubmissionsMax = 4096;

using SharedReply = std::shared_ptr<Reply>;
using StatePtr = std::shared_ptr<FleetState>;

struct FleetState : std::enable_shared_from_this<FleetState> {
  FleetState(FleetApiPorts p, FleetApiOptions o, FleetViews v);

  FleetApiPorts ports;
  FleetApiOptions options;
  FleetViews views;
  ops::Loop work{"api"};  // makes text, reads the log
  LogTime started;
  std::atomic<uint64_t> submission_bytes{0};
  std::atomic<uint32_t> submissions{0};
  std::atomic<bool> in_touch{true};

  // The fold's loop alone.
  bool begun = false;
  OpenJobs open_jobs;
  ChangeFeed feed;
  std::deque<std::pair<LogTime, v1::Alert>> alerts;       // oldest first
  std::multimap<Offset, std::function<void()>> controls;  // answered when this offset of `control` was read
  Offset controls_read = 0;

  const Ledger& ledger() const { return ports.fold->ledger(); }
  const Members& members() const { return ports.fold->members(); }

  // Runs `function(reply)` on the fold's loop, or answers 503.
  template <class Function>
  void OnFold(Reply reply, Function function) {
    auto shared = std::make_shared<Reply>(std::move(reply));
    if (!ports.loop->TryPost([shared, function = std::move(function)]() mutable { function(shared); })) {
      (*shared)(ProblemResponse(503, "the fleet is busy or stopping; try again"));
    }
  }
  // On the loop that makes text: answers with what `make` gives.
  template <class Make>
  void Answer(const SharedReply& reply, Make make) {
    work.Post([reply, make = std::move(make)]() mutable { (*reply)(make()); });
  }
};

// ---- requests

struct Page {
  uint32_t limit = kPageDefault;
  std::string cursor;
  std::string error;  // what is wrong with it
};
Page PageOf(const HttpRequest& request);

// The body of an action: {"reason": …, "by": …} and what `more` names. `error` is set when it is something
// else.
struct ActionBody {
  std::string reason;
  std::string by;
  ops::JsonValue root;
  std::string error;
};
ActionBody ReadAction(const HttpRequest& request, std::initializer_list<std::string_view> more = {});

HttpResponse BusyResponse();
// Of an append that failed: 503 when it may be tried again.
HttpResponse AppendProblem(const absl::Status& status);
HttpResponse NoSuchJob(std::string_view id);

// ---- routes

void AddJobRoutes(const StatePtr& state, std::vector<Route>& routes);
void AddJobListRoute(const StatePtr& state, std::vector<Route>& routes);
void AddTimelineRoute(const StatePtr& state, std::vector<Route>& routes);
void AddActionRoutes(const StatePtr& state, std::vector<Route>& routes);
void AddWorkerRoutes(const StatePtr& state, std::vector<Route>& routes);
void AddDeadRoutes(const StatePtr& state, std::vector<Route>& routes);
void AddFleetRoutes(const StatePtr& state, std::vector<Route>& routes);
void AddMachineRoutes(const StatePtr& state, std::vector<Route>& routes);
Route MetricsRoute(const StatePtr& state, bool open);

}  // namespace laneway::api
