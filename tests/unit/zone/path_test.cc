#include "zone/path.h"

#include <gtest/gtest.h>

namespace laneway::zone {
namespace {

TEST(PathTest, OnlyRelativePathsWithoutDotsAreSafe) {
  for (const std::string& good :
       {std::string("a"), std::string("a/b"), std::string("-rf"), std::string("..."), std::string("a\nb"),
        std::string("\xff"), std::string(255, 'x'), std::string("a b/$(id)")}) {
    EXPECT_TRUE(CheckPath(good).ok()) << good;
  }
  for (const std::string& bad :
       {std::string(""), std::string("/"), std::string("/a"), std::string("a/"), std::string("a//b"),
        std::string("."), std::string(".."), std::string("a/.."), std::string("../a"), std::string("a/./b"),
        std::string("a\0b", 3), std::string(256, 'x'), std::string(5000, 'x')}) {
    EXPECT_TRUE(absl::IsInvalidArgument(CheckPath(bad))) << bad;
  }
}

TEST(PathTest, UsersPathsLeaveRoomForWhatWePutBehindThem) {
  std::string deep = "a";
  for (size_t i = 1; i < kDepthMax; i++) deep += "/a";
  EXPECT_TRUE(CheckUserPath(deep).ok());
  EXPECT_FALSE(CheckUserPath(deep + "/a").ok());
  EXPECT_TRUE(CheckUserPath(std::string(200, 'x')).ok());
  EXPECT_FALSE(CheckUserPath(std::string(201, 'x')).ok());
  std::string wide(199, 'x');
  while (wide.size() < kPathBytesMax) wide += "/" + std::string(199, 'x');
  EXPECT_FALSE(CheckUserPath(wide).ok());
}

TEST(PathTest, PartsOfPaths) {
  EXPECT_EQ(ParentOf("a/b/c"), "a/b");
  EXPECT_EQ(ParentOf("a"), "");
  EXPECT_EQ(NameOf("a/b/c"), "c");
  EXPECT_EQ(JoinPath("", "a"), "a");
  EXPECT_EQ(JoinPath("a", "b"), "a/b");
  EXPECT_EQ(DepthOf(""), 0U);
  EXPECT_EQ(DepthOf("a/b/c"), 3U);
  EXPECT_TRUE(IsBelow("a/b", "a"));
  EXPECT_TRUE(IsBelow("a/b", ""));
  EXPECT_FALSE(IsBelow("a", "a"));
  EXPECT_FALSE(IsBelow("ab/c", "a"));
}

TEST(PathTest, AMarkGoesBeforeTheExtensionAndTheNameStaysLegal) {
  EXPECT_EQ(WithMark("a/b.csv", "~1"), "a/b~1.csv");
  EXPECT_EQ(WithMark("b", "~1"), "b~1");
  EXPECT_EQ(WithMark(".hidden", "~1"), ".hidden~1");
  EXPECT_EQ(WithMark("b.tar.gz", "~1"), "b.tar~1.gz");
  EXPECT_EQ(WithMark("b.", "~1"), "b~1.");
  EXPECT_EQ(WithMark("a.b/c", "~1"), "a.b/c~1");
  EXPECT_EQ(WithMark(std::string(255, 'x'), "~1"), std::string(253, 'x') + "~1");
  EXPECT_EQ(WithMark(std::string(251, 'x') + ".csv", "~1", 16).size(), 255U - 16U);
  EXPECT_EQ(WithMark("b." + std::string(200, 'e'), "~1"), "b." + std::string(200, 'e') + "~1");
}

TEST(PathTest, UnfinishedDownloadsAreKnownByTheirNames) {
  for (const char* name : {".x", "~$budget.xlsx", "a.tmp", "a.TMP", "a.Part", "a.crdownload"}) {
    EXPECT_TRUE(IsUnfinishedName(name)) << name;
  }
  for (const char* name : {"tmp", "a.tmp.csv", "~a", "part", "a.temporary", "$~a"}) {
    EXPECT_FALSE(IsUnfinishedName(name)) << name;
  }
}

TEST(PathTest, NamesOfAttemptsAreOnlyWhatWeWrite) {
  const TaskId task{JobId{0x0123456789abcdefULL, 42}, 7};
  const std::string name = ToAttemptName(task, 12);
  ASSERT_TRUE(ParseAttemptName(name).has_value());
  EXPECT_EQ(ParseAttemptName(name)->task, task);
  EXPECT_EQ(ParseAttemptName(name)->attempt, 12U);
  std::string lower = name;
  for (char& c : lower) c = static_cast<char>(tolower(c));
  for (const std::string& other :
       {lower, name + "x", name + ".", task.ToFileName(), task.ToFileName() + ".0", task.ToFileName() + ".01",
        task.ToFileName() + ".9999999999", std::string("output")}) {
    EXPECT_FALSE(ParseAttemptName(other).has_value()) << other;
  }
}

TEST(PathTest, MessagesShowBytesThatCannotBePrinted) {
  EXPECT_EQ(Printable("a b\n\xff\x1b[0m\\"), "a b\\x0a\\xff\\x1b[0m\\\\");
}

}  // namespace
}  // namespace laneway::zone
