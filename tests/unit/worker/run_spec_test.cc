#include "worker/run_spec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "fixture.h"

namespace laneway::worker {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::Not;
using ::testing::StartsWith;

TEST(RunSpecTest, AScriptGetsWhatTheContractSays) {
  RunContext context;
  context.worker = WorkerId("DTF-03");
  context.zone_root = "/srv/dispatch";
  context.environment = {"PATH=/usr/bin"};
  context.browser_port = 9224;
  v1::WorkPacket packet;
  packet.mutable_spec()->add_exec("bash");
  packet.mutable_spec()->add_exec("process.sh");
  packet.mutable_spec()->add_exec("{file}");
  packet.mutable_spec()->add_exec("{stem}|{name}|{attempt}|{worker}|{browser_url}");
  packet.mutable_spec()->set_timeout_ms(1500);
  packet.mutable_file()->set_path("sub/-rf $(id).tar.gz");
  packet.set_checkpoint("page 7");
  packet.set_payload(std::string("a\0b", 3));
  const AttemptKey key = Key(1, 2);
  const auto made = MakeRunSpec(context, key, packet);
  ASSERT_TRUE(made.ok()) << made.status();
  const RunSpec& spec = *made;
  const std::string folder = "/srv/dispatch/processing/DTF-03/" + key.task.ToFileName() + ".2";
  EXPECT_THAT(spec.argv, ElementsAre("bash", "process.sh", folder + "/-rf $(id).tar.gz",
                                     "-rf $(id).tar|-rf $(id).tar.gz|2|DTF-03|http://127.0.0.1:9224"));
  EXPECT_THAT(spec.environment, Contains("PATH=/usr/bin"));
  EXPECT_THAT(spec.environment, Contains("LANEWAY_FILE=" + folder + "/-rf $(id).tar.gz"));
  EXPECT_THAT(spec.environment, Contains("LANEWAY_OUTPUT_DIR=" + folder + "/output"));
  EXPECT_THAT(spec.environment, Contains("LANEWAY_CHECKPOINT=page 7"));
  EXPECT_THAT(spec.environment, Contains("LANEWAY_BROWSER_PORT=9224"));
  EXPECT_THAT(spec.environment, Not(Contains(StartsWith("LANEWAY_PAYLOAD"))))
      << "a NUL cannot be in a variable";
  EXPECT_EQ(spec.log_path, "/srv/dispatch/logs/DTF-03/" + key.task.job.ToString() + "-2.log");
  EXPECT_EQ(spec.timeout, std::chrono::milliseconds(1500));
  packet.mutable_spec()->add_exec("{fiel}");
  EXPECT_EQ(MakeRunSpec(context, key, packet).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(RunSpecTest, AHandlerNeedsNoProgramWithAFileOrWithout) {
  RunContext context;
  context.worker = WorkerId("W");
  context.zone_root = "/z";
  v1::WorkPacket packet;
  for (const char* handler : {"noop", "copy"}) {
    packet.mutable_spec()->set_handler(handler);
    EXPECT_TRUE(MakeRunSpec(context, Key(1, 1), packet).ok()) << handler;
  }
  packet.mutable_file()->set_path("a.csv");
  const auto spec = MakeRunSpec(context, Key(1, 1), packet);
  ASSERT_TRUE(spec.ok()) << spec.status();
  EXPECT_EQ(spec->file, "/z/processing/W/" + Key(1, 1).task.ToFileName() + ".1/a.csv");
}

TEST(RunSpecTest, LogsOfSeveralTasksOfAJobAreToldApart) {
  EXPECT_EQ(AttemptLogPath(WorkerId("W"), Key(1, 1, 1)), "logs/W/" + Job(1).ToString() + "-1.log");
  EXPECT_EQ(AttemptLogPath(WorkerId("W"), Key(1, 1, 7)), "logs/W/" + Job(1).ToString() + "-7-1.log");
}

}  // namespace
}  // namespace laneway::worker
