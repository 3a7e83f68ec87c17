#include "worker/browser/chrome.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <string>

#include "support/temp_folder.h"
#include "worker/browser/keeper.h"
#include "worker/browser/port_owner.h"
#include "worker/browser/profile.h"

namespace laneway::worker {
namespace {

using laneway::testing::TempFolder;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;

TEST(ChromeTest, IsFoundInThePathOrNamedWhatToInstall) {
  TempFolder folder;
  const std::string program = folder.path() + "/chromium";
  EXPECT_THAT(std::string(FindBrowser("", folder.path()).status().message()),
              HasSubstr("apt-get install chromium"));
  std::ofstream(program) << "#!/bin/sh\n";
  EXPECT_FALSE(FindBrowser("", folder.path()).ok()) << "it is not executable";
  chmod(program.c_str(), 0755);
  EXPECT_EQ(FindBrowser("", "/nowhere:" + folder.path()).value_or(""), program);
  EXPECT_EQ(FindBrowser("chromium", folder.path()).value_or(""), program);
  EXPECT_EQ(FindBrowser(program, "").value_or(""), program);
  EXPECT_THAT(std::string(FindBrowser("/nowhere/x", "").status().message()), HasSubstr("browser.command"));
}

TEST(ChromeTest, ArgumentsFitTheMachineAndTheOperatorHasTheLastWord) {
  ChromeFacts facts{"/usr/bin/chromium", "/p", 9224, {"--lang=en"}, false, 1 << 20};
  auto arguments = ChromeArguments(facts);
  EXPECT_THAT(arguments, Contains("--remote-debugging-port=9224"));
  EXPECT_THAT(arguments, Contains("--user-data-dir=/p"));
  EXPECT_THAT(arguments, Contains("--headless=new"));
  EXPECT_THAT(arguments, Not(Contains("--disable-dev-shm-usage")));
  EXPECT_THAT(arguments, Not(Contains("--no-sandbox"))) << "never by itself";
  EXPECT_EQ(arguments.back(), "--lang=en");
  facts.display = true;
  facts.shared_memory_kib = 64 << 10;
  arguments = ChromeArguments(facts);
  EXPECT_THAT(arguments, Not(Contains("--headless=new")));
  EXPECT_THAT(arguments, Contains("--disable-dev-shm-usage"));
}

TEST(ChromeTest, RootMustGiveUpTheSandboxOnPurpose) {
  EXPECT_TRUE(CheckSandbox(false, {}).ok());
  EXPECT_TRUE(CheckSandbox(true, {"--no-sandbox"}).ok());
  EXPECT_THAT(std::string(CheckSandbox(true, {}).message()), HasSubstr("add --no-sandbox to browser.args"));
}

TEST(ChromeTest, ItGetsNoSecretOfOurs) {
  const auto environment =
      BrowserEnvironment({"PATH=/bin", "LANEWAY_TOKEN=s", "KAFKA_PASSWORD=s", "AWS_SECRET=s", "DISPLAY=:0",
                          "XDG_RUNTIME_DIR=/run", "MINE=1"},
                         {"MINE", "LANEWAY_TOKEN"});
  EXPECT_THAT(environment,
              ::testing::UnorderedElementsAre("PATH=/bin", "DISPLAY=:0", "XDG_RUNTIME_DIR=/run", "MINE=1"));
}

TEST(ChromeTest, KnownEndsAreToldWithTheirRemedy) {
  const std::pair<const char*, const char*> rows[] = {
      {"[1:1] Running as root without --no-sandbox is not supported.", "add --no-sandbox to browser.args"},
      {"FATAL: No usable sandbox! Update your kernel", "user namespaces"},
      {"The profile appears to be in use by another Chromium process", "another browser.profile_dir"},
      {"Missing X server or $DISPLAY", "--headless=new"},
      {"Creating shared memory in /dev/shm/.org failed: No space left", "--disable-dev-shm-usage"},
      {"error while loading shared libraries: libnss3.so", "a library is missing"},
      {"dbus noise\nsomething odd\n", "it ended with exit 1: something odd"},
      {"", "it ended with exit 1"},
  };
  for (const auto& [output, want] : rows)
    EXPECT_THAT(ExplainEnd("exit 1", output), HasSubstr(want)) << output;
}

TEST(ProfileTest, HasOneUserAtATime) {
  TempFolder folder;
  const std::string profile = folder.path() + "/a/b/DTF-01";
  const auto lock = LockProfile(profile);
  ASSERT_TRUE(lock.ok()) << lock.status();
  EXPECT_TRUE(absl::IsFailedPrecondition(LockProfile(profile).status()));
  close(*lock);
  const auto again = LockProfile(profile);
  EXPECT_TRUE(again.ok());
  close(*again);
}

class SingletonTest : public ::testing::Test {
 protected:
  SingletonTest() {
    const auto lock = LockProfile(profile_);
    close(*lock);
    char name[256] = {};
    gethostname(name, sizeof name - 1);
    host_ = name;
  }
  void Link(const std::string& target) {
    unlink(lock_.c_str());
    ASSERT_EQ(symlink(target.c_str(), lock_.c_str()), 0);
  }
  bool Linked() {
    struct stat info {};
    return lstat(lock_.c_str(), &info) == 0;
  }

  TempFolder folder_;
  const std::string profile_ = folder_.path() + "/DTF-01";
  const std::string lock_ = profile_ + "/SingletonLock";
  std::string host_;
};

TEST_F(SingletonTest, OfWhoIsGoneGoes) {
  EXPECT_TRUE(ClearSingleton(profile_).ok()) << "there is none";
  Link(host_ + "-999999999");
  EXPECT_TRUE(ClearSingleton(profile_).ok());
  EXPECT_FALSE(Linked());
  Link(host_ + "-" + std::to_string(getpid()));
  EXPECT_TRUE(ClearSingleton(profile_).ok()) << "the number was given to somebody else";
}

TEST_F(SingletonTest, OfAnotherMachineStays) {
  Link("elsewhere-1");
  const absl::Status status = ClearSingleton(profile_);
  EXPECT_THAT(std::string(status.message()), HasSubstr("a browser on elsewhere"));
  EXPECT_TRUE(Linked());
  std::ofstream(KeeperFolder(profile_) + "/generation") << "1 1 1\n";
  EXPECT_TRUE(ClearSingleton(profile_).ok()) << "this machine under another name: a keeper of ours made it";
}

TEST_F(SingletonTest, AsideAndBack) {
  std::ofstream(profile_ + "/login") << "x";
  const auto there = [&] { return access((profile_ + "/login").c_str(), F_OK) == 0; };
  EXPECT_TRUE(Apply(ProfileStep::kPutBack, profile_, {1}).ok()) << "nothing to put back: nothing happens";
  EXPECT_TRUE(there());
  EXPECT_TRUE(Apply(ProfileStep::kSetAside, profile_, {1'000'000'000'000}).ok());
  EXPECT_FALSE(there());
  EXPECT_TRUE(Apply(ProfileStep::kPutBack, profile_, {1'000'000'000'001}).ok());
  EXPECT_TRUE(there());
}

TEST(PortOwnerTest, NobodyListensOnAFreePort) { EXPECT_FALSE(WhoListens(1).has_value()); }

TEST(KeeperStateTest, ReadsWhatItWrote) {
  const auto state = ParseKeeperState(KeeperStateText({4711, 123456789, 12}));
  ASSERT_TRUE(state);
  EXPECT_EQ(state->pid, 4711);
  EXPECT_EQ(state->pid_start, 123456789u);
  EXPECT_EQ(state->generation, 12u);
  for (const char* text : {"", "1", "0 1 1", "-4 1 1", "4711 x 1", "4711 1 1 1", "99999999999 1 1"})
    EXPECT_FALSE(ParseKeeperState(text)) << text;
}

}  // namespace
}  // namespace laneway::worker
