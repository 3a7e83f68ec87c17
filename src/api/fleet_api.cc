#include "api/fleet_api.h"

#include <algorithm>

#include "api/fleet_metrics.h"
#include "api/fleet_state.h"
#include "ops/text.h"
#include "ops/units.h"

namespace laneway::api {

FleetState::FleetState(FleetApiPorts p, FleetApiOptions o, FleetViews v)
    : ports(std::move(p)),
      options(std::move(o)),
      views(std::move(v)),
      started(ports.clock->Wall()),
      feed(&work, started) {}

FleetApi::FleetApi(FleetApiPorts ports, FleetApiOptions options, FleetViews views)
    : state_(std::make_shared<FleetState>(std::move(ports), std::move(options), std::move(views))) {
  state_->work.Start();
}

FleetApi::~FleetApi() { Stop(); }

std::vector<Route> FleetApi::Routes() {
  std::vector<Route> routes;
  AddJobRoutes(state_, routes);
  AddJobListRoute(state_, routes);
  AddTimelineRoute(state_, routes);
  AddActionRoutes(state_, routes);
  AddWorkerRoutes(state_, routes);
  AddDeadRoutes(state_, routes);
  AddFleetRoutes(state_, routes);
  AddMachineRoutes(state_, routes);
  return routes;
}

std::vector<Route> FleetApi::MetricsRoutes() {
  std::vector<Route> routes;
  routes.push_back(MetricsRoute(state_, true));
  return routes;
}

void FleetApi::Begin() {
  state_->open_jobs.Begin(state_->ledger());
  state_->begun = true;
}

void FleetApi::Stop() {
  // A start that failed early has no loop yet, and nobody but us.
  state_->begun ? void(state_->ports.loop->Call([this] { state_->feed.Close(); })) : state_->feed.Close();
  state_->work.Stop();
  state_->work.Join();
}

void FleetApi::OnEvent(uint32_t, Offset, LogTime time, const v1::Event& event, FoldVerdict verdict,
                       std::span<const Change> changes) {
  if (!state_->begun || verdict != FoldVerdict::kAccepted) return;
  FleetState& state = *state_;
  const Job* job = nullptr;  // an event is about one job; it is looked up at most once
  for (const Change& change : changes) {
    const bool listed = OpenJobs::Concerns(change.kind);
    if (!listed && !state.feed.recording()) continue;
    if (job == nullptr && !change.task.job.empty()) job = state.ledger().Find(change.task.job);
    if (listed && job != nullptr) state.open_jobs.OnChange(*job, change.kind);
    state.feed.OnChange(job, time, change);
  }
  (void)event;
}

void FleetApi::OnControl(const v1::ControlRecord&, Offset offset, const Member*) {
  state_->controls_read = offset + 1;
  auto& waiting = state_->controls;
  while (!waiting.empty() && waiting.begin()->first <= offset) {
    const auto answer = std::move(waiting.begin()->second);
    waiting.erase(waiting.begin());
    answer();
  }
}

void FleetApi::OnAlert(const v1::Alert& alert, LogTime time) {
  auto& alerts = state_->alerts;
  alerts.emplace_back(time, alert);
  if (alerts.size() > kAlertsKept) alerts.pop_front();
  if (state_->begun) state_->feed.OnAlert(alert, time);
}

void FleetApi::OnBatchEnd(bool) {
  if (state_->begun) state_->feed.Flush(state_->ledger(), state_->ports.fold->Now());
}

void FleetApi::OnTouch(bool in_touch) { state_->in_touch = in_touch; }

// ---- requests

Page PageOf(const HttpRequest& request) {
  Page page;
  page.cursor = request.Query("cursor");
  const std::string& limit = request.Query("limit");
  if (limit.empty()) return page;
  const auto number = ops::ParseWhole(limit);
  if (!number || *number == 0) {
    page.error =
        "limit: found \"" + ops::Printable(limit, 40) + "\"; allowed: 1 to " + std::to_string(kPageMax);
  } else {
    page.limit = static_cast<uint32_t>(std::min<uint64_t>(*number, kPageMax));
  }
  return page;
}

ActionBody ReadAction(const HttpRequest& request, std::initializer_list<std::string_view> more) {
  constexpr size_t kTextMax = 1000;
  ActionBody action;
  if (request.body.empty()) return action;
  ops::ParsedJson parsed =
      ops::ParseStrictJson(request.body, {.bytes_max = 8 << 20, .values_max = 200'000, .depth_max = 8});
  if (!parsed.readable || parsed.root.kind != ops::JsonKind::kObject) {
    action.error = "the body is not a JSON object, as {\"reason\": \"…\"}";
    return action;
  }
  for (const ops::JsonMember& member : parsed.root.members) {
    const bool text = member.key == "reason" || member.key == "by";
    const bool known = text || std::find(more.begin(), more.end(), member.key) != more.end();
    if (!known) action.error = "\"" + ops::Printable(member.key, 40) + "\" is an unknown field";
    if (!text) continue;
    if (member.value.kind != ops::JsonKind::kString || member.value.text.size() > kTextMax)
      action.error = member.key + ": a text of at most " + std::to_string(kTextMax) + " bytes";
    (member.key == "by" ? action.by : action.reason) = member.value.text;
  }
  action.root = std::move(parsed.root);
  return action;
}

HttpResponse BusyResponse() {
  return ProblemResponse(503, "too much is under way just now; try again in a second");
}

HttpResponse AppendProblem(const absl::Status& status) {
  if (absl::IsResourceExhausted(status) || absl::IsUnavailable(status))
    return ProblemResponse(503, std::string(status.message()));
  return ProblemResponse(status);
}

HttpResponse NoSuchJob(std::string_view id) {
  return ProblemResponse(404,
                         "there is no job \"" + ops::Printable(id, 60) + "\"; GET /api/v1/jobs lists them");
}

}  // namespace laneway::api
