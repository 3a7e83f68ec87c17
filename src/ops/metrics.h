// metrics.h: what a Prometheus server reads: the fleet's counters, gauges and histograms, and the process's
// own.
//
// Role:       shell around prometheus-cpp. The names are fixed: dashboards and alerts depend on them.
// Invariants: (1) no series but those of the table in metrics.cc; (2) a metric has at most `series_max` of
//             them, further label values are counted under "other"; (3) after RemoveWorker no series names
//             that worker.
// Threads:    every function from any thread. Adding and setting take a lock and a look-up (about 0.1 us):
//             count in batches where it is hot.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace laneway::ops {

// Labels in the order given here.
enum class Counter : uint8_t {
  kJobs,             // laneway_jobs_total{state}
  kTasks,            // laneway_tasks_total{state}
  kTaskAttempts,     // laneway_task_attempts_total{outcome}
  kRepublished,      // laneway_republished_total{reason}
  kDeadLetters,      // laneway_dead_letters_total
  kBrowserRestarts,  // laneway_browser_restarts_total{worker}
  kEventsIgnored,    // laneway_events_ignored_total{reason}
};

enum class Gauge : uint8_t {
  kTasksPending,            // laneway_tasks_pending
  kTasksRunning,            // laneway_tasks_running{worker}
  kWorkerUp,                // laneway_worker_up{worker}
  kWorkerCapacity,          // laneway_worker_capacity{worker}
  kBrowserConnected,        // laneway_browser_connected{worker}
  kHeartbeatAge,            // laneway_heartbeat_age_seconds{worker}
  kLaneBacklog,             // laneway_lane_backlog{lane,worker}
  kZoneFiles,               // laneway_zone_files{place}
  kZoneOldestFile,          // laneway_zone_oldest_file_seconds
  kDispatcherActive,        // laneway_dispatcher_active
  kDispatcherEpoch,         // laneway_dispatcher_epoch
  kFoldLag,                 // laneway_fold_lag_records
  kAutoscaleWantedWorkers,  // laneway_autoscale_wanted_workers
};

enum class Histogram : uint8_t {
  kTaskDuration,     // laneway_task_duration_seconds
  kDispatchLatency,  // laneway_dispatch_latency_seconds: due → started
  kLogAppend,        // laneway_log_append_seconds
};

class Metrics {
 public:
  using Labels = std::initializer_list<std::string_view>;

  explicit Metrics(size_t series_max = 20'000);
  ~Metrics();
  Metrics(const Metrics&) = delete;
  Metrics& operator=(const Metrics&) = delete;

  void Add(Counter counter, double by = 1, Labels labels = {});
  void Set(Gauge gauge, double value, Labels labels = {});
  void Observe(Histogram histogram, double seconds);
  // Upper bounds of the buckets, in seconds; there is one more, without a bound.
  static std::vector<double> Bounds(Histogram histogram);
  // What was counted elsewhere: so many in each bucket, and their sum in seconds.
  void ObserveMany(Histogram histogram, const std::vector<double>& counts, double sum);
  // Also one lane of a worker that has it no more.
  void Remove(Gauge gauge, Labels labels);
  void RemoveWorker(std::string_view worker);

  // Prometheus' text format, version 0.0.4: "text/plain; version=0.0.4".
  std::string Text() const;

 private:
  class Table;
  std::unique_ptr<Table> table_;
};

}  // namespace laneway::ops
