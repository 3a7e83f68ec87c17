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

TEST(WorkerTest, ATaskGoesFromItsPacketToItsSuccess) {
  Rig rig;
  rig.Send(Key(1, 1));
  rig.Settle();
  EXPECT_THAT(rig.runs, ElementsAre(Key(1, 1)));
  rig.End(Key(1, 1));
  rig.Settle();
  EXPECT_THAT(rig.Events(), ElementsAre("Started 1.1", "Succeeded 1.1"));
  EXPECT_THAT(rig.lines, ElementsAre("Task Started", "Task Success"));
  EXPECT_TRUE(rig.worker->idle());
  EXPECT_EQ(rig.events[0].task_started().store(), rig.options.store.ToBytes());
  EXPECT_EQ(rig.events[0].task_started().incarnation(), rig.options.incarnation.ToBytes());
}

TEST(WorkerTest, RuleW1NothingRunsBeforeItsStartWasAnswered) {
  Rig rig;
  rig.Send(Key(1, 1));
  rig.Pump();
  ASSERT_TRUE(rig.HasCommit());
  EXPECT_THAT(rig.runs, IsEmpty());
  rig.AnswerCommit(Answer::kUnknownKept);
  EXPECT_THAT(rig.runs, IsEmpty()) << "it may have happened, but nobody said so";
  rig.Advance(Millis(50));
  ASSERT_TRUE(rig.HasCommit()) << "the same step again";
  rig.AnswerCommit();
  EXPECT_THAT(rig.runs, ElementsAre(Key(1, 1)));
  EXPECT_THAT(rig.Events(), ElementsAre("Started 1.1", "Started 1.1")) << "the fold drops the double";
}

TEST(WorkerTest, PacketsThatAreNotForItAreIgnored) {
  struct Row {
    const char* why;
    std::function<void(Rig&, v1::LaneRecord&)> change;
  };
  const Row rows[] = {
      {"rule L3: another store",
       [](Rig&, v1::LaneRecord& r) {
         r.mutable_packet()->set_store(StoreId{1, 2}.ToBytes());
       }},
      {"addressed to somebody else", [](Rig&, v1::LaneRecord& r) { r.set_worker("DTF-02"); }},
      {"an epoch older than the lane's mark", [](Rig& rig, v1::LaneRecord&) { rig.OpenEpoch(2); }},
      {"no job id", [](Rig&, v1::LaneRecord& r) { r.mutable_packet()->set_job_id("short"); }},
      {"no attempt", [](Rig&, v1::LaneRecord& r) { r.mutable_packet()->set_attempt(0); }},
      {"cancelled before it came", [](Rig& rig, v1::LaneRecord&) { rig.Cancel(Key(1, 1)); }},
  };
  for (const Row& row : rows) {
    Rig rig;
    v1::LaneRecord record = rig.Packet(Key(1, 1));
    row.change(rig, record);
    rig.Put(record);
    rig.Settle();
    EXPECT_THAT(rig.runs, IsEmpty()) << row.why;
    EXPECT_THAT(rig.Events(), IsEmpty()) << row.why;
  }
}

TEST(WorkerTest, APacketOfTheLanesOwnEpochOrANewerOneIsTaken) {
  Rig rig(2);
  rig.OpenEpoch(5);
  rig.OpenEpoch(3);  // late: marks only rise
  rig.epoch = 5;
  rig.Send(Key(1, 1));
  rig.epoch = 6;
  rig.Send(Key(2, 1));
  rig.epoch = 4;
  rig.Send(Key(3, 1));
  rig.Settle();
  EXPECT_THAT(rig.runs, ElementsAre(Key(1, 1), Key(2, 1)));
}

TEST(WorkerTest, AnAttemptItHasOrHadIsNotTakenAgain) {
  Rig rig;
  rig.Send(Key(1, 1));
  rig.Settle();
  rig.Send(Key(1, 1));
  rig.Settle();
  rig.End(Key(1, 1));
  rig.Settle();
  rig.Send(Key(1, 1));  // rule P1, by a dispatcher that lags
  rig.Settle();
  EXPECT_THAT(rig.runs, SizeIs(1));
  rig.Crash(false);
  rig.Send(Key(1, 1));
  rig.Settle();
  EXPECT_THAT(rig.runs, SizeIs(1)) << "across a restart too";
  rig.Send(Key(1, 2));
  rig.Settle();
  EXPECT_THAT(rig.runs, ElementsAre(Key(1, 1), Key(1, 2)));
}

TEST(WorkerTest, WhatFindsNoSlotWaitsInOneCommitAndInOrder) {
  Rig rig;
  for (uint64_t job = 1; job <= 5; job++) rig.Send(Key(job, 1));
  rig.Pump();
  ASSERT_TRUE(rig.HasCommit());
  EXPECT_EQ(rig.pending->batch->notes.attempts_size(), 5);
  EXPECT_EQ(rig.pending->batch->events.size(), 1);
  for (uint64_t job = 1; job <= 5; job++) {
    rig.Settle();
    ASSERT_THAT(rig.runs, SizeIs(job));
    EXPECT_EQ(rig.runs.back(), Key(job, 1));
    rig.End(Key(job, 1));
  }
  rig.Settle();
  EXPECT_EQ(rig.worker->counters().succeeded, 5u);
}

TEST(WorkerTest, TheEndOfOneAndTheStartOfTheNextAreOneStep) {
  Rig rig;
  rig.Send(Key(1, 1));
  rig.Send(Key(2, 1));
  rig.Settle();
  rig.End(Key(1, 1));
  ASSERT_TRUE(rig.HasCommit());
  EXPECT_EQ(rig.pending->batch->events.size(), 2);
}

TEST(WorkerTest, RuleW3AHigherAttemptWaitsUntilTheLowerOneWasReported) {
  Rig rig(2);
  rig.Send(Key(1, 1));
  rig.Settle();
  rig.Send(Key(1, 2));
  rig.Settle();
  ASSERT_THAT(rig.stops, SizeIs(1));
  EXPECT_EQ(rig.stops[0].key, Key(1, 1));
  EXPECT_EQ(rig.stops[0].reason, StopReason::kSuperseded);
  EXPECT_THAT(rig.runs, ElementsAre(Key(1, 1)));
  rig.End(Key(1, 1), false, v1::STOPPED);
  ASSERT_TRUE(rig.HasCommit());
  EXPECT_EQ(rig.pending->batch->events.size(), 1)
      << "ended, but not reported yet: the higher one does not start";
  rig.Settle();
  EXPECT_THAT(rig.Events(), ElementsAre("Started 1.1", "Failed(STOPPED) 1.1", "Started 1.2"));
}

TEST(WorkerTest, ACancelStopsWhatRunsAndDropsWhatWaits) {
  Rig rig;
  rig.Send(Key(1, 1));
  rig.Send(Key(2, 1));
  rig.Settle();
  rig.Cancel(Key(2, 1));
  rig.Cancel(Key(1, 1));
  rig.Settle();
  ASSERT_THAT(rig.stops, SizeIs(1));
  EXPECT_EQ(rig.stops[0].key, Key(1, 1));
  rig.End(Key(1, 1), false, v1::STOPPED);
  rig.Settle();
  EXPECT_THAT(rig.Events(), ElementsAre("Started 1.1", "Failed(STOPPED) 1.1"));
  rig.Crash(false);
  rig.Settle();
  EXPECT_THAT(rig.runs, SizeIs(1)) << "the dropped one is forgotten for good";
}

TEST(WorkerTest, ACancelThatOvertakesTheAnswerOfAStartKeepsTheScriptFromRunning) {
  Rig rig;
  rig.Send(Key(1, 1));
  rig.Pump();
  rig.Cancel(Key(1, 1));
  rig.Pump();
  rig.Settle();
  EXPECT_THAT(rig.runs, IsEmpty());
  EXPECT_THAT(rig.Events(), ElementsAre("Started 1.1", "Failed(STOPPED) 1.1"));
}

TEST(WorkerTest, AfterACrashWhatWasStartingIsReportedAsInterruptedAndNeverRunAgain) {
  Rig rig(2);
  rig.Send(Key(1, 1));
  rig.Settle();
  rig.Send(Key(2, 1));
  rig.Pump();  // in flight
  rig.Crash(true);
  rig.Settle();
  EXPECT_THAT(rig.runs, ElementsAre(Key(1, 1)));
  EXPECT_THAT(rig.Events(), ElementsAre("Started 1.1", "Started 2.1", "Failed(INTERRUPTED) 1.1",
                                        "Failed(INTERRUPTED) 2.1"));
}

TEST(WorkerTest, AfterACrashWhatWaitedGoesOnWhenTheLeaseHoldsAndIsHandedBackOtherwise) {
  for (const bool held : {true, false}) {
    Rig rig;
    rig.Send(Key(1, 1));
    rig.Send(Key(2, 1));
    rig.Settle();
    rig.away = held ? Millis(2000) : Millis(31000);
    rig.Crash(false);
    rig.Settle();
    if (held) {
      EXPECT_THAT(rig.Events(), ElementsAre("Started 1.1", "Failed(INTERRUPTED) 1.1", "Started 2.1"));
    } else {
      EXPECT_THAT(rig.Events(), ElementsAre("Started 1.1", "Failed(INTERRUPTED) 1.1", "Released 2.1"));
    }
  }
}

TEST(WorkerTest, AfterACrashCancelsThatWaitInTheLaneAreReadBeforeAnythingStarts) {
  Rig rig;
  rig.Send(Key(1, 1));
  rig.Send(Key(2, 1));
  rig.Settle();
  rig.Cancel(Key(2, 1));
  rig.Crash(false);
  rig.Settle();
  EXPECT_THAT(rig.Events(), ElementsAre("Started 1.1", "Failed(INTERRUPTED) 1.1"));
}

TEST(WorkerTest, AResultIsKeptUntilItsAppendWasAnsweredOk) {
  for (const Answer bad : {Answer::kLost, Answer::kUnknownKept}) {
    Rig rig;
    rig.Send(Key(1, 1));
    rig.Settle();
    rig.End(Key(1, 1));
    for (int i = 0; i < 5; i++) {
      ASSERT_TRUE(rig.HasCommit());
      rig.AnswerCommit(bad);
      EXPECT_FALSE(rig.HasCommit()) << "not before the back-off is over";
      rig.Advance(Millis(1000));
    }
    rig.Settle();
    EXPECT_THAT(rig.Events(), Contains("Succeeded 1.1"));
    EXPECT_TRUE(rig.worker->idle());
    EXPECT_EQ(rig.worker->counters().commit_retries, 5u);
  }
}

TEST(WorkerTest, AResultInDoubtIsSentAgainAfterACrash) {
  Rig rig;
  rig.Send(Key(1, 1));
  rig.Settle();
  rig.End(Key(1, 1));
  rig.journal[rig.pending->batch->seq] =
      rig.pending->batch->notes.SerializeAsString();  // as on two disks: notes only
  rig.Crash(false);
  rig.Settle();
  EXPECT_THAT(rig.Events(), ElementsAre("Started 1.1", "Succeeded 1.1"));
  rig.Crash(false);
  rig.Settle();
  EXPECT_THAT(rig.Events(), SizeIs(3)) << "the last step may be in doubt again: the fold drops the double";
  rig.Send(Key(2, 1));
  rig.Settle();
  rig.Crash(false);
  rig.Settle();
  EXPECT_THAT(rig.Events(), SizeIs(5))
      << "a later step proves the earlier one: only Started and Failed of the second were added";
}

TEST(WorkerTest, WithoutContactNothingNewStartsAndAfterAWholeTimeoutTheQueueIsHandedBack) {
  Rig rig;
  rig.options.queue_patience = Millis(100000);
  rig.Boot();
  rig.auto_beat = false;
  rig.Send(Key(1, 1));
  rig.Settle();
  rig.Send(Key(2, 1));
  rig.Settle();
  rig.Advance(Millis(21000));
  rig.End(Key(1, 1));
  ASSERT_TRUE(rig.HasCommit());
  EXPECT_EQ(rig.pending->batch->events.size(), 1)
      << "the lease lapsed after 20 s: the result goes out, nothing starts";
  rig.AnswerCommit();
  EXPECT_THAT(rig.runs, SizeIs(1));
  rig.Settle();
  EXPECT_THAT(rig.runs, SizeIs(2)) << "contact is back within the timeout";
  rig.Send(Key(3, 1));
  rig.Settle();
  rig.Advance(Millis(40000));
  rig.worker->OnHeartbeatAnswered(absl::OkStatus(), rig.now);
  rig.Settle();
  EXPECT_THAT(rig.Events(), Contains("Released 3.1"));
}

TEST(WorkerTest, NoStartBeforeTheLogAnsweredOnce) {
  Rig rig;
  rig.auto_beat = false;
  rig.options.incarnation = IncarnationId{9, 9};
  rig.worker = std::make_unique<Worker>(rig.options, Restored{});
  const Lane owned[] = {Rig::kLane};
  rig.worker->SetLanes(owned);
  rig.beats.clear();
  rig.Send(Key(1, 1));
  rig.Pump();
  ASSERT_TRUE(rig.HasCommit());
  EXPECT_EQ(rig.pending->batch->events.size(), 0) << "only QUEUED";
  EXPECT_THAT(rig.beats, SizeIs(1)) << "the first heartbeat goes out at once";
  rig.Settle();
  EXPECT_THAT(rig.runs, SizeIs(1)) << "the commit's answer is contact too";
}

}  // namespace
}  // namespace laneway::worker
