#include "zone/scanner.h"

#include "unit/zone/fixture.h"

namespace laneway::zone {
namespace {

using ::testing::ElementsAre;
using ::testing::Field;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;
using namespace std::chrono_literals;

std::vector<std::string> Paths(const std::vector<Identity>& files) {
  std::vector<std::string> paths;
  for (const Identity& file : files) paths.push_back(file.path);
  return paths;
}

std::vector<std::pair<std::string, std::string>> Reasons(const std::vector<Refused>& refused) {
  std::vector<std::pair<std::string, std::string>> reasons;
  for (const Refused& one : refused) reasons.emplace_back(one.path, one.reason);
  return reasons;
}

class ScannerTest : public ::testing::Test {
 protected:
  ScannerTest() : scanner_(&fs_, 2s) { fs_.Make("incoming", FileKind::kFolder); }
  MemoryFs fs_;
  Scanner scanner_;
};

TEST_F(ScannerTest, AFileIsToldOnceWhenItHasNotChangedForTheSettleTime) {
  const Identity a = Arrives(fs_, "x/y/a", "1");
  Findings findings = scanner_.Scan(10s);
  EXPECT_THAT(findings.complete, IsEmpty());
  EXPECT_EQ(findings.waiting, 1U);
  EXPECT_EQ(findings.present, 1U);
  EXPECT_EQ(findings.oldest_mtime_ns, a.mtime_ns);
  EXPECT_EQ(scanner_.NextDeadline(), 12s);
  EXPECT_THAT(scanner_.Scan(11999ms).complete, IsEmpty());
  EXPECT_THAT(scanner_.Scan(12s).complete, ElementsAre(a));
  findings = scanner_.Scan(13s);
  EXPECT_THAT(findings.complete, IsEmpty());
  EXPECT_EQ(findings.waiting, 0U);
  EXPECT_EQ(scanner_.NextDeadline(), std::nullopt);
}

TEST_F(ScannerTest, AFileThatGrowsWaitsAgain) {
  Arrives(fs_, "a", "1");
  scanner_.Scan(0s);
  const Identity grown = Arrives(fs_, "a", "12");
  EXPECT_THAT(scanner_.Scan(2s).complete, IsEmpty());
  EXPECT_THAT(scanner_.Scan(3999ms).complete, IsEmpty());
  EXPECT_THAT(scanner_.Scan(4s).complete, ElementsAre(grown));
}

TEST_F(ScannerTest, AFileThatIsOpenForWritingWaits) {
  const Identity a = Arrives(fs_, "a", "1");
  fs_.SetOpenForWriting("incoming/a", true);
  scanner_.Scan(0s);
  EXPECT_THAT(scanner_.Scan(2s).complete, IsEmpty());
  EXPECT_EQ(scanner_.NextDeadline(), 4s);
  EXPECT_THAT(scanner_.Hint("a", true, 3s).complete, IsEmpty());  // one writer closed it, another has it open
  fs_.SetOpenForWriting("incoming/a", false);
  EXPECT_THAT(scanner_.Scan(6s).complete, ElementsAre(a));
}

TEST_F(ScannerTest, NamesOfUnfinishedDownloadsWaitForEver) {
  for (const char* name : {"a.tmp", "b.PART", "c.crdownload", "~$d", ".e"}) Arrives(fs_, name, "x");
  Arrives(fs_, ".git/config", "x");
  scanner_.Scan(0s);
  const Findings findings = scanner_.Scan(100s);
  EXPECT_THAT(findings.complete, IsEmpty());
  EXPECT_THAT(findings.refused, IsEmpty());
  EXPECT_EQ(findings.waiting, 5U);
  EXPECT_THAT(scanner_.Hint("a.tmp", true, 100s).complete, IsEmpty());
  EXPECT_THAT(scanner_.Hint(".git/config", true, 100s).complete, IsEmpty());
  fs_.Move("incoming/a.tmp", "incoming/a");
  EXPECT_THAT(Paths(scanner_.Hint("a", true, 101s).complete), ElementsAre("a"));
}

TEST_F(ScannerTest, AHintThatItIsCompleteNeedsNoSettling) {
  const Identity a = Arrives(fs_, "a", "1");
  EXPECT_THAT(scanner_.Hint("a", false, 0s).complete, IsEmpty());
  EXPECT_EQ(scanner_.NextDeadline(), 2s);
  EXPECT_THAT(scanner_.Hint("a", true, 0s).complete, ElementsAre(a));
  EXPECT_THAT(scanner_.Hint("a", true, 0s).complete, IsEmpty());
  EXPECT_THAT(scanner_.Hint("missing", true, 0s).complete, IsEmpty());
  EXPECT_THAT(scanner_.Hint("../a", true, 0s).complete, IsEmpty());
  EXPECT_THAT(scanner_.Hint("", true, 0s).complete, IsEmpty());
}

TEST_F(ScannerTest, AHintAtAFolderLooksIntoIt) {
  Arrives(fs_, "new/deep/a", "1");
  EXPECT_THAT(scanner_.Hint("new", true, 0s).complete, IsEmpty());
  EXPECT_THAT(Paths(scanner_.Scan(2s).complete), ElementsAre("new/deep/a"));
}

TEST_F(ScannerTest, AnotherFileOfTheSameNameIsAnotherArrival) {
  const Identity first = Arrives(fs_, "a", "1");
  scanner_.Hint("a", true, 0s);
  fs_.Write("new", "2");
  fs_.Move("new", "incoming/a");
  const Identity second = IdentityAt(fs_, "a");
  Findings findings = scanner_.Scan(1s);
  EXPECT_THAT(findings.vanished, ElementsAre(first));
  EXPECT_THAT(findings.complete, IsEmpty());
  EXPECT_THAT(scanner_.Scan(3s).complete, ElementsAre(second));
}

TEST_F(ScannerTest, AFileThatGoesIsToldUnlessTheDispatcherTookIt) {
  const Identity a = Arrives(fs_, "a", "1");
  const Identity b = Arrives(fs_, "b", "1");
  const Identity c = Arrives(fs_, "c", "1");
  scanner_.Scan(0s);
  EXPECT_THAT(scanner_.Scan(2s).complete, ElementsAre(a, b, c));
  Arrives(fs_, "never told", "1");
  scanner_.Scan(2s);
  for (const char* path : {"incoming/a", "incoming/b", "incoming/c", "incoming/never told"}) fs_.Remove(path);
  scanner_.Taken("a");
  EXPECT_THAT(scanner_.Hint("b", false, 3s).vanished, ElementsAre(b));
  EXPECT_THAT(scanner_.Scan(3s).vanished, ElementsAre(c));
  EXPECT_THAT(scanner_.Scan(4s).vanished, IsEmpty());
  EXPECT_EQ(scanner_.Scan(4s).present, 0U);
}

TEST_F(ScannerTest, WhatWasForgottenIsToldAgain) {
  const Identity a = Arrives(fs_, "a", "1");
  scanner_.Hint("a", true, 0s);
  scanner_.Forget("a");
  scanner_.Forget("missing");
  EXPECT_THAT(scanner_.Scan(1s).complete, ElementsAre(a));
  EXPECT_THAT(scanner_.Scan(2s).complete, IsEmpty());
}

TEST_F(ScannerTest, WhatCanNeverBecomeAJobIsRefusedWithItsReason) {
  Arrives(fs_, "a", "1");
  fs_.Make("incoming/link", FileKind::kSymlink);
  fs_.Make("incoming/pipe", FileKind::kOther);
  const std::string long_name(201, 'n');
  Arrives(fs_, long_name, "1");
  Arrives(fs_, "two", "1");
  fs_.Link("incoming/two", "elsewhere");
  std::string deep = "d";
  for (size_t i = 1; i < kDepthMax; i++) deep += "/d";
  Arrives(fs_, deep + "/too deep", "1");
  Findings findings = scanner_.Scan(0s);
  EXPECT_THAT(Reasons(findings.refused),
              ElementsAre(Pair(deep, "folders deeper than 32"), Pair("link", "a symbolic link"),
                          Pair("pipe", "a FIFO, socket or device")));
  findings = scanner_.Scan(2s);
  EXPECT_THAT(Reasons(findings.refused),
              ElementsAre(Pair(long_name, "name longer than 200 bytes"), Pair("two", "has 2 hard links")));
  EXPECT_THAT(Paths(findings.complete), ElementsAre("a"));
  EXPECT_THAT(scanner_.Scan(4s).refused, IsEmpty());  // once
  scanner_.Forget("link");
  EXPECT_EQ(scanner_.Scan(5s).refused.size(), 1U);
}

TEST_F(ScannerTest, ADeliveryByLinkAndUnlinkIsNotRefused) {
  fs_.Write("spool", "1");
  fs_.Link("spool", "incoming/a");
  scanner_.Scan(0s);
  EXPECT_THAT(scanner_.Hint("a", true, 1s).refused, IsEmpty());
  fs_.Remove("spool");
  EXPECT_THAT(scanner_.Scan(1500ms).complete, IsEmpty());
  const Findings findings = scanner_.Scan(4s);
  EXPECT_THAT(findings.refused, IsEmpty());
  EXPECT_THAT(Paths(findings.complete), ElementsAre("a"));
}

TEST_F(ScannerTest, AFolderWithoutRightsIsToldOnceAndItsFilesHaveNotVanished) {
  const Identity a = Arrives(fs_, "locked/a", "1");
  scanner_.Hint("locked/a", true, 0s);
  fs_.SetUnreadable("incoming/locked", true);
  Findings findings = scanner_.Scan(1s);
  ASSERT_EQ(findings.unreadable.size(), 1U);
  EXPECT_EQ(findings.unreadable[0].path, "locked");
  EXPECT_THAT(findings.unreadable[0].reason, HasSubstr("rights"));
  EXPECT_THAT(findings.vanished, IsEmpty());
  EXPECT_THAT(scanner_.Scan(2s).unreadable, IsEmpty());
  fs_.SetUnreadable("incoming/locked", false);
  findings = scanner_.Scan(3s);
  EXPECT_THAT(findings.vanished, IsEmpty());
  EXPECT_THAT(findings.complete, IsEmpty());
  fs_.SetUnreadable("incoming/locked", true);
  EXPECT_EQ(scanner_.Scan(4s).unreadable.size(), 1U);  // it had been readable
}

TEST_F(ScannerTest, AFileThatAListingMissedHasNotVanished) {
  class Skipping : public MemoryFs {
   public:
    absl::StatusOr<std::vector<FolderItem>> ListWithInfo(std::string_view folder) override {
      auto items = MemoryFs::ListWithInfo(folder);
      if (skip && items.ok()) items->clear();
      return items;
    }
    bool skip = false;
  };
  Skipping fs;
  const Identity a = Arrives(fs, "a", "1");
  Scanner scanner(&fs, 2s);
  scanner.Hint("a", true, 0s);
  fs.skip = true;
  EXPECT_THAT(scanner.Scan(1s).vanished, IsEmpty());
  fs.Remove("incoming/a");
  EXPECT_THAT(scanner.Scan(2s).vanished, ElementsAre(a));
}

TEST_F(ScannerTest, ManyFilesAreToldInSeveralLooks) {
  for (size_t i = 0; i < Scanner::kCompleteMax + 5; i++) fs_.Write("incoming/" + std::to_string(i), "");
  EXPECT_EQ(scanner_.Scan(0s).waiting, Scanner::kCompleteMax + 5);
  EXPECT_EQ(scanner_.Scan(2s).complete.size(), Scanner::kCompleteMax);
  EXPECT_EQ(scanner_.NextDeadline(), 2s);
  EXPECT_EQ(scanner_.Scan(2s).complete.size(), 5U);
  EXPECT_EQ(scanner_.NextDeadline(), std::nullopt);
}

TEST_F(ScannerTest, EmptyFilesAndAwkwardNamesAreFilesLikeOthers) {
  for (const char* name : {"-rf", "new\nline", "\xff\xfe", "sp ace/ü", "$(id)"}) Arrives(fs_, name, "");
  scanner_.Scan(0s);
  EXPECT_EQ(scanner_.Scan(2s).complete.size(), 5U);
}

}  // namespace
}  // namespace laneway::zone
