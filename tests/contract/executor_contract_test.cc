// The promises of executor.h, kept by every implementation: real children, builtin handlers, and both behind
// MakeExecutor.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <memory>

#include "support/run_executor.h"
#include "worker/executor/builtin_executor.h"
#include "worker/executor/make_executor.h"

namespace laneway::worker {
namespace {

// An executor, and how it is told to do what the cases need.
class Subject {
 public:
  virtual ~Subject() = default;
  virtual std::unique_ptr<Executor> Make(EventSink sink) = 0;
  virtual RunSpec Succeeds() = 0;
  virtual RunSpec Fails(int exit_code) = 0;
  virtual RunSpec Lasts(std::chrono::milliseconds time) = 0;
  virtual RunSpec CannotStart() = 0;
};

class Builtins : public Subject {
 public:
  std::unique_ptr<Executor> Make(EventSink sink) override {
    return std::make_unique<BuiltinExecutor>(std::move(sink));
  }
  RunSpec Succeeds() override { return Of("noop", ""); }
  RunSpec Fails(int exit_code) override {
    return Of("fail", "{\"exit_code\": " + std::to_string(exit_code) + "}");
  }
  RunSpec Lasts(std::chrono::milliseconds time) override {
    return Of("sleep", "{\"ms\": " + std::to_string(time.count()) + "}");
  }
  RunSpec CannotStart() override { return Of("no such handler", ""); }

 private:
  static RunSpec Of(const char* handler, std::string payload) {
    RunSpec spec;
    spec.handler = handler;
    spec.payload = std::move(payload);
    return spec;
  }
};

class Scripts : public Subject {
 public:
  explicit Scripts(bool routed) : routed_(routed) {}
  std::unique_ptr<Executor> Make(EventSink sink) override {
    auto companion = Companion::Launch();
    EXPECT_TRUE(companion.ok()) << companion.status();
    std::shared_ptr<Companion> shared(std::move(*companion));
    if (routed_) return MakeExecutor(std::move(shared), std::move(sink));
    return std::make_unique<CompanionExecutor>(std::move(shared), std::move(sink));
  }
  RunSpec Succeeds() override { return Of({"true"}); }
  RunSpec Fails(int exit_code) override { return Of({"sh", "-c", "exit " + std::to_string(exit_code)}); }
  RunSpec Lasts(std::chrono::milliseconds time) override {
    return Of({"sleep", std::to_string(static_cast<double>(time.count()) / 1000)});
  }
  RunSpec CannotStart() override { return routed_ ? RunSpec() : Of({"/no/such/program"}); }

 private:
  static RunSpec Of(std::vector<std::string> argv) {
    RunSpec spec;
    spec.argv = std::move(argv);
    spec.environment = {"PATH=/usr/bin:/bin"};
    return spec;
  }
  bool routed_;
};

class ExecutorContract : public testing::TestWithParam<const char*> {
 protected:
  ExecutorContract() {
    const std::string name = GetParam();
    if (name == "builtin") subject_ = std::make_unique<Builtins>();
    if (name == "companion") subject_ = std::make_unique<Scripts>(false);
    if (name == "routed") subject_ = std::make_unique<Scripts>(true);
    executor_ = subject_->Make(events_.Sink());
  }
  void TearDown() override { EXPECT_EQ(events_.twice(), 0u) << "promise 1: exactly one Ended"; }
  AttemptKey Start(RunSpec spec) {
    spec.key = Key(++tasks_);
    const AttemptKey key = spec.key;
    executor_->Start(std::move(spec));
    return key;
  }
  Ended Run(RunSpec spec) { return events_.WaitEnded(Start(std::move(spec))); }

  std::unique_ptr<Subject> subject_;
  Collector events_;
  std::unique_ptr<Executor> executor_;
  uint32_t tasks_ = 0;
};

TEST_P(ExecutorContract, Outcomes) {
  const Ended good = Run(subject_->Succeeds());
  EXPECT_TRUE(good.ok) << good.message;
  EXPECT_EQ(good.ending, v1::ENDING_UNSPECIFIED);
  EXPECT_EQ(good.message, "");
  const std::map<int, v1::Ending> rows = {
      {1, v1::EXIT_CODE}, {65, v1::BAD_INPUT}, {75, v1::TRY_AGAIN}, {127, v1::EXIT_CODE}};
  for (const auto& [code, ending] : rows) {
    const Ended bad = Run(subject_->Fails(code));
    EXPECT_FALSE(bad.ok);
    EXPECT_EQ(bad.ending, ending);
    EXPECT_EQ(bad.exit_code, code);
    EXPECT_THAT(bad.message, testing::StartsWith("exit " + std::to_string(code)));
  }
}

TEST_P(ExecutorContract, StartRefusesNothing) {
  const Ended ended = Run(subject_->CannotStart());
  EXPECT_EQ(ended.ending, v1::CANNOT_START);
  EXPECT_NE(ended.message, "");
}

TEST_P(ExecutorContract, ATimeoutEndsIt) {
  RunSpec spec = subject_->Lasts(std::chrono::seconds(1000));
  spec.timeout = std::chrono::milliseconds(50);
  const Ended ended = Run(spec);
  EXPECT_EQ(ended.ending, v1::TIMEOUT);
  EXPECT_GE(ended.duration.count(), 45);
}

TEST_P(ExecutorContract, AStopEndsItWheneverItComes) {
  executor_->Stop(Key(1000), StopReason::kCancelled);
  for (int i = 0; i < 20; i++) {
    const AttemptKey key = Start(subject_->Lasts(std::chrono::seconds(1000)));
    if (i % 2 == 1) events_.WaitStarted(key);
    executor_->Stop(key, StopReason::kSuperseded);
    executor_->Stop(key, StopReason::kShutdown);
    EXPECT_EQ(events_.WaitEnded(key).ending, v1::STOPPED);
    executor_->Stop(key, StopReason::kCancelled);
  }
}

TEST_P(ExecutorContract, AttemptsRunBesideEachOther) {
  const AttemptKey slow = Start(subject_->Lasts(std::chrono::seconds(1000)));
  for (int i = 0; i < 20; i++) EXPECT_TRUE(Run(subject_->Succeeds()).ok);
  EXPECT_FALSE(events_.HasEnded(slow));
  for (int i = 0; i < 50; i++) Start(subject_->Lasts(std::chrono::milliseconds(i % 7)));
  EXPECT_TRUE(events_.WaitCount(70));
}

TEST_P(ExecutorContract, AnAttemptMayBeStartedFromWhatIsTold) {
  events_.on_ended = [this](const Ended& ended) {
    if (ended.key.task.n >= 30) return;
    RunSpec next = subject_->Succeeds();
    next.key = Key(ended.key.task.n + 1);
    executor_->Start(std::move(next));
  };
  Start(subject_->Succeeds());
  EXPECT_TRUE(events_.WaitCount(30));
}

TEST_P(ExecutorContract, NothingIsToldAfterItsEnd) {
  Start(subject_->Lasts(std::chrono::seconds(1000)));
  executor_.reset();
  EXPECT_EQ(events_.ended_count(), 0u);
}

INSTANTIATE_TEST_SUITE_P(All, ExecutorContract, testing::Values("builtin", "companion", "routed"),
                         [](const auto& made) { return std::string(made.param); });

}  // namespace
}  // namespace laneway::worker
