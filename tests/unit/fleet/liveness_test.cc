#include "fleet/liveness.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <optional>
#include <ostream>
#include <set>
#include <string>
#include <variant>
#include <vector>

namespace laneway {

static void PrintTo(const Verdict& verdict, std::ostream* out) {
  const char* kinds[] = {"lost", "returned", "browser lost", "browser returned"};
  *out << verdict.worker.name << " " << kinds[static_cast<size_t>(verdict.kind)] << " of incarnation "
       << verdict.incarnation.lo << " at " << verdict.judged << " " << verdict.reason;
}

namespace {

using std::chrono_literals::operator""s;
using Kind = Verdict::Kind;
using Verdicts = std::vector<Verdict>;

const WorkerId kDtf01("DTF-01"), kDtf02("DTF-02");
const IncarnationId kFirst{0, 1}, kSecond{0, 2};
const LivenessLimits kLimits{.heartbeat_timeout = 30s, .browser_timeout = 60s};

LogTime At(Millis time) { return LogTime{1000000} + time; }

Beat BeatOf(Offset offset, IncarnationId incarnation = kFirst, const WorkerId& worker = kDtf01) {
  return {worker, incarnation, offset};
}
Beat Leaving(Offset offset) { return {kDtf01, kFirst, offset, Millis(0), false, true}; }
Beat NotPolling(Offset offset, Millis age) { return {kDtf01, kFirst, offset, age}; }
Beat WithBrowser(Offset offset, IncarnationId incarnation = kFirst) {
  return {kDtf01, incarnation, offset, Millis(0), true};
}
BrowserBeat Browser(Offset offset, bool connected) { return {kDtf01, kFirst, offset, connected}; }
Verdict Lost(uint64_t judged, const char* reason = "silent", IncarnationId incarnation = kFirst) {
  return {Kind::kWorkerLost, kDtf01, incarnation, judged, reason};
}
Verdict Returned(uint64_t judged, IncarnationId incarnation = kFirst) {
  return {Kind::kWorkerReturned, kDtf01, incarnation, judged, ""};
}
Verdict BrowserIs(Kind kind, uint64_t judged) {
  return {kind, kDtf01, kFirst, judged, kind == Kind::kBrowserLost ? "browser_away" : ""};
}
FoldSays Fold(bool lost, bool browser_lost = false) { return {kDtf01, lost, browser_lost}; }

struct Row {
  const char* why;
  Millis at;
  Signal signal;
  Verdicts want;
};

void Check(const std::vector<Row>& rows) {
  Liveness liveness(kLimits);
  for (const Row& row : rows) EXPECT_EQ(liveness.Step(row.signal, At(row.at)), row.want) << row.why;
}

TEST(LivenessTest, SilenceCountsOnlyWhileTheReaperCouldHear) {  // invariant 1
  Check({
      {"in touch", 0s, CaughtUp{}, {}},
      {"first beat", 0s, BeatOf(7), {}},
      {"the reaper loses touch", 20s, LostTouch{}, {}},
      {"a minute of silence proves nothing", 79s, Tick{}, {}},
      {"back after a minute", 80s, CaughtUp{}, {}},
      {"said twice, it does not begin again", 90s, CaughtUp{}, {}},
      {"a full timeout again", 109s, Tick{}, {}},
      {"and then it is lost", 110s, Tick{}, {Lost(8)}},
  });
}

TEST(LivenessTest, AVerdictIsSaidOnceUntilTheFoldHasSpoken) {  // invariant 6, rule R2
  Check({
      {"in touch", 0s, CaughtUp{}, {}},
      {"a beat", 0s, BeatOf(0), {}},
      {"silent for a timeout: the verdict names what it judges", 30s, Tick{}, {Lost(1)}},
      {"it is on its way", 59s, Tick{}, {}},
      {"nobody has agreed for a timeout: the append may have been lost", 60s, Tick{}, {Lost(1)}},
      {"the fold agrees", 61s, Fold(true), {}},
      {"nothing more is to be said", 500s, Tick{}, {}},
  });
}

TEST(LivenessTest, EachBeatOfALostWorkerSaysReturnedUntilTheFoldAgrees) {  // invariant 4, rule R2
  Check({
      {"in touch", 0s, CaughtUp{}, {}},
      {"a beat", 0s, BeatOf(0), {}},
      {"another reaper was quicker", 20s, Fold(true), {}},
      {"a later beat", 25s, BeatOf(1), {Returned(2)}},
      {"the same one, read again", 26s, BeatOf(1), {}},
      {"the next one says so again", 27s, BeatOf(2), {Returned(3)}},
      {"the fold agrees", 28s, Fold(false), {}},
      {"an ordinary beat", 29s, BeatOf(3), {}},
      {"a full timeout after it", 58s, Tick{}, {}},
      {"silent again", 59s, Tick{}, {Lost(4)}},
  });
  Check({
      {"in touch", 0s, CaughtUp{}, {}},
      {"the fold calls one lost that was never heard of", 1s, Fold(true), {}},
      {"a beat that leaves does not return", 2s, Leaving(4), {}},
      {"one that does not poll its lanes neither", 3s, NotPolling(5, 30s), {}},
      {"one that works does", 4s, BeatOf(6, kSecond), {Returned(7, kSecond)}},
  });
}

TEST(LivenessTest, WhatWasReadOutOfTouchIsSaidAsSoonAsThereIsTouch) {
  Check({
      {"what the fold says of it at the start", 0s, FoldSays{kDtf01, true, false, 5, kFirst}, {}},
      {"its new life begins to beat before the reaper has caught up", 1s, BeatOf(9, kSecond), {}},
      {"caught up", 2s, CaughtUp{}, {}},
      {"so it is said now, not with the next beat", 2s, Tick{}, {Returned(10, kSecond)}},
      {"and not again at once", 3s, Tick{}, {}},
  });
  Check({
      {"the verdict has judged a later beat", 0s, FoldSays{kDtf01, true, false, 5, {}}, {}},
      {"than this old one", 1s, BeatOf(4), {}},
      {"caught up", 2s, CaughtUp{}, {}},
      {"that is no return", 2s, Tick{}, {}},
  });
}

TEST(LivenessTest, ABeatOlderThanTheReportedDeathIsNoReturn) {  // rule R2
  Check({
      {"in touch", 0s, CaughtUp{}, {}},
      {"a beat", 0s, BeatOf(0), {}},
      {"last words: the process died", 10s, FoldSays{kDtf01, true, false, 0, kFirst}, {}},
      {"its last beat is read only now", 11s, BeatOf(1), {}},
      {"no return at a tick either", 12s, Tick{}, {}},
      {"the next incarnation is one", 13s, BeatOf(2, kSecond), {Returned(3, kSecond)}},
  });
}

TEST(LivenessTest, AWorkerThatBeatsButDoesNotReadIsLostToo) {  // invariant 2
  Check({
      {"in touch", 0s, CaughtUp{}, {}},
      {"it polls", 0s, BeatOf(0), {}},
      {"the reaper is in touch for less than a timeout: both may have been cut off",
       29s,
       NotPolling(1, 31s),
       {}},
      {"now it counts, and the signal is named", 44s, NotPolling(2, 46s), {Lost(3, "not_reading")}},
      {"said already", 59s, NotPolling(3, 61s), {}},
      {"the fold has not answered for a timeout", 74s, NotPolling(4, 76s), {Lost(5, "not_reading")}},
      {"the fold agrees", 75s, Fold(true), {}},
      {"still deaf: no return", 89s, NotPolling(5, 91s), {}},
      {"it reads again", 104s, BeatOf(6), {Returned(7)}},
  });
  Check({
      {"in touch", 0s, CaughtUp{}, {}},
      {"one millisecond less than a timeout is a poll", 40s, NotPolling(0, Millis(29999)), {}},
      {"a timeout is none", 41s, NotPolling(1, 30s), {Lost(2, "not_reading")}},
  });
}

TEST(LivenessTest, WhoSaidThatItLeavesIsNotCalledSilent) {  // invariant 5
  Check({
      {"in touch", 0s, CaughtUp{}, {}},
      {"its last beat", 1s, Leaving(0), {}},
      {"an hour", 3600s, Tick{}, {}},
      {"it is back", 3601s, BeatOf(1, kSecond), {}},
      {"and silent", 3631s, Tick{}, {Lost(2, "silent", kSecond)}},
  });
}

TEST(LivenessTest, ARegisteredWorkerThatNeverBeatIsFoundSilent) {
  Check({
      {"in touch", 0s, CaughtUp{}, {}},
      {"registered", 10s, Known{kDtf01}, {}},
      {"it has a full timeout to come", 39s, Tick{}, {}},
      {"it did not: no beat is judged", 40s, Tick{}, {Lost(0, "silent", {})}},
      {"the fold agrees", 41s, Fold(true), {}},
      {"its first beat", 42s, BeatOf(0), {Returned(1)}},
      {"the fold agrees", 43s, Fold(false), {}},
      {"removed for good", 44s, Known{kDtf01, true}, {}},
      {"nobody asks for it", 500s, Tick{}, {}},
      {"not even when an old beat is read", 501s, BeatOf(1), {}},
      {"nothing", 600s, Tick{}, {}},
      {"registered again", 601s, Known{kDtf01}, {}},
      {"a full timeout", 630s, Tick{}, {}},
      {"silent", 631s, Tick{}, {Lost(2)}},
  });
}

TEST(LivenessTest, ABrowserThatStaysAwayIsToldApartFromItsWorker) {
  Check({
      {"in touch", 0s, CaughtUp{}, {}},
      {"a worker with a browser", 0s, WithBrowser(0), {}},
      {"that nothing was ever said of: nothing is concluded", 25s, WithBrowser(1), {}},
      {"it is there", 25s, Browser(0, true), {}},
      {"it goes", 30s, Browser(1, false), {}},
      {"its worker lives", 50s, WithBrowser(2), {}},
      {"and lives", 75s, WithBrowser(3), {}},
      {"still away, said again: counts from the first time", 80s, Browser(2, false), {}},
      {"not for long enough", 89s, Tick{}, {}},
      {"for a browser's timeout", 90s, Tick{}, {BrowserIs(Kind::kBrowserLost, 3)}},
      {"the fold agrees", 91s, Fold(false, true), {}},
      {"it is there again", 95s, Browser(3, true), {BrowserIs(Kind::kBrowserReturned, 4)}},
      {"its worker lives", 100s, WithBrowser(4), {}},
      {"its worker lives", 125s, WithBrowser(5), {}},
      {"its worker lives", 150s, WithBrowser(6), {}},
      {"nobody has agreed: said again although nothing more was read",
       155s,
       Tick{},
       {BrowserIs(Kind::kBrowserReturned, 4)}},
      {"the fold agrees", 156s, Fold(false, false), {}},
      {"all is well", 170s, Tick{}, {}},
  });
  Check({
      {"in touch", 0s, CaughtUp{}, {}},
      {"a worker with a browser", 0s, WithBrowser(0), {}},
      {"that is away", 1s, Browser(0, false), {}},
      {"the worker is started anew: its browser has a full timeout", 29s, WithBrowser(1, kSecond), {}},
      {"lost as a whole", 59s, Tick{}, {Lost(2, "silent", kSecond)}},
      {"the fold agrees", 60s, Fold(true), {}},
      {"whose worker is lost has no browser to lose", 200s, Tick{}, {}},
  });
}

TEST(LivenessTest, VerdictsOfOneTickComeByName) {
  Liveness liveness(kLimits);
  liveness.Step(CaughtUp{}, At(0s));
  liveness.Step(BeatOf(0, kFirst, kDtf02), At(1s));
  liveness.Step(BeatOf(1, kFirst, kDtf01), At(2s));
  EXPECT_EQ(liveness.NextDeadline(), At(31s));
  const Verdicts got = liveness.Step(Tick{}, At(40s));
  ASSERT_EQ(got.size(), 2U);
  EXPECT_EQ(got[0].worker, kDtf01);
  EXPECT_EQ(got[1].worker, kDtf02);
}

// --- all short sequences, against a model that looks back over the whole of what happened ---

struct Past {
  Signal signal;
  LogTime at;
  Verdicts said;
};

// What is to be said of one worker, found by looking at everything that has happened. Nothing is carried from one step to the next.
class Model {
 public:
  Model(const std::vector<Past>& past, const WorkerId& worker) : worker_(worker), now_(past.back().at) {
    for (const Past& step : past) Look(step, &step == &past.back());
  }

  // The verdicts for the last thing that happened.
  Verdicts Want(const Signal& last) const {
    Verdicts want;
    const bool may_return = in_touch && lost && !removed && !leaving && polls && judged > fold_judged;
    if (std::holds_alternative<Beat>(last) && new_beat) {
      if (may_return) {
        want.push_back({Kind::kWorkerReturned, worker_, incarnation, judged, ""});
      } else if (in_touch && !lost && !removed && !leaving && !polls && now_ - touch_since >= 30s &&
                 !SaidLately(said, 30s)) {
        want.push_back({Kind::kWorkerLost, worker_, incarnation, judged, "not_reading"});
      }
    }
    if (std::holds_alternative<BrowserBeat>(last) && new_browser_beat && in_touch && browser_lost &&
        connected && !removed) {
      want.push_back({Kind::kBrowserReturned, worker_, browser_incarnation, browser_judged, ""});
    }
    if (!std::holds_alternative<Tick>(last) || !in_touch || !mentioned || removed) return want;
    if (may_return && now_ - beat_at < 30s && !SaidLately(said, 30s)) {
      want.push_back({Kind::kWorkerReturned, worker_, incarnation, judged, ""});
    }
    if (!lost && !leaving && now_ - sign_at >= 30s && now_ - touch_since >= 30s && !SaidLately(said, 30s)) {
      want.push_back({Kind::kWorkerLost, worker_, incarnation, judged, "silent"});
    }
    if (lost || leaving || !has_browser || browser_judged == 0 || SaidLately(browser_said, 60s)) return want;
    if (browser_lost && connected)
      want.push_back({Kind::kBrowserReturned, worker_, browser_incarnation, browser_judged, ""});
    if (!browser_lost && !connected && now_ - browser_since >= 60s && now_ - touch_since >= 60s) {
      want.push_back({Kind::kBrowserLost, worker_, browser_incarnation, browser_judged, "browser_away"});
    }
    return want;
  }

 private:
  bool SaidLately(const std::optional<LogTime>& at, Millis timeout) const {
    return at && now_ - *at < timeout;
  }

  void Look(const Past& step, bool last) {
    const LogTime at = step.at;
    if (std::holds_alternative<CaughtUp>(step.signal) && !in_touch) {
      in_touch = true;
      touch_since = at;
    }
    if (std::holds_alternative<LostTouch>(step.signal)) in_touch = false;
    if (const auto* beat = std::get_if<Beat>(&step.signal); beat != nullptr && beat->worker == worker_) {
      Mention(at);
      if (beat->offset >= judged) {
        if (beat->has_browser && (!has_browser || (judged > 0 && incarnation != beat->incarnation)))
          browser_since = at;
        incarnation = beat->incarnation;
        judged = beat->offset + 1;
        polls = beat->lane_poll_age < 30s;
        leaving = beat->leaving;
        has_browser = beat->has_browser;
        beat_at = sign_at = at;
        if (polls && !lost) said.reset();
        new_beat = last;
      }
    }
    if (const auto* beat = std::get_if<BrowserBeat>(&step.signal);
        beat != nullptr && beat->worker == worker_) {
      Mention(at);
      if (beat->offset >= browser_judged) {
        if (browser_judged == 0 || connected != beat->connected) {
          browser_since = at;
          if (!browser_lost) browser_said.reset();
        }
        browser_incarnation = beat->incarnation;
        browser_judged = beat->offset + 1;
        connected = beat->connected;
        new_browser_beat = last;
      }
    }
    if (const auto* says = std::get_if<FoldSays>(&step.signal); says != nullptr && says->worker == worker_) {
      Mention(at);
      if (lost != says->lost) said.reset();
      if (lost && !says->lost) sign_at = browser_since = at;
      if (browser_lost != says->browser_lost) browser_said.reset();
      if (browser_lost && !says->browser_lost) browser_since = at;
      lost = says->lost;
      browser_lost = says->browser_lost;
      fold_judged = says->judged;
    }
    if (const auto* known = std::get_if<Known>(&step.signal); known != nullptr && known->worker == worker_) {
      Mention(at);
      if (removed && !known->removed) sign_at = at;
      removed = known->removed;
    }
    if (last) return;
    for (const Verdict& verdict : step.said) {
      if (verdict.worker != worker_) continue;
      const bool about_browser = verdict.kind == Kind::kBrowserLost || verdict.kind == Kind::kBrowserReturned;
      (about_browser ? browser_said : said) = at;
    }
  }
  void Mention(LogTime at) {
    if (!mentioned) sign_at = at;
    mentioned = true;
  }

  WorkerId worker_;
  LogTime now_;
  bool in_touch = false, mentioned = false, removed = false, lost = false, browser_lost = false;
  bool polls = true, leaving = false, has_browser = false, connected = false, new_beat = false,
       new_browser_beat = false;
  uint64_t judged = 0, browser_judged = 0, fold_judged = 0;
  IncarnationId incarnation, browser_incarnation;
  LogTime touch_since, sign_at, beat_at, browser_since;
  std::optional<LogTime> said, browser_said;
};

struct Step {
  Signal signal;
  Millis later;  // than the one before
};

class Enumeration {
 public:
  Enumeration(std::vector<Step> alphabet, std::vector<WorkerId> workers, size_t depth)
      : alphabet_(std::move(alphabet)), workers_(std::move(workers)), depth_(depth) {}

  void Run(std::vector<Step> prefix) {
    Liveness liveness(kLimits);
    LogTime now = At(0s);
    for (const Step& step : prefix) {
      now = now + step.later;
      past_.push_back({step.signal, now, liveness.Step(step.signal, now)});
    }
    offset_ = 10;
    Go(liveness, now, 0);
  }
  size_t steps() const { return steps_; }
  size_t verdicts() const { return verdicts_; }

 private:
  void Go(const Liveness& before, LogTime then, size_t depth) {
    if (depth == depth_ || testing::Test::HasFatalFailure()) return;
    for (const Step& step : alphabet_) {
      Liveness liveness = before;
      const LogTime now = then + step.later;
      Signal signal = step.signal;
      // Each beat is a later one than those before, but for those that are to be read again (offset 0).
      if (auto* beat = std::get_if<Beat>(&signal); beat != nullptr && beat->offset > 0)
        beat->offset = ++offset_;
      if (auto* beat = std::get_if<BrowserBeat>(&signal); beat != nullptr && beat->offset > 0)
        beat->offset = ++offset_;
      const Verdicts got = liveness.Step(signal, now);
      past_.push_back({signal, now, got});
      Verdicts want;
      for (const WorkerId& worker : workers_) {
        for (const Verdict& verdict : Model(past_, worker).Want(signal)) want.push_back(verdict);
      }
      steps_++;
      verdicts_ += got.size();
      ASSERT_EQ(got, want) << Story();
      CheckDeadline(liveness, now);
      Go(liveness, now, depth + 1);
      past_.pop_back();
    }
  }

  // Before it a Tick says nothing, at it something; without one a Tick never does. After a Tick it lies ahead.
  void CheckDeadline(const Liveness& liveness, LogTime now) {
    const auto deadline = liveness.NextDeadline();
    Liveness early = liveness, on_time = liveness;
    if (!deadline) {
      ASSERT_TRUE(early.Step(Tick{}, now + Millis(1000000)).empty()) << Story();
      return;
    }
    const LogTime then = std::max(*deadline, now);
    const Verdicts said = on_time.Step(Tick{}, then);
    if (*deadline > now) {
      ASSERT_TRUE(early.Step(Tick{}, *deadline - Millis(1)).empty()) << Story();
      ASSERT_FALSE(said.empty()) << Story();
    }
    const auto next = on_time.NextDeadline();
    ASSERT_TRUE(!next || *next > then) << "whoever ticks at each deadline would never rest\n" << Story();
  }

  std::string Story() const {
    std::string text;
    for (const Past& step : past_) {
      const char* names[] = {"Beat", "BrowserBeat", "CaughtUp", "LostTouch", "Tick", "FoldSays", "Known"};
      text += std::string(names[step.signal.index()]) + " at " + std::to_string((step.at - At(0s)).count()) +
              " ms, " + std::to_string(step.said.size()) + " verdicts\n";
    }
    return text;
  }

  std::vector<Step> alphabet_;
  std::vector<WorkerId> workers_;
  size_t depth_;
  std::vector<Past> past_;
  Offset offset_ = 0;
  size_t steps_ = 0;
  size_t verdicts_ = 0;
};

TEST(LivenessEnumeration, OneWorker) {
  Enumeration all({{BeatOf(1), 10s},
                   {BeatOf(1, kSecond), 0s},
                   {BeatOf(0), 0s},
                   {NotPolling(1, 40s), 10s},
                   {Leaving(1), 0s},
                   {CaughtUp{}, 0s},
                   {LostTouch{}, 5s},
                   {Tick{}, 0s},
                   {Tick{}, 30s},
                   {Fold(true), 0s},
                   {Fold(false), 0s},
                   {Known{kDtf01}, 5s},
                   {Known{kDtf01, true}, 0s}},
                  {kDtf01}, 5);
  all.Run({});
  EXPECT_EQ(all.steps(), 13U * (1 + 13 * (1 + 13 * (1 + 13 * (1 + 13)))));
  EXPECT_GT(all.verdicts(), 1000U);
}

TEST(
    LivenessEnumeration,
    OneWorkerThatIsHeard) {  // five more after the reaper is in touch and a beat was read: deeper where verdicts are given
  Enumeration all({{BeatOf(1), 15s},
                   {NotPolling(1, 40s), 15s},
                   {LostTouch{}, 0s},
                   {CaughtUp{}, 20s},
                   {Tick{}, 15s},
                   {Tick{}, 30s},
                   {Fold(true), 1s},
                   {FoldSays{kDtf01, true, false, 12, {}}, 0s},
                   {Fold(false), 1s}},
                  {kDtf01}, 5);
  all.Run({{CaughtUp{}, 0s}, {BeatOf(1), 1s}});
  EXPECT_GT(all.verdicts(), 5000U);
}

TEST(LivenessEnumeration, ABrowser) {
  Enumeration all({{WithBrowser(1), 20s},
                   {WithBrowser(1, kSecond), 0s},
                   {BeatOf(1), 0s},
                   {Browser(1, true), 5s},
                   {Browser(1, false), 5s},
                   {LostTouch{}, 0s},
                   {CaughtUp{}, 10s},
                   {Tick{}, 29s},
                   {Tick{}, 60s},
                   {Fold(false, true), 0s},
                   {Fold(true, false), 0s},
                   {Fold(false, false), 0s}},
                  {kDtf01}, 5);
  all.Run({{CaughtUp{}, 0s}, {WithBrowser(1), 0s}, {Browser(1, true), 0s}});
  EXPECT_GT(all.verdicts(), 5000U);
}

TEST(LivenessEnumeration, TwoWorkersDoNotDisturbEachOther) {
  Enumeration all({{BeatOf(1), 10s},
                   {BeatOf(1, kFirst, kDtf02), 10s},
                   {CaughtUp{}, 0s},
                   {LostTouch{}, 5s},
                   {Tick{}, 30s},
                   {Tick{}, 0s},
                   {Fold(true), 0s},
                   {Fold(false), 0s},
                   {FoldSays{kDtf02, true}, 0s},
                   {FoldSays{kDtf02, false}, 0s}},
                  {kDtf01, kDtf02}, 5);
  all.Run({});
  EXPECT_GT(all.verdicts(), 1000U);
}

}  // namespace
}  // namespace laneway
