// From PENDING to a packet in a lane, and what is done when something on that way is lost.
#include <gtest/gtest.h>

#include "rig.h"

namespace laneway::dispatcher {
namespace {

using Words = std::vector<std::string>;
constexpr TaskId kTask{kJob, 1};

// One worker, one task, its packet in a lane.
std::unique_ptr<Rig> WithPacket(uint32_t lanes = 2) {
  auto rig = std::make_unique<Rig>(lanes);
  rig->Become();
  rig->Joins(kOne);
  rig->Say(Submit());
  rig->Run();
  return rig;
}

std::string Resends() {  // rule P1
  auto rig = WithPacket();
  const auto [lane, offset] = rig->LastPacket();
  rig->Beats(kOne, {.lanes = {{lane, offset}}});
  rig->Run();
  if (rig->Packets() != 1) return "it can still read the packet";
  rig->Beats(kOne, {.held = {{kTask, 1}}, .lanes = {{lane, offset + 1}}});
  rig->Run();
  if (rig->Packets() != 1) return "it has it";
  rig->Beats(kOne, {.lanes = {{lane, offset + 1}}});
  rig->Run();
  if (rig->SaidTo(kOne) != Words{"packet 1", "packet 1"})
    return "it has read past it and does not have it: again, the same attempt";
  if (rig->TaskIs() != "ASSIGNED 1 DTF-01") return "rule W2: it is not republished: " + rig->TaskIs();
  rig->Beats(kOne, {.lanes = {{lane, offset + 1}}});
  rig->Run();
  if (rig->Packets() != 2) return "the second has not been read yet";
  rig->Say(Start(1, kOne));
  rig->Beats(kOne, {.lanes = {{lane, offset + 9}}});
  rig->Run();
  return rig->Packets() == 2 ? "" : "it has started";
}

TEST(DispatcherTasksTest, RuleP1APacketThatCannotBeReadAnyMoreIsSentAgain) {  // rules P1, W2
  Proves(Resends, {planted::kP1NeverResend, planted::kW2AssignedRepublished});
}

TEST(DispatcherTasksTest, RuleP1IntoALaneTheWorkerOwnsNow) {  // rule P1
  auto rig = WithPacket(4);
  ASSERT_EQ(rig->core->lane_table().LanesOf(WorkerId(kOne)).size(), 4u);
  for (const char* more : {"DTF-02", "DTF-03", "DTF-04"}) rig->Joins(more);
  std::map<Lane, Offset> read;
  for (Lane l = 0; l < 4; l++) read[l] = rig->lanes[l].size();
  rig->Beats(kOne, {.lanes = read});
  rig->Run();
  const std::vector<Lane> owned = rig->core->lane_table().LanesOf(WorkerId(kOne));
  ASSERT_EQ(owned.size(), 1u);
  ASSERT_EQ(rig->Packets(), 2u);
  size_t there = 0;
  for (Offset at = read[owned[0]]; at < rig->lanes[owned[0]].size(); at++)
    there += rig->lanes[owned[0]][at].has_packet() ? 1u : 0u;
  EXPECT_EQ(there, 1u) << "wherever the first one was";
}

TEST(DispatcherTasksTest, APacketWhoseAppendFailsIsSentAgain) {
  Rig rig;
  rig.Become();
  rig.Joins(kOne);
  rig.keep_lanes = true;
  rig.Say(Submit());
  rig.Run();
  ASSERT_EQ(rig.kept_lanes.size(), 1u);
  rig.core->OnLaneAppended(rig.kept_lanes[0], false, 0, rig.now);
  rig.keep_lanes = false;
  rig.Run();
  EXPECT_EQ(rig.Packets(), 0u);
  rig.Advance(Rig::kAgain);
  rig.Advance(Rig::kAgain);
  EXPECT_EQ(rig.SaidTo(kOne), Words{"packet 1"});
}

std::string NotHeld() {  // rule W2
  auto rig = WithPacket();
  rig->Say(Start(1, kOne));
  rig->Beats(kOne, {.held = {{kTask, 1}}});
  rig->Run();
  if (rig->TaskIs() != "RUNNING 1 DTF-01") return "it holds it";
  rig->Beats(kOne, {});
  rig->Run();
  if (rig->TaskIs() != "RUNNING 1 DTF-01") return "the same life: its result is on its way";
  rig->Beats(kOne, {.held = {{kTask, 1}}, .incarnation = kSecondLife});
  rig->Run();
  if (rig->TaskIs() != "RUNNING 1 DTF-01") return "another life that holds it will report it";
  rig->Beats(kOne, {.incarnation = kSecondLife});
  rig->Run();
  if (rig->TaskIs().find(" 2") == std::string::npos)
    return "another life that knows nothing of it: " + rig->TaskIs();
  return "";
}

TEST(DispatcherTasksTest, RuleW2WhatRanUnderAnIncarnationThatIsGoneIsRepublished) {  // rule W2
  Proves(NotHeld, {planted::kW2NotHeldIgnored});
}

TEST(DispatcherTasksTest, RuleL3WhatWasGivenToALostStoreIsGivenAnew) {  // rules L3, W2
  auto rig = WithPacket();
  rig->Beats(kOne, {.incarnation = kSecondLife, .store = kOtherStore});
  rig->Run();
  EXPECT_EQ(rig->TaskIs(), "ASSIGNED 2 DTF-01") << "nobody could have started the first attempt";
  const auto [lane, offset] = rig->LastPacket();
  EXPECT_EQ(rig->lanes[lane][offset].packet().store(), kOtherStore.ToBytes());
}

std::string HandsOver() {  // rule P2
  Rig rig;
  rig.Become();
  rig.Joins(kOne, 2);
  rig.keep_lanes = true;
  for (const uint64_t n : {1, 2}) {  // each second the turn is another lane's
    rig.Say(Submit(JobId{7, n}, {.tasks = 4}));
    rig.Run();
    rig.Advance(Millis(1000));
  }
  std::set<Lane> busy;
  for (const LaneAppend& append : rig.kept_lanes) busy.insert(append.lane);
  if (busy.size() != 2) return "packets are under way in both lanes";
  rig.Joins(kTwo, 2);
  for (const LaneAppend& append : rig.kept_lanes) {
    if (append.record.has_handover()) return "a mark overtakes the packets before it";
  }
  rig.keep_lanes = false;
  for (const LaneAppend& append : std::exchange(rig.kept_lanes, {})) rig.Appended(append);
  rig.Advance(Rig::kAgain);
  const Words said = rig.SaidTo(kOne);
  if (std::count(said.begin(), said.end(), "handover DTF-02") != 1)
    return "nothing is in flight any more: now";
  const Lane lane = rig.core->lane_table().LanesOf(WorkerId(kTwo)).at(0);
  if (!rig.lanes[lane].back().has_handover()) return "it is the last record for the old owner";
  // Until the old owner has read the mark the lane is nobody's to use.
  rig.Say(Submit(JobId{7, 3}, {.tasks = 2}));
  rig.Run();
  if (!rig.lanes[lane].back().has_handover())
    return "a packet for the new owner comes before the old one has read the mark";
  rig.Beats(kOne, {.capacity = 2, .lanes = {{lane, rig.lanes[lane].size()}}});
  rig.Run();
  rig.Advance(Rig::kAgain);
  if (rig.SaidTo(kTwo).empty()) return "read: the new owner gets its packets there";
  return "";
}

TEST(DispatcherTasksTest, RuleP2ALaneChangesHandsWhenNothingIsInFlight) {  // rule P2
  Proves(HandsOver, {planted::kP2HandoverInFlight});
}

TEST(DispatcherTasksTest, WhenWorkersOutnumberLanesMoreAreMade) {
  Rig rig(1);
  rig.Become();
  rig.Joins(kOne);
  EXPECT_EQ(rig.lanes_wanted, 0U);
  rig.Joins(kTwo);
  EXPECT_EQ(rig.lanes_wanted, 2U);
  const JobId other{8, 8};
  rig.Say(Submit());
  rig.Say(Submit(other));
  rig.Run();
  EXPECT_EQ(rig.TaskIs({other}), "PENDING 1") << "nothing reaches the second yet";
  rig.core->OnLanesGrown(2, &rig.out);
  rig.Run();
  EXPECT_EQ(rig.core->lane_table().Owner(1), WorkerId(std::string(kTwo)));
  EXPECT_TRUE(rig.lanes[1].front().has_epoch_opened())
      << "rule L2: what an older dispatcher sends there is void";
  EXPECT_EQ(rig.TaskIs({other}), "ASSIGNED 1 DTF-02");
  rig.Boot();  // its successor looked at the topic before it grew
  rig.Become();
  EXPECT_EQ(rig.core->lane_table().lanes(), 2U);
}

TEST(DispatcherTasksTest, RuleP2WhoIsDrainedBeforeItHasALaneIsToldInItsFirst) {  // rule P2
  Rig rig(1);
  rig.Become();
  rig.Joins(kOne);
  rig.Joins(kTwo);
  rig.Intend(kTwo, v1::DRAIN);
  rig.Joins(kTwo);
  EXPECT_EQ(rig.SaidTo(kTwo), Words{});
  rig.core->OnLanesGrown(2, &rig.out);
  rig.Run();
  rig.Joins(kTwo);
  EXPECT_EQ(rig.SaidTo(kTwo), Words{"drain"});
}

TEST(DispatcherTasksTest, RuleP2ADrainMarkIsSaidAgainUntilTheWorkerIsDrained) {  // rule P2
  Rig rig(1);
  rig.Become();
  rig.Joins(kOne);
  rig.Intend(kOne, v1::DRAIN);
  rig.Run();
  rig.Joins(kOne);
  EXPECT_EQ(rig.SaidTo(kOne), Words{"drain"}) << "not with each heartbeat";
  rig.Advance(rig.options.reconcile_every);
  rig.Joins(kOne);
  EXPECT_EQ(rig.SaidTo(kOne), (Words{"drain", "drain"})) << "the first one may be damaged";
  rig.Advance(rig.options.reconcile_every);
  rig.Beats(kOne, {.drained = true});
  rig.Run();
  EXPECT_EQ(rig.SaidTo(kOne), (Words{"drain", "drain", "handover "})) << "drained: its lane is taken from it";
}

TEST(DispatcherTasksTest, WhoIsAwayKeepsItsLanesUnlessSomebodyHasNone) {
  Rig rig(1);
  rig.Become();
  rig.Joins(kOne);
  rig.Joins(kTwo);
  rig.Run();
  rig.Say(Submit());
  rig.Run();
  EXPECT_EQ(rig.TaskIs(), "ASSIGNED 1 DTF-01") << "the only lane is its";
  rig.Say(Lost(kOne, 9));
  rig.Run();
  rig.Say(Republish(1, kOne));
  rig.Run();
  rig.Beats(kTwo, {});
  rig.Run();
  rig.Advance(Rig::kAgain);
  EXPECT_EQ(rig.TaskIs(), "ASSIGNED 2 DTF-02") << "the lane of the worker that is lost is now its";
}

std::string Trims() {  // rule P2
  auto rig = WithPacket();
  const Lane lane = rig->core->lane_table().LanesOf(WorkerId(kOne)).at(0);
  rig->Beats(kOne, {.lanes = {{lane, 100}}});
  rig->Run();
  if (!rig->trims.empty()) return "trimming costs a write";
  rig->Beats(kOne, {.lanes = {{lane, 1000}}});
  rig->Run();
  if (rig->trims.size() != 1 || rig->trims[0].below != 1000)
    return "below what its owner has finished, and no further";
  return "";
}

TEST(DispatcherTasksTest, RuleP2ALaneIsTrimmedOnlyBelowWhatWasRead) {  // rule P2
  Proves(Trims, {planted::kP2TrimUnread});
}

TEST(DispatcherTasksTest, RuleP2ADrainMarkFollowsThePackets) {  // rule P2
  Rig rig;
  rig.Become();
  rig.Joins(kOne, 2);
  rig.keep_lanes = true;
  rig.Say(Submit());
  rig.Run();
  rig.Intend(kOne, v1::DRAIN);
  rig.Run();
  ASSERT_EQ(rig.kept_lanes.size(), 1u) << "the packet is in flight: no mark yet";
  rig.keep_lanes = false;
  rig.Appended(std::exchange(rig.kept_lanes, {}).at(0));
  rig.Beats(kOne, {.capacity = 2});
  rig.Run();
  EXPECT_EQ(rig.SaidTo(kOne), (Words{"packet 1", "drain", "drain"})) << "one in each of its lanes";
  rig.Say(Submit(JobId{7, 2}));
  rig.Run();
  EXPECT_EQ(rig.TaskIs({JobId{7, 2}, 1}), "PENDING 1") << "it is given nothing more";
  rig.Intend(kOne, v1::RESUME);
  rig.Run();
  EXPECT_EQ(rig.TaskIs({JobId{7, 2}, 1}), "ASSIGNED 1 DTF-01");
}

std::string Cancels() {
  auto rig = WithPacket();
  rig->Say(Start(1, kOne));
  rig->Say(Cancel());
  rig->Run();
  if (rig->SaidTo(kOne) != Words{"packet 1", "cancel 1"}) return "who runs it is told to stop";
  return "";
}

TEST(DispatcherTasksTest, WhoHoldsAnAttemptThatIsOverIsTold) { Proves(Cancels, {planted::kCancelIgnored}); }

TEST(DispatcherTasksTest, OfALateSuccessTheNewerAttemptIsTold) {
  auto rig = WithPacket();
  rig->Say(Start(1, kOne));
  rig->Say(Lost(kOne, 1));
  rig->Joins(kTwo);
  rig->Advance(Rig::kAgain);  // nobody waits for a lost worker to read its handover mark
  rig->Say(Republish(1, kOne));
  rig->Run();
  ASSERT_EQ(rig->TaskIs(), "ASSIGNED 2 DTF-02");
  const Words said = rig->SaidTo(kOne);
  EXPECT_EQ(std::count(said.begin(), said.end(), "cancel 1"), 1) << "the one that was given up";
  rig->Say(Start(2, kTwo));
  rig->Say(Succeed(1, kOne));
  rig->Run();
  EXPECT_EQ(rig->SaidTo(kTwo), (Words{"packet 2", "cancel 2"}));
}

// What ends while its assignment is on its way must not keep the worker's credit for ever.
TEST(DispatcherTasksTest, ATaskThatEndsBeforeItsAssignmentIsReadBackGivesItsCreditBack) {
  for (const bool cancelled : {true, false}) {
    Rig rig;
    rig.Become();
    rig.Joins(kOne);
    rig.Say(Submit());
    rig.Run();
    rig.Say(Start(1, kOne));
    rig.keep_events = true;
    rig.Say(Republish(1, kOne));
    rig.Run();
    ASSERT_EQ(rig.kept.size(), 1u) << "the second attempt is on its way";
    rig.Say(cancelled ? Cancel() : Succeed(1, kOne));
    rig.keep_events = false;
    rig.ReadBackKept();
    const uint32_t credit = rig.core->placement().Credit(WorkerId(kOne));
    EXPECT_EQ(rig.core->placement().waiting(), 0u);
    Rig fresh;
    fresh.Become();
    fresh.Joins(kOne);
    EXPECT_GE(credit, fresh.core->placement().Credit(WorkerId(kOne)))
        << (cancelled ? "cancelled" : "late success");
  }
}

TEST(DispatcherTasksTest, WhatCannotBeAppendedIsDecidedAgain) {
  Rig rig;
  rig.Become();
  rig.Joins(kOne, 4);
  rig.lose_events = true;
  rig.Say(Submit());
  rig.Say(Submit(JobId{7, 2}, {.phase_of = {0, 1}, .phases = 2}));
  rig.Run();
  EXPECT_EQ(rig.TaskIs(), "PENDING 1");
  const size_t tried = rig.decided.size();
  rig.Advance(Millis(10));
  EXPECT_EQ(rig.decided.size(), tried) << "not at once: the log just refused";
  rig.lose_events = false;
  rig.Advance(Millis(200));
  EXPECT_EQ(rig.TaskIs(), "ASSIGNED 1 DTF-01");
  rig.lose_events = true;
  rig.Say(Succeed(1, kOne, {JobId{7, 2}, 1}));
  rig.Run();
  rig.lose_events = false;
  EXPECT_EQ(rig.TaskIs({JobId{7, 2}, 2}), "PENDING 1") << "its phase could not be opened";
  rig.Advance(Millis(60'000));
  rig.Advance(Millis(60'000));
  EXPECT_EQ(rig.TaskIs({JobId{7, 2}, 2}), "ASSIGNED 1 DTF-01");
}

TEST(DispatcherTasksTest, AnAppendThatIsNeverAnsweredIsDecidedAgain) {
  Rig rig;
  rig.Become();
  rig.Joins(kOne);
  rig.keep_events = true;
  rig.Say(Submit());
  rig.Run();
  ASSERT_EQ(rig.kept.size(), 1u);
  rig.kept.clear();
  rig.keep_events = false;
  rig.Advance(Rig::kAgain);
  rig.Advance(Rig::kAgain);
  EXPECT_EQ(rig.TaskIs(), "ASSIGNED 1 DTF-01");
}

TEST(DispatcherTasksTest, AWorkerThatPausedItselfGetsNothingUnlessAllHave) {
  Rig rig;
  rig.Become();
  rig.Beats(kOne, {.capacity = 1, .paused = true});
  rig.Joins(kTwo);
  rig.Beats(kOne,
            {.capacity = 1, .paused = true});  // it has read the handover mark of the lane it gives away
  rig.Run();
  rig.Say(Submit(kJob, {.tasks = 40}));
  rig.Run();
  EXPECT_GT(rig.ledger.HeldBy(kTwo).size(), 0u);
  EXPECT_EQ(rig.ledger.HeldBy(kOne).size(), 0u);
  rig.Beats(kTwo, {.capacity = 1, .paused = true});
  rig.Run();
  const size_t held = rig.ledger.HeldBy(kOne).size();
  EXPECT_GT(held, 0u) << "all have: the tasks are to blame, and must come to an end";
  rig.Beats(kTwo, {.capacity = 1});
  rig.Run();
  const TaskId one = rig.ledger.HeldBy(kOne).front();
  rig.Say(Succeed(1, kOne, {one.job, one.n}));
  rig.Run();
  EXPECT_EQ(rig.ledger.HeldBy(kOne).size(), held - 1) << "one works again: the other is paused again";
  rig.Say(Lost(kTwo, 99));
  rig.Run();
  EXPECT_GE(rig.ledger.HeldBy(kOne).size(), held) << "and the only one left is not";
}

// What it was given it could only hand back, again and again, for as long as its last script runs.
TEST(DispatcherTasksTest, AWorkerThatStopsGetsNothingNewAndKeepsItsLanes) {
  Rig rig;
  rig.Become();
  rig.Joins(kOne);
  rig.Say(Submit(kJob, {.tasks = 20}));
  rig.Run();
  const size_t held = rig.ledger.HeldBy(kOne).size();
  ASSERT_GT(held, 0u);
  rig.Beats(kOne, {.capacity = 1, .stopping = true});
  const TaskId ended = rig.ledger.HeldBy(kOne).front();
  rig.Say(Succeed(1, kOne, {ended.job, ended.n}));
  rig.Run();
  EXPECT_EQ(rig.ledger.HeldBy(kOne).size(), held - 1);
  EXPECT_EQ(rig.core->lane_table().LanesOf(WorkerId(std::string(kOne))).size(), 2U)
      << "it may be back in a moment";
  rig.Beats(kOne, {.capacity = 1, .incarnation = kSecondLife});
  rig.Run();
  EXPECT_GE(rig.ledger.HeldBy(kOne).size(), held);
}

TEST(DispatcherTasksTest, RuleL5AnUnfinishedJobIsCarriedAtHalfTheRetention) {  // rule L5
  Rig rig;
  rig.options.retention = Millis(16'000'000);
  rig.Boot();
  rig.Become();
  rig.Say(Submit());
  rig.Advance(Millis(7'000'000));
  EXPECT_TRUE(rig.decided.empty()) << "too early";
  rig.Advance(Millis(1'100'000));
  ASSERT_EQ(rig.Decisions(), Words{"job_carried"});
  const v1::Event& carried = rig.decided[0];
  v1::JobState state;
  ASSERT_TRUE(state.ParseFromString(carried.job_carried().state()));
  EXPECT_EQ(state.job_id(), kJob.ToBytes());
  EXPECT_EQ(carried.job_carried().covers_offset() + 2,  // itself, and the mark that is said again with it
            rig.ledger.next_offset(EventPartition(kJob, Rig::kPartitions)))
      << "everything before it";
  EXPECT_EQ(rig.TaskIs(), "PENDING 1") << "who knows the job ignores it";
}

TEST(DispatcherTasksTest, ASubmissionWhosePartsDoNotComeIsGivenUp) {
  Rig rig;
  rig.Become();
  rig.Say(Part(kJob, 0, 2, 3));
  rig.Advance(Millis(rig.options.submission_abandoned / 2));
  EXPECT_TRUE(rig.decided.empty());
  for (int i = 0; i < 3; i++) rig.Advance(rig.options.retention / 16);
  EXPECT_EQ(rig.Decisions(), Words{"job_cancelled"});
  EXPECT_EQ(rig.ledger.open_jobs(), 0u);
}

}  // namespace
}  // namespace laneway::dispatcher
