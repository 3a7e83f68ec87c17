// What a worker does with its browser: who waits for it, who may begin, what becomes of whom when it is gone.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "fixture.h"
#include "worker/worker.h"

namespace laneway::worker {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

class WorkerBrowserTest : public ::testing::Test {
 protected:
  WorkerBrowserTest() {
    rig.options.has_browser = true;
    rig.Boot();
  }

  void Tell(BrowserState state) {
    state.port = 9224;
    state.seq = ++seq;
    rig.worker->OnBrowser(state);
    rig.Pump();
  }
  void Connected(uint32_t generation) {
    Tell({.connected = true, .generation = generation, .over = generation - 1});
  }
  void SendWithBrowser(uint64_t job, v1::OnBrowserLoss policy = v1::RETRY_TASK) {
    v1::LaneRecord record = rig.Packet(Key(job, 1));
    record.mutable_packet()->mutable_spec()->set_needs_browser(true);
    record.mutable_packet()->mutable_spec()->set_on_browser_loss(policy);
    rig.Put(record);
  }

  Rig rig{2};
  uint64_t seq = 0;
};

TEST_F(WorkerBrowserTest, WhoseBrowserIsGoneIsStoppedUnlessItMayGoOn) {
  SendWithBrowser(1, v1::RETRY_TASK);
  SendWithBrowser(2, v1::FAIL_TASK);
  Connected(1);
  rig.Settle();
  ASSERT_THAT(rig.runs, SizeIs(2));
  EXPECT_EQ(rig.events[0].task_started().browser_generation(), 1u);
  Tell({.connected = false, .generation = 1, .note = "it does not answer"});
  EXPECT_THAT(rig.stops, IsEmpty()) << "away is not gone: it may come back as it was";
  Tell({.connected = false, .generation = 1, .over = 1});
  ASSERT_THAT(rig.stops, SizeIs(2));
  EXPECT_EQ(rig.stops[0].reason, StopReason::kBrowserGone);
  rig.End(Key(1, 1), false, v1::STOPPED);
  rig.End(Key(2, 1), false, v1::STOPPED);
  rig.Settle();
  EXPECT_THAT(rig.Events(), Contains("Failed(BROWSER_GONE) 1.1"));
  EXPECT_THAT(rig.Events(), Contains("Failed(BROWSER_GONE) 2.1")) << "what that means is the fold's business";
  EXPECT_TRUE(rig.events.back().task_failed().browser_replaced());
}

TEST_F(WorkerBrowserTest, RestartsAreCountedFromTheFirstOneItSees) {
  Connected(5);
  EXPECT_EQ(rig.worker->counters().browser_restarts, 0u) << "it was open before this process began";
  Tell({.connected = false, .generation = 5, .over = 5});
  Connected(6);
  Connected(8);
  EXPECT_EQ(rig.worker->counters().browser_restarts, 3u);
  EXPECT_TRUE(rig.worker->browser().connected);
}

TEST_F(WorkerBrowserTest, WhoMayGoOnWithoutItsBrowserDoesAndItsRecordSaysSo) {
  SendWithBrowser(1, v1::CONTINUE_TASK);
  Connected(1);
  rig.Settle();
  Tell({.connected = false, .generation = 1, .over = 1});
  Connected(2);
  EXPECT_THAT(rig.stops, IsEmpty());
  rig.End(Key(1, 1));
  rig.Settle();
  ASSERT_THAT(rig.Events(), ElementsAre("Started 1.1", "Succeeded 1.1"));
  EXPECT_TRUE(rig.events.back().task_succeeded().browser_replaced());
  SendWithBrowser(2, v1::CONTINUE_TASK);
  rig.Settle();
  rig.End(Key(2, 1));
  rig.Settle();
  EXPECT_FALSE(rig.events.back().task_succeeded().browser_replaced()) << "it has only ever known the second";
}

TEST_F(WorkerBrowserTest, ASuccessThatWasToldBeforeTheLossStays) {
  SendWithBrowser(1);
  Connected(1);
  rig.Settle();
  rig.End(Key(1, 1));
  Tell({.connected = false, .generation = 1, .over = 1});
  rig.Settle();
  EXPECT_THAT(rig.Events(), ElementsAre("Started 1.1", "Succeeded 1.1"));
}

TEST(WorkerBrowserStartTest, WhatHasNotBegunDoesNotBeginWhateverItsPolicy) {
  for (const v1::OnBrowserLoss policy : {v1::RETRY_TASK, v1::CONTINUE_TASK, v1::FAIL_TASK}) {
    for (const bool over : {true, false}) {
      Rig rig;
      rig.worker->OnBrowser({.connected = true, .generation = 1});
      v1::LaneRecord record = rig.Packet(Key(1, 1));
      record.mutable_packet()->mutable_spec()->set_needs_browser(true);
      record.mutable_packet()->mutable_spec()->set_on_browser_loss(policy);
      rig.Put(record);
      rig.Pump();
      ASSERT_TRUE(rig.HasCommit()) << "its start is on the way to the log";
      rig.worker->OnBrowser({.connected = false, .generation = 1, .over = over ? 1U : 0U});
      rig.Settle();
      EXPECT_THAT(rig.runs, IsEmpty()) << policy << over;
      EXPECT_THAT(rig.Events(), ElementsAre("Started 1.1", "Failed(BROWSER_GONE) 1.1")) << policy << over;
      EXPECT_EQ(rig.worker->browser_use().users, 0u);
      EXPECT_EQ(rig.worker->running(), 0u);
    }
  }
}

TEST_F(WorkerBrowserTest, WhatWaitsForABrowserIsHandedBackAndNothingElse) {
  SendWithBrowser(1);
  rig.Send(Key(2, 1));
  rig.Settle();
  EXPECT_THAT(rig.runs, ElementsAre(Key(2, 1))) << "who needs none does not wait for one";
  rig.Advance(Millis(499));
  rig.Settle();
  EXPECT_THAT(rig.Events(), Not(Contains("Released 1.1"))) << "it may be back at once";
  ASSERT_TRUE(rig.worker->NextDeadline());
  EXPECT_EQ(*rig.worker->NextDeadline(), rig.now.boot + Millis(1));
  rig.Advance(Millis(1));
  rig.Settle();
  EXPECT_THAT(rig.Events(), ElementsAre("Started 2.1", "Released 1.1"));
  SendWithBrowser(3);
  rig.Settle();
  rig.Advance(Millis(400));
  Connected(1);
  rig.Settle();
  EXPECT_THAT(rig.runs, Contains(Key(3, 1)));
  EXPECT_THAT(rig.Events(), Not(Contains("Released 3.1")));
}

TEST_F(WorkerBrowserTest, ItsUseIsCountedFromTheRecordOfTheStartToTheEnd) {
  EXPECT_EQ(rig.worker->browser_use(), BrowserUse{});
  Connected(1);
  EXPECT_EQ(rig.worker->browser_use(), (BrowserUse{.seen = 1}));
  SendWithBrowser(1);
  rig.Send(Key(2, 1));
  rig.Pump();
  ASSERT_TRUE(rig.HasCommit());
  EXPECT_EQ(rig.worker->browser_use(), (BrowserUse{1, 1, 1})) << "about to run; the other needs none";
  rig.Settle();
  rig.End(Key(2, 1));
  EXPECT_EQ(rig.worker->browser_use().users, 1u);
  SendWithBrowser(3);
  rig.Settle();
  EXPECT_EQ(rig.worker->browser_use(), (BrowserUse{2, 2, 1}));
  rig.End(Key(1, 1));
  rig.End(Key(3, 1), false);
  EXPECT_EQ(rig.worker->browser_use(), (BrowserUse{0, 2, 1}));
}

TEST_F(WorkerBrowserTest, OneThatRestsIsUsedToTheEndAndNotBegunWith) {
  Connected(1);
  SendWithBrowser(1);
  rig.Settle();
  Tell({.connected = true, .resting = true, .generation = 1});
  EXPECT_EQ(rig.worker->browser_use(), (BrowserUse{1, 1, 2})) << "the guard sees that it was heard";
  SendWithBrowser(2);
  rig.Settle();
  EXPECT_THAT(rig.runs, ElementsAre(Key(1, 1)));
  EXPECT_THAT(rig.stops, IsEmpty());
  rig.Advance(Millis(500));
  rig.Settle();
  EXPECT_THAT(rig.Events(), Contains("Released 2.1"));
  EXPECT_FALSE(rig.beats.back().browser_connected()) << "nobody sends more of them";
  EXPECT_TRUE(rig.healths.back().connected()) << "nor does anybody take away what it has";
  EXPECT_TRUE(rig.healths.back().resting());
  rig.End(Key(1, 1));
  rig.Settle();
  EXPECT_THAT(rig.Events(), Contains("Succeeded 1.1"));
}

TEST_F(WorkerBrowserTest, OneThatBeganToRestWhileAStartWasOnItsWayIsUsed) {
  Connected(1);
  SendWithBrowser(1);
  rig.Pump();
  ASSERT_TRUE(rig.HasCommit());
  Tell({.connected = true, .resting = true, .generation = 1});
  rig.Settle();
  EXPECT_THAT(rig.runs, ElementsAre(Key(1, 1)));
  EXPECT_EQ(rig.worker->browser_use().users, 1u) << "so that it is not recycled beneath it";
}

TEST_F(WorkerBrowserTest, ItsHealthIsToldAtOnceAndThenRegularly) {
  rig.Advance(Millis(1));
  const size_t begun = rig.healths.size();
  Connected(3);
  ASSERT_THAT(rig.healths, SizeIs(begun + 1));
  EXPECT_TRUE(rig.healths.back().connected());
  EXPECT_EQ(rig.healths.back().generation(), 3u);
  EXPECT_EQ(rig.healths.back().port(), 9224u);
  rig.Advance(rig.options.browser_health_interval - Millis(1));
  EXPECT_THAT(rig.healths, SizeIs(begun + 1));
  rig.Advance(Millis(1));
  EXPECT_THAT(rig.healths, SizeIs(begun + 2));
  Rig without;
  without.Advance(Millis(60000));
  EXPECT_THAT(without.healths, IsEmpty()) << "who has none does not speak of one";
}

}  // namespace
}  // namespace laneway::worker
