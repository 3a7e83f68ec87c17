// The rules Z1–Z5, each by name.
#include <algorithm>

#include "unit/zone/fixture.h"

namespace laneway::zone {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;

using ZoneRuleZ1 = ZoneTest;
using ZoneRuleZ2 = ZoneTest;
using ZoneRuleZ3 = ZoneTest;
using ZoneRuleZ4 = ZoneTest;
using ZoneRuleZ5 = ZoneTest;

TEST_F(ZoneRuleZ1, EachAttemptHasAFolderAndTheFileMovesForward) {
  task_.workers = {WorkerId("DTF-01"), WorkerId("DTF-02"), WorkerId("DTF-01")};
  for (task_.attempt = 1; task_.attempt <= 3; task_.attempt++) {
    ASSERT_EQ(PlaceIt(zone_, task_).outcome, PlaceOutcome::kPlaced);
    EXPECT_THAT(fs_.Files(), ElementsAre(Pair(task_.path(task_.attempt), "A")));
    EXPECT_TRUE(fs_.Has(task_.folder(task_.attempt) + "/output"));
    EXPECT_TRUE(Zone::Verify(fs_, task_.worker(), task_.id, task_.attempt, task_.file).ok());
    task_.claimed = true;
  }
}

TEST_F(ZoneRuleZ1, NobodyMovesAFileOutOfAFolderThatIsNewerThanItsFold) {
  task_.workers = {WorkerId("DTF-01"), WorkerId("DTF-02")};
  task_.attempt = 2;
  ASSERT_EQ(PlaceIt(zone_, task_).outcome, PlaceOutcome::kPlaced);
  Task stale = task_;
  stale.attempt = 1;
  stale.claimed = true;
  EXPECT_EQ(PlaceIt(zone_, stale).outcome, PlaceOutcome::kNowhere);
  EXPECT_EQ(FinishIt(zone_, stale, 0).outcome, FinishOutcome::kNowhere);
  PlaceRequest request = stale.ToPlace();
  request.earlier = {{2, WorkerId("DTF-02")}};  // not even when it is told
  EXPECT_EQ(zone_.PlaceFiles({&request, 1})[0].outcome, PlaceOutcome::kNowhere);
  EXPECT_THAT(fs_.Files(), ElementsAre(Pair(task_.path(2), "A")));
}

TEST_F(ZoneRuleZ1, AnAttemptThatTheFoldDoesNotNameIsFoundBySearch) {
  task_.workers = {WorkerId("DTF-01"), WorkerId("DTF-02")};
  ASSERT_EQ(PlaceIt(zone_, task_).outcome, PlaceOutcome::kPlaced);
  task_.attempt = 2;
  PlaceRequest request = task_.ToPlace();
  request.earlier.clear();
  EXPECT_EQ(zone_.PlaceFiles({&request, 1})[0].outcome, PlaceOutcome::kPlaced);
  EXPECT_THAT(fs_.Files(), ElementsAre(Pair(task_.path(2), "A")));
}

TEST_F(ZoneRuleZ2, AFileLeavesIncomingOnlyThroughOurStagingFolder) {
  std::vector<std::string> targets;
  fs_.before_call = [&](const MemoryFs::Call& call) {
    if (call.op == MemoryFs::Op::kRename && call.path == "incoming/in/a.csv") targets.push_back(call.to);
    return absl::OkStatus();
  };
  ASSERT_EQ(PlaceIt(zone_, task_).outcome, PlaceOutcome::kPlaced);
  EXPECT_THAT(targets, ElementsAre("processing/.claim-" + IncarnationId{1, 1}.ToString() + "/" +
                                   task_.id.ToFileName() + ".1"));
}

TEST_F(ZoneRuleZ2, AnotherFileAtThePlaceIsLeftAlone) {
  fs_.Move("incoming/in/a.csv", "elsewhere");
  fs_.Write("incoming/in/a.csv", "another");
  EXPECT_EQ(PlaceIt(zone_, task_).outcome, PlaceOutcome::kReplaced);
  EXPECT_EQ(fs_.Read("incoming/in/a.csv"), "another");
  fs_.Remove("incoming/in/a.csv");
  EXPECT_EQ(PlaceIt(zone_, task_).outcome, PlaceOutcome::kNowhere);
}

TEST_F(ZoneRuleZ2, AFileThatIsExchangedBeforeTheRenameGoesBackWhereItCameFrom) {
  for (const bool taken_again : {false, true}) {
    MemoryFs fs;
    Zone zone = Starts(&fs, 1);
    Task task;
    task.file = Arrives(fs, "in/a.csv", "A");
    fs.before_call = [&](const MemoryFs::Call& call) {
      if (call.op != MemoryFs::Op::kRename) return absl::OkStatus();
      if (call.path == "incoming/in/a.csv") {
        fs.Write("new", "another");
        fs.Move("new", "incoming/in/a.csv");
      } else if (taken_again && !fs.Has("incoming/in/a.csv")) {
        fs.Write("incoming/in/a.csv", "a third");
      }
      return absl::OkStatus();
    };
    EXPECT_EQ(PlaceIt(zone, task).outcome, PlaceOutcome::kReplaced);
    if (taken_again) {
      EXPECT_THAT(fs.Files(),
                  ElementsAre(Pair("incoming/in/a.csv", "a third"), Pair("incoming/in/a~1.csv", "another")));
    } else {
      EXPECT_THAT(fs.Files(), ElementsAre(Pair("incoming/in/a.csv", "another")));
    }
  }
}

TEST_F(ZoneRuleZ2, ARedrivenFileIsTakenFromWhereItWentThroughStaging) {
  task_.workers = {WorkerId("DTF-01"), WorkerId("DTF-02")};
  task_.place = Place::kFailed;
  ASSERT_EQ(PlaceIt(zone_, task_).outcome, PlaceOutcome::kPlaced);
  task_.claimed = true;
  const FinishResult failed = FinishIt(zone_, task_, 0);
  ASSERT_EQ(failed.outcome, FinishOutcome::kMoved);
  EXPECT_EQ(failed.path, "failed/in/a.csv");
  task_.attempt = 2;
  task_.redriven_from = failed.path;
  fs_.Write("incoming/in/a.csv", "of the same name");
  ASSERT_EQ(PlaceIt(zone_, task_).outcome, PlaceOutcome::kPlaced);
  EXPECT_THAT(fs_.Files(),
              ElementsAre(Pair("incoming/in/a.csv", "of the same name"), Pair(task_.path(2), "A")));
}

TEST_F(ZoneRuleZ2, AFileThatTookThePlaceOfTheRedrivenOneStaysThere) {
  fs_.Write("failed/in/a.csv", "somebody else's");
  fs_.Remove("incoming/in/a.csv");
  task_.claimed = true;
  task_.redriven_from = "failed/in/a.csv";
  EXPECT_EQ(PlaceIt(zone_, task_).outcome, PlaceOutcome::kReplaced);
  EXPECT_THAT(fs_.Files(), ElementsAre(Pair("failed/in/a.csv", "somebody else's")));
}

TEST_F(ZoneRuleZ3, ADispatcherThatWasSucceededCanDoNothing) {
  Zone next = Starts(&fs_, 2);
  const PlaceResult placed = PlaceIt(zone_, task_);
  EXPECT_EQ(placed.outcome, PlaceOutcome::kRetry);
  EXPECT_TRUE(absl::IsFailedPrecondition(placed.status));
  const FinishResult finished = FinishIt(zone_, task_, 0);
  EXPECT_EQ(finished.outcome, FinishOutcome::kRetry);
  EXPECT_TRUE(absl::IsFailedPrecondition(finished.status));
  EXPECT_TRUE(absl::IsFailedPrecondition(zone_.Refuse("in/a.csv").status()));
  Leftover leftover;
  leftover.path = "processing/x";
  leftover.folder = "processing/x";
  leftover.file = FileInfo{};
  EXPECT_TRUE(absl::IsFailedPrecondition(zone_.PutBack(leftover, "in/a.csv").status()));
  EXPECT_TRUE(absl::IsFailedPrecondition(zone_.RemoveIfEmpty(leftover)));
  EXPECT_THAT(fs_.Files(), ElementsAre(Pair("incoming/in/a.csv", "A")));
  EXPECT_EQ(PlaceIt(next, task_).outcome, PlaceOutcome::kPlaced);
}

TEST_F(ZoneRuleZ3, StagingIsMadeOnceAndFencedOnce) {
  EXPECT_TRUE(absl::IsAlreadyExists(zone_.MakeStaging()));
  Zone next = Starts(&fs_, 2);
  EXPECT_TRUE(next.FenceOthers().ok());  // again: nothing left to fence, and not itself
  EXPECT_EQ(PlaceIt(next, task_).outcome, PlaceOutcome::kPlaced);
  const std::string first = "processing/.claim-" + IncarnationId{1, 1}.ToString();
  EXPECT_FALSE(fs_.Has(first));
  EXPECT_TRUE(fs_.Has(first + ".closed"));
}

TEST_F(ZoneRuleZ3, WhatAPredecessorHadInStagingIsFound) {
  const std::string staged =
      "processing/.claim-" + IncarnationId{1, 1}.ToString() + "/" + task_.id.ToFileName() + ".1";
  ASSERT_TRUE(fs_.Move("incoming/in/a.csv", staged));
  Zone next = Starts(&fs_, 2);
  ASSERT_EQ(PlaceIt(next, task_).outcome, PlaceOutcome::kPlaced);
  EXPECT_THAT(fs_.Files(), ElementsAre(Pair(task_.path(1), "A")));
}

TEST_F(ZoneRuleZ3, AStrangerThatAPredecessorHadInStagingGoesBack) {
  const std::string staged =
      "processing/.claim-" + IncarnationId{1, 1}.ToString() + "/" + task_.id.ToFileName() + ".1";
  fs_.Write(staged, "taken and not yet looked at");
  Zone next = Starts(&fs_, 2);
  ASSERT_EQ(PlaceIt(next, task_).outcome, PlaceOutcome::kPlaced);
  EXPECT_THAT(fs_.Files(), ElementsAre(Pair("incoming/in/a~1.csv", "taken and not yet looked at"),
                                       Pair(task_.path(1), "A")));
}

TEST_F(ZoneRuleZ4, AClaimedTaskTakesNothingFromIncoming) {
  task_.claimed = true;  // its own file left incoming/; this one has come back, as another job's
  EXPECT_EQ(PlaceIt(zone_, task_).outcome, PlaceOutcome::kNowhere);
  EXPECT_EQ(FinishIt(zone_, task_, 0).outcome, FinishOutcome::kNowhere);
  EXPECT_THAT(fs_.Files(), ElementsAre(Pair("incoming/in/a.csv", "A")));
}

TEST_F(ZoneRuleZ4, TheFileOfACancelledJobIsClaimedBeforeItGoesToFailed) {
  task_.place = Place::kFailed;
  ASSERT_EQ(FinishIt(zone_, task_, 0).outcome, FinishOutcome::kClaimed);
  EXPECT_THAT(fs_.Files(), Contains(Pair(::testing::HasSubstr(".claim-"), "A")));
  EXPECT_EQ(FinishIt(zone_, task_, 0).outcome,
            FinishOutcome::kClaimed);  // the record may be late: the same again
  task_.claimed = true;
  const FinishResult moved = FinishIt(zone_, task_, 0);
  EXPECT_EQ(moved.outcome, FinishOutcome::kMoved);
  EXPECT_THAT(fs_.Files(), ElementsAre(Pair("failed/in/a.csv", "A")));
}

TEST_F(ZoneRuleZ4, APlacedFileThatNobodyStartedIsClaimedFirstToo) {
  ASSERT_EQ(PlaceIt(zone_, task_).outcome, PlaceOutcome::kPlaced);
  EXPECT_EQ(FinishIt(zone_, task_, 0).outcome, FinishOutcome::kClaimed);
  EXPECT_THAT(fs_.Files(), ElementsAre(Pair(task_.path(1), "A")));
}

TEST_F(ZoneRuleZ5, WhatWasAnsweredSurvivesAPowerLoss) {
  ASSERT_EQ(PlaceIt(zone_, task_).outcome, PlaceOutcome::kPlaced);
  fs_.PowerLoss();
  EXPECT_THAT(fs_.Files(), ElementsAre(Pair(task_.path(1), "A")));
  EXPECT_TRUE(fs_.Has(task_.folder(1) + "/output"));
  fs_.Write(task_.folder(1) + "/output/sum", "1");
  task_.claimed = true;
  ASSERT_EQ(FinishIt(zone_, task_, 1).outcome, FinishOutcome::kMoved);
  fs_.PowerLoss();
  EXPECT_THAT(fs_.Files(),
              ElementsAre(Pair("completed/in/a.csv", "A"), Pair("completed/in/a.csv.output/sum", "1")));
}

TEST_F(ZoneRuleZ5, AFailedSyncIsNotAnAnswer) {
  fs_.before_call = [](const MemoryFs::Call& call) {
    return call.op == MemoryFs::Op::kSync ? absl::DataLossError("sync") : absl::OkStatus();
  };
  const PlaceResult placed = PlaceIt(zone_, task_);
  EXPECT_EQ(placed.outcome, PlaceOutcome::kRetry);
  EXPECT_TRUE(absl::IsDataLoss(placed.status));
  fs_.before_call = {};
  EXPECT_EQ(PlaceIt(zone_, task_).outcome, PlaceOutcome::kPlaced);
  fs_.PowerLoss();  // the second call found the file there, and synced all the same
  EXPECT_THAT(fs_.Files(), ElementsAre(Pair(task_.path(1), "A")));
}

TEST_F(ZoneRuleZ5, OneBatchSyncsEachFolderOnce) {
  std::vector<Task> tasks;
  std::vector<PlaceRequest> requests;
  for (uint32_t i = 0; i < 64; i++) {
    Task task;
    task.id.job = JobId{9, i + 1};
    task.file = Arrives(fs_, "in/" + std::to_string(i), "x");
    tasks.push_back(task);
    requests.push_back(task.ToPlace());
  }
  fs_.syncs = 0;
  for (const PlaceResult& result : zone_.PlaceFiles(requests))
    EXPECT_EQ(result.outcome, PlaceOutcome::kPlaced);
  EXPECT_EQ(fs_.syncs, 64U + 4U);  // each attempt's, and incoming/in, staging, the worker's, processing
}

// ---- where files and outputs end

}  // namespace
}  // namespace laneway::zone
