// fleet_metrics.h: keeps the metrics of the fleet up to date from what the fold tells.
//
// Role:       listener of the process's fold.
// Output:     ops::Metrics.
// Cost:       a few additions an event (under 0.3 us a task, tests/unit/api); what needs a look-up by name,
//             and all gauges, waits for Refresh.
// Threads:    the fold's loop; OnAppend: any.
#pragma once

#include <array>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "api/fleet_api.h"
#include "fold/fleet_fold.h"
#include "ops/metrics.h"

namespace laneway::api {

class FleetMetrics : public fold::FoldListener {
 public:
  // `drain_time`: in which a backlog should be worked off (autoscale.h).
  explicit FleetMetrics(const fold::FleetFold* fold, Millis drain_time = Millis(600000));

  // Counting begins here: what was read before was counted by an earlier process.
  void Begin() { counting_ = true; }
  // Brings everything up to date; before a scrape.
  void Refresh(const FleetViews& views, LogTime now);
  std::string Text() const { return metrics_.Text(); }
  ops::Metrics& metrics() { return metrics_; }
  void OnAppend(double seconds) { metrics_.Observe(ops::Histogram::kLogAppend, seconds); }

  void OnEvent(uint32_t partition, Offset offset, LogTime time, const v1::Event& event, FoldVerdict verdict,
               std::span<const Change> changes) override;
  void OnBatchEnd(bool) override {}

 private:
  // A histogram's counts since the last Refresh.
  struct Pending {
    explicit Pending(ops::Histogram histogram);
    void Add(double seconds);
    void Flush(ops::Metrics& metrics);

    const ops::Histogram of;
    const std::vector<double> bounds;
    std::vector<double> counts;
    double sum = 0;
    uint64_t number = 0;
  };
  enum Outcome : uint8_t { kSucceeded, kFailed, kReleased, kRepublished, kCancelled, kOutcomes };

  void OnChange(const Change& change, LogTime time);
  void FlushCounters();
  using Backlog = std::map<std::pair<Lane, std::string>, double>;
  Backlog SetWorkers(LogTime now);
  void SetLanes(Backlog backlog);
  void SetFleet(const FleetViews& views, LogTime now);

  const fold::FleetFold* fold_;
  const Millis drain_time_;
  ops::Metrics metrics_;
  bool counting_ = false;
  std::array<uint64_t, kJobPhases> jobs_{};
  std::array<uint64_t, kTaskStates> tasks_{};
  std::array<uint64_t, kOutcomes> attempts_{};
  std::array<uint64_t, kVerdicts> ignored_{};
  std::map<std::string, uint64_t, std::less<>> republished_;
  uint64_t dead_ = 0;
  Pending duration_{ops::Histogram::kTaskDuration};
  Pending latency_{ops::Histogram::kDispatchLatency};
  double run_seconds_ = 0;                    // of one task, lately
  std::set<std::string> workers_;             // that have series
  std::map<std::string, uint32_t> browsers_;  // their browsers' generations, counted so far
  Backlog lanes_;                             // that have series
};

}  // namespace laneway::api
