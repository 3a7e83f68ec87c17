#include "fleet/autoscale.h"

#include <gtest/gtest.h>

namespace laneway {
namespace {

TEST(AutoscaleTest, SoManyWorkersClearWhatIsOpenInTime) {
  const struct {
    OpenWork work;
    uint32_t wanted;
    const char* why;
  } rows[] = {
      {{.tasks = 0, .run_seconds = 60, .drain_time = Millis(600000)}, 0, "nothing is open"},
      {{.tasks = 100, .run_seconds = 60, .drain_time = Millis(600000)}, 10, "100 minutes of work in ten"},
      {{.tasks = 100, .run_seconds = 60, .drain_time = Millis(600000), .slots_each = 4},
       3,
       "four at once each"},
      {{.tasks = 1, .run_seconds = 0, .drain_time = Millis(600000)}, 1, "somebody has to do it"},
      {{.tasks = 3, .run_seconds = 7200, .drain_time = Millis(600000)},
       3,
       "a task runs on one worker, however long"},
      {{.tasks = 1000000, .run_seconds = 3600, .drain_time = Millis(0)}, 1000000, "at once"},
  };
  for (const auto& row : rows) EXPECT_EQ(WantedWorkers(row.work), row.wanted) << row.why;
}

}  // namespace
}  // namespace laneway
