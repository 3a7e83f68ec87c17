#include "node/worker_metrics.h"

#include <memory>
#include <utility>

namespace laneway::node {

using ops::Counter;
using ops::Gauge;

std::string WorkerMetrics::Text(const std::vector<worker::WorkerRunner::View>& views) {
  double succeeded = 0, failed = 0, released = 0;
  for (const worker::WorkerRunner::View& view : views) {
    metrics_.Set(Gauge::kWorkerUp, 1, {view.id.name});
    metrics_.Set(Gauge::kWorkerCapacity, view.capacity, {view.id.name});
    metrics_.Set(Gauge::kTasksRunning, view.running, {view.id.name});
    if (view.has_browser) {
      metrics_.Set(Gauge::kBrowserConnected, view.browser_connected ? 1 : 0, {view.id.name});
      uint64_t& told = restarts_[view.id.name];
      const uint64_t more =
          view.counters.browser_restarts - std::exchange(told, view.counters.browser_restarts);
      metrics_.Add(Counter::kBrowserRestarts, static_cast<double>(more), {view.id.name});
    }
    succeeded += static_cast<double>(view.counters.succeeded);
    failed += static_cast<double>(view.counters.failed);
    released += static_cast<double>(view.counters.released);
  }
  metrics_.Add(Counter::kTaskAttempts, succeeded - std::exchange(succeeded_, succeeded), {"succeeded"});
  metrics_.Add(Counter::kTaskAttempts, failed - std::exchange(failed_, failed), {"failed"});
  metrics_.Add(Counter::kTaskAttempts, released - std::exchange(released_, released), {"released"});
  return metrics_.Text();
}

std::vector<api::Route> WorkerMetrics::Routes() {
  std::vector<api::Route> routes;
  routes.push_back({.method = "GET",
                    .pattern = "/metrics",
                    .handler =
                        [this](const api::HttpRequest&, api::Reply reply) {
                          auto shared = std::make_shared<api::Reply>(std::move(reply));
                          loop_->Post([this, shared] {
                            api::HttpResponse response;
                            response.content_type = "text/plain; version=0.0.4; charset=utf-8";
                            response.body = Text(views_());
                            (*shared)(std::move(response));
                          });
                        },
                    .open = true});
  routes.push_back({.method = "GET",
                    .pattern = "/healthz",
                    .handler =
                        [this](const api::HttpRequest&, api::Reply reply) {
                          auto shared = std::make_shared<api::Reply>(std::move(reply));
                          loop_->Post([shared] { (*shared)(api::JsonResponse("{\"ok\": true}\n")); });
                        },
                    .open = true});
  return routes;
}

}  // namespace laneway::node
