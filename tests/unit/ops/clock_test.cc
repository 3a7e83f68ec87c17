#include "ops/clock.h"

#include <gtest/gtest.h>

namespace laneway::ops {
namespace {

TEST(SimulatedClockTest, SuspendIsSeenByBootButNotBySteadyAndSetWallByNeither) {
  SimulatedClock clock(LogTime{1'000});
  clock.Advance(Millis(500));
  clock.Suspend(Millis(60'000));
  EXPECT_EQ(clock.Wall(), LogTime{61'500});
  EXPECT_EQ(clock.Steady().time_since_epoch(), Millis(500));
  EXPECT_EQ(clock.Boot(), Millis(60'500));
  clock.SetWall(LogTime{5});
  EXPECT_EQ(clock.Wall(), LogTime{5});
  EXPECT_EQ(clock.Boot(), Millis(60'500));
}

TEST(RealClockTest, ReadsTheKernel) {
  const RealClock& clock = RealClock::Get();
  EXPECT_GT(clock.Wall().ms, 1'700'000'000'000);
  const auto steady = clock.Steady();
  const auto boot = clock.Boot();
  EXPECT_GE(clock.Steady(), steady);
  EXPECT_GE(clock.Boot(), boot);
}

}  // namespace
}  // namespace laneway::ops
