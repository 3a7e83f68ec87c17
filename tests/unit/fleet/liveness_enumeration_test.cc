// Liveness: all short sequences of signals, against a model that looks back over the whole of what happened.
#include <gtest/gtest.h>

#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "fleet/liveness.h"
#include "unit/fleet/liveness_words.h"

namespace laneway {
namespace {

struct Past {
  Signal signal;
  LogTime at;
  Verdicts said;
};

// What is to be said of one worker, found by looking at everything that has happened. Nothing is carried
// from one step to the next.
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
        connected && !removed && browser_judged > fold_browser_judged) {
      want.push_back({Kind::kBrowserReturned, worker_, browser_incarnation, browser_judged, ""});
    }
    if (!std::holds_alternative<Tick>(last) || !in_touch || !mentioned || removed) return want;
    if (may_return && now_ - beat_at < 30s && !SaidLately(said, 30s)) {
      want.push_back({Kind::kWorkerReturned, worker_, incarnation, judged, ""});
    }
    if (!lost && now_ - sign_at >= 30s && now_ - touch_since >= 30s && !SaidLately(said, 30s)) {
      want.push_back({Kind::kWorkerLost, worker_, incarnation, judged, leaving ? "left" : "silent"});
    }
    if (lost || leaving || !has_browser || browser_judged == 0 || SaidLately(browser_said, 60s)) return want;
    if (browser_lost && connected && browser_judged > fold_browser_judged)
      want.push_back({Kind::kBrowserReturned, worker_, browser_incarnation, browser_judged, ""});
    const LogTime quiet_since = connected ? browser_heard : browser_since;
    if (!browser_lost && now_ - quiet_since >= 60s && now_ - touch_since >= 60s) {
      want.push_back({Kind::kBrowserLost, worker_, browser_incarnation, browser_judged,
                      connected ? "browser_silent" : "browser_away"});
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
          browser_since = browser_heard = at;
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
        browser_heard = at;
        browser_incarnation = beat->incarnation;
        browser_judged = beat->offset + 1;
        connected = beat->connected;
        new_browser_beat = last;
      }
    }
    if (const auto* says = std::get_if<FoldSays>(&step.signal); says != nullptr && says->worker == worker_) {
      Mention(at);
      if (lost != says->lost) said.reset();
      if (lost && !says->lost) sign_at = browser_since = browser_heard = at;
      if (browser_lost != says->browser_lost) browser_said.reset();
      if (browser_lost && !says->browser_lost) browser_since = browser_heard = at;
      lost = says->lost;
      browser_lost = says->browser_lost;
      fold_judged = says->judged;
      fold_browser_judged = says->browser_judged;
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
  uint64_t judged = 0, browser_judged = 0, fold_judged = 0, fold_browser_judged = 0;
  IncarnationId incarnation, browser_incarnation;
  LogTime touch_since, sign_at, beat_at, browser_since, browser_heard;
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

  // Before it a Tick says nothing, at it something; without one a Tick never does. After a Tick it lies
  // ahead.
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

TEST(LivenessEnumeration,
     // five more after the reaper is in touch and a beat was read: deeper where verdicts are given
     OneWorkerThatIsHeard) {
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
                   {BrowserLostSays(12), 0s},
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
