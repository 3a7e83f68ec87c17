// An embedded log on a disk that fills up or fails.
#include <gmock/gmock.h>
#include <sys/mount.h>

#include <atomic>
#include <cerrno>
#include <fstream>
#include <set>

#include "fleet/ids.h"
#include "unit/log/log_test_support.h"

namespace laneway::log {
namespace {

using testing::HasSubstr;

// Appends until the disk is not full any more. Each answer is a wait of its own.
absl::Status AppendUntilThereIsSpace(Log& log, const std::string& value) {
  absl::Status status;
  for (int i = 0; i < 5'000'000; i++) {
    status = Append(log, kEvents0, value).status;
    if (!absl::IsResourceExhausted(status)) break;
  }
  return status;
}

// Bytes that do not compress, the same for the same seed.
std::string Noise(uint64_t seed, size_t bytes) {
  std::string value(bytes, '\0');
  for (size_t i = 0; i < bytes; i++)
    value[i] = static_cast<char>(Mix64(seed * 1'000'003 + i / 8) >> (8 * (i % 8)));
  return value;
}

class SmallDisk {
 public:
  explicit SmallDisk(const std::string& size) {
    mounted_ = ::mount("tmpfs", folder_.path().c_str(), "tmpfs", 0, ("size=" + size).c_str()) == 0;
  }
  ~SmallDisk() {
    if (mounted_) ::umount2(folder_.path().c_str(), MNT_DETACH);
  }
  bool mounted() const { return mounted_; }
  std::string Sub(const std::string& name) const { return folder_.Sub(name); }

 private:
  TestFolder folder_;
  bool mounted_ = false;
};

TEST(EmbeddedDiskFullTest, ASmallDiskFillsUpAndTheLogGoesOnByItselfWhenThereIsSpaceAgain) {
  const SmallDisk disk("40m");
  if (!disk.mounted()) GTEST_SKIP() << "mounting a tmpfs needs root";
  for (int round = 0; round < 2;
       round++) {  // the database itself hits the wall; the reserve stops us before it
    const std::string folder = disk.Sub("log" + std::to_string(round));
    std::ofstream(disk.Sub("ballast")) << std::string(20 << 20, 'b');
    EmbeddedOptions options = Options(folder);
    options.free_bytes_reserve = round == 0 ? 1 : 4 << 20;
    options.recent_bytes_max = 1 << 20;
    auto engine = MustOpen(options);
    ASSERT_NE(engine, nullptr);
    std::vector<std::string> acked;
    absl::Status refusal;
    const auto value = [&](size_t i) { return Noise(i, 50'000 + i % 100); };
    // One refusal may be a compaction's passing need; twenty in a row are a full disk.
    for (int refused = 0; refused < 20 && acked.size() < 2000;) {
      const std::string next = value(acked.size());
      const absl::Status status = Append(engine->log(), kEvents0, next).status;
      if (status.ok()) {
        acked.push_back(next);
        refused = 0;
      } else {
        refusal = status;
        refused++;
        ASSERT_TRUE(absl::IsResourceExhausted(status)) << status;
      }
    }
    EXPECT_THAT(std::string(refusal.message()), HasSubstr("full"));
    EXPECT_TRUE(engine->Health().disk_full);
    EXPECT_FALSE(engine->Health().failed);
    EXPECT_GT(acked.size(), 10u);
    EXPECT_LT(acked.size(), 2000u);

    std::filesystem::remove(disk.Sub("ballast"));
    ASSERT_EQ(AppendUntilThereIsSpace(engine->log(), "after"), absl::OkStatus());
    acked.push_back("after");
    EXPECT_TRUE(engine->Health().ok) << engine->Health().message;
    EXPECT_EQ(*Values(engine->log(), kEvents0), acked);
    engine.reset();
    engine = MustOpen(options);
    ASSERT_NE(engine, nullptr);
    EXPECT_EQ(*Values(engine->log(), kEvents0), acked);
    engine.reset();
    std::filesystem::remove_all(folder);
  }
}

TEST(EmbeddedDiskFullTest, TheReserveStopsNewWorkFirstAndNeverWhatFreesSpace) {
  TestFolder folder;
  std::atomic<uint64_t> free_bytes = 1000;
  EmbeddedOptions options = Options(folder.path());
  options.free_bytes_reserve = 100;
  options.free_bytes = [&] { return free_bytes.load(); };
  const auto engine = MustOpen(options);
  Append(engine->log(), kEvents0, "0");
  const std::vector<NewRecord> record = {{kEvents0, RecordType::kEvent, "", "x"}};
  const std::vector<StoreOp> put = {{StoreOp::Kind::kPut, "k", "v"}};
  const std::vector<StoreOp> del = {{StoreOp::Kind::kDelete, "k", ""}};
  const auto commit = [&](const std::vector<StoreOp>& ops) {
    std::promise<absl::Status> answer;
    engine->store().Commit(ops, Durability::kSynced,
                           [&](const absl::Status& status) { answer.set_value(status); });
    return answer.get_future().get();
  };
  free_bytes = 60;
  EXPECT_TRUE(absl::IsResourceExhausted(Append(engine->log(), record).status));
  EXPECT_TRUE(CommitJournal(engine->journal(), put, record).status.ok());  // what is held can be finished
  EXPECT_TRUE(commit(put).ok());
  free_bytes = 10;
  EXPECT_TRUE(absl::IsResourceExhausted(CommitJournal(engine->journal(), put, record).status));
  EXPECT_TRUE(absl::IsResourceExhausted(commit(put)));
  EXPECT_TRUE(commit(del).ok());
  EXPECT_TRUE(engine->log().Trim(kEvents0, 1).ok());
  EXPECT_TRUE(engine->Health().disk_full);
  free_bytes = 1000;
  EXPECT_EQ(AppendUntilThereIsSpace(engine->log(), "after"), absl::OkStatus());
  EXPECT_TRUE(engine->Health().ok);
}

// Fails the n-th call of one kind from when it is armed, and all later ones while `sticky`.
struct Faults {
  std::atomic<int> left = -1;  // -1: not armed
  std::atomic<bool> hit = false;
  std::string op;
  int error = 0;
  std::function<int(std::string_view, std::string_view)> Hook() {
    return [this](std::string_view asked, std::string_view path) {
      if (left < 0 || asked != op || path.ends_with("LOG")) return 0;
      if (left.fetch_sub(1) != 0) return 0;
      hit = true;
      return error;
    };
  }
};

// One run: 12 appends with the fault at the n-th call; then what was promised is compared with what is there,
// before and after reopening.
void RunWithFault(const std::string& op, int error, int n, bool& hit) {
  SCOPED_TRACE(op + " " + std::to_string(error) + " at call " + std::to_string(n));
  TestFolder folder("/dev/shm");  // its syncs cost nothing
  Faults faults;
  faults.op = op;
  faults.error = error;
  EmbeddedOptions options = Options(folder.path());
  options.io_hook = faults.Hook();
  options.write_buffer_bytes = 64 << 10;  // so that flushes meet the fault too
  auto engine = MustOpen(options);
  ASSERT_NE(engine, nullptr);
  faults.left = n;
  std::vector<std::string> acked;
  std::set<std::string> refused;
  std::set<std::string> unknown;
  for (int i = 0; i < 12; i++) {
    const std::string value = Noise(static_cast<uint64_t>(i), 20'000);
    const Appended appended = Append(engine->log(), kEvents0, value);
    if (appended.status.ok()) {
      EXPECT_EQ(appended.offsets, std::vector<Offset>{acked.size()});
      acked.push_back(value);
    } else if (absl::IsUnknown(appended.status)) {
      unknown.insert(value);
    } else {
      refused.insert(value);
    }
  }
  faults.left = -1;
  hit = faults.hit;
  // A flush in the background may meet the fault after the last answer: at any moment the log may have
  // failed.
  const absl::Status after = AppendUntilThereIsSpace(engine->log(), "after");
  if (after.ok()) acked.push_back("after");
  if (absl::IsUnknown(after)) unknown.insert("after");
  if (const auto values = Values(engine->log(), kEvents0); values.ok()) {
    EXPECT_EQ(*values, acked);
    EXPECT_TRUE(after.ok()) << after;
    EXPECT_TRUE(unknown.empty());
  } else {
    EXPECT_NE(error, ENOSPC) << values.status();
    EXPECT_TRUE(engine->Health().failed);
    EXPECT_FALSE(engine->Health().message.empty());
    EXPECT_TRUE(absl::IsUnavailable(Append(engine->log(), kEvents0, "x").status));
    EXPECT_TRUE(absl::IsUnavailable(engine->log().Read(kEvents0, 0, 1).status()));
    EXPECT_TRUE(absl::IsUnavailable(engine->store().Get("x").status()));
  }
  engine.reset();
  options.io_hook = nullptr;
  engine = MustOpen(options);
  ASSERT_NE(engine, nullptr);
  const std::vector<std::string> values = *Values(engine->log(), kEvents0);
  ASSERT_GE(values.size(), acked.size());
  for (size_t i = 0; i < values.size(); i++) {
    if (i < acked.size()) {
      EXPECT_EQ(values[i], acked[i]);
    } else {
      EXPECT_EQ(unknown.count(values[i]), 1u);  // only what may have happened
    }
    EXPECT_EQ(refused.count(values[i]), 0u);
  }
}

TEST(EmbeddedFaultTest, NoSpaceAtTheNthCallLosesNothingAndIsOverBySelf) {
  for (const char* op : {"append", "create"}) {
    bool hit = true;
    int n = 0;
    for (; hit && n < 60; n += 1 + n / 8) RunWithFault(op, ENOSPC, n, hit);
    EXPECT_GT(n, 3) << op;
  }
}

TEST(EmbeddedFaultTest, AnErrorOfTheDiskAtTheNthCallIsFinalAndLosesNothing) {
  for (const char* op : {"append", "sync", "create"}) {
    bool hit = true;
    int n = 0;
    for (; hit && n < 60; n += 1 + n / 8) RunWithFault(op, EIO, n, hit);
    EXPECT_GT(n, 3) << op;
  }
}

TEST(EmbeddedFaultTest, AFailedSyncIsUnknownAndThenEveryCallIsUnavailable) {
  for (const int error : {EIO, ENOSPC}) {
    TestFolder folder;
    std::atomic<bool> fail = false;
    EmbeddedOptions options = Options(folder.path());
    options.io_hook = [&](std::string_view op, std::string_view path) {
      return fail && op == "sync" && path.ends_with(".log") ? error : 0;
    };
    auto engine = MustOpen(options);
    ASSERT_TRUE(Append(engine->log(), kEvents0, "before").status.ok());
    fail = true;
    EXPECT_TRUE(absl::IsUnknown(Append(engine->log(), kEvents0, "maybe").status));
    fail = false;
    EXPECT_TRUE(absl::IsUnavailable(Append(engine->log(), kEvents0, "after").status));
    EXPECT_TRUE(absl::IsUnavailable(engine->log().Trim(kEvents0, 0)));
    EXPECT_TRUE(engine->Health().failed);
    engine.reset();
    engine = MustOpen(options);
    EXPECT_EQ(Values(engine->log(), kEvents0)->at(0), "before");
  }
}

TEST(EmbeddedTrimTest, SpaceIsGivenBack) {
  TestFolder folder;
  EmbeddedOptions options = Options(folder.path());
  options.trim_bytes = 1 << 20;
  options.write_buffer_bytes = 1 << 20;
  const auto engine = MustOpen(options);
  const auto bytes_on_disk = [&] {
    uint64_t bytes = 0;
    for (const auto& entry : std::filesystem::directory_iterator(folder.Sub("db"))) {
      std::error_code gone;
      const uint64_t size = entry.path().extension() == ".sst" ? entry.file_size(gone) : 0;
      if (!gone) bytes += size;
    }
    return bytes;
  };
  uint64_t most = 0;
  for (uint64_t i = 0; i < 1000; i++) {
    const Appended appended = Append(engine->log(), kEvents0, Noise(i, 20'000));
    ASSERT_TRUE(appended.status.ok());
    most = std::max(most, bytes_on_disk());
  }
  EXPECT_GT(most, 15u << 20);
  ASSERT_TRUE(engine->log().Trim(kEvents0, 1000).ok());
  // The compaction runs beside; each append waits for a sync, so this is a bounded wait.
  int appends = 0;
  while (bytes_on_disk() > 4u << 20 && appends++ < 20'000) Append(engine->log(), kEvents0, "x");
  EXPECT_LE(bytes_on_disk(), 4u << 20) << "after " << appends << " appends";
}

TEST(EmbeddedTest, CommitsAreReportedAndCounted) {
  TestFolder folder;
  EmbeddedOptions options = Options(folder.path());
  std::atomic<uint64_t> records = 0;
  options.on_commit = [&](const CommitInfo& info) { records += info.records; };
  auto engine = MustOpen(options);
  Append(engine->log(), kEvents0, "x");
  Append(engine->log(), kEvents0, "y");
  EXPECT_EQ(engine->Stats().records, 2u);
  EXPECT_GE(engine->Stats().syncs, 3u);
  engine.reset();
  EXPECT_EQ(records, 2u);
}

TEST(EmbeddedTest, BufferedCommitsCostNoSync) {
  TestFolder folder;
  const auto engine = MustOpen(Options(folder.path()));
  const uint64_t before = engine->Stats().syncs;
  std::promise<absl::Status> answer;
  engine->store().Commit({{StoreOp::Kind::kPut, "k", "v"}}, Durability::kBuffered,
                         [&](const absl::Status& status) { answer.set_value(status); });
  EXPECT_TRUE(answer.get_future().get().ok());
  EXPECT_EQ(engine->Stats().syncs, before);
}

TEST(EmbeddedTest, AClockThatStepsBackDoesNotTurnTheTimesOfRecords) {
  TestFolder folder;
  EmbeddedOptions options = Options(folder.path());
  std::atomic<int64_t> now = 5000;
  options.clock = [&] { return LogTime{now.load()}; };
  auto engine = MustOpen(options);
  Append(engine->log(), kEvents0, "a");
  now = 1000;
  Append(engine->log(), kEvents0, "b");
  engine.reset();
  engine = MustOpen(options);
  Append(engine->log(), kEvents0, "c");
  now = 6000;
  Append(engine->log(), kEvents0, "d");
  const auto batch = engine->log().Read(kEvents0, 0, 1 << 20);
  ASSERT_TRUE(batch.ok());
  const int64_t want[] = {5000, 5000, 5000, 6000};
  for (size_t i = 0; i < 4; i++) EXPECT_EQ(batch->records[i].time.ms, want[i]);
}

}  // namespace
}  // namespace laneway::log
