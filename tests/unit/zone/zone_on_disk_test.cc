// The zone on a real file system.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>

#include "support/temp_folder.h"
#include "zone/posix_fs.h"
#include "zone/zone.h"

namespace laneway::zone {
namespace {

using ::laneway::testing::TempFolder;
using ::testing::ElementsAre;
using ::testing::Key;
using ::testing::Pair;

class ZoneOnDiskTest : public ::testing::Test {
 protected:
  ZoneOnDiskTest() : fs_(PosixFs::Open(folder_.path()).value()), zone_(fs_.get(), IncarnationId{1, 1}) {
    EXPECT_TRUE(zone_.Prepare().ok());
    EXPECT_TRUE(zone_.MakeStaging().ok());
    EXPECT_TRUE(zone_.FenceOthers().ok());
  }
  Identity Arrives(const std::string& path, std::string_view bytes) {
    folder_.Write("incoming/" + path, bytes);
    const FileInfo info = fs_->Stat("incoming/" + path).value();
    return {.path = path, .size = info.size, .mtime_ns = info.mtime_ns, .inode = info.inode};
  }

  TempFolder folder_;
  std::unique_ptr<PosixFs> fs_;
  Zone zone_;
  const TaskId task_{JobId{7, 7}, 1};
  const WorkerId worker_{"DTF-01"};
};

TEST_F(ZoneOnDiskTest, AFileGoesThroughAnAttemptToCompletedWithItsOutputs) {
  const Identity file = Arrives("agency a/-week\n1.csv", "hours");
  const PlaceRequest place{.task = task_, .attempt = 1, .worker = worker_, .file = file};
  const PlaceResult placed = zone_.PlaceFiles({&place, 1})[0];
  ASSERT_EQ(placed.outcome, PlaceOutcome::kPlaced) << placed.status;
  EXPECT_EQ(placed.found, file);
  const std::string attempt = AttemptFolder(worker_, task_, 1);
  EXPECT_THAT(folder_.Files(), ElementsAre(Pair(attempt + "/-week\n1.csv", "hours")));
  EXPECT_TRUE(Zone::Verify(*fs_, worker_, task_, 1, file).ok());

  folder_.Write(attempt + "/output/sum.txt", "40");
  const FinishRequest finish{.task = task_,
                             .attempt = 1,
                             .output_attempt = 1,
                             .output_worker = worker_,
                             .file = file,
                             .claimed = true,
                             .earlier = {{1, worker_}},
                             .place = Place::kCompleted};
  for (const std::string outputs :
       {"completed/agency a/-week\n1.csv.output", ""}) {  // again after a crash: the same
    const FinishResult finished = zone_.FinishFiles({&finish, 1})[0];
    ASSERT_EQ(finished.outcome, FinishOutcome::kMoved) << finished.status;
    EXPECT_EQ(finished.path, "completed/agency a/-week\n1.csv");
    EXPECT_EQ(finished.outputs, outputs);
  }
  EXPECT_THAT(folder_.Files(), ElementsAre(Pair("completed/agency a/-week\n1.csv", "hours"),
                                           Pair("completed/agency a/-week\n1.csv.output/sum.txt", "40")));
  EXPECT_FALSE(folder_.Has(attempt));
}

}  // namespace
}  // namespace laneway::zone
