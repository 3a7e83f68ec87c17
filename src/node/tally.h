// tally.h: counts what happened, for the live line and the summary of `laneway up`.
//
// Role:       a listener of the fold.
// Output:     a TallyView, copied out under a lock. Bounds:     durations are kept as a histogram, dead
//             letters up to kDeadMax.
// Threads:    fed on the fold's loop; View() from any thread.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "fold/fleet_fold.h"

namespace laneway::node {

// Times in about 4 % steps, from 1 µs to days.
class Histogram {
 public:
  void Add(double seconds);
  double Quantile(double q) const;  // 0 when empty
  uint64_t count() const { return count_; }

 private:
  static constexpr size_t kBuckets = 700;
  std::array<uint64_t, kBuckets> buckets_{};
  uint64_t count_ = 0;
};

struct WorkerTally {
  uint64_t started = 0;
  uint64_t succeeded = 0;
  uint64_t failed = 0;
  double busy_seconds = 0;
};

struct DeadTask {
  std::string job;
  std::string name;
  std::string reason;
  uint32_t attempts = 0;
};

struct TallyView {
  std::array<uint64_t, kTaskStates> tasks_now{};
  std::array<uint64_t, kTaskStates> tasks_ended{};
  std::array<uint64_t, kJobPhases> jobs_ended{};
  uint64_t jobs_open = 0;
  uint64_t attempts = 0;
  uint64_t retries = 0;  // attempts after the first
  uint64_t republished = 0;
  uint64_t refused = 0;                    // files moved to quarantine unseen by any script
  std::map<std::string, uint64_t> places;  // "completed" → files
  std::map<std::string, WorkerTally> workers;
  std::vector<DeadTask> dead;
  uint64_t dead_not_shown = 0;
  double run_p50 = 0, run_p99 = 0;    // seconds, started → ended
  double wait_p50 = 0, wait_p99 = 0;  // due → started
  LogTime first, last;                // of what was counted
};

class Tally : public fold::FoldListener {
 public:
  explicit Tally(const fold::FleetFold* fold) : fold_(fold) {}

  void OnEvent(uint32_t partition, Offset offset, LogTime time, const v1::Event& event, FoldVerdict verdict,
               std::span<const Change> changes) override;
  void OnAlert(const v1::Alert& alert, LogTime time) override;
  void OnBatchEnd(bool caught_up) override;
  // Counting begins here: what was read before is history.
  void Begin();
  TallyView View() const;

 private:
  static constexpr size_t kDeadMax = 50;
  void OnChange(const Change& change, LogTime time);

  const fold::FleetFold* fold_;
  bool counting_ = false;
  std::array<uint64_t, kTaskStates> ended_before_{};
  mutable std::mutex mutex_;
  TallyView view_;
  Histogram runs_;
  Histogram waits_;
};

}  // namespace laneway::node
