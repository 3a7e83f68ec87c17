// Every promise of executor.h, with real children, and every script that means no good.
#include "support/run_executor.h"

#include <dirent.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>

#include "worker/executor/companion_executor.h"
#include "worker/executor/pids_limit.h"
#include "worker/executor/process_table.h"

namespace laneway::worker {
namespace {

using std::chrono::milliseconds;
using testing::HasSubstr;
using testing::StartsWith;

class ExecutorTest : public testing::Test {
 protected:
  void SetUp() override {
    auto companion = Companion::Launch();
    ASSERT_TRUE(companion.ok()) << companion.status();
    companion_ = std::move(*companion);
    executor_ = std::make_unique<CompanionExecutor>(companion_, events_.Sink());
  }
  void TearDown() override { EXPECT_EQ(events_.twice(), 0u) << "promise 1: exactly one Ended"; }

  Ended Run(uint32_t task, const std::string& text) { return Run(Script(folder_, task, text)); }
  Ended Run(RunSpec spec) {
    const AttemptKey key = spec.key;
    executor_->Start(std::move(spec));
    return events_.WaitEnded(key);
  }
  // A sleep that no other test has, so that it can be looked for.
  std::string Mark() { return "31536" + std::to_string(getpid()) + "." + std::to_string(++marks_); }
  std::string Log(uint32_t task) { return ReadFile(folder_.path + "/" + std::to_string(task) + ".log"); }

  TestFolder folder_;
  Collector events_;
  std::shared_ptr<Companion> companion_;
  std::unique_ptr<CompanionExecutor> executor_;
  int marks_ = 0;
};

TEST_F(ExecutorTest, AScriptThatSucceeds) {
  const Ended ended = Run(1, "echo out; echo err >&2");
  EXPECT_TRUE(ended.ok) << ended.message;
  EXPECT_EQ(ended.ending, v1::ENDING_UNSPECIFIED);
  EXPECT_EQ(ended.output_bytes, 8u);
  EXPECT_GT(ended.memory_peak_kib, 0u);
  EXPECT_THAT(Log(1), HasSubstr("out\n"));
  EXPECT_THAT(Log(1), HasSubstr("err\n"));
  const Started started = events_.WaitStarted(Key(1));
  EXPECT_GT(started.pid, 0);
  EXPECT_GT(started.pid_start, 0u);
}

TEST_F(ExecutorTest, NoOutputNoLogFile) {
  EXPECT_TRUE(Run(1, "true").ok);
  EXPECT_FALSE(Exists(folder_.path + "/1.log"));
}

TEST_F(ExecutorTest, ExitsAreToldApart) {
  const struct {
    const char* text;
    v1::Ending ending;
    int exit_code, signal;
    const char* message;
  } rows[] = {
      {"echo because >&2; exit 3", v1::EXIT_CODE, 3, 0, "exit 3\nbecause"},
      {"exit 65", v1::BAD_INPUT, 65, 0, "exit 65: bad input"},
      {"exit 75", v1::TRY_AGAIN, 75, 0, "exit 75: try again"},
      {"exit 127", v1::EXIT_CODE, 127, 0, "exit 127"},
      {"kill -SEGV $$", v1::SIGNAL, 0, SIGSEGV, "killed by SIGSEGV"},
      {"kill -KILL $$", v1::SIGNAL, 0, SIGKILL, "killed by SIGKILL"},
      {"kill -TERM $$", v1::SIGNAL, 0, SIGTERM, "killed by SIGTERM"},
  };
  uint32_t task = 0;
  for (const auto& row : rows) {
    const Ended ended = Run(++task, row.text);
    EXPECT_FALSE(ended.ok);
    EXPECT_EQ(ended.ending, row.ending) << row.text;
    EXPECT_EQ(ended.exit_code, row.exit_code) << row.text;
    EXPECT_EQ(ended.signal, row.signal) << row.text;
    EXPECT_EQ(ended.message, row.message);
  }
}

TEST_F(ExecutorTest, WhatCannotBeStartedSaysWhy) {
  std::ofstream(folder_.path + "/plain") << "echo hello\n";
  std::ofstream(folder_.path + "/lost") << "#!/no/such/shell -x\n";
  std::ofstream(folder_.path + "/odd") << "neither this nor that\n";
  chmod((folder_.path + "/lost").c_str(), 0755);
  chmod((folder_.path + "/odd").c_str(), 0755);
  const struct {
    std::vector<std::string> argv;
    std::string message;
  } rows[] = {
      {{"no-such-program"}, "no such program: no-such-program"},
      {{"/no/such/program"}, "no such program: /no/such/program"},
      {{folder_.path + "/plain"},
       folder_.path + "/plain is not executable (chmod +x it, or name its interpreter first)"},
      {{folder_.path}, folder_.path + " is a folder, not a program"},
      {{folder_.path + "/lost"},
       folder_.path + "/lost names the interpreter /no/such/shell, which does not exist"},
      {{folder_.path + "/odd"}, folder_.path + "/odd is neither a program nor a script with a #! line"},
      {{"true", std::string(200000, 'x')}, "its arguments and environment are too long"},
      {{""}, "no such program: "},
      {{}, "there is no program to start"},
  };
  uint32_t task = 0;
  for (const auto& row : rows) {
    RunSpec spec = Script(folder_, ++task, "");
    spec.argv = row.argv;
    const Ended ended = Run(spec);
    EXPECT_EQ(ended.ending, v1::CANNOT_START);
    EXPECT_THAT(ended.message, HasSubstr(row.message.substr(0, 60)));
  }
}

TEST_F(ExecutorTest, AChildFindsACleanHouse) {
  RunSpec spec = Script(folder_, 1,
                        "env | sort; echo ==; ls -l /proc/$$/fd | grep -c pipe:; ls /proc/$$/fd | tr '\\n' ' "
                        "'; echo; readlink /proc/$$/fd/0;"
                        "cat /proc/$$/oom_score_adj; ulimit -c;"
                        "[ $(ps -o sid= -p $$) = $$ ] && echo own session");
  spec.environment = {"PATH=/usr/bin:/bin", "NAME=with space", "BYTES=\xff\xfe"};
  const Ended ended = Run(spec);
  EXPECT_TRUE(ended.ok) << ended.message;
  const std::string log = Log(1);
  EXPECT_THAT(log, HasSubstr("NAME=with space\n"));
  EXPECT_THAT(log, HasSubstr("BYTES=\xff\xfe\n"));
  EXPECT_THAT(log, HasSubstr("/dev/null\n"));
  EXPECT_THAT(log, HasSubstr("\n500\n0\nown session\n"));
  EXPECT_THAT(log, HasSubstr("0 1 2 "));
  EXPECT_EQ(log.find("SAN_OPTIONS"), std::string::npos) << "exactly the given environment";

  spec.key = Key(2);
  spec.log_path = folder_.path + "/2.log";
  spec.argv = {"cat", "/proc/self/status"};  // not bash, which changes its signals itself
  EXPECT_TRUE(Run(spec).ok);
  EXPECT_THAT(Log(2), HasSubstr("SigBlk:\t0000000000000000\n"));
  EXPECT_THAT(Log(2), HasSubstr("SigIgn:\t0000000000000000\n"));
  EXPECT_THAT(Log(2), HasSubstr("NoNewPrivs:\t1\n"));
}

TEST_F(ExecutorTest, WhatAScriptTells) {
  const Ended ended = Run(1,
                          "echo '::progress 40 half way'; echo '::checkpoint page 7'; echo '::records 12';"
                          "echo '::output {\"rows\": 3}'; echo '::progress 400 no'; echo '::records 15'; "
                          "printf '::progress 100'");
  EXPECT_TRUE(ended.ok);
  Reported all;
  for (const Reported& report : events_.reports(Key(1))) {
    if (report.percent) all.percent = report.percent, all.message = report.message;
    if (report.checkpoint) all.checkpoint = report.checkpoint;
    if (report.output) all.output = report.output;
    if (report.records) all.records = report.records;
  }
  EXPECT_EQ(all.percent, 100u);
  EXPECT_EQ(all.checkpoint, "page 7");
  EXPECT_EQ(all.output, "{\"rows\": 3}");
  EXPECT_EQ(all.records, 15u);
  EXPECT_THAT(Log(1), HasSubstr("::progress 400 no\n"));
}

TEST_F(ExecutorTest, ReportsAreCoalescedAndTheLastOneWins) {
  EXPECT_TRUE(Run(1,
                  "for i in $(seq 100) ; do for j in 1 2 3 4 5; do echo \"::records $i\"; done; done; echo "
                  "'::records 4711'")
                  .ok);
  const auto reports = events_.reports(Key(1));
  ASSERT_FALSE(reports.empty());
  EXPECT_LT(reports.size(), 20u);
  EXPECT_EQ(reports.back().records, 4711u);
}

// ---- promise 2: no process of an attempt lives once its Ended was told ----

TEST_F(ExecutorTest, NothingSurvivesItsAttempt) {
  const struct {
    const char* why;
    const char* text;  // MARK is a sleep's length
  } rows[] = {
      {"forks and exits", "sleep MARK & exit 0"},
      {"keeps the pipe open in a grandchild", "(sleep MARK &) ; echo done"},
      {"sets itself off into a session of its own", "setsid sleep MARK & sleep 0.1"},
      {"twice, without its environment",
       "env -i setsid bash -c 'setsid sleep MARK & sleep MARK' & sleep 0.1"},
      {"nohup, deaf to SIGTERM",
       "trap '' TERM HUP; nohup bash -c 'trap \"\" TERM; sleep MARK; sleep MARK' & sleep 0.1"},
      {"stopped", "sleep MARK & kill -STOP $!; exit 4"},
      {"many", "for i in $(seq 50); do setsid sleep MARK & done; exit 0"},
  };
  uint32_t task = 0;
  for (const auto& row : rows) {
    const std::string mark = Mark();
    std::string text = row.text;
    for (size_t at; (at = text.find("MARK")) != std::string::npos;) text.replace(at, 4, mark);
    std::vector<int> left;
    events_.on_ended = [&left, &mark](const Ended&) { left = ProcessesWith(mark); };
    Run(++task, text);
    EXPECT_THAT(left, testing::IsEmpty()) << row.why;
  }
}

TEST_F(ExecutorTest, EndsWhenTheScriptDoesNotWhenItsPipesDo) {
  const Ended ended = Run(1, "sleep 100 & echo bye; exit 3");
  EXPECT_EQ(ended.exit_code, 3);
  EXPECT_LT(ended.duration, milliseconds(5000));
  EXPECT_EQ(Log(1), "bye\n");
}

TEST_F(ExecutorTest, ClosingStdoutIsNotTheEnd) {
  const Ended ended = Run(1, "exec >&- 2>&-; sleep 0.2; exit 5");
  EXPECT_EQ(ended.exit_code, 5);
  EXPECT_GE(ended.duration, milliseconds(190));
}

// ---- time and stop ----

TEST_F(ExecutorTest, TimeoutIsTimeoutEvenWhenTheScriptExitsCleanly) {
  RunSpec spec = Script(folder_, 1, "trap 'exit 0' TERM; while :; do sleep 0.01; done");
  spec.timeout = milliseconds(200);
  const Ended ended = Run(spec);
  EXPECT_EQ(ended.ending, v1::TIMEOUT);
  EXPECT_THAT(ended.message, StartsWith("stopped after 200 ms (timeout; exit 0)"));
  EXPECT_GE(ended.duration, milliseconds(195));
}

TEST_F(ExecutorTest, WhoIgnoresSigtermIsKilledAfterTheGrace) {
  RunSpec spec = Script(folder_, 1, "trap '' TERM; while :; do sleep 0.01; done");
  spec.timeout = milliseconds(100);
  spec.kill_grace = milliseconds(200);
  const Ended ended = Run(spec);
  EXPECT_EQ(ended.ending, v1::TIMEOUT);
  EXPECT_EQ(ended.signal, SIGKILL);
  EXPECT_GE(ended.duration, milliseconds(295));
}

TEST_F(ExecutorTest, WhoIsStoppedStillHearsSigterm) {
  RunSpec spec = Script(folder_, 1, "trap 'exit 7' TERM; kill -STOP $$; while :; do sleep 0.01; done");
  spec.timeout = milliseconds(200);
  EXPECT_EQ(Run(spec).exit_code, 7);
}

TEST_F(ExecutorTest, HelpersMayTidyUpWithinTheGrace) {
  RunSpec spec = Script(folder_, 1,
                        "bash -c 'trap \"sleep 0.3; echo tidied > $DIR/tidied; exit\" TERM; echo ready; "
                        "while :; do sleep 0.01; done'; true");
  executor_->Start(spec);
  ASSERT_TRUE(Eventually([&] { return !Log(1).empty(); }));
  executor_->Stop(Key(1), StopReason::kCancelled);
  const Ended ended = events_.WaitEnded(Key(1));
  EXPECT_EQ(ended.ending, v1::STOPPED);
  EXPECT_THAT(ended.message, StartsWith("stopped: cancelled"));
  EXPECT_EQ(ReadFile(folder_.path + "/tidied"), "tidied\n");
}

TEST_F(ExecutorTest, StopBeforeAndAfter) {
  executor_->Stop(Key(9), StopReason::kCancelled);  // unknown: ignored
  for (uint32_t task = 1; task <= 50; task++) {
    executor_->Start(Script(folder_, task, "sleep 100"));
    executor_->Stop(Key(task), StopReason::kSuperseded);  // it may not even be started yet
  }
  for (uint32_t task = 1; task <= 50; task++) EXPECT_EQ(events_.WaitEnded(Key(task)).ending, v1::STOPPED);
  executor_->Stop(Key(1), StopReason::kCancelled);
}

// ---- promise 3: nothing a child does can block us or another child ----

TEST_F(ExecutorTest, AFloodOfOutputIsCappedAndStarvesNobody) {
  RunSpec flood = Script(
      folder_, 1, "echo first; yes 0123456789012345678901234567890123456789 | head -c 300000000; echo last");
  flood.log_bytes_max = 1 << 20;
  executor_->Start(flood);
  RunSpec endless = Script(folder_, 2, "cat /dev/zero");
  endless.log_bytes_max = 1 << 20;
  executor_->Start(endless);
  for (uint32_t task = 3; task < 23; task++) {
    const Ended ended = Run(task, "echo quick");
    EXPECT_TRUE(ended.ok);
  }
  EXPECT_FALSE(events_.HasEnded(Key(2)));
  executor_->Stop(Key(2), StopReason::kCancelled);
  EXPECT_EQ(events_.WaitEnded(Key(2)).ending, v1::STOPPED);
  const Ended ended = events_.WaitEnded(Key(1));
  EXPECT_TRUE(ended.ok) << ended.message;
  EXPECT_EQ(ended.output_bytes, 300000011u);
  const std::string log = Log(1);
  EXPECT_LE(log.size(), (1u << 20) + 200);
  EXPECT_THAT(log, StartsWith("first\n"));
  EXPECT_THAT(log, HasSubstr("bytes of output are left out here]\n"));
  EXPECT_TRUE(log.ends_with("last\n"));
  EXPECT_FALSE(Exists(folder_.path + "/1.log.1"));
}

TEST_F(ExecutorTest, ALogThatCannotBeWrittenHarmsNobody) {
  RunSpec spec = Script(folder_, 1, "head -c 1000000 /dev/zero; echo ok");
  spec.log_path = "/dev/full";
  EXPECT_TRUE(Run(spec).ok);
  spec.key = Key(2);
  spec.log_path = "/proc/no/such/place.log";
  EXPECT_TRUE(Run(spec).ok);
  spec.key = Key(3);
  spec.log_path = folder_.path + "/fifo";
  ASSERT_EQ(mkfifo(spec.log_path.c_str(), 0600), 0);
  EXPECT_TRUE(Run(spec).ok);
}

TEST_F(ExecutorTest, AStoppedChildStopsNobodyElse) {
  executor_->Start(Script(folder_, 1, "kill -STOP $$; exit 3"));
  const Started started = events_.WaitStarted(Key(1));
  ASSERT_TRUE(Eventually([&] { return ReadProcess(started.pid)->state == 'T'; }));
  for (uint32_t task = 2; task < 12; task++) EXPECT_TRUE(Run(task, "true").ok);
  EXPECT_FALSE(events_.HasEnded(Key(1)));
  kill(started.pid, SIGCONT);
  EXPECT_EQ(events_.WaitEnded(Key(1)).exit_code, 3);
}

TEST_F(ExecutorTest, ABombWithinItsLimitDisturbsNobody) {
  const std::string mark = Mark();
  RunSpec bomb = Script(folder_, 1, "bomb() { bomb | bomb & sleep " + mark + "; }; bomb; wait");
  bomb.processes_max = 40;
  bomb.timeout = milliseconds(1500);
  bomb.kill_grace = milliseconds(300);
  executor_->Start(bomb);
  events_.WaitStarted(Key(1));
  size_t most = 0;
  for (uint32_t task = 2; task < 12; task++) {
    EXPECT_TRUE(Run(task, "true").ok);
    most = std::max(most, ProcessesWith(mark).size());
  }
  EXPECT_FALSE(events_.WaitEnded(Key(1)).ok);
  EXPECT_THAT(ProcessesWith(mark), testing::IsEmpty());
  const bool limited =
      !FindPidsCgroup(ReadFile("/proc/self/cgroup"), ReadFile("/proc/self/mountinfo")).empty();
  EXPECT_LE(most, limited ? 2000u : 10000u);  // between two looks it grows
}

TEST_F(ExecutorTest, WhereNoCgroupCanBeMadeDescendantsAreCounted) {
  // The companion's own cgroup cannot be made when its name is taken.
  const std::string ours = FindPidsCgroup(ReadFile("/proc/self/cgroup"), ReadFile("/proc/self/mountinfo"));
  const std::string taken = ours + "/laneway-" + std::to_string(companion_->pid());
  const bool made = !ours.empty() && mkdir(taken.c_str(), 0755) == 0;
  const std::string mark = Mark();
  executor_->Start(Script(folder_, 2, "sleep 100"));
  RunSpec many = Script(folder_, 1, "for i in $(seq 100); do setsid sleep " + mark + " & done; wait");
  many.processes_max = 40;
  const Ended ended = Run(many);
  EXPECT_EQ(ended.ending, v1::SIGNAL);
  EXPECT_THAT(ended.message, StartsWith("more than 40 processes (killed by SIGKILL)"));
  EXPECT_THAT(ProcessesWith(mark), testing::IsEmpty());
  EXPECT_FALSE(events_.HasEnded(Key(2)));
  if (made) rmdir(taken.c_str());
}

TEST_F(ExecutorTest, WhoClonesItselfBesideTheScriptIsFoundToo) {
  const std::string mark = Mark();
  RunSpec spec = Script(folder_, 1, "");
  spec.argv = {"python3", "-c",
               "import ctypes, os, time\n"
               "if ctypes.CDLL(None).syscall(56, 0x8000 | 17, 0, 0, 0, 0) == 0:\n"  // clone(CLONE_PARENT)
               "  os.setsid(); os.execvp('sleep', ['sleep', '" +
                   mark +
                   "'])\n"
                   "time.sleep(0.3)"};
  EXPECT_TRUE(Run(spec).ok);
  EXPECT_TRUE(Eventually([&mark] { return ProcessesWith(mark).empty(); }));
  EXPECT_TRUE(Run(2, "true").ok);
}

TEST_F(ExecutorTest, ManyQuickChildrenLeaveNothingBehind) {
  const auto fds = [this] {
    size_t count = 0;
    DIR* folder = opendir(("/proc/" + std::to_string(companion_->pid()) + "/fd").c_str());
    while (readdir(folder) != nullptr) count++;
    closedir(folder);
    return count;
  };
  EXPECT_TRUE(Run(5000, "true").ok);
  const size_t before = fds();
  for (uint32_t task = 1; task <= 1000; task++) {
    RunSpec spec = Script(folder_, task, "");
    spec.argv = {"/bin/true"};
    executor_->Start(spec);
  }
  ASSERT_TRUE(events_.WaitCount(1001));
  for (uint32_t task = 1; task <= 1000; task++) EXPECT_TRUE(events_.WaitEnded(Key(task)).ok);
  EXPECT_EQ(fds(), before);
  for (const auto& [pid, process] : ReadProcesses()) EXPECT_NE(process.parent, companion_->pid()) << pid;
}

TEST_F(ExecutorTest, PidStartIsTheKernelsOwn) {
  for (uint32_t task = 1; task <= 20; task++) {
    executor_->Start(Script(folder_, task, "sleep 100"));
    const Started started = events_.WaitStarted(Key(task));
    EXPECT_EQ(ReadProcess(started.pid)->start, started.pid_start);
  }
}

TEST_F(ExecutorTest, SeveralWorkersShareACompanion) {
  Collector others;
  {
    CompanionExecutor other(companion_, others.Sink());
    other.Start(Script(folder_, 1, "exit 4"));
    executor_->Start(Script(folder_, 1, "exit 5"));
    EXPECT_EQ(others.WaitEnded(Key(1)).exit_code, 4);
    EXPECT_EQ(events_.WaitEnded(Key(1)).exit_code, 5);
    other.Start(Script(folder_, 2, "sleep " + Mark()));
    others.WaitStarted(Key(2));
  }
  EXPECT_FALSE(others.HasEnded(Key(2))) << "a destroyed executor tells nothing any more";
  EXPECT_TRUE(Run(3, "true").ok);
}

}  // namespace
}  // namespace laneway::worker
