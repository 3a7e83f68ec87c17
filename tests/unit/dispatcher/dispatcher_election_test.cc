// How a dispatcher becomes active, when it stops being it, and that it acts on nothing but what its fold has
// accepted.
#include <gtest/gtest.h>

#include "rig.h"

namespace laneway::dispatcher {
namespace {

constexpr IncarnationId kOtherDispatcher{3, 9};

std::string MarksFirst() {  // rules L2, Z3
  Rig rig;
  rig.keep_marks = true;
  rig.Joins(kOne);
  rig.Say(Submit());
  rig.Become();
  if (rig.zone_log != std::vector<std::string>{"staging"})
    return "its staging folder is made before its first mark, and no fence yet";
  if (rig.kept_marks.size() != Rig::kPartitions) return "a mark for every partition";
  rig.Say(rig.kept_marks[0].second, rig.kept_marks[0].first);
  rig.Run();
  if (rig.core->active() || rig.Packets() != 0) return "active before every mark was read back";
  rig.zone_waits = true;
  rig.Say(rig.kept_marks[1].second, rig.kept_marks[1].first);
  rig.Run();
  if (rig.zone_log != std::vector<std::string>{"staging", "fence"} || rig.core->active())
    return "the fence comes before it decides anything";
  rig.core->OnFenced(absl::OkStatus(), rig.now, &rig.out);
  rig.Run();
  if (!rig.core->active() || rig.TaskIs() != "ASSIGNED 1 DTF-01" || rig.Packets() != 1)
    return "active: " + rig.TaskIs();
  return "";
}

TEST(DispatcherElectionTest, RuleL2ActiveOnlyWhenEveryMarkWasReadBackAsAccepted) {  // rules L2, Z3
  Proves(MarksFirst, {planted::kL2ActiveBeforeMarks});
}

TEST(DispatcherElectionTest, RuleL2AMarkThatDoesNotCountMakesItStepDown) {  // rule L2
  Rig rig;
  rig.keep_marks = true;
  rig.Become();
  ASSERT_EQ(rig.core->standing(), Standing::kMarking);
  // While its marks were on their way another one opened a higher epoch; it reads nothing of that but the
  // verdict.
  std::vector<Change> none;
  rig.core->OnEvent(0, rig.kept_marks[0].second, FoldVerdict::kOldEpoch, none, rig.now, &rig.out);
  rig.Run();
  EXPECT_TRUE(rig.stepped_down);
  EXPECT_EQ(rig.core->standing(), Standing::kGone);
}

std::string Succeeded() {  // rule E1
  for (const char* how : {"elected", "marked"}) {
    Rig rig;
    rig.Become();
    if (!rig.core->active()) return "alone it becomes active";
    how == std::string("elected") ? rig.Elect(kOtherDispatcher)
                                  : (void)rig.Say(Mark(rig.core->epoch() + 5), 1);
    rig.Run();
    if (!rig.stepped_down) return std::string(how) + " by another: it goes on";
    rig.Joins(kOne);
    rig.Say(Submit());
    rig.Run();
    if (!rig.decided.empty()) return std::string(how) + " by another: it decides";
  }
  return "";
}

TEST(DispatcherElectionTest, RuleE1AHigherEpochEndsIt) {  // rule E1
  Proves(Succeeded, {planted::kE1NeverStepsDown});
}

TEST(DispatcherElectionTest, RuleE1WhoLosesTheControlPartitionStepsDown) {  // rule E1
  Rig rig;
  rig.Become();
  rig.core->SetOwner(false, rig.now, &rig.out);
  rig.Run();
  EXPECT_TRUE(rig.stepped_down);
}

TEST(DispatcherElectionTest, AStandbyOnlyFoldsAlong) {
  Rig rig;
  rig.Joins(kOne);
  rig.Say(Submit());
  rig.Elect(kOtherDispatcher);
  rig.Advance(Millis(60'000));
  EXPECT_TRUE(rig.decided.empty());
  EXPECT_FALSE(rig.stepped_down);
  rig.Become();
  EXPECT_EQ(rig.TaskIs(), "ASSIGNED 1 DTF-01");
  EXPECT_GT(rig.core->epoch(), 1u) << "higher than the one elected before";
}

TEST(DispatcherElectionTest, AnElectionThatIsNotAnsweredIsRepeated) {
  Rig rig;
  rig.core->SetOwner(true, rig.now, &rig.out);
  ASSERT_EQ(rig.out.control.size(), 1u);
  rig.core->OnControlFailed(rig.out.control[0], rig.now, &rig.out);
  rig.out.clear();
  EXPECT_EQ(rig.core->NextDeadline(rig.now), rig.now + Rig::kAgain);
  rig.Advance(Rig::kAgain);
  EXPECT_TRUE(rig.core->active());
}

TEST(DispatcherElectionTest, AMarkThatCannotBeAppendedMakesItStepDown) {
  Rig rig;
  rig.keep_marks = true;
  rig.Become();
  rig.core->OnMarkFailed(rig.now, &rig.out);
  rig.Run();
  EXPECT_TRUE(rig.stepped_down);
}

TEST(DispatcherElectionTest, RuleZ3WithoutItsStagingFolderItStepsDown) {  // rule Z3
  Rig never;
  never.zone_waits = true;
  never.Become();
  never.core->OnStagingMade(absl::AlreadyExistsError("there"), never.now, &never.out);
  never.Run();
  EXPECT_TRUE(never.stepped_down);
  EXPECT_TRUE(never.kept_marks.empty()) << "no mark without a folder";

  Rig fence;
  fence.Become();
  fence.place = zone::PlaceOutcome::kRetry;
  fence.place_status = absl::FailedPreconditionError("fenced");
  fence.Joins(kOne);
  fence.Say(Submit(kJob, {.file = true}));
  fence.Run();
  EXPECT_TRUE(fence.stepped_down) << "its successor has renamed it away";
}

std::string ActsWhenReadBack() {  // rule L7
  Rig rig;
  rig.Become();
  rig.Joins(kOne);
  rig.keep_events = true;
  rig.Say(Submit());
  rig.Run();
  if (rig.kept.size() != 1 || !rig.kept[0].has_task_assigned()) return "it assigns";
  rig.Advance(Millis(100));
  if (rig.Packets() != 0) return "it acts on the acknowledgement";
  rig.ReadBackKept();
  if (rig.Packets() != 1) return "read back as accepted: now";
  return "";
}

TEST(DispatcherElectionTest, RuleL7ItActsOnlyOnWhatWasReadBackAsAccepted) {  // rule L7
  Proves(ActsWhenReadBack, {planted::kL7ActOnAck});
}

TEST(DispatcherElectionTest, RuleL7AnAssignmentThatDoesNotCountIsDecidedAgain) {  // rule L7
  Rig rig;
  rig.Become();
  rig.Joins(kOne);
  rig.keep_events = true;
  rig.Say(Submit());
  rig.Run();
  ASSERT_EQ(rig.kept.size(), 1u);
  v1::Event older = rig.kept[0];
  older.mutable_task_assigned()->set_epoch(0);
  rig.kept.clear();
  EXPECT_EQ(rig.Say(older), FoldVerdict::kOldEpoch);
  rig.Run();
  EXPECT_EQ(rig.Packets(), 0u);
  ASSERT_EQ(rig.kept.size(), 1u) << "the task waits again, with the credit that was taken for it";
  rig.ReadBackKept();
  EXPECT_EQ(rig.Packets(), 1u);
}

TEST(DispatcherElectionTest, ASuccessorDoesAgainWhatWasNotFinished) {
  Rig rig;
  rig.Become();
  rig.Joins(kOne, 3);
  rig.keep_lanes = true;  // the packet never reached the lane
  rig.Say(Submit());
  rig.Say(Submit(JobId{7, 2}, {.phase_of = {0, 1}, .phases = 2}));
  rig.Run();
  ASSERT_EQ(rig.TaskIs(), "ASSIGNED 1 DTF-01");
  ASSERT_EQ(rig.Packets(), 0u);
  rig.core->SetOwner(false, rig.now, &rig.out);
  rig.out.clear();
  // While nobody is active a first phase ends, and a task dies.
  rig.Say(Succeed(1, kOne, {JobId{7, 2}, 1}));
  rig.keep_lanes = false;
  rig.kept_lanes.clear();
  rig.options.incarnation = IncarnationId{3, 2};
  rig.Boot();
  for (const v1::Event& event : {Submit(JobId{7, 3}, {.tasks = 2, .max_attempts = 1}),
                                 Assign(1, kOne, rig.ledger.epoch(0), {JobId{7, 3}, 1}),
                                 Fail(1, kOne, v1::EXIT_CODE, {JobId{7, 3}, 1})}) {
    rig.Say(event);
  }
  rig.Become();
  EXPECT_EQ(rig.SaidTo(kOne).front(), "packet 1");
  EXPECT_EQ(rig.TaskIs({JobId{7, 2}, 2}), "ASSIGNED 1 DTF-01") << "the second phase was opened";
  ASSERT_EQ(rig.dead.size(), 1u) << "the dead letter that nobody wrote";
  EXPECT_EQ(rig.dead[0].job_id(), (JobId{7, 3}).ToBytes());
}

}  // namespace
}  // namespace laneway::dispatcher
