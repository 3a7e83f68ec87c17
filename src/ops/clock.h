// clock.h: what time it is, in the three senses that matter.
//
// Role:       interface to the outside: RealClock (the kernel's), SimulatedClock (tests move it by hand).
// Promises:   (1) Wall may jump: it is for records and people, never for a timeout; (2) Steady never goes
//             back and stands still while the machine sleeps; (3) Boot never goes back and counts sleep: the
//             age of a lease is measured with it.
// Threads:    every function from any thread.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>

#include "fleet/log_time.h"

namespace laneway::ops {

using SteadyTime = std::chrono::steady_clock::time_point;
using Nanos = std::chrono::nanoseconds;

class Clock {
 public:
  virtual ~Clock() = default;
  virtual LogTime Wall() const = 0;
  virtual SteadyTime Steady() const = 0;
  virtual Nanos Boot() const = 0;  // since the machine started, sleep included
};

class RealClock : public Clock {
 public:
  LogTime Wall() const override;
  SteadyTime Steady() const override;
  Nanos Boot() const override;

  static const RealClock& Get();
};

// Stands still until it is told.
class SimulatedClock : public Clock {
 public:
  explicit SimulatedClock(LogTime wall = LogTime{0}) : wall_ms_(wall.ms) {}

  LogTime Wall() const override { return {wall_ms_.load()}; }
  SteadyTime Steady() const override { return SteadyTime(Nanos(steady_ns_.load())); }
  Nanos Boot() const override { return Nanos(boot_ns_.load()); }

  // All three go on.
  void Advance(Millis by);
  // As after a suspended laptop wakes up: Steady does not notice.
  void Suspend(Millis by);
  // As a clock that is set: only Wall jumps, either way.
  void SetWall(LogTime to) { wall_ms_.store(to.ms); }

 private:
  std::atomic<int64_t> wall_ms_;
  std::atomic<int64_t> steady_ns_{0};
  std::atomic<int64_t> boot_ns_{0};
};

}  // namespace laneway::ops
