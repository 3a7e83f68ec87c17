#include "report/chronicle.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "fleet/members.h"
#include "report/compare.h"
#include "run.h"

namespace laneway::report {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

const WorkerFigures& Worker(const Figures& figures, const std::string& name) {
  static const WorkerFigures kNone;
  for (const WorkerFigures& worker : figures.workers) {
    if (worker.name == name) return worker;
  }
  ADD_FAILURE() << "no worker " << name;
  return kNone;
}

uint64_t CountOf(const Figures& figures, IncidentKind kind) {
  return figures.kinds[static_cast<size_t>(kind)].count;
}

uint64_t DoneInBuckets(const Figures& figures) {
  uint64_t all = 0;
  for (const Timeline::Bucket& bucket : figures.buckets) {
    for (const auto& [worker, count] : bucket.done) all += count;
  }
  return all;
}

TEST(ChronicleTest, AnEmptyLogDividesByNothing) {
  const Figures figures = TestRun().Finish();
  EXPECT_EQ(figures.tasks.submitted, 0u);
  EXPECT_FALSE(figures.Period() || figures.Steady() || figures.OverallRate() || figures.SteadyRate());
  EXPECT_FALSE(figures.duration.Quantile(0.5));
  EXPECT_THAT(figures.buckets, IsEmpty());
}

TEST(ChronicleTest, ThroughputAndBusyShareOfOneAndOfThreeWorkers) {
  const Figures one = SteadyRun(1, 12);
  EXPECT_EQ(one.files.succeeded, 12u);
  EXPECT_EQ(one.Steady(), Millis(12'000));
  EXPECT_DOUBLE_EQ(*one.SteadyRate(), 1);
  EXPECT_DOUBLE_EQ(*one.BusyShare(one.workers[0]), 1);
  EXPECT_EQ(one.duration.Quantile(0.5), Millis(1000));
  EXPECT_EQ(one.wait.Largest(), Millis(11'000));
  EXPECT_EQ(one.bytes, 36u);

  const Figures three = SteadyRun(3, 12);
  EXPECT_EQ(three.WorkersThatRan(), 3u);
  EXPECT_DOUBLE_EQ(*three.SteadyRate(), 3);
  EXPECT_EQ(Worker(three, "DTF-03").succeeded, 4u);
  EXPECT_EQ(DoneInBuckets(three), 12u);
  EXPECT_EQ(three.buckets.front().waiting, 9);
  EXPECT_EQ(three.buckets.back().waiting, 0);
}

TEST(ChronicleTest, AFailureIsTriedAgainAndItsSuccessCountsOnce) {
  TestRun run;
  run.File(1, "a")
      .At(100)
      .Start(1, "DTF-01")
      .At(400)
      .Take(testing::Fail(1, "DTF-01", v1::EXIT_CODE, {TestRun::Job(1)}));
  run.At(2000).Start(1, "DTF-02", 2).At(2500).Succeed(1, "DTF-02", 2);
  run.Take(testing::Succeed(1, "DTF-01", {TestRun::Job(1)}));  // late, and void
  const Figures figures = run.Finish();
  EXPECT_EQ(figures.tasks.succeeded, 1u);
  EXPECT_EQ(figures.retries, 1u);
  EXPECT_EQ(figures.ignored_records, 1u);
  EXPECT_EQ(Worker(figures, "DTF-01").failed, 1u);
  EXPECT_EQ(Worker(figures, "DTF-01").succeeded, 0u);
  EXPECT_EQ(Worker(figures, "DTF-01").busy, Millis(300));
  EXPECT_EQ(figures.wait.count(), 1u) << "of the first start only";
  EXPECT_THAT(figures.failures, ElementsAre(std::pair<const std::string, uint64_t>("exit 3", 1)));
  ASSERT_THAT(figures.incidents, SizeIs(1));
  EXPECT_EQ(figures.incidents[0].kind, IncidentKind::kRetry);
  EXPECT_EQ(figures.incidents[0].at_work, Millis(1600));
  EXPECT_EQ(figures.incidents[0].at_work_by, "DTF-02");
  EXPECT_EQ(figures.incidents[0].what, "exit 3: no such page");
}

TEST(ChronicleTest, ALostWorkersTasksStartElsewhereAndItReturns) {
  // The verdict on the worker and its tasks lie in different partitions: either may be read first.
  for (const bool verdict_first : {true, false}) {
    TestRun run;
    run.File(1, "a").File(2, "b").At(1000).Start(1, "DTF-01").Start(2, "DTF-01").At(2000).Beat("DTF-01", 2);
    const auto verdict = [&] { run.Take(testing::Lost("DTF-01", 5)); };
    run.At(32'000);
    if (verdict_first) verdict();
    run.Take(testing::Republish(1, "DTF-01", {TestRun::Job(1)}))
        .Take(testing::Republish(1, "DTF-01", {TestRun::Job(2)}));
    if (!verdict_first) verdict();
    run.At(32'080).Start(1, "DTF-02", 2).At(32'300).Start(2, "DTF-02", 2);
    run.At(40'000).Take(testing::Returned("DTF-01", 9));
    run.At(41'000).Succeed(1, "DTF-02", 2).Succeed(2, "DTF-02", 2);
    const Figures figures = run.Finish();
    ASSERT_THAT(figures.incidents, SizeIs(1)) << verdict_first;
    const Incident& lost = figures.incidents[0];
    EXPECT_EQ(lost.kind, IncidentKind::kWorkerLost);
    EXPECT_EQ(lost.what, "silent");
    EXPECT_EQ(lost.silent, Millis(30'000)) << "since its last heartbeat";
    EXPECT_EQ(lost.at_work, Millis(300));
    EXPECT_EQ(lost.back, Millis(8000));
    EXPECT_EQ(lost.tasks, 2u);
    EXPECT_EQ(lost.waiting, 0u);
    const WorkerFigures& worker = Worker(figures, "DTF-01");
    EXPECT_EQ(worker.losses, 1u);
    EXPECT_EQ(worker.lost, Millis(8000));
    EXPECT_EQ(worker.interrupted, 2u);
    EXPECT_EQ(worker.capacity, 2u);
    EXPECT_EQ(worker.running_max, 2u);
    EXPECT_EQ(figures.republished, 2u);
    EXPECT_EQ(figures.kinds[0].at_work.count(), 1u);
  }
}

v1::BrowserHealth Health(bool connected, uint32_t generation, bool resting, const std::string& note = "") {
  v1::BrowserHealth health;
  health.set_worker("W");
  health.set_incarnation("a");
  health.set_connected(connected);
  health.set_generation(generation);
  health.set_resting(resting);
  health.set_note(note);
  return health;
}

TEST(ChronicleTest, BrowserLosses) {
  struct Row {
    const char* why;
    std::function<void(TestRun&)> tell;
    uint64_t losses;
    int64_t without_ms;
  };
  const Row rows[] = {
      {"starting is no loss", [](TestRun& run) { run.Browser("W", false, 0).At(900).Browser("W", true); }, 0,
       0},
      {"lost and back",
       [](TestRun& run) {
         run.Browser("W", true).At(500).Browser("W", false).At(2500).Browser("W", true, 2);
       },
       1, 2000},
      {"replaced between two records",
       [](TestRun& run) { run.Browser("W", true, 1).At(500).Browser("W", true, 2); }, 1, 0},
      {"another process of the worker",
       [](TestRun& run) { run.Browser("W", true, 4, "a").At(500).Browser("W", true, 1, "b"); }, 0, 0},
      {"only the reaper says so",
       [](TestRun& run) {
         run.At(500).Take(testing::BrowserLost("W", 3)).At(1500).Take(testing::BrowserReturned("W", 8));
       },
       1, 1000},
      {"the reaper repeats it",
       [](TestRun& run) {
         run.Browser("W", true).At(500).Browser("W", false).At(900).Take(testing::BrowserLost("W", 3));
         run.At(1500).Browser("W", true, 2).At(1600).Take(testing::BrowserReturned("W", 8));
       },
       1, 1000},
      {"it ends with its worker",
       [](TestRun& run) { run.Browser("W", true).At(500).Browser(Health(false, 1, false, kWorkerStops)); }, 0,
       0},
      {"recycled",
       [](TestRun& run) {
         run.Browser("W", true).At(500).Browser(Health(true, 1, true)).At(600);
         run.Browser(Health(false, 1, false, absl::StrCat(kRecycled, "200 tasks"))).At(900);
         run.Browser("W", true, 2);
       },
       0, 0},
      {"recycled, and its end was not told",
       [](TestRun& run) { run.Browser(Health(true, 1, true)).At(600).Browser("W", true, 2); }, 0, 0},
      {"lost before it was recycled",
       [](TestRun& run) {
         run.Browser(Health(true, 1, true)).At(600).Browser("W", false).At(1000).Browser("W", true, 2);
       },
       1, 400},
      {"never back", [](TestRun& run) { run.Browser("W", true).At(6000).Browser("W", false); }, 1, 4000},
  };
  for (const Row& row : rows) {
    TestRun run;
    run.File(1, "a").Start(1, "DTF-01");
    row.tell(run);
    run.At(10'000).Succeed(1, "DTF-01");
    const Figures figures = run.Finish();
    EXPECT_EQ(Worker(figures, "W").browser_losses, row.losses) << row.why;
    EXPECT_EQ(Worker(figures, "W").without_browser, Millis(row.without_ms)) << row.why;
    EXPECT_EQ(CountOf(figures, IncidentKind::kBrowserLost), row.losses) << row.why;
  }
}

TEST(ChronicleTest, DeadTasksAndRedrives) {
  TestRun run;
  run.File(1, "a")
      .At(10)
      .Start(1, "DTF-01")
      .At(20)
      .Take(testing::Fail(1, "DTF-01", v1::BAD_INPUT, {TestRun::Job(1)}));
  run.Take(testing::MovedTo("quarantine/a", TestRun::Job(1)));
  run.At(5020)
      .Take(testing::Redrive(1, {TestRun::Job(1)}))
      .At(6020)
      .Start(1, "DTF-01", 2)
      .At(7020)
      .Succeed(1, "DTF-01", 2);
  run.File(2, "b").Start(2, "DTF-01").Take(testing::Fail(1, "DTF-01", v1::BAD_INPUT, {TestRun::Job(2)}));
  const Figures figures = run.Finish();
  EXPECT_EQ(figures.redriven, 1u);
  EXPECT_EQ(figures.tasks.succeeded, 1u);
  EXPECT_EQ(figures.tasks.failed, 1u) << "the one that was put back is counted where it ended";
  EXPECT_EQ(figures.files.failed, 1u);
  EXPECT_EQ(figures.files.succeeded, 1u);
  ASSERT_THAT(figures.incidents, SizeIs(2));
  EXPECT_EQ(figures.incidents[0].back, Millis(5000));
  EXPECT_EQ(figures.incidents[0].at_work, Millis(6000));
  EXPECT_FALSE(figures.incidents[1].back);
}

TEST(ChronicleTest, ADispatcherTakesOver) {
  TestRun run;
  run.Take(testing::Mark(3));  // the first one took over from nobody
  run.File(1, "a").At(100).Take(testing::Assign(1, "DTF-01", 3, {TestRun::Job(1)}));
  run.File(2, "b").At(5100).Take(testing::Mark(7)).Take(testing::Mark(7));
  run.At(5400).Take(testing::Assign(1, "DTF-01", 7, {TestRun::Job(2)}));
  const Figures figures = run.Finish();
  ASSERT_THAT(figures.incidents, SizeIs(1));
  EXPECT_EQ(figures.incidents[0].kind, IncidentKind::kTakeover);
  EXPECT_EQ(figures.incidents[0].silent, Millis(5000));
  EXPECT_EQ(figures.incidents[0].at_work, Millis(300));
}

TEST(ChronicleTest, AClockThatGoesBackwardsMakesNoNegativeTimes) {
  TestRun run;
  run.At(5000).File(1, "a").At(1000).Start(1, "DTF-01").At(2000).Succeed(1, "DTF-01");
  const Figures figures = run.Finish();
  EXPECT_EQ(figures.tasks.succeeded, 1u);
  EXPECT_EQ(figures.duration.Quantile(0.5), Millis(0));
  EXPECT_FALSE(figures.SteadyRate()) << "no time passed";
  EXPECT_GT(figures.clock_steps, 0u);
}

TEST(ChronicleTest, OnlyWhatLiesInTheWindowCountsThoughAllOfItIsFolded) {
  TestRun run({.since = LogTime{TestRun::kBegin + 10'000}, .until = LogTime{TestRun::kBegin + 20'000}});
  run.File(1, "a").Do(1, "DTF-01", 1000, 2000);
  run.File(2, "b").At(9000).Start(2, "DTF-01").At(11'000).Succeed(2, "DTF-01");  // over its beginning
  run.At(12'000).File(3, "c").Do(3, "DTF-01", 13'000, 15'000);
  const Figures figures = run.Finish();
  EXPECT_EQ(figures.tasks.submitted, 1u);
  EXPECT_EQ(figures.tasks.succeeded, 2u);
  EXPECT_EQ(Worker(figures, "DTF-01").busy, Millis(3000)) << "1 s of the one, 2 s of the other";
  EXPECT_EQ(figures.idle, Millis(1000));
}

TEST(ChronicleTest, WhatStillRunsIsBusyUntilTheEndOfTheLog) {
  TestRun run;
  run.File(1, "a").At(1000).Start(1, "DTF-01").At(4000).File(2, "b");
  const Figures figures = run.Finish();
  EXPECT_TRUE(figures.still_running);
  EXPECT_EQ(figures.tasks.open, 2u);
  EXPECT_EQ(figures.files.open, 2u);
  EXPECT_EQ(Worker(figures, "DTF-01").busy, Millis(3000));
}

TEST(ChronicleTest, ListsAreBoundedAndCountsAreNot) {
  TestRun run({.keep_inputs = true, .inputs_max = 2, .incidents_max = 3});
  for (uint64_t n = 1; n <= 10; n++) {
    run.File(n, "f").Start(n, "DTF-01").Take(testing::Fail(1, "DTF-01", v1::BAD_INPUT, {TestRun::Job(n)}));
  }
  const Figures figures = run.Finish();
  EXPECT_EQ(CountOf(figures, IncidentKind::kDead), 10u);
  EXPECT_THAT(figures.incidents, SizeIs(3));
  EXPECT_EQ(figures.incidents_not_listed, 7u);
  EXPECT_FALSE(figures.inputs_complete);
}

TEST(CompareTest, SpeedUpAndEfficiencyAgainstTheFewestWorkers) {
  const std::vector<report::Run> runs = {
      {"three", SteadyRun(3, 12)}, {"one", SteadyRun(1, 12)}, {"two", SteadyRun(2, 12)}};
  const Comparison comparison = Compare(runs);
  ASSERT_THAT(comparison.runs, SizeIs(3));
  EXPECT_TRUE(comparison.AllTheSame());
  EXPECT_TRUE(comparison.runs[0].baseline);
  EXPECT_EQ(comparison.runs[0].run, 1u);
  EXPECT_FALSE(comparison.runs[0].speed_up);
  EXPECT_DOUBLE_EQ(*comparison.runs[1].speed_up, 2);
  EXPECT_DOUBLE_EQ(*comparison.runs[2].speed_up, 3);
  EXPECT_DOUBLE_EQ(*comparison.runs[2].efficiency, 1);
}

TEST(CompareTest, OtherFilesAreSaid) {
  TestRun other({.keep_inputs = true});
  other.File(1, "file 1").File(2, "file 2", 99).File(3, "new").Do(1, "DTF-01", 0, 1000);
  const Comparison comparison = Compare({{"one", SteadyRun(1, 3)}, {"other", other.Finish()}});
  EXPECT_FALSE(comparison.AllTheSame());
  const ComparedRun& run = comparison.runs[1];
  EXPECT_EQ(run.common, 2u);
  EXPECT_EQ(run.other_size, 1u);
  EXPECT_EQ(run.missing, 1u);
  EXPECT_EQ(run.extra, 1u);
  EXPECT_THAT(run.examples, ElementsAre("other size: file 2", "not here: file 3", "only here: new"));
}

TEST(CompareTest, ARunInWhichNothingSucceededHasNoSpeedUp) {
  TestRun nothing;
  nothing.File(1, "a");
  const Comparison comparison = Compare({{"one", SteadyRun(1, 1)}, {"nothing", nothing.Finish()}});
  EXPECT_TRUE(comparison.runs[0].baseline) << "nobody worked there";
  EXPECT_FALSE(comparison.runs[1].speed_up);
}

}  // namespace
}  // namespace laneway::report
