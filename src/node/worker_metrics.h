// worker_metrics.h: what a process of workers alone tells Prometheus of itself.
//
// Role:       it has no fold: what the fleet knows of its workers is told by the API, the dispatcher and the
//             reaper; here is what they know of themselves.
// Output:     GET /metrics and /healthz.
// Threads:    Routes' handlers on the server's thread; they ask the workers' loop.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "api/http_server.h"
#include "ops/loop.h"
#include "ops/metrics.h"
#include "worker/worker_runner.h"

namespace laneway::node {

class WorkerMetrics {
 public:
  using ViewsOf = std::function<std::vector<worker::WorkerRunner::View>()>;  // on the workers' loop

  WorkerMetrics(ops::Loop* loop, ViewsOf views) : loop_(loop), views_(std::move(views)) {}

  std::vector<api::Route> Routes();
  // What is told of these, in Prometheus' format; the API has the same names for the fleet. On the workers'
  // loop.
  std::string Text(const std::vector<worker::WorkerRunner::View>& views);

 private:
  ops::Loop* const loop_;
  const ViewsOf views_;
  ops::Metrics metrics_;
  double succeeded_ = 0, failed_ = 0, released_ = 0;  // told so far
  std::map<std::string, uint64_t> restarts_;          // of browsers, by worker
};

}  // namespace laneway::node
