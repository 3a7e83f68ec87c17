#include "worker/attempt_folders.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "fixture.h"
#include "support/memory_fs.h"
#include "zone/zone.h"

namespace laneway::worker {
namespace {

using laneway::testing::MemoryFs;
using Op = MemoryFs::Op;

class AttemptFoldersTest : public ::testing::Test {
 protected:
  AttemptFoldersTest() {
    fs_.Make("processing", zone::FileKind::kFolder);
    packet_.mutable_spec()->add_exec("true");
    fs_.before_call = [this](const MemoryFs::Call& call) {
      made_ += call.op == Op::kMakeFolder ? 1 : 0;
      return absl::OkStatus();
    };
  }
  Prepared Prepare(uint64_t job) { return folders_.Prepare({Key(job, 1), &packet_}); }
  std::string Folder(uint64_t job) { return zone::AttemptFolder(worker_, Key(job, 1).task, 1); }
  bool EmptyOutput(uint64_t job) {
    const auto entries = fs_.List(Folder(job) + "/output");
    return entries.ok() && entries->empty();
  }
  bool Exists(const std::string& path) { return fs_.Stat(path).ok(); }
  size_t Left() { return fs_.List("processing/DTF-01")->size(); }

  MemoryFs fs_;
  const WorkerId worker_{"DTF-01"};
  AttemptFolders folders_{&fs_, worker_};
  v1::WorkPacket packet_;
  int made_ = 0;
};

TEST_F(AttemptFoldersTest, AnEmptyFolderIsUsedAgainAndNoneIsLeftWhenNothingIsToBeDone) {
  ASSERT_TRUE(Prepare(1).status.ok());
  made_ = 0;
  for (uint64_t job = 2; job < 10; job++) {
    folders_.Release(Key(job - 1, 1));
    ASSERT_TRUE(Prepare(job).status.ok());
    EXPECT_TRUE(EmptyOutput(job));
    EXPECT_FALSE(Exists(Folder(job - 1)));
  }
  EXPECT_EQ(made_, 0);
  folders_.Release(Key(9, 1));
  EXPECT_EQ(Left(), 1U);
  folders_.RemoveSpares();
  EXPECT_EQ(Left(), 0U);
}

TEST_F(AttemptFoldersTest, WhatAScriptWroteStaysAndIsNeverHandedOn) {
  for (uint64_t job = 1; job <= 3; job++) ASSERT_TRUE(Prepare(job).status.ok());
  fs_.Write(Folder(2) + "/output/result.csv", "7.5");
  fs_.Write(Folder(3) + "/beside-the-output", "x");
  folders_.Release(Key(2, 1));
  folders_.Release(Key(3, 1));
  ASSERT_TRUE(Prepare(4).status.ok());
  EXPECT_TRUE(EmptyOutput(4));
  EXPECT_FALSE(Exists(Folder(4) + "/beside-the-output"));
  EXPECT_TRUE(Exists(Folder(2) + "/output/result.csv"));
  EXPECT_TRUE(Exists(Folder(3) + "/beside-the-output"));
}

TEST_F(AttemptFoldersTest, ASpareFolderThatSomebodyTookAwayIsMadeAnew) {
  for (uint64_t job = 1; job <= 2; job++) ASSERT_TRUE(Prepare(job).status.ok());
  folders_.Release(Key(2, 1));
  ASSERT_TRUE(fs_.RemoveTree("processing/DTF-01/spare-1").ok());
  ASSERT_TRUE(Prepare(3).status.ok());
  EXPECT_TRUE(EmptyOutput(3));
}

TEST_F(AttemptFoldersTest, SparesOfAProcessThatDiedAreReplacedAndThenTidiedAway) {
  for (const char* left : {"spare-1", "spare-2", "spare-9"})
    fs_.Make(std::string("processing/DTF-01/") + left + "/output", zone::FileKind::kFolder);
  ASSERT_TRUE(Prepare(1).status.ok());
  folders_.Release(Key(1, 1));
  ASSERT_TRUE(Prepare(2).status.ok());
  EXPECT_TRUE(EmptyOutput(2));
  folders_.Release(Key(2, 1));
  folders_.RemoveSpares();
  EXPECT_EQ(Left(), 0U);
}

TEST_F(AttemptFoldersTest, RuleZ5AFileThatIsNotThereIsMissingAndAFullDiskIsNot) {
  packet_.mutable_file()->set_path("a.csv");
  EXPECT_EQ(Prepare(1).ending, v1::FILE_MISSING);
  packet_.clear_file();
  fs_.full = true;
  const Prepared prepared = Prepare(2);
  EXPECT_FALSE(prepared.status.ok());
  EXPECT_EQ(prepared.ending, v1::CANNOT_START);
}

TEST_F(AttemptFoldersTest, WithoutAZoneOnlyWhatNeedsNoFolderStarts) {
  AttemptFolders none(nullptr, worker_);
  EXPECT_FALSE(none.Prepare({Key(1, 1), &packet_}).status.ok());
  packet_.mutable_spec()->clear_exec();
  packet_.mutable_spec()->set_handler("noop");
  EXPECT_TRUE(none.Prepare({Key(2, 1), &packet_}).status.ok());
}

}  // namespace
}  // namespace laneway::worker
