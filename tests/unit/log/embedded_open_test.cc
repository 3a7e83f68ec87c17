// What an embedded log refuses to open, and what it says.
#include <gmock/gmock.h>
#include <spawn.h>
#include <sys/wait.h>

#include <fstream>

#include "log/data_folder.h"
#include "log/keys.h"
#include "rocksdb/db.h"
#include "unit/log/log_test_support.h"

extern char** environ;

namespace laneway::log {
namespace {

using testing::HasSubstr;

std::string MessageOf(const absl::Status& status) { return std::string(status.message()); }

absl::Status OpenStatus(EmbeddedOptions options) { return EmbeddedEngine::Open(std::move(options)).status(); }

void WithRocks(const std::string& folder, const std::function<void(rocksdb::DB&)>& act) {
  rocksdb::DB* db = nullptr;
  ASSERT_TRUE(rocksdb::DB::Open({}, folder + "/db", &db).ok());
  act(*db);
  ASSERT_TRUE(db->Close().ok());
  delete db;
}

// Run by SecondProcessIsRefused in a process of its own.
TEST(EmbeddedOpenHelper, DISABLED_TryToOpen) {
  const char* folder = std::getenv("LANEWAY_TEST_FOLDER");
  ASSERT_NE(folder, nullptr);
  const absl::Status status = OpenStatus(Options(folder));
  std::ofstream(std::string(folder) + "/answer")
      << absl::StatusCodeToString(status.code()) << ": " << status.message();
}

TEST(EmbeddedOpenTest, SecondProcessIsRefusedAndToldWhoHoldsTheFolder) {
  TestFolder folder;
  const auto engine = MustOpen(Options(folder.path()));
  ASSERT_EQ(::setenv("LANEWAY_TEST_FOLDER", folder.path().c_str(), 1), 0);
  std::string program = std::filesystem::read_symlink("/proc/self/exe").string();
  std::string filter = "--gtest_filter=EmbeddedOpenHelper.DISABLED_TryToOpen";
  std::string disabled = "--gtest_also_run_disabled_tests";
  char* argv[] = {program.data(), filter.data(), disabled.data(), nullptr};
  pid_t child = 0;
  ASSERT_EQ(::posix_spawn(&child, program.c_str(), nullptr, nullptr, argv, environ), 0);
  int result = 0;
  ASSERT_EQ(::waitpid(child, &result, 0), child);
  std::ifstream file(folder.Sub("answer"));
  const std::string answer((std::istreambuf_iterator<char>(file)), {});
  EXPECT_THAT(answer, HasSubstr("FAILED_PRECONDITION"));
  EXPECT_THAT(answer, HasSubstr("in use by another process"));
  EXPECT_THAT(answer, HasSubstr("pid " + std::to_string(::getpid())));
  EXPECT_TRUE(Append(engine->log(), kEvents0, "the first one goes on").status.ok());
}

TEST(EmbeddedOpenTest, TheSameProcessCannotOpenItTwiceButAgainAfterwards) {
  TestFolder folder;
  auto engine = MustOpen(Options(folder.path()));
  EXPECT_EQ(OpenStatus(Options(folder.path())).code(), absl::StatusCode::kFailedPrecondition);
  engine.reset();
  EXPECT_NE(MustOpen(Options(folder.path())), nullptr);
}

TEST(EmbeddedOpenTest, NetworkFileSystemsAreRefusedUnlessAllowed) {
  for (const auto& [magic, name] :
       {std::pair<int64_t, std::string>{0x6969, "NFS"}, {0xff534d42, "CIFS"}, {0x65735546, "FUSE"}}) {
    TestFolder folder;
    EmbeddedOptions options = Options(folder.path());
    options.file_system_magic = [magic = magic](const std::string&) { return magic; };
    const absl::Status status = OpenStatus(options);
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_THAT(MessageOf(status), HasSubstr(name));
    options.allow_network_folder = true;
    EXPECT_TRUE(OpenStatus(options).ok());
  }
  EXPECT_EQ(NetworkFileSystemName(0xef53), "");      // ext4
  EXPECT_EQ(NetworkFileSystemName(0x01021994), "");  // tmpfs
}

TEST(EmbeddedOpenTest, ANewerFormatAndAForeignOneAreRefused) {
  TestFolder folder;
  MustOpen(Options(folder.path())).reset();
  std::ofstream(folder.Sub("FORMAT")) << "laneway-log 2\n";
  EXPECT_EQ(OpenStatus(Options(folder.path())).code(), absl::StatusCode::kFailedPrecondition);
  std::ofstream(folder.Sub("FORMAT")) << "something else\n";
  EXPECT_EQ(OpenStatus(Options(folder.path())).code(), absl::StatusCode::kDataLoss);
}

TEST(EmbeddedOpenTest, AMissingDatabaseIsALossAndNotANewFolder) {
  TestFolder folder;
  MustOpen(Options(folder.path())).reset();
  std::filesystem::remove_all(folder.Sub("db"));
  EXPECT_EQ(OpenStatus(Options(folder.path())).code(), absl::StatusCode::kDataLoss);
  EXPECT_FALSE(std::filesystem::exists(folder.Sub("db/CURRENT")));
}

TEST(EmbeddedOpenTest, AMissingTableFileIsALoss) {
  TestFolder folder;
  auto engine = MustOpen(Options(folder.path()));
  Append(engine->log(), kEvents0, "x");
  engine.reset();
  for (const auto& entry : std::filesystem::directory_iterator(folder.Sub("db"))) {
    if (entry.path().extension() == ".sst") std::filesystem::remove(entry.path());
  }
  EXPECT_EQ(OpenStatus(Options(folder.path())).code(), absl::StatusCode::kDataLoss);
}

TEST(EmbeddedOpenTest, AGapIsFoundAndNamed) {
  for (const uint64_t budget : {uint64_t{1} << 30, uint64_t{0}}) {  // reading everything, and only the newest
    TestFolder folder;
    auto engine = MustOpen(Options(folder.path()));
    for (int i = 0; i < 10; i++) Append(engine->log(), kEvents0, std::to_string(i));
    engine.reset();
    WithRocks(folder.path(), [](rocksdb::DB& db) { ASSERT_TRUE(db.Delete({}, GroupKey(kEvents0, 8)).ok()); });
    EmbeddedOptions options = Options(folder.path());
    options.check_everything = false;
    options.check_bytes_max = budget;
    const absl::Status status = OpenStatus(options);
    EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
    EXPECT_THAT(MessageOf(status), HasSubstr("records 8 to 8 of events/0 are missing"));
    EXPECT_THAT(MessageOf(status), HasSubstr("backup"));
  }
}

TEST(EmbeddedOpenTest, ADamagedGroupIsFoundAndNamedAndAllFindingsAreTold) {
  TestFolder folder;
  auto engine = MustOpen(Options(folder.path()));
  for (int i = 0; i < 10; i++) Append(engine->log(), kEvents0, std::to_string(i));
  Append(engine->log(), {Topic::kEvents, 1}, "x");
  engine.reset();
  WithRocks(folder.path(), [](rocksdb::DB& db) {
    std::string value;
    for (const std::string& key : {GroupKey(kEvents0, 4), GroupKey({Topic::kEvents, 1}, 0)}) {
      ASSERT_TRUE(db.Get({}, key, &value).ok());
      value.back() ^= 1;
      ASSERT_TRUE(db.Put({}, key, value).ok());
    }
  });
  const absl::Status status = OpenStatus(Options(folder.path()));
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(MessageOf(status), HasSubstr("the group at offset 4 of events/0 does not match its checksum"));
  EXPECT_THAT(MessageOf(status), HasSubstr("the group at offset 0 of events/1 does not match its checksum"));
}

TEST(EmbeddedOpenTest, LostAcknowledgedWritesAreFoundAndCanBeAccepted) {
  TestFolder folder;
  TestFolder older;
  auto engine = MustOpen(Options(folder.path()));
  Append(engine->log(), kEvents0, "old");
  engine.reset();
  std::filesystem::copy(folder.Sub("db"), older.Sub("db"), std::filesystem::copy_options::recursive);
  engine = MustOpen(Options(folder.path()));
  Append(engine->log(), kEvents0, "acknowledged");
  engine.reset();
  std::filesystem::remove_all(folder.Sub("db"));  // the disk forgot what it had confirmed
  std::filesystem::copy(older.Sub("db"), folder.Sub("db"), std::filesystem::copy_options::recursive);
  const absl::Status status = OpenStatus(Options(folder.path()));
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(MessageOf(status), HasSubstr("lost acknowledged writes"));
  EmbeddedOptions options = Options(folder.path());
  options.accept_lost_records = true;
  engine = MustOpen(options);
  EXPECT_EQ(*Values(engine->log(), kEvents0), std::vector<std::string>{"old"});
  engine.reset();
  EXPECT_TRUE(OpenStatus(Options(folder.path())).ok());
}

TEST(EmbeddedOpenTest, ReadOnlySeesWhatIsThereBesideTheOwner) {
  TestFolder folder;
  const auto engine = MustOpen(Options(folder.path()));
  for (int i = 0; i < 10; i++) Append(engine->log(), kEvents0, std::to_string(i));
  ASSERT_TRUE(engine->log().Trim(kEvents0, 2).ok());
  auto log = EmbeddedEngine::OpenReadOnly(folder.path());
  ASSERT_TRUE(log.ok()) << log.status();
  EXPECT_EQ(Values(**log, kEvents0)->size(), 8u);
  EXPECT_EQ(Append(**log, kEvents0, "x").status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_TRUE(Append(engine->log(), kEvents0, "x").status.ok());
}

TEST(EmbeddedOpenTest, WritersAreKeptByName) {
  TestFolder folder;
  auto engine = MustOpen(Options(folder.path()));
  Append(engine->LogAs("DTF-01"), kEvents0, "a");
  CommitJournal(engine->JournalAs("DTF-02"), {}, {{kEvents0, RecordType::kEvent, "", "b"}});
  EXPECT_EQ(&engine->LogAs("DTF-01"), &engine->LogAs("DTF-01"));
  engine.reset();
  engine = MustOpen(Options(folder.path()));
  const auto batch = engine->log().Read(kEvents0, 0, 1000);
  ASSERT_TRUE(batch.ok());
  EXPECT_EQ(batch->records[0].writer, "DTF-01");
  EXPECT_EQ(batch->records[1].writer, "DTF-02");
}

}  // namespace
}  // namespace laneway::log
