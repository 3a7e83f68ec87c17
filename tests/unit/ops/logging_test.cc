#include "ops/logging.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "ops/strict_json.h"

namespace laneway::ops {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::MatchesRegex;
using ::testing::Not;

std::string Captured(const LogOptions& options, const std::function<void()>& act) {
  InitLogging(options);
  testing::internal::CaptureStderr();
  act();
  std::string out = testing::internal::GetCapturedStderr();
  InitLogging({});
  return out;
}

TEST(LogTest, ALineBeginsWithItsTimeAndItsWorkersName) {
  const std::string out = Captured(
      {}, [] { Log(LogLevel::kInfo, "DTF-03", "Task Started").With("job", "01J").With("attempt", 1); });
  EXPECT_THAT(out, MatchesRegex("[0-9-]+T[0-9:.]+Z DTF-03 – Task Started job=01J attempt=1\n"));
}

TEST(LogTest, NoValueCanEndALineForgeAFieldOrMoveTheCursor) {
  const std::string out = Captured({}, [] {
    Log(LogLevel::kWarning, "DTF-03\n", "Task\nFailed")
        .With("file", "a b\n2026 DTF-99 – forged job=x\x1b[2J")
        .With("n", "1");
  });
  EXPECT_EQ(std::count(out.begin(), out.end(), '\n'), 1);
  EXPECT_THAT(out, Not(HasSubstr("\x1b")));
  EXPECT_THAT(out, HasSubstr("file=\"a b\\n2026 DTF-99 – forged job=x\\x1B[2J\" n=1 level=warning"));
}

TEST(LogTest, JsonLinesAreJsonWhateverTheValues) {
  const std::string out = Captured({.json = true}, [] {
    Log(LogLevel::kError, "dispatcher", "bad \"file\"").With("file", "\xff\n").With("size", uint64_t{12});
  });
  const ParsedJson parsed = ParseStrictJson(out);
  ASSERT_TRUE(parsed.readable) << out;
  EXPECT_EQ(parsed.root.Find("who")->text, "dispatcher");
  EXPECT_EQ(parsed.root.Find("file")->text, "\\xFF\n");
  EXPECT_EQ(parsed.root.Find("size")->magnitude, 12u);
  EXPECT_EQ(parsed.root.Find("level")->text, "error");
}

TEST(LogTest, LevelsAndRepetitions) {
  const std::string out = Captured({.level = LogLevel::kWarning}, [] {
    Log(LogLevel::kInfo, "a", "quiet");
    for (int i = 0; i < 50; i++) Log(LogLevel::kWarning, "a", "again and again").Rarely();
  });
  EXPECT_THAT(out, EndsWith("a – again and again level=warning\n"));
  EXPECT_EQ(std::count(out.begin(), out.end(), '\n'), 1);
}

TEST(LogTest, ALineHasAnEnd) {
  const std::string out = Captured({}, [] {
    Log(LogLevel::kInfo, "a", std::string(100'000, 'x'))
        .With("k", std::string(100'000, 'y'))
        .With("l", std::string(100'000, 'z'))
        .With("m", std::string(100'000, 'z'))
        .With("n", std::string(100'000, 'z'));
  });
  EXPECT_LT(out.size(), 8300u);
}

TEST(RepetitionsTest, TheFirstThenOnceAMinuteWithTheCount) {
  Repetitions repetitions(2);
  EXPECT_TRUE(repetitions.Seen("a", LogTime{0}).write);
  EXPECT_FALSE(repetitions.Seen("a", LogTime{1}).write);
  EXPECT_FALSE(repetitions.Seen("a", LogTime{59'999}).write);
  const auto verdict = repetitions.Seen("a", LogTime{60'000});
  EXPECT_TRUE(verdict.write);
  EXPECT_EQ(verdict.repeated, 2u);
  EXPECT_TRUE(repetitions.Seen("a", LogTime{10}).write) << "the clock was set back";
  EXPECT_TRUE(repetitions.Seen("b", LogTime{20}).write);
  EXPECT_TRUE(repetitions.Seen("c", LogTime{20}).write)
      << "room for two kinds only: it forgets rather than grows";
}

TEST(WorkerLogTest, WritesTheDocumentedFormAndRotates) {
  const std::string path = testing::TempDir() + "/worker.log";
  std::remove(path.c_str());
  auto log = OpenWorkerLog({.path = path, .worker = "DTF-03", .bytes_max = 4096, .files_max = 2});
  ASSERT_TRUE(log.ok());
  (*log)->Write(LogTime{1795241702123}, "Upload Success (Browser 9224)",
                {{"job", "01J"}, {"attempt", "1"}, {"file", "a b.csv"}});
  (*log)->Flush();
  std::stringstream text;
  text << std::ifstream(path).rdbuf();
  EXPECT_EQ(
      text.str(),
      "2026-11-21T06:15:02.123Z DTF-03 – Upload Success (Browser 9224) job=01J attempt=1 file=\"a b.csv\"\n");
  for (int i = 0; i < 300; i++) (*log)->Write(LogTime{0}, "Task Success", {});
  EXPECT_TRUE(std::ifstream(testing::TempDir() + "/worker.1.log").good());
  EXPECT_FALSE(std::ifstream(testing::TempDir() + "/worker.3.log").good());
  EXPECT_FALSE(OpenWorkerLog({.path = "/proc/nonexistent/worker.log", .worker = "w"}).ok());
}

}  // namespace
}  // namespace laneway::ops
