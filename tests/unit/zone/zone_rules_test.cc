// The rules Z1–Z5, each by name, and where files and outputs end.
#include <algorithm>

#include "unit/zone/fixture.h"

namespace laneway::zone {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;

class ZoneTest : public ::testing::Test {
 protected:
  ZoneTest() : zone_(Starts(&fs_, 1)) {
    task_.file = Arrives(fs_, "in/a.csv", "A");
    task_.bytes = "A";
  }
  MemoryFs fs_;
  Zone zone_;
  Task task_;
};

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

TEST_F(ZoneTest, ANameThatIsTakenGetsTheTaskBeforeItsExtension) {
  fs_.Write("completed/in/a.csv", "older");
  fs_.Write("completed/in/a~" + task_.id.ToFileName() + ".csv.output/x", "older");
  ASSERT_EQ(PlaceIt(zone_, task_).outcome, PlaceOutcome::kPlaced);
  fs_.Write(task_.folder(1) + "/output/x", "newer");
  task_.claimed = true;
  const FinishResult moved = FinishIt(zone_, task_, 1);
  ASSERT_EQ(moved.outcome, FinishOutcome::kMoved);
  EXPECT_EQ(moved.path, "completed/in/a~" + task_.id.ToFileName() + ".csv");
  EXPECT_EQ(FinishIt(zone_, task_, 1).path, moved.path);  // and again
  EXPECT_EQ(fs_.Read("completed/in/a.csv"), "older");
  EXPECT_EQ(fs_.Read(moved.path), "A");
  EXPECT_EQ(fs_.Read(moved.outputs + "/x"), "newer");
}

TEST_F(ZoneTest, AFolderNameThatIsTakenByAFileGetsTheTaskToo) {
  fs_.Write("completed/in", "a file, where a folder should be");
  ASSERT_EQ(PlaceIt(zone_, task_).outcome, PlaceOutcome::kPlaced);
  task_.claimed = true;
  const FinishResult moved = FinishIt(zone_, task_, 1);
  ASSERT_EQ(moved.outcome, FinishOutcome::kMoved) << moved.status;
  EXPECT_EQ(moved.path, "completed/in~" + task_.id.ToFileName() + "/a.csv");
  EXPECT_EQ(FinishIt(zone_, task_, 1).path, moved.path);
}

TEST_F(ZoneTest, OutputsOfSupersededAttemptsAreRemovedAndWhatLiesBesideIsKept) {
  task_.workers = {WorkerId("DTF-01"), WorkerId("DTF-02")};
  ASSERT_EQ(PlaceIt(zone_, task_).outcome, PlaceOutcome::kPlaced);
  fs_.Write(task_.folder(1) + "/output/half", "half");
  fs_.Write(task_.folder(1) + "/notes.txt", "written beside the input");
  task_.attempt = 2;
  task_.claimed = true;
  ASSERT_EQ(PlaceIt(zone_, task_).outcome, PlaceOutcome::kPlaced);
  fs_.Write(task_.folder(2) + "/output/whole", "whole");
  ASSERT_EQ(FinishIt(zone_, task_, 2).outcome, FinishOutcome::kMoved);
  EXPECT_THAT(fs_.Files(), ElementsAre(Pair("completed/in/a.csv", "A"),
                                       Pair("completed/in/a.csv.left/notes.txt", "written beside the input"),
                                       Pair("completed/in/a.csv.output/whole", "whole")));
  EXPECT_FALSE(fs_.Has(task_.folder(1)));
  EXPECT_FALSE(fs_.Has(task_.folder(2)));
}

TEST_F(ZoneTest, AFolderInWhichNothingRanIsUsedAgainUnderTheNextAttemptsName) {  // rule Z1: each name once
  task_.outputs = false;
  ASSERT_EQ(PlaceIt(zone_, task_).outcome, PlaceOutcome::kPlaced);
  EXPECT_FALSE(fs_.Has(task_.folder(1) + "/output"));
  const uint64_t inode = fs_.Stat(task_.folder(1)).value().inode;
  task_.claimed = true;
  ASSERT_EQ(FinishIt(zone_, task_, 1).outcome, FinishOutcome::kMoved);
  EXPECT_FALSE(fs_.Has(task_.folder(1)));
  EXPECT_TRUE(zone_.LookForLeftovers().value().empty());

  Task next = task_;
  next.id = TaskId{JobId{9, 9}, 1};
  next.file = Arrives(fs_, "next.csv", "2");
  next.claimed = false;
  ASSERT_EQ(PlaceIt(zone_, next).outcome, PlaceOutcome::kPlaced);
  EXPECT_EQ(fs_.Stat(next.folder(1)).value().inode, inode);
  next.claimed = true;
  ASSERT_EQ(FinishIt(zone_, next, 1).outcome, FinishOutcome::kMoved);

  Zone successor = Starts(&fs_, 2);  // finds nothing of it
  const auto folders = fs_.List("processing").value();
  for (const FolderEntry& entry : folders) {
    EXPECT_TRUE(fs_.List("processing/" + entry.name).value().empty()) << entry.name;
  }
}

TEST_F(ZoneTest, WhatIsInAFolderWhereNothingShouldHaveBeenWrittenIsKept) {
  task_.outputs = false;
  ASSERT_EQ(PlaceIt(zone_, task_).outcome, PlaceOutcome::kPlaced);
  fs_.Write(task_.folder(1) + "/output/sum", "40");
  fs_.Write(task_.folder(1) + "/note", "by hand");
  task_.claimed = true;
  const FinishResult result = FinishIt(zone_, task_, 1);
  ASSERT_EQ(result.outcome, FinishOutcome::kMoved);
  EXPECT_EQ(fs_.Read(result.outputs + "/sum"), "40");
  EXPECT_EQ(fs_.Read(result.path + ".left/note"), "by hand");
  EXPECT_FALSE(fs_.Has(task_.folder(1)));
}

TEST_F(ZoneTest, AJobWithoutAFilePublishesItsOutputsUnderItsTask) {
  Task task;
  task.id = TaskId{JobId{5, 5}, 3};
  FinishRequest request = task.ToFinish(1);
  request.file.reset();
  EXPECT_EQ(zone_.FinishFiles({&request, 1})[0].outcome, FinishOutcome::kMoved);  // it never had a folder
  ASSERT_TRUE(Zone::MakeAttemptFolder(fs_, task.worker(), task.id, 1).ok());
  ASSERT_TRUE(Zone::MakeAttemptFolder(fs_, task.worker(), task.id, 1).ok());
  fs_.Write(task.folder(1) + "/output/x", "x");
  const FinishResult result = zone_.FinishFiles({&request, 1})[0];
  EXPECT_EQ(result.outcome, FinishOutcome::kMoved);
  EXPECT_EQ(result.outputs, "completed/" + task.id.ToFileName() + ".output");
  EXPECT_EQ(fs_.Read(result.outputs + "/x"), "x");
  EXPECT_FALSE(fs_.Has(task.folder(1)));
}

TEST_F(ZoneTest, AFileThatItsScriptChangedIsStillTheTasks) {
  task_.workers = {WorkerId("DTF-01"), WorkerId("DTF-02")};
  ASSERT_EQ(PlaceIt(zone_, task_).outcome, PlaceOutcome::kPlaced);
  fs_.Write("new", "edited");
  fs_.Move("new", task_.path(1));  // as sed -i does
  task_.attempt = 2;
  task_.claimed = true;
  const PlaceResult placed = PlaceIt(zone_, task_);
  ASSERT_EQ(placed.outcome, PlaceOutcome::kPlaced);
  EXPECT_NE(placed.found, task_.file);
  EXPECT_FALSE(Zone::Verify(fs_, task_.worker(), task_.id, 2, task_.file).ok());
  EXPECT_TRUE(Zone::Verify(fs_, task_.worker(), task_.id, 2, placed.found).ok());
  for (int i = 0; i < 2; i++) {
    const FinishResult moved = FinishIt(zone_, task_, 2);
    ASSERT_EQ(moved.outcome, FinishOutcome::kMoved);
    EXPECT_EQ(fs_.Read(moved.path), "edited");
  }
}

TEST_F(ZoneTest, AFileThatItsScriptRenamedInPlaceIsFound) {
  ASSERT_EQ(PlaceIt(zone_, task_).outcome, PlaceOutcome::kPlaced);
  ASSERT_TRUE(fs_.Move(task_.path(1), task_.folder(1) + "/a.csv.done"));
  task_.claimed = true;
  EXPECT_EQ(FinishIt(zone_, task_, 1).path, "completed/in/a.csv");
  EXPECT_THAT(fs_.Files(), ElementsAre(Pair("completed/in/a.csv", "A")));
}

TEST_F(ZoneTest, PathsFromRecordsAreCheckedAndNeverRetried) {
  for (const char* path : {"", "/etc/passwd", "../x", "a/../../b", "a//b", ".", "a/"}) {
    Task task = task_;
    task.file.path = path;
    const PlaceResult placed = PlaceIt(zone_, task);
    EXPECT_EQ(placed.outcome, PlaceOutcome::kNowhere) << path;
    EXPECT_TRUE(absl::IsInvalidArgument(placed.status)) << path;
    const FinishResult finished = FinishIt(zone_, task, 1);
    EXPECT_EQ(finished.outcome, FinishOutcome::kNowhere) << path;
    EXPECT_TRUE(absl::IsInvalidArgument(finished.status)) << path;
  }
  Task task = task_;
  task.redriven_from = "incoming/in/a.csv";
  EXPECT_TRUE(absl::IsInvalidArgument(PlaceIt(zone_, task).status));
  task = task_;
  task.workers = {WorkerId("../..")};
  EXPECT_TRUE(absl::IsInvalidArgument(PlaceIt(zone_, task).status));
  EXPECT_TRUE(absl::IsInvalidArgument(FinishIt(zone_, task, 1).status));
  EXPECT_THAT(fs_.Files(), ElementsAre(Pair("incoming/in/a.csv", "A")));
}

TEST_F(ZoneTest, AFullDiskLeavesTheFileWhereItIsUntilThereIsSpace) {
  fs_.full = true;
  const PlaceResult placed = PlaceIt(zone_, task_);
  EXPECT_EQ(placed.outcome, PlaceOutcome::kRetry);
  EXPECT_TRUE(absl::IsResourceExhausted(placed.status)) << placed.status;
  EXPECT_THAT(fs_.Files(), ElementsAre(Pair("incoming/in/a.csv", "A")));
  fs_.full = false;
  EXPECT_EQ(PlaceIt(zone_, task_).outcome, PlaceOutcome::kPlaced);
}

TEST_F(ZoneTest, AReplyThatIsLostAfterARenameIsRecognised) {
  fs_.after_call = [](const MemoryFs::Call& call, absl::Status status) {
    return call.op == MemoryFs::Op::kRename && status.ok() ? absl::NotFoundError("asked again by the share")
                                                           : status;
  };
  ASSERT_EQ(PlaceIt(zone_, task_).outcome, PlaceOutcome::kPlaced);
  EXPECT_THAT(fs_.Files(), ElementsAre(Pair(task_.path(1), "A")));
  task_.claimed = true;
  EXPECT_EQ(FinishIt(zone_, task_, 1).path, "completed/in/a.csv");
}

// ---- leftovers, refusals

TEST_F(ZoneTest, RefusedThingsGoToQuarantineWithTheirNames) {
  fs_.Make("incoming/in/link", FileKind::kSymlink);
  fs_.Make("incoming/pipe", FileKind::kOther);
  fs_.Write("quarantine/pipe", "older");
  EXPECT_EQ(zone_.Refuse("in/link").value(), "quarantine/in/link");
  EXPECT_EQ(zone_.Refuse("pipe").value(), "quarantine/pipe~1");
  EXPECT_TRUE(absl::IsNotFound(zone_.Refuse("pipe").status()));
  EXPECT_TRUE(absl::IsAborted(zone_.Refuse("in/a.csv").status()));  // an ordinary file: it goes back
  EXPECT_EQ(fs_.Read("incoming/in/a.csv"), "A");
  EXPECT_TRUE(absl::IsInvalidArgument(zone_.Refuse("../x").status()));
  const std::string long_name(255, 'n');
  fs_.Write("incoming/" + long_name, "1");
  fs_.Write("quarantine/" + long_name, "0");
  EXPECT_EQ(zone_.Refuse(long_name).value(), "quarantine/" + std::string(253, 'n') + "~1");
  EXPECT_THAT(zone_.LookForLeftovers().value(), IsEmpty());
  fs_.PowerLoss();
  EXPECT_TRUE(fs_.Has("quarantine/in/link"));
}

TEST_F(ZoneTest, LeftoversAreFoundPutBackAndRemoved) {
  const TaskId other{JobId{8, 8}, 2};
  ASSERT_TRUE(Zone::MakeAttemptFolder(fs_, WorkerId("DTF-09"), other, 4).ok());
  const std::string staged =
      "processing/.claim-" + IncarnationId{1, 1}.ToString() + "/" + other.ToFileName() + ".3";
  fs_.Write(staged, "stranger");
  fs_.Write("processing/what.txt", "?");
  Zone next = Starts(&fs_, 2);
  Zone unfenced(&fs_, IncarnationId{3, 3});
  ASSERT_TRUE(unfenced.MakeStaging().ok());
  std::vector<Leftover> found = next.LookForLeftovers().value();
  ASSERT_EQ(found.size(), 3U);
  std::sort(found.begin(), found.end(), [](const Leftover& a, const Leftover& b) { return a.path < b.path; });
  EXPECT_EQ(found[0].task, other);
  EXPECT_EQ(found[0].attempt, 3U);
  EXPECT_TRUE(found[0].in_staging);
  EXPECT_EQ(found[0].file->size, 8U);
  EXPECT_EQ(found[1].task, other);
  EXPECT_EQ(found[1].attempt, 4U);
  EXPECT_FALSE(found[1].file.has_value());
  EXPECT_EQ(found[2].path, "processing/what.txt");
  EXPECT_FALSE(found[2].task.has_value());

  EXPECT_TRUE(absl::IsFailedPrecondition(next.RemoveIfEmpty(found[0])));
  EXPECT_EQ(next.PutBack(found[0], "in/a.csv").value(), "in/a~1.csv");
  EXPECT_EQ(fs_.Read("incoming/in/a~1.csv"), "stranger");
  EXPECT_TRUE(next.RemoveIfEmpty(found[0]).ok());
  EXPECT_TRUE(next.RemoveIfEmpty(found[1]).ok());
  EXPECT_FALSE(fs_.Has(found[1].folder));
  fs_.PowerLoss();
  EXPECT_EQ(fs_.Read("incoming/in/a~1.csv"), "stranger");
}

TEST_F(ZoneTest, PrepareSaysWhichFolderIsOnAnotherFileSystem) {
  MemoryFs fs;
  fs.before_call = [](const MemoryFs::Call& call) {
    const bool across = call.op == MemoryFs::Op::kRename && call.to.starts_with("completed/");
    return across ? absl::InvalidArgumentError("Invalid cross-device link") : absl::OkStatus();
  };
  const absl::Status status = Zone(&fs, IncarnationId{1, 1}).Prepare();
  EXPECT_TRUE(absl::IsInvalidArgument(status));
  EXPECT_THAT(std::string(status.message()),
              ::testing::HasSubstr("completed/ and processing/ must be on one"));
  EXPECT_THAT(fs.List("incoming").value(), IsEmpty());
}

TEST_F(ZoneTest, AFileNamedOutputIsNotTakenForTheOutputs) {
  Task task;
  task.id.job = JobId{6, 6};
  task.file = Arrives(fs_, "in/output", "a file");
  ASSERT_EQ(PlaceIt(zone_, task).outcome, PlaceOutcome::kPlaced);
  EXPECT_EQ(fs_.Read(task.folder(1) + "/input"), "a file");
  task.claimed = true;
  EXPECT_EQ(FinishIt(zone_, task, 1).path, "completed/in/output");
}

TEST(ZoneTypesTest, IdentitiesAreTheSameInRecords) {
  const Identity identity{.path = "a\xff\n", .size = 1, .mtime_ns = -2, .inode = 3};
  EXPECT_EQ(IdentityOf(ToProto(identity)), identity);
}

}  // namespace
}  // namespace laneway::zone
