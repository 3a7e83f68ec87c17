#include "worker/browser/guard.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace laneway::worker {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// A guard, and everything it has said. Time moves to its deadlines on the way to where it is told to go.
class Rig {
 public:
  explicit Rig(GuardLimits limits = {}) : guard(limits, 9224) {
    guard.Begin(now);
    Step();
  }

  void Step() {
    GuardCommands out;
    guard.Step(now, &out);
    launches += out.launch.has_value();
    if (out.launch) profile.push_back(*out.launch);
    attaches += out.attach;
    if (out.ask) asked.push_back(*out.ask);
    if (out.end) ends.push_back(*out.end);
    measures += out.measure;
    if (out.state) state = *out.state;
    for (const BrowserLine& line : out.lines) {
      lines.push_back(line.text);
      if (line.good) good.push_back(line.text);
    }
    for (const v1::Alert& alert : out.alerts) alerts.push_back(alert.message());
  }
  void Take(const GuardEvent& event) {
    guard.On(event, now);
    Step();
  }
  // Goes on for so long; `each` is called at every moment at which the guard does something.
  template <class Each>
  void Pass(Millis time, Each each) {
    const Millis until = now + time;
    for (auto due = guard.NextDeadline(); due && *due <= until; due = guard.NextDeadline()) {
      now = std::max(now, *due);
      Step();
      each();
    }
    now = until;
  }
  void Pass(Millis time) {
    Pass(time, [] {});
  }
  // A browser that works: its questions are answered at once.
  void Works(Millis time) {
    Pass(time, [this] { Answer(); });
  }
  void Answer() {
    while (answered < asked.size()) {
      answered = asked.size();
      Take(BrowserAnswered{});
    }
  }
  void ComesUp() {
    Take(BrowserLaunched{++started, false});
    Take(BrowserAttached{std::to_string(started)});
    Answer();
  }

  BrowserGuard guard;
  Millis now{1'000'000};
  uint32_t started = 0;
  size_t answered = 0;
  int launches = 0, attaches = 0, measures = 0;
  std::vector<Probe> asked;
  std::vector<BrowserEnd> ends;
  std::vector<ProfileStep> profile;
  BrowserState state;
  std::vector<std::string> lines, good, alerts;
};

TEST(BrowserGuardTest, ConnectedOnlyOnceAPageHasAnswered) {
  Rig rig;
  EXPECT_EQ(rig.launches, 1);
  rig.Take(BrowserLaunched{1, false});
  EXPECT_EQ(rig.attaches, 1);
  rig.Take(BrowserAttached{"a"});
  EXPECT_THAT(rig.asked, ElementsAre(Probe::kPage));
  EXPECT_FALSE(rig.state.connected);
  rig.Take(BrowserAnswered{});
  EXPECT_TRUE(rig.state.connected);
  EXPECT_EQ(rig.state.generation, 1u);
  EXPECT_EQ(rig.state.over, 0u);
  EXPECT_THAT(rig.lines, ElementsAre("Browser Ready (Browser 9224)"));
}

TEST(BrowserGuardTest, AKilledBrowserIsStartedAgainAtOnce) {
  Rig rig;
  rig.ComesUp();
  rig.Works(minutes(1));
  rig.Take(BrowserDropped{"gone"});
  EXPECT_FALSE(rig.state.connected) << "told with the connection, not with the process";
  EXPECT_EQ(rig.state.over, 0u);
  rig.Take(BrowserExited{"SIGKILL"});
  EXPECT_EQ(rig.state.over, 1u);
  rig.Pass(milliseconds(0));
  EXPECT_EQ(rig.launches, 2) << "it had been steady: no wait";
  rig.ComesUp();
  EXPECT_TRUE(rig.state.connected);
  EXPECT_THAT(rig.lines, ElementsAre("Browser Ready (Browser 9224)", "Browser Disconnected (Browser 9224)",
                                     "Browser Restored (Browser 9224)"));
  EXPECT_THAT(rig.good, ElementsAre("Browser Ready (Browser 9224)", "Browser Restored (Browser 9224)"))
      << "nobody need look after these";
}

TEST(BrowserGuardTest, AHungBrowserIsNoticedWithinFiveSecondsAndReplacedWithinTen) {
  Rig rig;
  rig.ComesUp();
  rig.Works(seconds(30));
  const Millis hung = rig.now;
  while (rig.state.connected) rig.Pass(milliseconds(10));
  EXPECT_LE(rig.now - hung, seconds(5));
  EXPECT_EQ(rig.state.over, 0u) << "it may come back";
  EXPECT_THAT(rig.lines.back(), "Browser Session Timeout");
  while (rig.ends.empty()) rig.Pass(milliseconds(10));
  EXPECT_LE(rig.now - hung, seconds(10));
  EXPECT_THAT(rig.ends, ElementsAre(BrowserEnd::kAtOnce));
  rig.Take(BrowserExited{"SIGKILL"});
  EXPECT_EQ(rig.state.over, 1u);
  EXPECT_THAT(rig.lines.back(), "Browser Disconnected (Browser 9224)");
  rig.Pass(milliseconds(0));
  EXPECT_EQ(rig.launches, 2);
}

TEST(BrowserGuardTest, OneThatAnswersLateIsKept) {
  Rig rig;
  rig.ComesUp();
  while (rig.state.connected) rig.Pass(milliseconds(10));
  rig.Answer();
  EXPECT_TRUE(rig.state.connected);
  EXPECT_EQ(rig.state.over, 0u);
  rig.Works(minutes(5));
  EXPECT_THAT(rig.ends, IsEmpty());
}

TEST(BrowserGuardTest, AConnectionThatDropsAloneIsTakenUpAgain) {
  Rig rig;
  rig.ComesUp();
  rig.Take(BrowserDropped{"reset"});
  rig.Pass(milliseconds(0));
  rig.Take(BrowserAttached{"1"});
  EXPECT_THAT(rig.asked.back(), Probe::kVersion);
  rig.Answer();
  EXPECT_TRUE(rig.state.connected);
  EXPECT_EQ(rig.state.over, 0u) << "nothing was lost";

  rig.Take(BrowserDropped{"reset"});
  rig.Pass(seconds(3), [&] { rig.Take(BrowserRefused{"refused", false}); });
  EXPECT_THAT(rig.ends, ElementsAre(BrowserEnd::kAtOnce)) << "its port stays closed: replaced";
}

TEST(BrowserGuardTest, BackOffGrowsWhileItDoesNotLast) {
  Rig rig;
  std::vector<Millis> waits;
  for (int i = 0; i < 9; i++) {
    rig.ComesUp();
    const int before = rig.launches;
    const Millis lost = rig.now;
    rig.Take(BrowserExited{"SIGSEGV"});
    while (rig.launches == before) rig.Pass(milliseconds(100));
    waits.push_back(rig.now - lost);
  }
  EXPECT_THAT(waits, ElementsAre(milliseconds(0), seconds(1), seconds(2), seconds(4), seconds(8), seconds(16),
                                 seconds(32), seconds(60), seconds(60)));
  EXPECT_THAT(rig.alerts, Contains(HasSubstr("Browser Unstable (6 restarts within 10 minutes")));
  rig.ComesUp();
  rig.Works(minutes(20));
  rig.Take(BrowserExited{"SIGSEGV"});
  EXPECT_THAT(rig.alerts.back(), HasSubstr("Stable Again"));
  rig.Pass(milliseconds(0));
  EXPECT_EQ(rig.launches, 11) << "it had been steady";
}

TEST(BrowserGuardTest, AProfileThatMayBeDamagedIsSetAsideAndPutBackWhenThatWasNotIt) {
  Rig rig;
  const auto dies = [&] {
    const int before = rig.launches;
    rig.Take(BrowserLaunched{++rig.started, false});
    rig.Take(BrowserExited{"exit 21"});
    while (rig.launches == before) rig.Pass(seconds(1));
  };
  for (int i = 0; i < 3; i++) dies();
  EXPECT_EQ(rig.profile.back(), ProfileStep::kSetAside);
  for (int i = 0; i < 3; i++) dies();
  EXPECT_EQ(rig.profile.back(), ProfileStep::kPutBack);
  for (int i = 0; i < 9; i++) dies();
  EXPECT_EQ(std::count(rig.profile.begin(), rig.profile.end(), ProfileStep::kSetAside), 1)
      << "it is not tried again and again";
  EXPECT_EQ(std::count_if(rig.alerts.begin(), rig.alerts.end(),
                          [](const std::string& text) { return text.find("Not Started") != text.npos; }),
            1)
      << "one cause is told once";
}

TEST(BrowserGuardTest, WhatIsNotTheProfilesFaultLeavesItAlone) {
  Rig rig;
  for (int i = 0; i < 8; i++) {
    const int before = rig.launches;
    rig.Take(BrowserLaunchFailed{"port 9224 is taken by process 1 (init)", true});
    while (rig.launches == before) rig.Pass(seconds(1));
  }
  EXPECT_THAT(rig.profile, testing::Each(ProfileStep::kKeep));
  EXPECT_THAT(rig.state.note, HasSubstr("port 9224"));
}

TEST(BrowserGuardTest, RecycledOnlyBetweenTasks) {
  GuardLimits limits;
  limits.recycle_tasks = 2;
  Rig rig(limits);
  rig.ComesUp();
  rig.Take(BrowserUse{1, 1, rig.state.seq});
  rig.Take(BrowserUse{1, 2, rig.state.seq});
  rig.Works(seconds(10));
  EXPECT_TRUE(rig.state.connected);
  EXPECT_TRUE(rig.state.resting) << "nothing new is to begin";
  EXPECT_THAT(rig.ends, IsEmpty()) << "one task still runs";
  rig.Take(BrowserUse{0, 2, rig.state.seq - 1});
  rig.Works(seconds(10));
  EXPECT_THAT(rig.ends, IsEmpty()) << "the worker has not heard of it: another may have begun";
  rig.Take(BrowserUse{0, 2, rig.state.seq});
  rig.Works(seconds(3));
  EXPECT_THAT(rig.ends, ElementsAre(BrowserEnd::kGently));
  EXPECT_FALSE(rig.state.connected);
  rig.Take(BrowserExited{"exit 0"});
  rig.Pass(milliseconds(0));
  EXPECT_EQ(rig.launches, 2);
  rig.ComesUp();
  EXPECT_FALSE(rig.state.resting);
  EXPECT_THAT(rig.lines, testing::Not(Contains(HasSubstr("Disconnected")))) << "nobody lost anything";
  rig.Works(minutes(1));
  EXPECT_EQ(rig.ends.size(), 1u) << "its tasks are counted anew";
}

TEST(BrowserGuardTest, RecycledByAgeAndByMemory) {
  GuardLimits limits;
  limits.recycle_age = hours(1);
  Rig old(limits);
  old.ComesUp();
  old.Take(BrowserUse{0, 0, old.state.seq});
  old.Works(minutes(61));
  old.Take(BrowserUse{0, 0, old.state.seq});
  old.Works(seconds(3));
  EXPECT_THAT(old.lines.back(), HasSubstr("60 minutes old"));

  limits = {};
  limits.recycle_memory_kib = 1000;
  Rig fat(limits);
  fat.ComesUp();
  fat.Works(minutes(1));
  EXPECT_GT(fat.measures, 0);
  fat.Take(BrowserMeasured{2048});
  fat.Works(seconds(3));
  EXPECT_TRUE(fat.state.resting);
}

TEST(BrowserGuardTest, NoPageIsOpenedBesideATask) {
  Rig rig;
  rig.ComesUp();
  rig.Take(BrowserUse{1, 1, rig.state.seq});
  rig.asked.clear();
  rig.answered = 0;
  rig.Works(minutes(10));
  EXPECT_THAT(rig.asked, testing::Each(Probe::kVersion));
  rig.Take(BrowserUse{0, 1, rig.state.seq});
  rig.Works(seconds(3));
  EXPECT_THAT(rig.asked.back(), Probe::kPage);
}

TEST(BrowserGuardTest, AStartThatNeverAnswersIsGivenUp) {
  Rig rig;
  rig.Take(BrowserLaunched{1, false});
  rig.Pass(seconds(25), [&] {
    if (rig.ends.empty()) rig.Take(BrowserRefused{"nothing listens", false});
  });
  EXPECT_THAT(rig.ends, ElementsAre(BrowserEnd::kAtOnce));
  rig.Take(BrowserExited{"SIGKILL"});
  EXPECT_THAT(rig.lines, ElementsAre("Browser Not Started (it did not answer within 20 s)"));
}

TEST(BrowserGuardTest, OneThatSwallowsItsFirstQuestionIsAskedAgain) {
  Rig rig;
  rig.Take(BrowserLaunched{1, false});
  rig.Take(BrowserAttached{"1"});
  rig.Pass(seconds(6));
  EXPECT_EQ(rig.attaches, 2) << "over another connection";
  rig.Take(BrowserAttached{"1"});
  rig.Answer();
  EXPECT_TRUE(rig.state.connected);
  EXPECT_THAT(rig.ends, IsEmpty());

  Rig never;
  never.Take(BrowserLaunched{1, false});
  never.Take(BrowserAttached{"1"});
  int attaches = never.attaches;
  never.Pass(seconds(40), [&] {
    if (std::exchange(attaches, never.attaches) != never.attaches) never.Take(BrowserAttached{"1"});
  });
  EXPECT_THAT(never.ends, Contains(BrowserEnd::kAtOnce)) << "but not for ever";
}

TEST(BrowserGuardTest, SomebodyElsesBrowserIsOnlyWatched) {
  GuardLimits limits;
  limits.attach_only = true;
  Rig rig(limits);
  EXPECT_EQ(rig.launches, 0);
  rig.Take(BrowserRefused{"nothing listens", false});
  rig.Pass(seconds(5), [&] { rig.Take(BrowserRefused{"nothing listens", false}); });
  EXPECT_THAT(rig.lines, ElementsAre("Browser Not Found (nothing listens)"));
  rig.Take(BrowserAttached{"a"});
  rig.Answer();
  EXPECT_TRUE(rig.state.connected);
  EXPECT_EQ(rig.state.generation, 1u);

  rig.Take(BrowserDropped{"closed"});
  rig.Take(BrowserAttached{"a"});
  rig.Answer();
  EXPECT_EQ(rig.state.over, 0u) << "the same one";

  rig.Take(BrowserDropped{"closed"});
  rig.Take(BrowserRefused{"nothing listens", false});
  rig.Pass(seconds(5), [&] { rig.Take(BrowserRefused{"nothing listens", false}); });
  EXPECT_EQ(rig.state.over, 1u);
  rig.Take(BrowserAttached{"b"});
  rig.Answer();
  EXPECT_EQ(rig.state.generation, 2u);
  EXPECT_TRUE(rig.state.connected);

  while (rig.state.over < 2) rig.Pass(milliseconds(100));  // hangs
  EXPECT_EQ(rig.launches, 0);
  EXPECT_THAT(rig.ends, IsEmpty());
  rig.guard.Close();
  rig.Step();
  EXPECT_THAT(rig.ends, IsEmpty());
  EXPECT_TRUE(rig.guard.closed());
}

TEST(BrowserGuardTest, ClosesAndStaysClosed) {
  Rig rig;
  rig.ComesUp();
  rig.guard.Close();
  rig.Step();
  EXPECT_THAT(rig.ends, ElementsAre(BrowserEnd::kGently));
  EXPECT_FALSE(rig.guard.closed());
  EXPECT_FALSE(rig.guard.NextDeadline()) << "whoever ticks at each deadline may rest until it has ended";
  rig.guard.Close();
  rig.Step();
  EXPECT_THAT(rig.ends, ElementsAre(BrowserEnd::kGently, BrowserEnd::kAtOnce));
  rig.Take(BrowserExited{"exit 0"});
  EXPECT_TRUE(rig.guard.closed());
  EXPECT_FALSE(rig.state.connected);
  rig.Pass(hours(1));
  EXPECT_EQ(rig.launches, 1);

  Rig starting;
  starting.guard.Close();
  starting.Step();
  starting.Take(BrowserLaunched{1, false});
  EXPECT_THAT(starting.ends, ElementsAre(BrowserEnd::kGently)) << "ended as soon as it runs";

  Rig hurried;
  hurried.guard.Close();
  hurried.Step();
  hurried.guard.Close();
  hurried.Step();
  hurried.Take(BrowserLaunched{1, false});
  EXPECT_THAT(hurried.ends, ElementsAre(BrowserEnd::kAtOnce));
}

}  // namespace
}  // namespace laneway::worker
