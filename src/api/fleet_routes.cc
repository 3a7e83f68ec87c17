// fleet_routes.cc: alerts, the summary, the event stream.
#include <algorithm>

#include "api/fleet_state.h"
#include "api/shapes.h"
#include "ops/units.h"
#include "ops/version.h"

namespace laneway::api {
namespace {

HttpResponse Alerts(const FleetState& state, std::optional<uint64_t> below, uint32_t limit) {
  ops::JsonWriter out;
  out.BeginObject().Key("alerts").BeginArray();
  const size_t count = state.alerts.size();
  // Counted from the oldest that is kept; good enough to page through at most kAlertsKept of them.
  size_t at = below ? std::min<size_t>(*below, count) : count;
  for (; at > 0 && limit > 0; at--, limit--)
    WriteAlert(out, state.alerts[at - 1].second, state.alerts[at - 1].first);
  out.EndArray().Key("next_cursor");
  at == 0 ? out.Null() : out.Value(std::to_string(at));
  return JsonResponse(out.EndObject().Take() + "\n");
}

template <size_t kSize>
void WriteStates(ops::JsonWriter& out, const std::array<uint64_t, kSize>& counts,
                 std::string_view (*name)(size_t)) {
  out.BeginObject();
  for (size_t i = 0; i < kSize; i++) {
    if (!name(i).empty()) out.Field(name(i), counts[i]);
  }
  out.EndObject();
}

HttpResponse Summary(const FleetState& state) {
  const Ledger& ledger = state.ledger();
  ops::JsonWriter out;
  const LogTime now = state.ports.fold->Now();
  out.BeginObject()
      .Field("version", ops::Version())
      .Field("time", now)
      .Field("started_at", state.started)
      .Field("uptime_seconds",
             std::max<int64_t>(0, (state.ports.clock->Wall() - state.started).count()) / 1000);
  out.Key("jobs").BeginObject().Field("open", ledger.open_jobs()).Key("ended_since_start");
  WriteStates<kJobPhases>(out, ledger.jobs_ended(), [](size_t i) {
    return i < static_cast<size_t>(JobPhase::kSucceeded) ? std::string_view()
                                                         : JobPhaseName(static_cast<JobPhase>(i));
  });
  out.EndObject().Key("tasks").BeginObject().Key("now");
  WriteStates<kTaskStates>(out, ledger.tasks_now(),
                           [](size_t i) { return TaskStateName(static_cast<TaskState>(i)); });
  out.Key("ended_since_start");
  WriteStates<kTaskStates>(out, ledger.tasks_ended(), [](size_t i) {
    return IsFinished(static_cast<TaskState>(i)) ? TaskStateName(static_cast<TaskState>(i))
                                                 : std::string_view();
  });
  out.EndObject();
  std::array<uint64_t, 5> workers{};
  for (const auto& [id, member] : state.members().all()) {
    if (!IsPhantom(member)) workers[static_cast<size_t>(StateOf(member, ledger.Verdicts(id.name)))]++;
  }
  out.Key("workers");
  WriteStates<5>(out, workers, [](size_t i) { return WorkerStateName(static_cast<WorkerState>(i)); });
  const DispatcherFigures dispatcher =
      state.views.dispatcher ? state.views.dispatcher() : DispatcherFigures{};
  out.Key("dispatcher")
      .BeginObject()
      .Field("active", dispatcher.active)
      .Field("epoch", dispatcher.epoch)
      .EndObject();
  const ZoneFigures zone = state.views.zone ? state.views.zone() : ZoneFigures{};
  out.Key("zone").BeginObject().Field("incoming", zone.present).Field("incomplete", zone.waiting).EndObject();
  out.Field("fold_lag_records", state.ports.fold->Lag()).Field("alerts", state.alerts.size());
  return JsonResponse(out.EndObject().Take() + "\n");
}

HttpResponse OpenStream(FleetState& state, const std::string& last_id) {
  HttpResponse response;
  response.stream = MakeEventStream();
  response.content_type = "text/event-stream";
  response.headers.emplace_back("Cache-Control", "no-store");
  if (!state.feed.Join(state.ledger(), state.ports.fold->Now(), response.stream, last_id))
    return ProblemResponse(503, "too many event streams are open");
  return response;
}

}  // namespace

void AddFleetRoutes(const StatePtr& state, std::vector<Route>& routes) {
  routes.push_back({.method = "GET",
                    .pattern = "/api/v1/alerts",
                    .handler = [state](const HttpRequest& request, Reply reply) {
                      const Page page = PageOf(request);
                      const auto below = ops::ParseWhole(page.cursor);
                      if (!page.error.empty()) return reply(ProblemResponse(400, page.error));
                      if (!page.cursor.empty() && !below)
                        return reply(ProblemResponse(400, "cursor: not one of this API"));
                      state->OnFold(std::move(reply),
                                    [state, below, limit = page.limit](const SharedReply& shared) {
                                      (*shared)(Alerts(*state, below, limit));
                                    });
                    }});
  routes.push_back(
      {.method = "GET", .pattern = "/api/v1/summary", .handler = [state](const HttpRequest&, Reply reply) {
         state->OnFold(std::move(reply), [state](const SharedReply& shared) { (*shared)(Summary(*state)); });
       }});
  routes.push_back({.method = "GET",
                    .pattern = "/api/v1/events",
                    .handler = [state](const HttpRequest& request, Reply reply) {
                      std::string last_id = request.Header("last-event-id");
                      if (last_id.empty()) last_id = request.Query("last_event_id");
                      state->OnFold(std::move(reply), [state, last_id](const SharedReply& shared) {
                        (*shared)(OpenStream(*state, last_id));
                      });
                    }});
}

}  // namespace laneway::api
