// serve.cc: the API and the metrics of a standalone fleet.
#include <optional>

#include "fleet/why_waiting.h"
#include "node/node.h"
#include "ops/units.h"

namespace laneway::node {
namespace {

constexpr std::chrono::milliseconds kGrace{500};  // for answers under way when the process ends

// Nothing when it is off.
std::optional<ops::ListenAddress> AddressOf(const std::string& text) {
  const auto address = ops::ParseListen(text);
  if (!address || address->off) return std::nullopt;
  return address;
}

}  // namespace

void Node::OpenApi() {
  metrics_ =
      std::make_unique<api::FleetMetrics>(fold_.get(), Millis(options_.config.placement().drain_time_ms()));
  append_times_.store(metrics_.get(), std::memory_order_release);
  api::FleetApiPorts ports{.loop = &fold_loop_,
                           .fold = fold_.get(),
                           .log = &backend_->LogAs("api"),
                           .clock = clock_,
                           .metrics = metrics_.get()};
  ports.loops = {{"fold", &fold_loop_}, {"workers", &worker_loop_}};
  api::FleetApiOptions options{.job = options_.config.job(),
                               .deployment = options_.config.deployment_model()};
  api::FleetViews views;
  views.why_waiting = [this](const Job& job, const std::vector<uint32_t>& tasks, LogTime now) {
    const dispatcher::Dispatcher* core = dispatcher_ ? dispatcher_->dispatcher() : nullptr;
    if (core == nullptr || !core->active()) {
      return WhyWaiting(fold_->ledger(), fold_->members(), LimitsOf(options_.config.placement()), job, tasks,
                        now);
    }
    std::vector<std::string> reasons;
    for (const uint32_t n : tasks) reasons.push_back(core->placement().WhyWaiting({job.id, n}, now));
    return reasons;
  };
  if (dispatcher_) {
    views.dispatcher = [this] {
      const dispatcher::Dispatcher* core = dispatcher_ ? dispatcher_->dispatcher() : nullptr;
      if (core == nullptr) return api::DispatcherFigures{};
      return api::DispatcherFigures{core->active(), core->epoch(), backend_->shared()};
    };
  }
  if (options_.serve_zone && dispatcher_) {
    views.zone = [this] {
      const dispatcher::ZoneView zone = dispatcher_ ? dispatcher_->zone_view() : dispatcher::ZoneView{};
      return api::ZoneFigures{zone.present, zone.waiting, zone.oldest_mtime_ns};
    };
  }
  views.log_health = [this] {
    const log::EngineHealth health = backend_->Health();
    if (health.ok) return absl::OkStatus();
    return health.disk_full ? absl::ResourceExhaustedError(health.message)
                            : absl::UnavailableError(health.message);
  };
  api_ = std::make_unique<api::FleetApi>(std::move(ports), std::move(options), std::move(views));
}

absl::Status Node::Serve() {
  const auto start = [this](api::HttpServerOptions server, bool optional, std::vector<api::Route> routes,
                            std::unique_ptr<api::HttpServer>* to) {
    auto started = api::HttpServer::Start(std::move(server), std::move(routes));
    if (started.ok()) {
      *to = std::move(*started);
    } else if (optional && absl::IsAlreadyExists(started.status())) {
      if (options_.on_not_served) options_.on_not_served(started.status());
    } else {
      return started.status();
    }
    return absl::OkStatus();
  };
  if (const auto address = AddressOf(options_.config.api().listen()); address && api_ && options_.roles.api) {
    api::HttpServerOptions server{.name = "api", .listen = *address, .token = options_.api_token};
    absl::Status status = start(std::move(server), options_.api_optional, api_->Routes(), &api_server_);
    if (!status.ok()) return status;
  }
  if (const auto address = AddressOf(options_.config.metrics().listen())) {
    api::HttpServerOptions server{.name = "metrics", .listen = *address};
    server.connections_max = 64;
    return start(std::move(server), options_.metrics_optional,
                 api_ ? api_->MetricsRoutes() : worker_metrics_->Routes(), &metrics_server_);
  }
  return absl::OkStatus();
}

// Before the loops that answer stop.
void Node::StopServing() {
  if (api_server_) api_server_->Stop(kGrace);
  if (metrics_server_) metrics_server_->Stop(kGrace);
  if (api_) api_->Stop();
}

std::optional<ops::ListenAddress> Node::api_address() const {
  if (!api_server_) return std::nullopt;
  return api_server_->address();
}

std::optional<ops::ListenAddress> Node::metrics_address() const {
  if (!metrics_server_) return std::nullopt;
  return metrics_server_->address();
}

}  // namespace laneway::node
