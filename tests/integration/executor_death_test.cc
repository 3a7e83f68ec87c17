// What holds when processes of ours are killed: the main one, the companion, both. And who is found
// afterwards.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <memory>

#include "support/run_executor.h"
#include "worker/executor/companion_executor.h"
#include "worker/executor/last_words.h"
#include "worker/executor/orphans.h"
#include "worker/executor/process_table.h"

extern char** environ;

namespace laneway::worker {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::IsEmpty;

std::string NewMark() {
  static int marks = 0;
  return "41536" + std::to_string(getpid()) + "." + std::to_string(++marks);
}

// A main process of its own, with a companion and five scripts that run.
class Fleet {
 public:
  Fleet(const std::string& folder, const std::string& mark) {
    int out[2];
    EXPECT_EQ(pipe2(out, O_CLOEXEC), 0);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, out[1], 1);
    std::string program = LANEWAY_FLEET_PROCESS, folder_argument = folder, mark_argument = mark.substr(1);
    char* argv[] = {program.data(), folder_argument.data(), mark_argument.data(), nullptr};
    EXPECT_EQ(posix_spawn(&pid, program.c_str(), &actions, nullptr, argv, environ), 0);
    posix_spawn_file_actions_destroy(&actions);
    close(out[1]);
    FILE* lines = fdopen(out[0], "r");
    char line[256];
    while (std::fgets(line, sizeof line, lines) != nullptr && std::strcmp(line, "ready\n") != 0) {
      Survivor child;
      unsigned long long start = 0;
      if (std::sscanf(line, "companion %d", &companion) == 1) continue;
      if (std::sscanf(line, "%d %llu", &child.pid, &start) == 2) {
        child.pid_start = start;
        children.push_back(child);
      }
    }
    std::fclose(lines);
  }
  ~Fleet() {
    kill(pid, SIGKILL);
    waitpid(pid, nullptr, 0);
  }
  void Kill() {
    kill(pid, SIGKILL);
    waitpid(pid, nullptr, 0);
  }
  int pid = 0;
  int companion = 0;
  std::vector<Survivor> children;
};

// A script forks a moment after it has started: 1 + 3 + 4 + 1 + 2 processes in all.
bool AllRun(const std::string& mark) {
  return Eventually([&mark] { return ProcessesWith(mark).size() >= 11; });
}

TEST(ExecutorDeathTest, LastWordsWhenTheMainProcessIsKilled) {
  TestFolder folder;
  const std::string mark = NewMark();
  Fleet fleet(folder.path, mark);
  ASSERT_EQ(fleet.children.size(), 5u);
  ASSERT_TRUE(AllRun(mark));
  EXPECT_EQ(Companion::WaitForPredecessor(folder.path, milliseconds(1)).code(),
            absl::StatusCode::kDeadlineExceeded);
  const auto begin = std::chrono::steady_clock::now();
  fleet.Kill();
  ASSERT_TRUE(Companion::WaitForPredecessor(folder.path, seconds(10)).ok());
  const auto took = std::chrono::steady_clock::now() - begin;
  EXPECT_LT(took, seconds(3)) << "0.3 s on an idle machine";
  RecordProperty("stopped_after_ms",
                 static_cast<int>(std::chrono::duration_cast<milliseconds>(took).count()));
  EXPECT_THAT(ProcessesWith(mark), IsEmpty())
      << "rule R2: the scripts are stopped before last words are heard";

  const std::vector<LastWordsFile> words = ReadLastWords(folder.path);
  ASSERT_EQ(words.size(), 1u);
  ASSERT_EQ(words[0].words.lost_size(), 2);
  const v1::WorkerLost& first = words[0].words.lost(0);
  EXPECT_EQ(first.worker(), "DTF-01");
  EXPECT_EQ(first.incarnation(), (IncarnationId{7, 8}).ToBytes());
  EXPECT_EQ(first.reason(), "process_died");
  ASSERT_EQ(first.held_size(), 5);
  EXPECT_EQ(first.held(0).job_id(), (JobId{1, 2}).ToBytes());
  EXPECT_EQ(first.held(0).attempt(), 1u);
  EXPECT_EQ(words[0].words.lost(1).worker(), "DTF-02");
  EXPECT_EQ(words[0].words.lost(1).held_size(), 0);
  EXPECT_TRUE(ForgetLastWords(words[0]).ok());
  EXPECT_THAT(ReadLastWords(folder.path), IsEmpty());
}

TEST(ExecutorDeathTest, AStoppedMainProcessStopsNothing) {
  TestFolder folder;
  const std::string mark = NewMark();
  Fleet fleet(folder.path, mark);
  ASSERT_TRUE(AllRun(mark));
  kill(fleet.pid, SIGSTOP);
  EXPECT_EQ(Companion::WaitForPredecessor(folder.path, milliseconds(200)).code(),
            absl::StatusCode::kDeadlineExceeded);
  EXPECT_TRUE(AllRun(mark));
}

TEST(ExecutorDeathTest, TheNextCompanionStopsWhatBothLeft) {
  TestFolder folder;
  const std::string mark = NewMark();
  Fleet fleet(folder.path, mark);
  ASSERT_TRUE(AllRun(mark));
  kill(fleet.pid, SIGSTOP);  // so that it cannot replace its companion
  kill(fleet.companion, SIGKILL);
  fleet.Kill();
  EXPECT_THAT(ProcessesWith(mark), testing::Not(IsEmpty())) << "who left their session outlive both";

  auto next = Companion::Launch();
  ASSERT_TRUE(next.ok());
  ASSERT_TRUE(Companion::WaitForPredecessor(folder.path, seconds(10)).ok());
  ASSERT_TRUE((*next)->Configure(folder.path, IncarnationId{9, 9}).ok());
  for (const int pid : ProcessesWith(mark)) {
    EXPECT_FALSE(EnvironmentHas(pid, kTokenVariable))
        << "only who has thrown its environment away can be left";
    kill(pid, SIGKILL);
  }
}

TEST(ExecutorDeathTest, SurvivorsAreStoppedByPidAndStartTime) {
  TestFolder folder;
  const std::string mark = NewMark();
  Fleet fleet(folder.path, mark);
  ASSERT_TRUE(AllRun(mark));
  std::vector<Survivor> wrong = fleet.children;
  for (Survivor& one : wrong) one.pid_start++;
  for (const SurvivorReport& report : StopSurvivors(wrong)) EXPECT_EQ(report.fate, SurvivorFate::kReused);
  EXPECT_TRUE(AllRun(mark)) << "a pid that was used again is left alone";

  kill(fleet.pid, SIGSTOP);
  kill(fleet.companion, SIGSTOP);
  for (const SurvivorReport& report : StopSurvivors(fleet.children)) {
    EXPECT_EQ(report.fate, SurvivorFate::kStopped);
    EXPECT_GE(report.processes, 1u);
  }
  EXPECT_THAT(ProcessesWith(mark), IsEmpty());
  kill(fleet.companion, SIGKILL);
  fleet.Kill();
  for (const SurvivorReport& report : StopSurvivors(fleet.children))
    EXPECT_EQ(report.fate, SurvivorFate::kGone);
}

TEST(ExecutorDeathTest, AKilledCompanionIsReplacedAndItsAttemptsAreAnswered) {
  TestFolder folder;
  const std::string mark = NewMark();
  auto launched = Companion::Launch();
  ASSERT_TRUE(launched.ok());
  std::shared_ptr<Companion> companion(std::move(*launched));
  ASSERT_TRUE(companion->Configure(folder.path, IncarnationId{1, 1}).ok());
  Collector events;
  std::vector<int> left;
  events.on_ended = [&](const Ended&) {
    for (const int pid : ProcessesWith(mark)) left.push_back(pid);
  };
  CompanionExecutor executor(companion, events.Sink());
  for (uint32_t task = 1; task <= 5; task++) {
    executor.Start(
        Script(folder, task, "setsid bash -c 'trap \"\" TERM; sleep " + mark + "' & sleep " + mark));
    events.WaitStarted(Key(task));
  }
  const int32_t killed = companion->pid();
  kill(killed, SIGKILL);
  for (uint32_t task = 1; task <= 5; task++) EXPECT_EQ(events.WaitEnded(Key(task)).ending, v1::INTERRUPTED);
  EXPECT_THAT(left, IsEmpty()) << "promise 2";
  EXPECT_EQ(companion->restarts(), 1u);
  EXPECT_NE(companion->pid(), killed);
  executor.Start(Script(folder, 6, "exit 6"));
  EXPECT_EQ(events.WaitEnded(Key(6)).exit_code, 6);
  EXPECT_EQ(events.twice(), 0u);
}

TEST(ExecutorDeathTest, ACompanionThatAlwaysDiesIsGivenUp) {
  TestFolder folder;
  auto launched = Companion::Launch();
  ASSERT_TRUE(launched.ok());
  std::shared_ptr<Companion> companion(std::move(*launched));
  Collector events;
  CompanionExecutor executor(companion, events.Sink());
  uint32_t task = 0;
  Ended ended;
  for (int i = 0; i < 20; i++) {
    executor.Start(Script(folder, ++task, "sleep 100"));
    events.WaitStarted(Key(task));
    if (companion->pid() > 0) kill(companion->pid(), SIGKILL);
    ended = events.WaitEnded(Key(task));
    EXPECT_EQ(ended.ending, v1::INTERRUPTED);
  }
  EXPECT_THAT(ended.message, testing::HasSubstr("no companion process"));
}

TEST(ExecutorDeathTest, OneFolderHasOneCompanion) {
  TestFolder folder;
  auto first = Companion::Launch();
  auto second = Companion::Launch();
  ASSERT_TRUE(first.ok() && second.ok());
  ASSERT_TRUE((*first)->Configure(folder.path, IncarnationId{1, 1}).ok());
  const absl::Status status = (*second)->Configure(folder.path, IncarnationId{2, 2});
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()), testing::HasSubstr("uses " + folder.path));
  first->reset();
  ASSERT_TRUE(Companion::WaitForPredecessor(folder.path, seconds(10)).ok());
  EXPECT_TRUE((*second)->Configure(folder.path, IncarnationId{2, 2}).ok());
  EXPECT_THAT(ReadLastWords(folder.path), IsEmpty()) << "who ends in order has no last words";
}

}  // namespace
}  // namespace laneway::worker
