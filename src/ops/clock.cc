#include "ops/clock.h"

#include <ctime>

namespace laneway::ops {
namespace {

Nanos Read(clockid_t id) {
  timespec now{};
  clock_gettime(id, &now);
  return std::chrono::seconds(now.tv_sec) + Nanos(now.tv_nsec);
}

}  // namespace

LogTime RealClock::Wall() const { return {std::chrono::duration_cast<Millis>(Read(CLOCK_REALTIME)).count()}; }
SteadyTime RealClock::Steady() const { return std::chrono::steady_clock::now(); }
Nanos RealClock::Boot() const { return Read(CLOCK_BOOTTIME); }

const RealClock& RealClock::Get() {
  static const RealClock clock;
  return clock;
}

void SimulatedClock::Advance(Millis by) {
  steady_ns_.fetch_add(Nanos(by).count());
  Suspend(by);
}

void SimulatedClock::Suspend(Millis by) {
  wall_ms_.fetch_add(by.count());
  boot_ns_.fetch_add(Nanos(by).count());
}

}  // namespace laneway::ops
