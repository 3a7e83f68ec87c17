// Which port a worker's browser has.
#include "node/browser_plan.h"

#include <gtest/gtest.h>

namespace laneway::node {
namespace {

TEST(BrowserPlanTest, APortGoesByTheNumberInTheWorkersName) {
  v1::Config config;
  config.mutable_browser()->set_port_base(9222);
  config.mutable_browser()->set_profile_dir("data/browser/{worker}");
  config.mutable_worker()->set_id_pattern("DTF-{n:02}");
  const struct {
    const char* worker;
    uint32_t place;
    uint32_t want;
    const char* why;
  } rows[] = {
      {"DTF-01", 1, 9222, "the first"},
      {"DTF-03", 1, 9224, "wherever it is started"},
      {"DTF-120", 2, 9341, "more digits than the pattern has"},
      {"north", 2, 9223, "no number: its place in the process"},
  };
  for (const auto& row : rows) {
    const WorkerId worker(row.worker);
    EXPECT_EQ(BrowserPort(config, worker, row.place), row.want) << row.why;
    EXPECT_EQ(BrowserSpecOf(config, worker, row.place, {}).plan.port, row.want) << row.why;
  }
  config.mutable_browser()->set_port_base(65'535);
  EXPECT_EQ(BrowserPort(config, WorkerId("DTF-03"), 1), 65'535u) << "there is no higher one";
}

}  // namespace
}  // namespace laneway::node
