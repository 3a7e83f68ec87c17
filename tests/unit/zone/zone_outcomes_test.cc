// Where files and outputs end, and what happens to what is in the way.
#include <algorithm>

#include "unit/zone/fixture.h"

namespace laneway::zone {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;

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

// Nothing synced the rename out of it: no file system lets a folder go for good with a file still in it.
TEST_F(ZoneTest, AFolderThatIsRemovedTakesNoFileWithIt) {
  ASSERT_EQ(PlaceIt(zone_, task_).outcome, PlaceOutcome::kPlaced);
  ASSERT_TRUE(fs_.Rename(task_.path(1), "completed/a.csv").ok());
  ASSERT_TRUE(zone_.RemoveIfEmpty({.path = task_.folder(1), .folder = task_.folder(1)}).ok());
  EXPECT_FALSE(fs_.Has(task_.folder(1)));
  fs_.PowerLoss();
  EXPECT_THAT(fs_.Files(), ElementsAre(Pair("completed/a.csv", "A")));
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
