// What a process of workers alone tells of its workers' browsers.
#include "node/worker_metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace laneway::node {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST(WorkerMetricsTest, ABrowserIsToldOfAsTheApiDoes) {
  ops::Loop loop("workers");
  WorkerMetrics metrics(&loop, [] { return std::vector<worker::WorkerRunner::View>{}; });
  worker::WorkerRunner::View with, without;
  with.id = WorkerId("DTF-01");
  with.has_browser = with.browser_connected = true;
  without.id = WorkerId("DTF-02");
  std::string text = metrics.Text({with, without});
  EXPECT_THAT(text, HasSubstr("laneway_browser_connected{worker=\"DTF-01\"} 1"));
  EXPECT_THAT(text, HasSubstr("laneway_browser_restarts_total{worker=\"DTF-01\"} 0"));
  EXPECT_THAT(text, Not(HasSubstr("laneway_browser_connected{worker=\"DTF-02\"}")));
  with.browser_connected = false;
  with.counters.browser_restarts = 2;
  metrics.Text({with, without});
  with.counters.browser_restarts = 3;
  text = metrics.Text({with, without});
  EXPECT_THAT(text, HasSubstr("laneway_browser_connected{worker=\"DTF-01\"} 0"));
  EXPECT_THAT(text, HasSubstr("laneway_browser_restarts_total{worker=\"DTF-01\"} 3")) << "each counts once";
}

}  // namespace
}  // namespace laneway::node
