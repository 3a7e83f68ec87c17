// What only the real file system shows: errors, leases, mounts, and two dispatchers at once.
#include "zone/posix_fs.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <filesystem>
#include <thread>

#include "support/temp_folder.h"
#include "zone/check_zone.h"
#include "zone/zone.h"

namespace laneway::zone {
namespace {

using ::laneway::testing::TempFolder;
using ::testing::HasSubstr;

TEST(PosixErrorsTest, EachErrnoHasTheStatusItsCallerReactsTo) {
  const std::pair<int, absl::StatusCode> rows[] = {
      {ENOENT, absl::StatusCode::kNotFound},          {ENOTDIR, absl::StatusCode::kNotFound},
      {EEXIST, absl::StatusCode::kAlreadyExists},     {ENOTEMPTY, absl::StatusCode::kFailedPrecondition},
      {ENOSPC, absl::StatusCode::kResourceExhausted}, {EDQUOT, absl::StatusCode::kResourceExhausted},
      {EMLINK, absl::StatusCode::kResourceExhausted}, {EMFILE, absl::StatusCode::kResourceExhausted},
      {ENFILE, absl::StatusCode::kResourceExhausted}, {ENOMEM, absl::StatusCode::kResourceExhausted},
      {EACCES, absl::StatusCode::kPermissionDenied},  {EPERM, absl::StatusCode::kPermissionDenied},
      {EROFS, absl::StatusCode::kPermissionDenied},   {ELOOP, absl::StatusCode::kInvalidArgument},
      {EXDEV, absl::StatusCode::kInvalidArgument},    {ENAMETOOLONG, absl::StatusCode::kInvalidArgument},
      {EINVAL, absl::StatusCode::kInvalidArgument},   {EISDIR, absl::StatusCode::kInvalidArgument},
      {ESTALE, absl::StatusCode::kUnavailable},       {EIO, absl::StatusCode::kUnavailable},
      {EAGAIN, absl::StatusCode::kUnavailable},       {EBUSY, absl::StatusCode::kUnavailable},
      {EINTR, absl::StatusCode::kUnavailable},        {ETIMEDOUT, absl::StatusCode::kUnavailable},
      {99999, absl::StatusCode::kUnavailable},
  };
  for (const auto& [error, code] : rows) EXPECT_EQ(StatusOfErrno(error, "do", "a").code(), code) << error;
  EXPECT_EQ(StatusOfErrno(ENOENT, "rename", "a\nb").message(), "rename a\\x0ab: No such file or directory");
}

TEST(PosixFsTest, AMissingRootIsSaid) {
  EXPECT_TRUE(absl::IsNotFound(PosixFs::Open("/nowhere/at/all").status()));
}

TEST(PosixFsTest, AFileThatAnotherProcessWritesIsSeen) {
  TempFolder folder;
  folder.Write("a", "x");
  const auto fs = PosixFs::Open(folder.path()).value();
  const int reader = open((folder / "a").c_str(), O_RDONLY | O_CLOEXEC);
  EXPECT_FALSE(fs->OpenForWriting("a"));
  const int writer = open((folder / "a").c_str(), O_WRONLY | O_CLOEXEC);
  EXPECT_TRUE(fs->OpenForWriting("a"));
  close(writer);
  EXPECT_FALSE(fs->OpenForWriting("a"));
  close(reader);
}

TEST(PosixFsTest, AWriterThatComesWhileWeLookDoesNotEndTheProcess) {  // SIGIO would
  TempFolder folder;
  folder.Write("a", "x");
  const auto fs = PosixFs::Open(folder.path()).value();
  std::atomic<bool> stop{false};
  std::thread writer([&] {
    while (!stop) close(open((folder / "a").c_str(), O_WRONLY | O_CLOEXEC));
  });
  for (int i = 0; i < 3000; i++) fs->OpenForWriting("a");
  stop = true;
  writer.join();
}

TEST(PosixFsTest, AFolderOnAnotherDeviceIsRefusedWithTheReason) {
  TempFolder folder;
  std::filesystem::create_directories(folder / "processing");
  if (mount("laneway", (folder / "processing").c_str(), "tmpfs", 0, "size=1m") != 0) {
    GTEST_SKIP() << "mounting needs root: " << StatusOfErrno(errno, "mount", "tmpfs");
  }
  {
    const auto fs = PosixFs::Open(folder.path()).value();
    const absl::Status status = Zone(fs.get(), IncarnationId{1, 1}).Prepare();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
    const std::vector<Problem> problems = CheckZone(folder.path(), 0);
    ASSERT_FALSE(problems.empty());
    EXPECT_THAT(problems[0].what, HasSubstr("processing/ is on another device"));
  }
  EXPECT_EQ(umount((folder / "processing").c_str()), 0);
}

TEST(PosixFsTest, ABindMountOfTheSameDeviceIsFoundByARename) {  // st_dev cannot tell
  TempFolder folder;
  for (const char* name : {"zone/incoming", "zone/completed", "other"})
    std::filesystem::create_directories(folder / name);
  if (mount((folder / "other").c_str(), (folder / "zone/completed").c_str(), "", MS_BIND, "") != 0) {
    GTEST_SKIP() << "mounting needs root: " << StatusOfErrno(errno, "mount", "bind");
  }
  {
    const std::vector<Problem> problems = CheckZone(folder / "zone", 0);
    EXPECT_EQ(problems.size(), 1U);
    if (!problems.empty()) {
      EXPECT_THAT(problems[0].what, HasSubstr("cannot be renamed from incoming/ to completed/"));
    }
    const auto fs = PosixFs::Open(folder / "zone").value();
    const absl::Status status = Zone(fs.get(), IncarnationId{1, 1}).Prepare();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr("completed"));
  }
  EXPECT_EQ(umount((folder / "zone/completed").c_str()), 0);
}

TEST(CheckZoneTest, AGoodZoneHasNoProblemsAndABadOneSaysWhatToDo) {
  TempFolder folder;
  {
    const auto fs = PosixFs::Open(folder.path()).value();
    ASSERT_TRUE(Zone(fs.get(), IncarnationId{1, 1}).Prepare().ok());
  }
  for (const Problem& problem : CheckZone(folder.path(), 0)) EXPECT_FALSE(problem.serious) << problem.what;
  EXPECT_THAT(std::filesystem::is_empty(folder / "incoming"), true);

  std::vector<Problem> problems = CheckZone(folder.path(), ~uint64_t{0});
  ASSERT_FALSE(problems.empty());
  EXPECT_THAT(problems.back().what, HasSubstr("MiB are free"));
  problems = CheckZone(folder / "missing", 0);
  ASSERT_EQ(problems.size(), 1U);
  EXPECT_THAT(problems[0].remedy, HasSubstr("zone.path"));
  std::filesystem::remove(folder / "failed");
  folder.Write("failed", "a file");
  problems = CheckZone(folder.path(), 0);
  ASSERT_FALSE(problems.empty());
  EXPECT_EQ(problems[0].what, "failed in the zone is not a folder");
}

// Two dispatchers that do not know of each other (the older one is not fenced yet) place the same 2,000
// files.
TEST(ZoneRaceTest, TwoDispatchersMoveEachFileOnce) {
  constexpr size_t kFiles = 2000;
  constexpr size_t kBatch = 50;
  TempFolder folder(TempFolder::Where::kMemory);
  const auto fs = PosixFs::Open(folder.path()).value();
  Zone first(fs.get(), IncarnationId{1, 1});
  Zone second(fs.get(), IncarnationId{2, 2});
  ASSERT_TRUE(first.Prepare().ok());
  ASSERT_TRUE(first.MakeStaging().ok());
  ASSERT_TRUE(second.MakeStaging().ok());
  std::vector<PlaceRequest> requests;
  for (size_t i = 0; i < kFiles; i++) {
    const std::string name = "f" + std::to_string(i);
    folder.Write("incoming/" + name, name);
    const FileInfo info = fs->Stat("incoming/" + name).value();
    requests.push_back(
        {.task = {JobId{3, i + 1}, 1},
         .attempt = 1,
         .worker = WorkerId("DTF-01"),
         .file = {.path = name, .size = info.size, .mtime_ns = info.mtime_ns, .inode = info.inode}});
  }
  std::vector<std::vector<PlaceResult>> results(2);
  const auto work = [&](Zone& zone, std::vector<PlaceResult>& mine) {
    for (size_t i = 0; i < kFiles; i += kBatch) {
      for (PlaceResult& result : zone.PlaceFiles(std::span(requests).subspan(i, kBatch)))
        mine.push_back(std::move(result));
    }
  };
  std::thread other([&] { work(second, results[1]); });
  work(first, results[0]);
  other.join();
  EXPECT_EQ(folder.Files().size(), kFiles);
  for (size_t i = 0; i < kFiles; i++) {
    EXPECT_TRUE(results[0][i].outcome == PlaceOutcome::kPlaced ||
                results[1][i].outcome == PlaceOutcome::kPlaced)
        << i;
    const PlaceRequest& request = requests[i];
    EXPECT_EQ(folder.Read(AttemptFolder(request.worker, request.task, 1) + "/" + request.file.path),
              request.file.path);
  }
}

// At the level of single renames: of two that want a file, exactly one gets it.
TEST(ZoneRaceTest, ARenameHasOneWinner) {
  constexpr int kFiles = 2000;
  for (const bool noreplace : {true, false}) {
    TempFolder folder(TempFolder::Where::kMemory);
    const auto fs = PosixFs::Open(folder.path(), {.use_rename_noreplace = noreplace}).value();
    for (int i = 0; i < kFiles; i++) folder.Write("incoming/" + std::to_string(i), "x");
    std::filesystem::create_directories(folder / "a");
    std::vector<int> wins[2] = {std::vector<int>(kFiles), std::vector<int>(kFiles)};
    const auto work = [&](int who) {
      for (int i = 0; i < kFiles;
           i++) {  // the one wants to move it, the other too, to another name in the same folder
        const std::string to = "a/" + std::to_string(i) + (who == 0 ? "" : "'");
        wins[who][static_cast<size_t>(i)] = fs->Rename("incoming/" + std::to_string(i), to).ok() ? 1 : 0;
      }
    };
    std::thread other([&] { work(1); });
    work(0);
    other.join();
    if (!noreplace) continue;  // link and unlink: both may link; only that nothing is lost is promised
    for (size_t i = 0; i < kFiles; i++) EXPECT_EQ(wins[0][i] + wins[1][i], 1) << i;
    EXPECT_EQ(folder.Files().size(), static_cast<size_t>(kFiles));
  }
}

}  // namespace
}  // namespace laneway::zone
