#include "zone/inotify.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <unistd.h>

#include <filesystem>
#include <map>

#include "support/temp_folder.h"

namespace laneway::zone {
namespace {

using ::laneway::testing::TempFolder;
using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::UnorderedElementsAre;

class InotifyTest : public ::testing::Test {
 protected:
  InotifyTest() {
    std::filesystem::create_directories(folder_ / "incoming/old/deep");
    watcher_ = std::make_unique<InotifyWatcher>(folder_ / "incoming");
    EXPECT_TRUE(watcher_->status().ok()) << watcher_->status();
  }
  // The news are in the queue when the call that caused them has returned.
  std::map<std::string, bool> Hints() {
    pollfd waiting = {.fd = watcher_->fd(), .events = POLLIN, .revents = 0};
    EXPECT_EQ(poll(&waiting, 1, 10'000), 1);
    std::map<std::string, bool> hints;
    const InotifyWatcher::News news = watcher_->Read();
    EXPECT_FALSE(news.rescan);
    for (const InotifyWatcher::Hint& hint : news.hints) hints[hint.path] |= hint.complete;
    return hints;
  }
  TempFolder folder_;
  std::unique_ptr<InotifyWatcher> watcher_;
};

TEST_F(InotifyTest, AFileThatIsClosedOrMovedInIsComplete) {
  folder_.Write("incoming/a\n", "x");
  EXPECT_THAT(Hints(), UnorderedElementsAre(Pair("a\n", true)));
  folder_.Write("b", "x");
  std::filesystem::rename(folder_ / "b", folder_ / "incoming/old/deep/b");
  EXPECT_THAT(Hints(), UnorderedElementsAre(Pair("old/deep/b", true)));
  const int writer = open((folder_ / "incoming/c").c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
  EXPECT_THAT(Hints(), UnorderedElementsAre(Pair("c", false)));
  EXPECT_EQ(close(writer), 0);
  EXPECT_THAT(Hints(), UnorderedElementsAre(Pair("c", true)));
  EXPECT_THAT(watcher_->Read().hints, IsEmpty());
}

TEST_F(InotifyTest, LinksAndSpecialFilesAreTold) {
  std::filesystem::create_symlink("/etc/passwd", folder_ / "incoming/link");
  EXPECT_THAT(Hints(), UnorderedElementsAre(Pair("link", false)));
}

TEST_F(InotifyTest, NewFoldersAreWatchedWithWhatIsInThemAlready) {
  folder_.Write("new/sub/a", "x");
  std::filesystem::rename(folder_ / "new", folder_ / "incoming/new");
  EXPECT_THAT(Hints(), UnorderedElementsAre(Pair("new/sub/a", false)));
  folder_.Write("incoming/new/sub/b", "x");
  EXPECT_THAT(Hints(), UnorderedElementsAre(Pair("new/sub/b", true)));
}

TEST_F(InotifyTest, DotNamesAreNotTold) {
  folder_.Write("incoming/.hidden", "x");
  folder_.Write("incoming/seen", "x");
  EXPECT_THAT(Hints(), UnorderedElementsAre(Pair("seen", true)));
}

TEST_F(InotifyTest, AFolderThatIsRenamedIsFollowed) {
  std::filesystem::rename(folder_ / "incoming/old", folder_ / "incoming/renamed");
  EXPECT_TRUE(watcher_->Read().rescan);
  folder_.Write("incoming/renamed/deep/a", "x");
  EXPECT_THAT(Hints(), UnorderedElementsAre(Pair("renamed/deep/a", true)));
}

TEST_F(InotifyTest, WhenIncomingItselfIsReplacedItIsWatchedAgain) {
  std::filesystem::remove_all(folder_ / "incoming");
  EXPECT_TRUE(watcher_->Read().rescan);
  std::filesystem::create_directories(folder_ / "incoming");
  EXPECT_TRUE(watcher_->Read().rescan);
  folder_.Write("incoming/a", "x");
  EXPECT_THAT(Hints(), UnorderedElementsAre(Pair("a", true)));
}

TEST(InotifyMissingTest, WhereItDoesNotWorkItSaysSo) {
  InotifyWatcher watcher("/nowhere/at/all");
  EXPECT_FALSE(watcher.status().ok());
  EXPECT_EQ(watcher.fd(), -1);
  EXPECT_THAT(watcher.Read().hints, IsEmpty());
}

}  // namespace
}  // namespace laneway::zone
