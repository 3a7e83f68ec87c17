// Liveness, one promise after the other. liveness_enumeration_test.cc goes through all short sequences.
#include "fleet/liveness.h"

#include <gtest/gtest.h>

#include <vector>

#include "unit/fleet/liveness_words.h"

namespace laneway {
namespace {

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

TEST(LivenessTest, WhoSaidThatItLeavesIsNotCalledSilentButLeft) {  // invariant 5
  Check({
      {"in touch", 0s, CaughtUp{}, {}},
      {"its last beat", 1s, Leaving(0), {}},
      {"it may be back at once", 30s, Tick{}, {}},
      {"what it was given meanwhile waits no longer", 31s, Tick{}, {Lost(1, "left")}},
      {"the fold agrees", 32s, Fold(true), {}},
      {"it is back", 3601s, BeatOf(1, kSecond), {Returned(2, kSecond)}},
      {"the fold agrees", 3602s, Fold(false), {}},
      {"and silent", 3632s, Tick{}, {Lost(2, "silent", kSecond)}},
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

TEST(LivenessTest, ABrowserThatNobodySpeaksOfAnyMoreIsLost) {
  Check({
      {"in touch", 0s, CaughtUp{}, {}},
      {"a worker with a browser", 0s, WithBrowser(0), {}},
      {"it is there", 1s, Browser(0, true), {}},
      {"its worker lives", 25s, WithBrowser(1), {}},
      {"it is spoken of", 30s, Browser(1, true), {}},
      {"its worker lives", 50s, WithBrowser(2), {}},
      {"its worker lives", 75s, WithBrowser(3), {}},
      {"silence counts from the last word", 89s, Tick{}, {}},
      {"for a browser's timeout", 90s, Tick{}, {BrowserIs(Kind::kBrowserLost, 2, "browser_silent")}},
      {"the fold agrees: it names what was judged", 91s, BrowserLostSays(2), {}},
      {"that word, read again, is no return", 92s, Browser(1, true), {}},
      {"nor an older one", 93s, Browser(0, true), {}},
      {"nor the passing of time", 94s, Tick{}, {}},
      {"its worker lives", 100s, WithBrowser(4), {}},
      {"a later word that says it is away is none", 110s, Browser(2, false), {}},
      {"a later one that says it is there is",
       115s,
       Browser(3, true),
       {BrowserIs(Kind::kBrowserReturned, 4)}},
      {"the fold agrees", 116s, Fold(false, false), {}},
      {"its worker lives", 125s, WithBrowser(5), {}},
      {"its worker lives", 150s, WithBrowser(6), {}},
      {"its worker lives", 170s, WithBrowser(7), {}},
      {"a full timeout since the fold's word", 175s, Tick{}, {}},
      {"silent again", 176s, Tick{}, {BrowserIs(Kind::kBrowserLost, 4, "browser_silent")}},
  });
}

TEST(LivenessTest, SilenceOfABrowserCountsOnlyWhileTheReaperCouldHear) {  // invariant 1
  Check({
      {"in touch", 0s, CaughtUp{}, {}},
      {"a worker with a browser", 0s, WithBrowser(0), {}},
      {"it is there", 0s, Browser(0, true), {}},
      {"the reaper loses touch", 10s, LostTouch{}, {}},
      {"back after more than a browser's timeout", 75s, CaughtUp{}, {}},
      {"the worker lives", 76s, WithBrowser(1), {}},
      {"it lives", 100s, WithBrowser(2), {}},
      {"it lives", 125s, WithBrowser(3), {}},
      {"a full timeout again", 134s, Tick{}, {}},
      {"and then it is lost", 135s, Tick{}, {BrowserIs(Kind::kBrowserLost, 1, "browser_silent")}},
      {"a word comes before the fold agrees", 136s, Browser(1, true), {}},
      {"the fold agrees on what was judged before it", 137s, BrowserLostSays(1), {}},
      {"so it is back as soon as anybody looks", 137s, Tick{}, {BrowserIs(Kind::kBrowserReturned, 2)}},
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

}  // namespace
}  // namespace laneway
