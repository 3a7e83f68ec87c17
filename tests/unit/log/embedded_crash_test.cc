// An embedded log after kill -9, torn writes and flipped bits: what was acknowledged is there, or the opening
// is refused; never wrong data.
#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>

#include <array>
#include <fstream>
#include <mutex>
#include <thread>

#include "fleet/ids.h"
#include "unit/log/log_test_support.h"

extern char** environ;

namespace laneway::log {
namespace {

namespace fs = std::filesystem;

constexpr int kKills = 24;

std::string ReadFile(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {(std::istreambuf_iterator<char>(file)), {}};
}

void WriteFile(const fs::path& path, const std::string& bytes) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file << bytes;
}

void CopyFolder(const std::string& from, const std::string& to) {
  fs::remove_all(to);
  fs::copy(from, to, fs::copy_options::recursive);
}

std::string ValueAt(Offset offset) { return std::to_string(offset) + std::string(offset * 37 % 400, 'x'); }

// Appends to both partitions until it is killed: the value tells the offset it must get. Writes one byte to
// stdout's file for each acknowledged record: 0 or 1, its partition.
TEST(EmbeddedCrashHelper, DISABLED_AppendForEver) {
  const char* folder = std::getenv("LANEWAY_TEST_FOLDER");
  ASSERT_NE(folder, nullptr);
  const int acks = std::atoi(std::getenv("LANEWAY_TEST_ACKS"));
  const auto engine = MustOpen(Options(folder));
  ASSERT_NE(engine, nullptr);
  std::array<std::thread, 2> threads;
  for (uint32_t p = 0; p < 2; p++) {
    threads[p] = std::thread([&, p] {
      const TopicPartition partition{Topic::kEvents, p};
      Offset next = engine->log().Range(partition)->next;
      while (true) {
        std::vector<NewRecord> records;
        for (Offset i = 0; i <= next % 5; i++)
          records.push_back({partition, RecordType::kEvent, "", ValueAt(next + i)});
        const std::string bytes(records.size(), static_cast<char>(p));
        next += records.size();
        if (!Append(engine->log(), std::move(records)).status.ok()) std::abort();
        if (::write(acks, bytes.data(), bytes.size()) < 0) std::abort();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST(EmbeddedCrashTest, EveryAcknowledgedRecordSurvivesKillNine) {
  TestFolder folder;
  std::array<Offset, 2> acked{};
  ASSERT_EQ(::setenv("LANEWAY_TEST_FOLDER", folder.path().c_str(), 1), 0);
  std::string program = fs::read_symlink("/proc/self/exe").string();
  std::string filter = "--gtest_filter=EmbeddedCrashHelper.DISABLED_AppendForEver";
  std::string disabled = "--gtest_also_run_disabled_tests";
  for (int round = 0; round < kKills; round++) {
    int ends[2];
    ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
    constexpr int kAcksFd = 100;
    ASSERT_EQ(::setenv("LANEWAY_TEST_ACKS", std::to_string(kAcksFd).c_str(), 1), 0);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], kAcksFd);
    posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
    char* argv[] = {program.data(), filter.data(), disabled.data(), nullptr};
    pid_t child = 0;
    ASSERT_EQ(::posix_spawn(&child, program.c_str(), &actions, nullptr, argv, environ), 0);
    posix_spawn_file_actions_destroy(&actions);
    ::close(ends[1]);
    const uint64_t until = Mix64(static_cast<uint64_t>(round) + 1) % 400 + 1;
    uint64_t heard = 0;
    bool killed = false;
    while (true) {
      char buffer[4096];
      const ssize_t n = ::read(ends[0], buffer, sizeof(buffer));
      if (n <= 0) break;
      for (ssize_t i = 0; i < n; i++) acked[static_cast<size_t>(buffer[i])]++;
      heard += static_cast<uint64_t>(n);
      if (heard >= until && !std::exchange(killed, true)) ::kill(child, SIGKILL);
    }
    ::close(ends[0]);
    int result = 0;
    ASSERT_EQ(::waitpid(child, &result, 0), child);
    ASSERT_TRUE(WIFSIGNALED(result) && WTERMSIG(result) == SIGKILL)
        << "the writer ended by itself in round " << round;

    if (round % 3 != 2) continue;  // mostly the next writer finds what a killed one has left
    const auto engine = MustOpen(Options(folder.path()));
    ASSERT_NE(engine, nullptr);
    for (uint32_t p = 0; p < 2; p++) {
      const auto values = Values(engine->log(), {Topic::kEvents, p});
      ASSERT_TRUE(values.ok()) << values.status();
      ASSERT_GE(values->size(), acked[p]);
      for (Offset i = 0; i < values->size(); i++) ASSERT_EQ((*values)[i], ValueAt(i));
      acked[p] = values->size();  // what was not acknowledged may be there, and then it stays
    }
  }
}

// A folder as a killed process leaves it: old records in table files, newer ones in the write-ahead log.
class DamageTest : public testing::Test {
 protected:
  static constexpr Offset kRecords = 60;

  void SetUp() override {
    auto engine = MustOpen(Options(folder_.Sub("live")));
    for (Offset i = 0; i < kRecords / 2; i++) Append(engine->log(), kEvents0, ValueAt(i));
    engine.reset();
    engine = MustOpen(Options(folder_.Sub("live")));
    for (Offset i = kRecords / 2; i < kRecords; i++) {
      if (i == kRecords - 1) CopyFolder(folder_.Sub("live"), folder_.Sub("before_last"));
      Append(engine->log(), kEvents0, ValueAt(i));
    }
    CopyFolder(folder_.Sub("live"), folder_.Sub("whole"));
  }

  fs::path WalOf(const std::string& folder) {
    fs::path wal;
    for (const auto& entry : fs::directory_iterator(folder + "/db")) {
      if (entry.path().extension() == ".log") wal = std::max(wal, entry.path());
    }
    return wal;
  }

  TestFolder folder_;
};

TEST_F(DamageTest, AFlippedByteIsNoticedOrHarmlessInEveryFile) {
  std::vector<fs::path> files;
  for (const auto& entry : fs::recursive_directory_iterator(folder_.Sub("whole"))) {
    if (entry.is_regular_file() && entry.file_size() > 0 && entry.path().filename() != "LOG")
      files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  int noticed = 0;
  int harmless = 0;
  for (const fs::path& file : files) {
    const std::string bytes = ReadFile(file);
    const size_t samples = std::min<size_t>(bytes.size(), 24);
    for (size_t i = 0; i < samples; i++) {
      const size_t at = i * bytes.size() / samples + Mix64(i + HashBytes(file.filename().string())) %
                                                         std::max<size_t>(bytes.size() / samples, 1);
      CopyFolder(folder_.Sub("whole"), folder_.Sub("damaged"));
      std::string damaged = bytes;
      damaged[at] = static_cast<char>(damaged[at] ^ (1 << (i % 8)));
      WriteFile(fs::path(folder_.Sub("damaged")) / fs::relative(file, folder_.Sub("whole")), damaged);
      const auto engine = EmbeddedEngine::Open(Options(folder_.Sub("damaged")));
      if (!engine.ok()) {
        EXPECT_FALSE(engine.status().message().empty());
        noticed++;
        continue;
      }
      const auto values = Values((*engine)->log(), kEvents0);
      if (!values.ok()) {
        noticed++;
        continue;
      }
      harmless++;
      ASSERT_EQ(values->size(), kRecords) << "lost without a word: byte " << at << " of " << file;
      for (Offset o = 0; o < kRecords; o++)
        ASSERT_EQ((*values)[o], ValueAt(o)) << "byte " << at << " of " << file;
    }
  }
  EXPECT_GT(noticed, 20);
  RecordProperty("noticed", noticed);
  RecordProperty("harmless", harmless);
}

TEST_F(DamageTest, ATornUnacknowledgedWriteIsDropped) {
  const uint64_t whole = fs::file_size(WalOf(folder_.Sub("whole")));
  const uint64_t before = fs::file_size(WalOf(folder_.Sub("before_last")));
  ASSERT_GT(whole, before);
  for (uint64_t size = before; size < whole; size++) {
    CopyFolder(folder_.Sub("whole"), folder_.Sub("torn"));
    fs::copy_file(folder_.Sub("before_last") + "/ACKED", folder_.Sub("torn") + "/ACKED",
                  fs::copy_options::overwrite_existing);
    fs::resize_file(WalOf(folder_.Sub("torn")), size);
    const auto engine = MustOpen(Options(folder_.Sub("torn")));
    ASSERT_NE(engine, nullptr) << size;
    const auto values = Values(engine->log(), kEvents0);
    ASSERT_TRUE(values.ok());
    ASSERT_EQ(values->size(), kRecords - 1);
    ASSERT_EQ(Append(engine->log(), kEvents0, "next").offsets, std::vector<Offset>{kRecords - 1});
    if (size > before + 20) size += 37;  // every cut of the header, some of the rest
  }
}

TEST_F(DamageTest, ATornAcknowledgedWriteIsALoss) {
  const fs::path wal = WalOf(folder_.Sub("whole"));
  fs::resize_file(wal, fs::file_size(wal) - 1);
  const absl::Status status = EmbeddedEngine::Open(Options(folder_.Sub("whole"))).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << status;
}

}  // namespace
}  // namespace laneway::log
