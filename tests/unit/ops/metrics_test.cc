#include "ops/metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>

namespace laneway::ops {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

void FillAll(Metrics& metrics) {
  metrics.Add(Counter::kJobs, 1, {"SUCCEEDED"});
  metrics.Add(Counter::kTasks, 3, {"SUCCEEDED"});
  metrics.Add(Counter::kTaskAttempts, 1, {"exit_code"});
  metrics.Add(Counter::kRepublished, 1, {"worker_lost"});
  metrics.Add(Counter::kDeadLetters);
  metrics.Add(Counter::kBrowserRestarts, 1, {"DTF-01"});
  metrics.Add(Counter::kEventsIgnored, 1, {"old_epoch"});
  metrics.Set(Gauge::kTasksPending, 5);
  for (Gauge gauge : {Gauge::kTasksRunning, Gauge::kWorkerUp, Gauge::kWorkerCapacity,
                      Gauge::kBrowserConnected, Gauge::kHeartbeatAge}) {
    metrics.Set(gauge, 1, {"DTF-01"});
    metrics.Set(gauge, 1, {"DTF-02"});
  }
  metrics.Set(Gauge::kLaneBacklog, 7, {"3", "DTF-01"});
  metrics.Set(Gauge::kZoneFiles, 7, {"incoming"});
  metrics.Observe(Histogram::kTaskDuration, 0.2);
  metrics.Observe(Histogram::kDispatchLatency, 0.002);
  metrics.Observe(Histogram::kLogAppend, 0.0002);
}

TEST(MetricsTest, HasExactlyTheDocumentedNames) {
  Metrics metrics;
  FillAll(metrics);
  const std::string text = metrics.Text();
  for (const char* line : {"laneway_jobs_total{state=\"SUCCEEDED\"} 1",
                           "laneway_tasks_total{state=\"SUCCEEDED\"} 3",
                           "laneway_tasks_pending 5",
                           "laneway_tasks_running{worker=\"DTF-01\"} 1",
                           "laneway_task_duration_seconds_count 1",
                           "laneway_dispatch_latency_seconds_count 1",
                           "laneway_task_attempts_total{outcome=\"exit_code\"} 1",
                           "laneway_republished_total{reason=\"worker_lost\"} 1",
                           "laneway_dead_letters_total 1",
                           "laneway_worker_up{worker=\"DTF-01\"} 1",
                           "laneway_worker_capacity{worker=\"DTF-01\"} 1",
                           "laneway_browser_connected{worker=\"DTF-01\"} 1",
                           "laneway_browser_restarts_total{worker=\"DTF-01\"} 1",
                           "laneway_heartbeat_age_seconds{worker=\"DTF-01\"} 1",
                           "laneway_lane_backlog{lane=\"3\",worker=\"DTF-01\"} 7",
                           "laneway_zone_files{place=\"incoming\"} 7",
                           "laneway_zone_oldest_file_seconds 0",
                           "laneway_dispatcher_active 0",
                           "laneway_dispatcher_epoch 0",
                           "laneway_log_append_seconds_count 1",
                           "laneway_fold_lag_records 0",
                           "laneway_events_ignored_total{reason=\"old_epoch\"} 1",
                           "laneway_autoscale_wanted_workers 0",
                           "laneway_build_info{commit=",
                           "process_resident_memory_bytes",
                           "process_cpu_seconds_total",
                           "process_open_fds",
                           "process_start_time_seconds"}) {
    EXPECT_THAT(text, HasSubstr(line));
  }
}

TEST(MetricsTest, TheSeriesOfAWorkerThatIsGoneAreRemoved) {
  Metrics metrics;
  FillAll(metrics);
  metrics.RemoveWorker("DTF-01");
  EXPECT_THAT(metrics.Text(), Not(HasSubstr("DTF-01")));
  EXPECT_THAT(metrics.Text(), HasSubstr("laneway_worker_up{worker=\"DTF-02\"} 1"));
  metrics.Set(Gauge::kWorkerUp, 1, {"DTF-01"});  // and it may come back
  EXPECT_THAT(metrics.Text(), HasSubstr("laneway_worker_up{worker=\"DTF-01\"} 1"));
  metrics.Remove(Gauge::kWorkerUp, {"DTF-01"});
  EXPECT_THAT(metrics.Text(), Not(HasSubstr("laneway_worker_up{worker=\"DTF-01\"}")));
}

TEST(MetricsTest, LabelValuesAreBounded) {
  Metrics metrics(10);
  for (int i = 0; i < 1000; i++) metrics.Add(Counter::kRepublished, 1, {"reason-" + std::to_string(i)});
  std::string value(1000, 'x');
  value += "\n\xff";
  metrics.Add(Counter::kJobs, 1, {value});
  const std::string text = metrics.Text();
  EXPECT_THAT(text, HasSubstr("laneway_republished_total{reason=\"other\"} 990"));
  EXPECT_THAT(text, Not(HasSubstr(std::string(100, 'x'))));
}

TEST(MetricsTest, PromtoolFindsNothingWrong) {
  if (std::system("command -v promtool >/dev/null 2>&1") != 0)
    GTEST_SKIP() << "promtool is not installed (apt: prometheus)";
  Metrics metrics;
  FillAll(metrics);
  const std::string path = testing::TempDir() + "/laneway_metrics_" + std::to_string(getpid());
  std::ofstream(path) << metrics.Text();
  EXPECT_EQ(std::system(("promtool check metrics < " + path).c_str()), 0);
  std::remove(path.c_str());
}

}  // namespace
}  // namespace laneway::ops
