// Every sequence of up to five records, out of all that can be said of one task by two workers under two
// epochs, against a model that is written to be obviously right: equal verdict and equal state after each.
#include <gtest/gtest.h>

#include <array>
#include <functional>
#include <string>
#include <vector>

#include "fleet/planted.h"
#include "support/events.h"

namespace laneway {
namespace {

using namespace laneway::testing;  // the words of the sequences

// What the protocol says of one task of one file's job, in as few words as possible.
struct Model {
  enum State { kNone, kPending, kAssigned, kRunning, kSucceeded, kDead, kCancelled };
  State state = kNone;
  uint32_t attempt = 1, floor = 1, failures = 0, losses = 0, epoch = 1;
  int holder = 0;
  bool claimed = false, closed = false;

  bool Unfinished() const { return state == kPending || state == kAssigned || state == kRunning; }
  bool HeldBy(uint32_t n, int worker) const {
    return (state == kAssigned || state == kRunning) && attempt == n && holder == worker;
  }
  void Wait() { state = kPending, attempt++, holder = 0; }
  void End(State with) { state = with, holder = 0; }

  bool Submitted() {
    if (state != kNone) return false;
    state = kPending;
    return true;
  }
  bool Assigned(uint32_t n, int worker, uint32_t under) {
    if (state != kPending || attempt != n || under != epoch) return false;
    state = kAssigned, holder = worker;
    return true;
  }
  bool Started(uint32_t n, int worker) {  // rule L3
    if (!HeldBy(n, worker) || state != kAssigned) return false;
    state = kRunning, claimed = true;
    return true;
  }
  bool Succeeded(uint32_t n, int worker) {
    if (!Unfinished() || n > attempt || n < floor) return false;
    if (n == attempt && !HeldBy(n, worker)) return false;
    End(kSucceeded), claimed = true;
    return true;
  }
  bool Failed(uint32_t n, int worker) {
    if (!HeldBy(n, worker)) return false;
    if (++failures == 2) return End(kDead), true;
    return Wait(), true;
  }
  bool Released(uint32_t n, int worker) {  // rule L1: the next number; counts towards nothing
    if (!HeldBy(n, worker)) return false;
    return Wait(), true;
  }
  bool Republished(uint32_t n) {
    if ((state != kAssigned && state != kRunning) || attempt != n) return false;
    if (state == kRunning && ++losses == 2) return End(kDead), true;
    return Wait(), true;
  }
  bool Cancelled() {
    if (!Unfinished()) return false;
    return End(kCancelled), true;
  }
  bool Claimed() {
    if (state == kNone || claimed || closed) return false;
    return claimed = true;
  }
  bool Moved() {  // rule L6
    if (state == kNone || Unfinished() || closed) return false;
    return closed = true;
  }
  bool Redriven(uint32_t n) {  // rule L4
    if (state != kDead || attempt != n || !closed) return false;
    Wait(), closed = false, floor = attempt, failures = losses = 0;
    return true;
  }
  bool Gone(uint32_t n, uint32_t under) {
    if ((state != kPending && state != kAssigned) || attempt != n || under != epoch) return false;
    End(kDead), claimed = closed = true;
    return true;
  }
  bool Marked(uint32_t opened) {  // rule L2
    if (opened <= epoch) return false;
    epoch = opened;
    return true;
  }

  std::string ToString() const {
    constexpr const char* kNames[] = {"none",      "PENDING", "ASSIGNED", "RUNNING",
                                      "SUCCEEDED", "DEAD",    "CANCELLED"};
    if (state == kNone) return "none";
    std::string text = std::string(kNames[state]) + " " + std::to_string(attempt);
    if (holder != 0) text += holder == 1 ? " DTF-01" : " DTF-02";
    text += " floor " + std::to_string(floor) + " failures " + std::to_string(failures) + " losses " +
            std::to_string(losses);
    return text + (claimed ? " claimed" : "") + (closed ? " closed" : "");
  }
};

std::string Shown(const Ledger& ledger) {
  const auto state = ledger.Load(kJob);
  if (!state) return "none";
  const v1::TaskState& task = state->tasks(0);
  const TaskState kind = static_cast<TaskState>(task.kind());
  std::string text = std::string(TaskStateName(kind)) + " " + std::to_string(task.attempt());
  if (IsHeld(kind)) text += " " + task.worker();
  text += " floor " + std::to_string(task.floor()) + " failures " + std::to_string(task.failures()) +
          " losses " + std::to_string(task.losses());
  return text + (state->claimed() ? " claimed" : "") + (state->closed() ? " closed" : "");
}

struct Word {
  std::string name;
  v1::Event event;
  std::function<bool(Model&)> apply;
};

// All that can be said of attempts 1 and 2.
std::vector<Word> Words() {
  std::vector<Word> words;
  words.push_back({"submitted", Submit(kJob, {.file = true}), [](Model& m) { return m.Submitted(); }});
  words.push_back({"mark 2", Mark(2), [](Model& m) { return m.Marked(2); }});
  words.push_back({"mark 1", Mark(1), [](Model& m) { return m.Marked(1); }});
  words.push_back({"cancelled", Cancel(), [](Model& m) { return m.Cancelled(); }});
  words.push_back({"claimed", Claim(), [](Model& m) { return m.Claimed(); }});
  words.push_back({"moved", MovedTo("completed/a.csv"), [](Model& m) { return m.Moved(); }});
  for (uint32_t n = 1; n <= 2; n++) {
    const std::string of = " " + std::to_string(n);
    words.push_back({"republished" + of, Republish(n, kOne), [n](Model& m) { return m.Republished(n); }});
    words.push_back({"redriven" + of, Redrive(n), [n](Model& m) { return m.Redriven(n); }});
    for (uint32_t epoch = 1; epoch <= 2; epoch++) {
      const std::string under = of + " under " + std::to_string(epoch);
      words.push_back({"gone" + under, Gone(n, epoch), [n, epoch](Model& m) { return m.Gone(n, epoch); }});
      for (int w = 1; w <= 2; w++) {
        if (w == 2 && epoch == 2) continue;  // who it is given to does not touch what the epoch says
        words.push_back({"assigned" + under + " to " + std::to_string(w),
                         Assign(n, w == 1 ? kOne : kTwo, epoch),
                         [n, w, epoch](Model& m) { return m.Assigned(n, w, epoch); }});
      }
    }
    for (int w = 1; w <= 2; w++) {
      const char* worker = w == 1 ? kOne : kTwo;
      const std::string by = of + " by " + std::to_string(w);
      words.push_back({"started" + by, Start(n, worker), [n, w](Model& m) { return m.Started(n, w); }});
      words.push_back({"succeeded" + by, Succeed(n, worker), [n, w](Model& m) { return m.Succeeded(n, w); }});
      words.push_back({"failed" + by, Fail(n, worker), [n, w](Model& m) { return m.Failed(n, w); }});
      words.push_back({"released" + by, Release(n, worker), [n, w](Model& m) { return m.Released(n, w); }});
    }
  }
  return words;
}

struct Outcome {
  uint64_t sequences = 0;
  std::string difference;
};

class Enumeration {
 public:
  Enumeration(std::vector<Word> words, std::vector<v1::Event> before)
      : words_(std::move(words)), before_(std::move(before)) {}

  Outcome Run(const Model& model, size_t length) {
    outcome_ = {};
    sequence_.clear();
    Go(model, length);
    return outcome_;
  }

 private:
  // The last record is tried on a fold of everything before it; those that change nothing but say "ignored"
  // are not gone on from: what comes behind them is another sequence's.
  void Go(const Model& model, size_t left) {
    for (const Word& word : words_) {
      sequence_.push_back(&word);
      Model next = model;
      const bool want = word.apply(next);
      Check(want, next);
      if (want && left > 1 && outcome_.difference.empty()) Go(next, left - 1);
      sequence_.pop_back();
      if (!outcome_.difference.empty()) return;
    }
  }
  void Check(bool want, const Model& model) {
    Fold fold;
    for (const v1::Event& event : before_) fold.Take(event);
    FoldVerdict verdict = FoldVerdict::kAccepted;
    for (const Word* word : sequence_) verdict = fold.Take(word->event);
    outcome_.sequences++;
    const bool accepted = verdict == FoldVerdict::kAccepted;
    const std::string shown = Shown(*fold.ledger);
    if (accepted == want && shown == model.ToString() && fold.ledger->epoch(0) == model.epoch) return;
    outcome_.difference = std::string(VerdictName(verdict)) + ", " + shown +
                          "; the model: " + (want ? "accepted, " : "ignored, ") + model.ToString() +
                          "; after:";
    for (const Word* word : sequence_) outcome_.difference += " | " + word->name;
  }

  std::vector<Word> words_;
  std::vector<v1::Event> before_;
  std::vector<const Word*> sequence_;
  Outcome outcome_;
};

// From nothing, and from three places that five records do not reach.
Outcome RunAll(size_t length) {
  struct Begin {
    std::vector<v1::Event> before;
    std::function<void(Model&)> apply;
  };
  const Begin begins[] = {
      {{Mark(1)}, [](Model&) {}},
      {{Mark(1), Submit(kJob, {.file = true})}, [](Model& m) { m.Submitted(); }},
      // A second attempt is with another worker, while the first may still speak.
      {{Mark(1), Submit(kJob, {.file = true}), Assign(1, kOne, 1), Start(1, kOne), Republish(1, kOne),
        Assign(2, kTwo, 1)},
       [](Model& m) {
         m.Submitted(), m.Assigned(1, 1, 1), m.Started(1, 1), m.Republished(1), m.Assigned(2, 2, 1);
       }},
      // Dead in the second attempt.
      {{Mark(1), Submit(kJob, {.file = true}), Assign(1, kOne, 1), Fail(1, kOne), Assign(2, kOne, 1),
        Fail(2, kOne)},
       [](Model& m) {
         m.Submitted(), m.Assigned(1, 1, 1), m.Failed(1, 1), m.Assigned(2, 1, 1), m.Failed(2, 1);
       }},
  };
  Outcome all;
  for (const Begin& begin : begins) {
    Model model;
    begin.apply(model);
    const Outcome one = Enumeration(Words(), begin.before).Run(model, length);
    all.sequences += one.sequences;
    if (all.difference.empty()) all.difference = one.difference;
  }
  return all;
}

TEST(LedgerEnumerationTest, EverySequenceOfFiveRecordsIsWhatTheModelSays) {
  const Outcome outcome = RunAll(5);
  EXPECT_EQ(outcome.difference, "");
  EXPECT_GT(outcome.sequences, 20'000u);
  RecordProperty("sequences", std::to_string(outcome.sequences));
}

// Nothing is skipped: what was ignored is gone on from as well.
TEST(LedgerEnumerationTest, WhatWasIgnoredLeavesNoTrace) {
  const std::vector<Word> words = Words();
  uint64_t sequences = 0;
  std::vector<size_t> at(3, 0);
  for (;;) {
    Model model;
    Fold fold;
    fold.Take(Mark(1));
    fold.Take(Submit(kJob, {.file = true}));
    model.Submitted();
    for (const size_t i : at) {
      const uint64_t before = fold.ledger->Digest();
      const bool want = words[i].apply(model);
      ASSERT_EQ(fold.Take(words[i].event) == FoldVerdict::kAccepted, want) << words[i].name;
      ASSERT_EQ(Shown(*fold.ledger), model.ToString()) << words[i].name;
      ASSERT_EQ(want, !fold.changes.empty())
          << words[i].name << ": whoever listens hears of what counted, and of nothing else";
      ASSERT_NE(fold.ledger->Digest(), before) << "the offset is part of the state";
    }
    sequences++;
    size_t digit = 0;
    while (digit < at.size() && ++at[digit] == words.size()) at[digit++] = 0;
    if (digit == at.size()) break;
  }
  EXPECT_EQ(sequences, words.size() * words.size() * words.size());
}

#if LANEWAY_PLANTED_BUGS
TEST(LedgerEnumerationTest, EveryPlantedBugOfOneTaskIsFound) {
  for (const planted::Bug bug :
       {planted::kL1ReleaseKeepsAttempt, planted::kL2AnyEpochCounts, planted::kL3StartedTwice,
        planted::kL4RedriveAnyAttempt, planted::kL4LateResultAfterRedrive, planted::kL6GoneAnyEpoch,
        planted::kSecondSuccess}) {
    planted::switched_on[bug] = true;
    const Outcome outcome = RunAll(4);
    planted::switched_on[bug] = false;
    EXPECT_NE(outcome.difference, "") << planted::kBugs[bug].name;
  }
}
#endif

}  // namespace
}  // namespace laneway
