#include "worker/worker.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "fixture.h"

namespace laneway::worker {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
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

}  // namespace
}  // namespace laneway::worker
