// What happens around the tasks: drains, lanes that move, heartbeats, pauses, shutdown, compaction.
#include "worker/worker.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "fixture.h"

namespace laneway::worker {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;

TEST(WorkerLifeTest, RuleP2ADrainReleasesTheQueueFinishesWhatRunsAndSaysSo) {
  Rig rig;
  rig.Send(Key(1, 1));
  rig.Send(Key(2, 1));
  rig.Settle();
  rig.Drain();
  rig.Settle();
  EXPECT_THAT(rig.Events(), ElementsAre("Started 1.1", "Released 2.1"));
  rig.Advance(Millis(200));
  EXPECT_FALSE(rig.beats.back().draining_done());
  rig.End(Key(1, 1));
  rig.Settle();
  rig.Advance(Millis(200));
  EXPECT_TRUE(rig.beats.back().draining_done()) << "at once, not at the next regular beat";
  rig.Crash(false);
  rig.Settle();
  rig.Advance(Millis(200));
  EXPECT_TRUE(rig.beats.back().draining_done()) << "durable";
  rig.worker->OnResume();
  rig.Settle();
  rig.Send(Key(3, 1));
  rig.Settle();
  EXPECT_THAT(rig.runs, Contains(Key(3, 1)));
  rig.Advance(Millis(200));
  EXPECT_FALSE(rig.beats.back().draining_done());
}

TEST(WorkerLifeTest, RuleP2ALaneIsReadUpToItsHandoverMark) {
  Rig rig(4);
  rig.Send(Key(1, 1));
  rig.Settle();
  rig.worker->SetLanes({});  // the table was faster than the mark
  rig.Send(Key(2, 1));
  rig.Settle();
  EXPECT_THAT(rig.runs, SizeIs(2));
  rig.Handover("DTF-02");
  rig.Settle();
  const size_t mark = rig.lanes[Rig::kLane].size();
  rig.Send(Key(3, 1));
  rig.Settle();
  EXPECT_THAT(rig.runs, SizeIs(2)) << "behind the mark nothing is for us";
  rig.Advance(Millis(200));
  ASSERT_THAT(rig.beats.back().lanes(), SizeIs(1));
  EXPECT_EQ(rig.beats.back().lanes(0).next_offset(), mark) << "the dispatcher sees that the mark was read";
  const Lane back[] = {Rig::kLane};
  rig.worker->SetLanes(back);
  rig.Settle();
  EXPECT_THAT(rig.runs, SizeIs(3));
}

TEST(WorkerLifeTest, RuleP2ALaneGivenBackAndTakenAwayAtOnceIsReadUpToItsNewMark) {
  Rig rig(4);
  rig.Handover("DTF-02");
  rig.Settle();
  rig.worker->SetLanes({});
  rig.Settle();
  const Lane back[] = {Rig::kLane};
  rig.worker->SetLanes(back);
  rig.worker->SetLanes({});  // before what was sent meanwhile can be read
  rig.Settle();
  rig.Send(Key(1, 1));
  rig.Settle();
  EXPECT_THAT(rig.runs, ElementsAre(Key(1, 1))) << "the old mark is not the one of this time";
  rig.Handover("DTF-02");
  rig.Settle();
  rig.Send(Key(2, 1));
  rig.Settle();
  EXPECT_THAT(rig.runs, SizeIs(1));
}

TEST(WorkerLifeTest, RuleW2HeartbeatsTellWhatIsHeldAndOnlyDurablePositions) {
  Rig rig;
  rig.options.queue_patience = Millis(100000);
  rig.Boot();
  rig.Send(Key(1, 1));
  rig.Send(Key(2, 1));
  rig.Pump();
  rig.Advance(Millis(15000));
  EXPECT_EQ(rig.beats.back().lanes(0).next_offset(), 0u) << "read, but not in the store yet";
  rig.Settle();
  rig.Advance(Millis(15000));
  const v1::Heartbeat& beat = rig.beats.back();
  ASSERT_THAT(beat.held(), SizeIs(2));
  EXPECT_TRUE(beat.held(0).started());
  EXPECT_FALSE(beat.held(1).started());
  EXPECT_EQ(beat.lanes(0).next_offset(), 2u);
  EXPECT_EQ(beat.lanes(0).finished_below(), 0u);
  rig.End(Key(1, 1));
  rig.Settle();
  EXPECT_EQ(rig.worker->FinishedBelow(Rig::kLane), 1u);
}

TEST(WorkerLifeTest, WhatWaitsBehindALongScriptIsHandedBack) {
  Rig rig;
  for (uint64_t job = 1; job <= 3; job++) rig.Send(Key(job, 1));
  rig.Settle();
  rig.Advance(Millis(499));
  rig.End(Key(1, 1));
  rig.Settle();
  rig.Advance(Millis(499));
  EXPECT_THAT(rig.Events(), Not(Contains("Released 3.1"))) << "a slot was free in between";
  rig.Advance(Millis(1));
  ASSERT_TRUE(rig.HasCommit());
  rig.Advance(Millis(15000));
  ASSERT_THAT(rig.beats.back().held(), SizeIs(2));
  EXPECT_TRUE(rig.beats.back().held(0).started());
  EXPECT_FALSE(rig.beats.back().held(1).started()) << "released, never started";
  rig.Settle();
  EXPECT_THAT(rig.Events(), Contains("Released 3.1"));
  EXPECT_THAT(rig.runs, SizeIs(2));
  rig.Send(Key(3, 2));
  rig.Settle();
  rig.End(Key(2, 1));
  rig.Settle();
  EXPECT_THAT(rig.runs, SizeIs(3)) << "given to it again, it may run here after all";
}

TEST(WorkerLifeTest, ThreeDifferentTasksThatCannotRunHereAccuseTheWorker) {
  Rig rig;
  for (uint64_t job = 1; job <= 4; job++) rig.Send(Key(job, 1));
  rig.Settle();
  rig.End(Key(1, 1), false, v1::CANNOT_START);
  rig.Settle();
  rig.End(Key(2, 1), false, v1::EXIT_CODE);  // its script ran: that clears the worker
  rig.Settle();
  rig.End(Key(3, 1), false, v1::FILE_MISSING);
  rig.Settle();
  rig.End(Key(4, 1), false, v1::OUT_OF_MEMORY);
  rig.Send(Key(5, 1));
  rig.Send(Key(6, 1));
  rig.Settle();
  EXPECT_FALSE(rig.worker->paused_by_itself());
  rig.End(Key(5, 1), false, v1::CANNOT_START);
  rig.Settle();
  EXPECT_TRUE(rig.worker->paused_by_itself());
  EXPECT_THAT(rig.Events(), Contains("Released 6.1"));
  rig.Advance(Millis(200));
  EXPECT_TRUE(rig.beats.back().paused_by_itself());
  EXPECT_THAT(rig.beats.back().note(), HasSubstr("3 different tasks"));
  ASSERT_THAT(rig.alerts, SizeIs(1));
  rig.worker->OnResume();
  rig.Advance(Millis(200));
  EXPECT_FALSE(rig.beats.back().paused_by_itself());
}

TEST(WorkerLifeTest, LinesAreInTheWordsPeopleKnow) {
  struct Row {
    bool ok;
    v1::Ending ending;
    int exit_code;
    bool browser;
    const char* want;
  };
  const Row rows[] = {
      {true, v1::ENDING_UNSPECIFIED, 0, false, "Task Success"},
      {true, v1::ENDING_UNSPECIFIED, 0, true, "Upload Success (Browser 9224)"},
      {false, v1::EXIT_CODE, 3, false, "Task Failed (exit 3, attempt 1 of 3)"},
      {false, v1::TIMEOUT, 0, false, "Task Failed (timeout, attempt 1 of 3)"},
  };
  for (const Row& row : rows) {
    Rig rig;
    rig.worker->OnBrowser({.connected = true, .port = 9224, .generation = 1});
    v1::LaneRecord record = rig.Packet(Key(1, 1));
    record.mutable_packet()->mutable_spec()->set_needs_browser(row.browser);
    rig.Put(record);
    rig.Settle();
    rig.End(Key(1, 1), row.ok, row.ending, row.exit_code);
    rig.Settle();
    ASSERT_THAT(rig.lines, SizeIs(2)) << row.want;
    EXPECT_EQ(rig.lines[1], row.want);
  }
}

TEST(WorkerLifeTest, TasksThatNeedTheBrowserWaitForItWhileOthersPass) {
  Rig rig;
  v1::LaneRecord record = rig.Packet(Key(1, 1));
  record.mutable_packet()->mutable_spec()->set_needs_browser(true);
  rig.Put(record);
  rig.Send(Key(2, 1));
  rig.Settle();
  EXPECT_THAT(rig.runs, ElementsAre(Key(2, 1)));
  rig.End(Key(2, 1));
  rig.worker->OnBrowser({.connected = true, .port = 9222, .generation = 1});
  rig.Settle();
  EXPECT_THAT(rig.runs, ElementsAre(Key(2, 1), Key(1, 1)));
}

TEST(WorkerLifeTest, ProgressIsThinnedOutAndACheckpointGoesAtOnce) {
  Rig rig;
  rig.Send(Key(1, 1));
  rig.Settle();
  const auto report = [&](uint32_t percent, std::optional<std::string> checkpoint) {
    Reported reported;
    reported.key = Key(1, 1);
    reported.percent = percent;
    reported.checkpoint = std::move(checkpoint);
    rig.worker->OnExecutor(reported, rig.now);
    rig.Settle();
  };
  for (uint32_t percent = 1; percent <= 50; percent++) {
    report(percent, std::nullopt);
    rig.Advance(Millis(10));
  }
  EXPECT_THAT(rig.Events(), SizeIs(2)) << "Started and one Progressed";
  report(51, "page 7");
  ASSERT_THAT(rig.Events(), SizeIs(3));
  EXPECT_EQ(rig.events.back().task_progressed().checkpoint(), "page 7");
  report(52, std::nullopt);
  EXPECT_THAT(rig.Events(), SizeIs(3));
  ASSERT_TRUE(rig.worker->NextDeadline());
  rig.Advance(Millis(1000));
  rig.Settle();
  ASSERT_THAT(rig.Events(), SizeIs(4));
  EXPECT_EQ(rig.events.back().task_progressed().percent(), 52u);
}

TEST(WorkerLifeTest, ShutdownHandsBackTheQueueWaitsAndThenStops) {
  Rig rig;
  rig.Send(Key(1, 1));
  rig.Send(Key(2, 1));
  rig.Settle();
  rig.worker->BeginShutdown(Shutdown::kDrain, Millis(30000), rig.now);
  rig.Settle();
  EXPECT_THAT(rig.Events(), ElementsAre("Started 1.1", "Released 2.1"));
  EXPECT_THAT(rig.stops, IsEmpty());
  EXPECT_FALSE(rig.beats.back().stopping());
  rig.Advance(Millis(100));
  rig.Settle();
  EXPECT_TRUE(rig.beats.back().stopping()) << "at once, not at the next regular beat";
  EXPECT_FALSE(rig.beats.back().leaving());
  rig.Advance(Millis(30000));
  ASSERT_THAT(rig.stops, SizeIs(1));
  EXPECT_EQ(rig.stops[0].reason, StopReason::kShutdown);
  rig.End(Key(1, 1), false, v1::STOPPED);
  EXPECT_FALSE(rig.worker->finished());
  rig.Settle();
  EXPECT_THAT(rig.Events(), Contains("Failed(INTERRUPTED) 1.1")) << "we stopped it: a loss, not its failure";
  EXPECT_TRUE(rig.beats.back().leaving());
  EXPECT_TRUE(rig.worker->finished());
}

TEST(WorkerLifeTest, AnAnswerThatSaysNeverStopsTheWorker) {
  Rig rig;
  rig.Send(Key(1, 1));
  rig.Settle();
  rig.Send(Key(2, 1));
  rig.Pump();
  rig.worker->OnCommitted(rig.pending->token, absl::DataLossError("gone"), rig.now);
  rig.pending.reset();
  rig.Settle();
  EXPECT_FALSE(rig.worker->fatal().ok());
  EXPECT_THAT(rig.stops, SizeIs(1));
  EXPECT_THAT(rig.runs, SizeIs(1));
  EXPECT_THAT(rig.alerts, SizeIs(1));
}

TEST(WorkerLifeTest, AFullDiskIsToldAndHealsByItself) {
  Rig rig;
  rig.Send(Key(1, 1));
  rig.Settle();
  rig.End(Key(1, 1));
  rig.worker->OnCommitted(rig.pending->token, absl::ResourceExhaustedError("no space"), rig.now);
  rig.pending.reset();
  rig.Advance(Millis(15000));
  EXPECT_TRUE(rig.beats.back().paused_by_itself());
  rig.Settle();
  rig.Advance(Millis(15000));
  EXPECT_FALSE(rig.beats.back().paused_by_itself());
  EXPECT_THAT(rig.Events(), ElementsAre("Started 1.1", "Succeeded 1.1"));
}

TEST(WorkerLifeTest, CompactionKeepsWhatIsOpenAndDropsTheRest) {
  Rig rig;
  rig.options.compact_notes_max = 10;
  rig.options.capacity = 2;
  rig.Boot();
  for (uint64_t job = 1; job <= 40; job++) {
    rig.Send(Key(job, 1));
    rig.Settle();
    if (job != 7) rig.End(Key(job, 1));
    rig.Settle();
  }
  rig.Send(Key(41, 1));
  rig.Send(Key(42, 1));
  rig.Settle();
  EXPECT_LT(rig.journal.size(), 12u);
  const size_t runs = rig.runs.size();
  rig.Crash(false);
  rig.Settle();
  EXPECT_THAT(rig.Events(), Contains("Failed(INTERRUPTED) 7.1"));
  EXPECT_THAT(rig.Events(), Contains("Failed(INTERRUPTED) 41.1"));
  EXPECT_THAT(rig.runs, Contains(Key(42, 1)));
  for (uint64_t job = 1; job <= 42; job++) rig.Send(Key(job, 1));
  rig.Settle();
  EXPECT_EQ(rig.runs.size(), runs + 1) << "tombstones survive compaction and restart";
}

TEST(WorkerLifeTest, TombstonesAreBounded) {
  Rig rig;
  rig.options.tombstones_max = 4;
  rig.Boot();
  for (uint64_t job = 1; job <= 10; job++) {
    rig.Send(Key(job, 1));
    rig.Settle();
    rig.End(Key(job, 1));
    rig.Settle();
  }
  rig.Send(Key(10, 1));
  rig.Send(Key(7, 1));
  rig.Settle();
  EXPECT_THAT(rig.runs, SizeIs(10));
}

}  // namespace
}  // namespace laneway::worker
