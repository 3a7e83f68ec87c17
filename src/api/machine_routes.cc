// machine_routes.cc: is it alive, is it ready, its metrics, its version; and what this release does not do
// yet.
#include <set>

#include "absl/strings/str_cat.h"
#include "api/fleet_metrics.h"
#include "api/fleet_state.h"
#include "ops/json_writer.h"
#include "ops/version.h"

namespace laneway::api {
namespace {

constexpr Millis kTickMax{5'000};     // a loop that does not come round in this time is stuck
constexpr uint64_t kLagMax = 10'000;  // records the fold may be behind and still be called near its end

struct Check {
  std::string name;
  bool ok = false;
  std::string detail;
};

HttpResponse ChecksResponse(const std::vector<Check>& checks) {
  bool all = true;
  ops::JsonWriter out;
  out.BeginObject().Key("checks").BeginArray();
  for (const Check& check : checks) {
    all &= check.ok;
    out.BeginObject()
        .Field("name", check.name)
        .Field("ok", check.ok)
        .Field("detail", check.detail)
        .EndObject();
  }
  out.EndArray().Field("ok", all).EndObject();
  return JsonResponse(out.Take() + "\n", all ? 200 : 503);
}

// Gathers a tick of each loop, and answers when all have come or the time is over.
class TickCheck : public std::enable_shared_from_this<TickCheck> {
 public:
  using Ready = std::function<std::vector<Check>()>;  // on the fold's loop; more checks

  TickCheck(StatePtr state, Reply reply, Ready ready)
      : state_(std::move(state)), reply_(std::move(reply)), ready_(std::move(ready)) {}

  void Run() {
    for (const auto& [name, loop] : state_->ports.loops) waiting_.insert(name);
    state_->work.Post([self = shared_from_this()] {
      self->timer_ = self->state_->work.RunAfter(kTickMax, [self] { self->Answer(); });
      for (const auto& [name, loop] : self->state_->ports.loops) {
        const bool fold = loop == self->state_->ports.loop;
        loop->Post([self, name = name, fold] {
          std::vector<Check> more = fold && self->ready_ ? self->ready_() : std::vector<Check>{};
          self->state_->work.Post([self, name, more = std::move(more)] { self->Came(name, more); });
        });
      }
    });
  }

 private:
  void Came(const std::string& name, const std::vector<Check>& more) {
    waiting_.erase(name);
    more_.insert(more_.end(), more.begin(), more.end());
    if (waiting_.empty()) Answer();
  }

  void Answer() {
    if (answered_) return;
    answered_ = true;
    state_->work.Cancel(timer_);
    std::vector<Check> checks;
    for (const auto& [name, loop] : state_->ports.loops) {
      const bool ok = !waiting_.contains(name);
      checks.push_back(
          {"loop_" + name, ok,
           ok ? "ticks" : "has not come round for " + std::to_string(kTickMax.count() / 1000) + " s"});
    }
    checks.insert(checks.end(), more_.begin(), more_.end());
    reply_(ChecksResponse(checks));
  }

  const StatePtr state_;
  Reply reply_;
  const Ready ready_;
  std::set<std::string> waiting_;  // from here on: the work loop's
  std::vector<Check> more_;
  ops::Loop::TimerId timer_;
  bool answered_ = false;
};

std::vector<Check> ReadyChecks(const FleetState& state) {
  std::vector<Check> checks;
  const auto range = state.ports.log->Range({log::Topic::kEvents, 0});
  checks.push_back(
      {"log", range.ok() && state.in_touch, range.ok() ? "answers" : std::string(range.status().message())});
  const absl::Status health = state.views.log_health ? state.views.log_health() : absl::OkStatus();
  checks.push_back({"disk", health.ok(), health.ok() ? "has space" : std::string(health.message())});
  const uint64_t lag = state.ports.fold->Lag();
  checks.push_back({"fold", lag <= kLagMax, absl::StrCat(lag, " records behind")});
  if (!state.views.dispatcher) return checks;
  const DispatcherFigures dispatcher = state.views.dispatcher();
  checks.push_back({"dispatcher", dispatcher.active || dispatcher.may_stand_by,
                    dispatcher.active         ? absl::StrCat("active in epoch ", dispatcher.epoch)
                    : dispatcher.may_stand_by ? "stands by"
                                              : "is not active"});
  return checks;
}

HttpResponse VersionResponse(const FleetState& state) {
  return JsonResponse(ops::JsonWriter()
                          .BeginObject()
                          .Field("version", ops::Version())
                          .Field("commit", ops::Commit())
                          .Field("build_type", ops::BuildType())
                          .Field("deployment_model", state.options.deployment)
                          .EndObject()
                          .Take() +
                      "\n");
}

}  // namespace

Route MetricsRoute(const StatePtr& state, bool open) {
  return {.method = "GET",
          .pattern = "/metrics",
          .handler =
              [state](const HttpRequest&, Reply reply) {
                state->OnFold(std::move(reply), [state](const SharedReply& shared) {
                  state->ports.metrics->Refresh(state->views, state->ports.fold->Now());
                  state->Answer(shared, [state] {
                    HttpResponse response;
                    response.content_type = "text/plain; version=0.0.4; charset=utf-8";
                    response.body = state->ports.metrics->Text();
                    return response;
                  });
                });
              },
          .open = open};
}

void AddMachineRoutes(const StatePtr& state, std::vector<Route>& routes) {
  routes.push_back({.method = "GET",
                    .pattern = "/healthz",
                    .handler =
                        [state](const HttpRequest&, Reply reply) {
                          std::make_shared<TickCheck>(state, std::move(reply), nullptr)->Run();
                        },
                    .open = true});
  routes.push_back({.method = "GET",
                    .pattern = "/readyz",
                    .handler =
                        [state](const HttpRequest&, Reply reply) {
                          std::make_shared<TickCheck>(state, std::move(reply), [state] {
                            return ReadyChecks(*state);
                          })->Run();
                        },
                    .open = true});
  routes.push_back({.method = "GET",
                    .pattern = "/version",
                    .handler = [state](const HttpRequest&, Reply reply) { reply(VersionResponse(*state)); },
                    .open = true});
  routes.push_back({.method = "GET",
                    .pattern = "/openapi.json",
                    .handler = [](const HttpRequest&,
                                  Reply reply) { reply(JsonResponse(std::string(OpenApiDocument()))); },
                    .open = true});
  routes.push_back(MetricsRoute(state, false));
  for (const char* pattern : {"/get_task", "/update_task_progress", "/report_heartbeat"}) {
    routes.push_back(
        {.method = "POST", .pattern = pattern, .handler = [](const HttpRequest&, Reply reply) {
           reply(ProblemResponse(
               501, "not in this release: workers of other processes cannot join over HTTP yet"));
         }});
  }
}

}  // namespace laneway::api
