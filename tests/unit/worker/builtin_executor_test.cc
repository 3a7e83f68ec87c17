#include "worker/executor/builtin_executor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>

#include "support/run_executor.h"

namespace laneway::worker {
namespace {

using testing::HasSubstr;

RunSpec Builtin(const char* handler, const std::string& payload, uint32_t task = 1, uint32_t attempt = 1) {
  RunSpec spec;
  spec.key = Key(task, attempt);
  spec.handler = handler;
  spec.payload = payload;
  return spec;
}

class BuiltinExecutorTest : public testing::Test {
 protected:
  Ended Run(const RunSpec& spec) {
    executor_.Start(spec);
    return events_.WaitEnded(spec.key);
  }
  TestFolder folder_;
  Collector events_;
  BuiltinExecutor executor_{events_.Sink()};
};

TEST_F(BuiltinExecutorTest, NoopIsDoneWhenStartReturns) {
  executor_.Start(Builtin("noop", "anything"));
  EXPECT_TRUE(events_.HasEnded(Key(1)));
  EXPECT_TRUE(events_.WaitEnded(Key(1)).ok);
}

TEST_F(BuiltinExecutorTest, UnknownHandlersAndPayloads) {
  const struct {
    RunSpec spec;
    const char* message;
  } rows[] = {
      {Builtin("slepe", "", 1), "unknown handler \"slepe\"; known are copy, fail, noop, sleep"},
      {Builtin("sleep", "{\"ms\": -1}", 2), "\"sleep\" is not"},
      {Builtin("sleep", "{\"ms\": \"1\"}", 3), "\"sleep\" is not"},
      {Builtin("sleep", "[1]", 4), "\"sleep\" is not"},
      {Builtin("sleep", "{\"ms\": 18446744073709551615}", 5), "\"sleep\" is not"},
      {Builtin("sleep", "{\"ms\"", 6), "\"sleep\" is not"},
      {Builtin("fail", "{\"exit_code\": 0}", 7), "\"fail\" is not"},
      {Builtin("fail", "{\"message\": 3}", 8), "\"fail\" is not"},
      {Builtin("copy", "", 9), "there is no file to copy"},
  };
  for (const auto& row : rows) {
    const Ended ended = Run(row.spec);
    EXPECT_EQ(ended.ending, v1::CANNOT_START);
    EXPECT_THAT(ended.message, HasSubstr(row.message));
  }
}

TEST_F(BuiltinExecutorTest, FailFailsAsOftenAsItIsTold) {
  EXPECT_EQ(Run(Builtin("fail", "", 1)).message, "exit 1");
  const Ended ended = Run(Builtin("fail", R"({"message": "no luck", "exit_code": 3})", 2));
  EXPECT_EQ(ended.message, "exit 3\nno luck");
  EXPECT_EQ(ended.exit_code, 3);
  EXPECT_EQ(Run(Builtin("fail", R"({"exit_code": 65})", 3)).ending, v1::BAD_INPUT);
  EXPECT_EQ(Run(Builtin("fail", R"({"exit_code": 75})", 4)).ending, v1::TRY_AGAIN);
  EXPECT_FALSE(Run(Builtin("fail", R"({"times": 2})", 5, 2)).ok);
  EXPECT_TRUE(Run(Builtin("fail", R"({"times": 2})", 5, 3)).ok);
}

TEST_F(BuiltinExecutorTest, SleepersEndInTheOrderOfTheirTimes) {
  std::vector<uint32_t> order;
  events_.on_ended = [&order](const Ended& ended) { order.push_back(ended.key.task.n); };
  executor_.Start(Builtin("sleep", "{\"ms\": 900}", 1));
  executor_.Start(Builtin("sleep", "{\"ms\": 100}", 2));
  executor_.Start(Builtin("sleep", "{\"ms\": 500}", 3));
  ASSERT_TRUE(events_.WaitCount(3));
  EXPECT_THAT(order, testing::ElementsAre(2, 3, 1));
  EXPECT_GE(events_.WaitEnded(Key(1)).duration.count(), 900);
}

TEST_F(BuiltinExecutorTest, SleepersAreStoppedAndTimeOut) {
  for (uint32_t task = 1; task <= 3; task++) executor_.Start(Builtin("sleep", "{\"ms\": 1000000}", task));
  executor_.Stop(Key(2), StopReason::kCancelled);
  executor_.Stop(Key(2), StopReason::kCancelled);
  executor_.Stop(Key(77), StopReason::kCancelled);
  EXPECT_EQ(events_.WaitEnded(Key(2)).ending, v1::STOPPED);
  EXPECT_FALSE(events_.HasEnded(Key(1)));
  RunSpec spec = Builtin("sleep", "{\"ms\": 1000000}", 4);
  spec.timeout = std::chrono::milliseconds(20);
  EXPECT_EQ(Run(spec).ending, v1::TIMEOUT);
  EXPECT_EQ(events_.twice(), 0u);
}

TEST_F(BuiltinExecutorTest, CopyIsWholeOrNotThere) {
  const std::string from = folder_.path + "/in \n\xff.csv", to = folder_.path + "/out";
  mkdir(to.c_str(), 0755);
  std::string bytes(3000001, '\0');
  for (size_t i = 0; i < bytes.size(); i++) bytes[i] = static_cast<char>(i * 7 + i / 251);
  std::ofstream(from, std::ios::binary) << bytes;
  RunSpec spec = Builtin("copy", "", 1);
  spec.file = from;
  spec.output_dir = to;
  const Ended ended = Run(spec);
  EXPECT_TRUE(ended.ok) << ended.message;
  EXPECT_EQ(ReadFile(to + "/in \n\xff.csv"), bytes);

  spec.key = Key(2);
  spec.file = folder_.path + "/none";
  EXPECT_THAT(Run(spec).message, HasSubstr("No such file"));
  spec.key = Key(3);
  spec.file = from;
  spec.output_dir = folder_.path + "/nowhere";
  EXPECT_FALSE(Run(spec).ok);
  spec.key = Key(4);
  spec.file = folder_.path;
  spec.output_dir = to;
  EXPECT_THAT(Run(spec).message, HasSubstr("is not an ordinary file"));
}

TEST(BuiltinExecutorEndTest, NothingIsToldAfterItsEnd) {
  Collector events;
  {
    BuiltinExecutor executor(events.Sink());
    executor.Start(Builtin("sleep", "{\"ms\": 1000000}", 1));
  }
  EXPECT_EQ(events.ended_count(), 0u);
}

}  // namespace
}  // namespace laneway::worker
