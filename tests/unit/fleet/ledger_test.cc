// The ledger's rules and verdicts, as tables whose rows say why. After every row the snapshot is restored and
// must be the same state.
#include "fleet/ledger.h"

#include <gtest/gtest.h>

#include <set>

#include "ledger_rows.h"

namespace laneway {
namespace {

using enum FoldVerdict;
using namespace laneway::testing;  // the words of the tables

TEST(LedgerTest, RuleL1EveryReturnToPendingTakesTheNextNumber) {  // rule L1
  const Row rows[] = {
      {"submitted", Submit(), kAccepted, "PENDING 1"},
      {"given away", Assign(1, kOne), kAccepted, "ASSIGNED 1 DTF-01"},
      {"given back unstarted", Release(1, kOne), kAccepted, "PENDING 2"},
      {"the released number is not given again", Assign(1, kOne), kSuperseded, "PENDING 2"},
      {"the next one is", Assign(2, kTwo), kAccepted, "ASSIGNED 2 DTF-02"},
      {"lost unstarted", Republish(2, kTwo), kAccepted, "PENDING 3"},
      {"third", Assign(3, kOne), kAccepted, "ASSIGNED 3 DTF-01"},
      {"starts", Start(3, kOne), kAccepted, "RUNNING 3 DTF-01"},
      {"lost while running: the first loss", Republish(3, kOne), kAccepted, "PENDING 4"},
      {"fourth", Assign(4, kTwo), kAccepted, "ASSIGNED 4 DTF-02"},
      {"starts", Start(4, kTwo), kAccepted, "RUNNING 4 DTF-02"},
      {"fails: the first failure, of two", Fail(4, kTwo), kAccepted, "PENDING 5"},
      {"released and lost unstarted counted towards nothing, so it still waits", Assign(5, kTwo), kAccepted,
       "ASSIGNED 5 DTF-02"},
      {"starts", Start(5, kTwo), kAccepted, "RUNNING 5 DTF-02"},
      {"the second loss: poison", Republish(5, kTwo), kAccepted, "DEAD 5"},
  };
  Proves(rows, {planted::kL1ReleaseKeepsAttempt});
}

TEST(LedgerTest, RuleL1AnInterruptionBeforeTheStartIsNoLoss) {  // rule L1
  const Row rows[] = {
      {"submitted, poison at the first loss", Submit(kJob, {.max_losses = 1}), kAccepted, "PENDING 1"},
      {"given away", Assign(1, kOne), kAccepted, "ASSIGNED 1 DTF-01"},
      {"the worker went away before it started it", Fail(1, kOne, v1::INTERRUPTED), kAccepted, "PENDING 2"},
      {"again", Assign(2, kOne), kAccepted, ""},
      {"started", Start(2, kOne), kAccepted, ""},
      {"now it is one", Fail(2, kOne, v1::INTERRUPTED), kAccepted, "DEAD 2"},
  };
  Proves(rows, {});
}

TEST(LedgerTest, RuleL2OnlyAHigherMarkCounts) {  // rule L2
  const Row rows[] = {
      {"submitted", Submit(), kAccepted, "PENDING 1"},
      {"a dispatcher opens an epoch", Mark(5), kAccepted, ""},
      {"its own mark, twice", Mark(5), kOldEpoch, ""},
      {"a paused one's late mark", Mark(3), kOldEpoch, ""},
      {"which does not make its assignments count", Assign(1, kOne, 3), kOldEpoch, "PENDING 1"},
      {"nor does an epoch nobody opened", Assign(1, kOne, 6), kOldEpoch, "PENDING 1"},
      {"the current one's do", Assign(1, kOne, 5), kAccepted, "ASSIGNED 1 DTF-01"},
      {"its successor", Mark(6), kAccepted, "ASSIGNED 1 DTF-01"},
      {"what was assigned before goes on", Start(1, kOne), kAccepted, "RUNNING 1 DTF-01"},
  };
  Proves(rows, {planted::kL2AnyEpochCounts});
}

TEST(LedgerTest, RuleL3AnAttemptStartsOnceAndOnlyFromItsStore) {  // rule L3
  const Row rows[] = {
      {"submitted", Submit(), kAccepted, "PENDING 1"},
      {"nobody has it", Start(1, kOne), kNotHeld, "PENDING 1"},
      {"given away", Assign(1, kOne), kAccepted, "ASSIGNED 1 DTF-01"},
      {"another worker", Start(1, kTwo), kOtherWorker, "ASSIGNED 1 DTF-01"},
      {"a clone of the machine, with another store", Start(1, kOne, {}, kOtherStore), kOtherWorker,
       "ASSIGNED 1 DTF-01"},
      {"the one it was given to", Start(1, kOne), kAccepted, "RUNNING 1 DTF-01"},
      {"said twice", Start(1, kOne), kNotAssigned, "RUNNING 1 DTF-01"},
      {"a later life of the same worker", Start(1, kOne, {}, kStore, kSecondLife), kNotAssigned,
       "RUNNING 1 DTF-01"},
  };
  Proves(rows, {planted::kL3StartedTwice});
}

TEST(LedgerTest, RuleL4ARedriveNamesTheAttemptAndEndsLateResults) {  // rule L4
  const Row rows[] = {
      {"submitted", Submit(kJob, {.max_attempts = 1, .max_losses = 3, .file = true}), kAccepted, "PENDING 1"},
      {"given away", Assign(1, kOne), kAccepted, ""},
      {"starts", Start(1, kOne), kAccepted, ""},
      {"called lost", Republish(1, kOne), kAccepted, "PENDING 2"},
      {"not dead yet", Redrive(2), kNotDead, "PENDING 2"},
      {"given to another", Assign(2, kTwo), kAccepted, ""},
      {"starts", Start(2, kTwo), kAccepted, ""},
      {"fails for good", Fail(2, kTwo), kAccepted, "DEAD 2"},
      {"its file is still on its way", Redrive(2), kNotClosed, "DEAD 2"},
      {"arrives: closed", MovedTo("failed/a.csv"), kAccepted, "DEAD 2"},
      {"a redrive meant for an earlier death", Redrive(1), kSuperseded, "DEAD 2"},
      {"the right one", Redrive(2), kAccepted, "PENDING 3"},
      {"said twice", Redrive(2), kNotDead, "PENDING 3"},
      {"the lost worker's success comes too late", Succeed(1, kOne), kBeforeRedrive, "PENDING 3"},
      {"given away", Assign(3, kOne), kAccepted, "ASSIGNED 3 DTF-01"},
  };
  Proves(rows, {planted::kL4RedriveAnyAttempt, planted::kL4LateResultAfterRedrive});
}

// Rule L5 needs readers that begin at different records.
std::string CarriedDiffers() {
  Fold all;
  all.Take(Submit());
  all.Take(Assign(1, kOne));
  const v1::JobState state = all.ledger->ToState(*all.ledger->Find(kJob));
  const Offset covers = all.next;
  all.Take(Start(1, kOne));
  all.Take(Fail(1, kOne));
  if (all.Take(Carry(state, covers)) != kDuplicate) return "who knows the job ignores it";
  if (all.TaskIs() != "PENDING 2") return "a known job is what it was: " + all.TaskIs();

  Fold late(2);  // the first two records are gone
  for (Offset at = 2; at < 4; at++) {
    late.now = all.records[at].first - Millis(10);
    if (late.Take(all.records[at].second) != kUnknownJob) return "its beginning could not be read";
  }
  late.now = all.records[4].first - Millis(10);
  if (late.Take(Carry(state, covers)) != kAccepted) return "who does not know it takes the state";
  if (late.ledger->Digest() != all.ledger->Digest())
    return "and folds what came after, as if it had known it: " + late.TaskIs();

  Fold later(3);  // one of the records that the state does not cover is gone
  later.Take(Fail(1, kOne));
  if (later.Take(Carry(state, covers)) != kVoidCarry) return "void: what came after could not be read";
  return "";
}

TEST(LedgerTest, RuleL5ACarriedJobIsTakenByWhoDoesNotKnowIt) {  // rule L5
  EXPECT_EQ(CarriedDiffers(), "");
#if LANEWAY_PLANTED_BUGS
  planted::switched_on[planted::kL5CarriedReplaces] = true;
  EXPECT_NE(CarriedDiffers(), "");
  planted::switched_on[planted::kL5CarriedReplaces] = false;
#endif
}

TEST(LedgerTest, RuleL5WhatCannotBeKeptForACarryMakesItVoid) {  // rule L5
  Fold all;
  all.Take(Submit());
  all.Take(Assign(1, kOne));
  const v1::JobState state = all.ledger->ToState(*all.ledger->Find(kJob));
  Fold narrow(2, 2);  // room for two records
  EXPECT_EQ(narrow.Take(Start(1, kOne)), kUnknownJob);
  EXPECT_EQ(narrow.Take(Progress(1, kOne, 10)), kUnknownJob);
  EXPECT_EQ(narrow.Take(Progress(1, kOne, 20)), kUnknownJob) << "one too many";
  EXPECT_EQ(narrow.Take(Carry(state, 2)), kVoidCarry);
  EXPECT_EQ(narrow.Take(Carry(state, 5)), kAccepted) << "a later one covers what was dropped";
}

TEST(LedgerTest, RuleL5CarriedAfterItWasClosed) {  // rule L5
  Fold fold;
  fold.Take(Submit());
  const v1::JobState state = fold.ledger->ToState(*fold.ledger->Find(kJob));
  fold.Take(Cancel());
  EXPECT_EQ(fold.Take(Carry(state, 1)), kJobFinished) << "finished stays finished";
  v1::JobState other = state;
  other.set_job_id(JobId{7, 2}.ToBytes());
  v1::Event wrong = Carry(other, 1);
  wrong.set_job_id(kJob.ToBytes());
  EXPECT_EQ(fold.Take(wrong), kMalformed) << "it carries another job than it names";
  v1::Event torn = Carry(state, 1);
  torn.mutable_job_carried()->set_state("\xff");
  EXPECT_EQ(fold.Take(torn), kMalformed);
}

TEST(LedgerTest, RuleL6AFilesJobIsClosedByItsMove) {  // rule L6
  const Row rows[] = {
      {"submitted", Submit(kJob, {.file = true}), kAccepted, "PENDING 1"},
      {"nothing has ended", MovedTo("completed/a.csv"), kJobUnfinished, "PENDING 1"},
      {"given away", Assign(1, kOne), kAccepted, ""},
      {"starts: that claims the file", Start(1, kOne), kAccepted, "RUNNING 1 DTF-01"},
      {"so a claim says nothing new", Claim(), kDuplicate, ""},
      {"succeeds", Succeed(1, kOne), kAccepted, "SUCCEEDED 1"},
      {"the same result again finds it in memory", Succeed(1, kOne), kTaskFinished, "SUCCEEDED 1"},
      {"the file arrives", MovedTo("completed/a.csv"), kAccepted, "SUCCEEDED 1"},
      {"a second dispatcher says so, too", MovedTo("completed/a~1.csv"), kJobFinished, "SUCCEEDED 1"},
  };
  Proves(rows, {});
  Fold fold;
  ASSERT_EQ(Differs(fold, std::span(rows).first(7)), "");
  EXPECT_EQ(fold.ledger->open_jobs(), 1u) << "until then it stays in memory";
  EXPECT_FALSE(fold.ledger->IsClosed(kJob));
  ASSERT_EQ(fold.Take(MovedTo("completed/a.csv")), kAccepted);
  EXPECT_TRUE(fold.Said(Change::Kind::kJobClosed));
  EXPECT_NE(fold.ledger->Find(kJob), nullptr) << "the last moment to look at it";
  fold.Take(Mark(1));
  EXPECT_EQ(fold.ledger->Find(kJob), nullptr);
  EXPECT_TRUE(fold.ledger->IsClosed(kJob));
  EXPECT_EQ(fold.ledger->Load(kJob)->final_path(), "completed/a.csv");
}

TEST(LedgerTest, RuleL6FileGoneCarriesTheEpoch) {  // rule L6
  const Row rows[] = {
      {"submitted", Submit(kJob, {.file = true}), kAccepted, "PENDING 1"},
      {"first dispatcher", Mark(1), kAccepted, ""},
      {"given away", Assign(1, kOne, 1), kAccepted, "ASSIGNED 1 DTF-01"},
      {"second dispatcher", Mark(2), kAccepted, ""},
      {"the first did not find the file: the second has it in its staging folder", Gone(1, 1), kOldEpoch,
       "ASSIGNED 1 DTF-01"},
      {"about an attempt that is over", Gone(2, 2), kSuperseded, "ASSIGNED 1 DTF-01"},
      {"the second looked everywhere", Gone(1, 2), kAccepted, "DEAD 1"},
      {"said twice", Gone(1, 2), kJobFinished, "DEAD 1"},
  };
  Proves(rows, {planted::kL6GoneAnyEpoch});
  const Row running[] = {
      {"submitted", Submit(kJob, {.file = true}), kAccepted, "PENDING 1"},
      {"given away", Assign(1, kOne), kAccepted, ""},
      {"the worker found it", Start(1, kOne), kAccepted, ""},
      {"so it is not gone", Gone(1), kNotPending, "RUNNING 1 DTF-01"},
      {"succeeds", Succeed(1, kOne), kAccepted, ""},
      {"and stays so", Gone(1), kTaskFinished, "SUCCEEDED 1"},
  };
  Proves(running, {});
}

TEST(LedgerTest, RuleR2AVerdictNamesWhatItJudges) {  // rule R2
  const Row rows[] = {
      {"silent since its fifth beat", Lost(kOne, 5), kAccepted, ""},
      {"a second reaper", Lost(kOne, 5), kWorkerIsLost, ""},
      {"the beat that was judged", Returned(kOne, 5), kOldBeat, ""},
      {"a later one", Returned(kOne, 6), kAccepted, ""},
      {"a second reaper", Returned(kOne, 7), kWorkerIsNotLost, ""},
      {"a reaper that lags judges the fifth again", Lost(kOne, 5), kOldBeat, ""},
      {"silent since its eighth", Lost(kOne, 8), kAccepted, ""},
      {"another worker has beats of its own", Lost(kTwo, 1), kAccepted, ""},
  };
  Proves(rows, {planted::kR2LostAnyBeat});
}

TEST(LedgerTest, RuleR2LastWordsAreJudgedByTheirIncarnation) {  // rule R2
  const Row rows[] = {
      {"silent", Lost(kOne, 5, kFirstLife), kAccepted, ""},
      {"it beats again", Returned(kOne, 6, kFirstLife), kAccepted, ""},
      {"its process dies: that no beat is named does not matter", LastWords(kOne, kFirstLife), kAccepted, ""},
      {"told twice", LastWords(kOne, kFirstLife), kWorkerIsLost, ""},
      {"a beat it sent before it died, read late", Returned(kOne, 7, kFirstLife), kOldBeat, ""},
      {"started again", Returned(kOne, 8, kSecondLife), kAccepted, ""},
      {"the last words of the one before, once more", LastWords(kOne, kFirstLife), kOldBeat, ""},
      {"a third life that was never judged dies as well", LastWords(kOne, IncarnationId{9, 3}), kAccepted,
       ""},
      {"nothing is known of this one but its last words", LastWords(kTwo, kFirstLife), kAccepted, ""},
  };
  Proves(rows, {planted::kR2LostAnyBeat});
}

TEST(LedgerTest, RuleR2BrowsersToo) {  // rule R2
  const Row rows[] = {
      {"never lost", BrowserReturned(kOne, 3), kWorkerIsNotLost, ""},
      {"gone", BrowserLost(kOne, 5), kAccepted, ""},
      {"said twice", BrowserLost(kOne, 6), kWorkerIsLost, ""},
      {"an old sign of life", BrowserReturned(kOne, 5), kOldBeat, ""},
      {"a later one", BrowserReturned(kOne, 6), kAccepted, ""},
      {"an old verdict", BrowserLost(kOne, 5), kOldBeat, ""},
      {"of nobody", BrowserLost("", 5), kMalformed, ""},
      {"of nobody", BrowserReturned("", 5), kMalformed, ""},
      {"of nobody", Lost("", 5), kMalformed, ""},
      {"of nobody", Returned("", 5), kMalformed, ""},
  };
  Proves(rows, {});
}

TEST(LedgerTest, FirstSuccessWins) {
  const Row rows[] = {
      {"submitted", Submit(kJob, {.tasks = 2}), kAccepted, "PENDING 1"},
      {"given away", Assign(1, kOne), kAccepted, ""},
      {"starts", Start(1, kOne), kAccepted, ""},
      {"called lost", Republish(1, kOne), kAccepted, "PENDING 2"},
      {"given to another", Assign(2, kTwo), kAccepted, ""},
      {"starts", Start(2, kTwo), kAccepted, "RUNNING 2 DTF-02"},
      {"an attempt that was never given", Succeed(3, kOne), kSuperseded, "RUNNING 2 DTF-02"},
      {"no attempt at all", Succeed(0, kOne), kSuperseded, "RUNNING 2 DTF-02"},
      {"not from who holds it", Succeed(2, kOne), kOtherWorker, "RUNNING 2 DTF-02"},
      {"the lost worker had done the work: it counts", Succeed(1, kOne), kAccepted, "SUCCEEDED 2"},
      {"the second one is recorded, and no more", Succeed(2, kTwo), kTaskFinished, "SUCCEEDED 2"},
      {"nor does a failure change it", Fail(2, kTwo), kTaskFinished, "SUCCEEDED 2"},
      {"nor a release", Release(2, kTwo), kTaskFinished, "SUCCEEDED 2"},
      {"nor a reaper", Republish(2, kTwo), kTaskFinished, "SUCCEEDED 2"},
      {"nor a dispatcher", Assign(2, kTwo), kTaskFinished, "SUCCEEDED 2"},
  };
  Proves(rows, {planted::kSecondSuccess});
}

TEST(LedgerTest, ALateSuccessLetsGoOfWhoHoldsTheTask) {
  Fold fold;
  for (const v1::Event& event :
       {Submit(), Assign(1, kOne), Start(1, kOne), Republish(1, kOne), Assign(2, kTwo), Start(2, kTwo)}) {
    ASSERT_EQ(fold.Take(event), kAccepted);
  }
  ASSERT_EQ(fold.ledger->HeldBy(kTwo).size(), 1u);
  ASSERT_EQ(fold.Take(Succeed(1, kOne)), kAccepted);
  EXPECT_TRUE(fold.ledger->HeldBy(kTwo).empty());
  EXPECT_TRUE(fold.ledger->HeldBy(kOne).empty());
  const Change& change = fold.changes.front();
  EXPECT_EQ(change.kind, Change::Kind::kTaskSucceeded);
  EXPECT_EQ(change.held_attempt, 2u) << "who has it now is told to stop";
  EXPECT_EQ(fold.ledger->WorkerName(change.held_by), kTwo);
  EXPECT_EQ(change.by_attempt, 1u);
  const auto state = fold.ledger->Load(kJob);
  ASSERT_EQ(state->tasks(0).attempts_size(), 2);
  EXPECT_EQ(state->tasks(0).attempts(0).outcome(), "succeeded");
  EXPECT_EQ(state->tasks(0).attempts(1).outcome(), "superseded");
}

TEST(LedgerTest, AJobMayRejectLateSuccesses) {
  const Row rows[] = {
      {"submitted", Submit(kJob, {.late_success = v1::REJECT}), kAccepted, "PENDING 1"},
      {"given away", Assign(1, kOne), kAccepted, ""},
      {"starts", Start(1, kOne), kAccepted, ""},
      {"called lost", Republish(1, kOne), kAccepted, "PENDING 2"},
      {"too late for this job", Succeed(1, kOne), kLateSuccess, "PENDING 2"},
      {"what nobody holds cannot succeed", Succeed(2, kOne), kNotHeld, "PENDING 2"},
  };
  Proves(rows, {});
}

TEST(LedgerTest, OnlyWhoHoldsTheCurrentAttemptMaySpeakOfIt) {
  const Row rows[] = {
      {"of a job nobody knows", Assign(1, kOne), kUnknownJob, "none"},
      {"submitted", Submit(), kAccepted, "PENDING 1"},
      {"of a task it does not have", Assign(1, kOne, 0, {kJob, 2}), kUnknownTask, ""},
      {"of task 0", Assign(1, kOne, 0, {kJob, 0}), kUnknownTask, ""},
      {"to nobody", Assign(1, ""), kMalformed, "PENDING 1"},
      {"given away", Assign(1, kOne), kAccepted, "ASSIGNED 1 DTF-01"},
      {"one assignment an attempt", Assign(1, kTwo), kNotPending, "ASSIGNED 1 DTF-01"},
      {"progress before the start", Progress(1, kOne, 10), kNotHeld, "ASSIGNED 1 DTF-01"},
      {"starts", Start(1, kOne), kAccepted, "RUNNING 1 DTF-01"},
      {"progress", Progress(1, kOne, 10), kAccepted, "RUNNING 1 DTF-01"},
      {"progress of somebody else", Progress(1, kTwo, 90), kOtherWorker, ""},
      {"progress of another attempt", Progress(2, kOne, 90), kSuperseded, ""},
      {"failure of somebody else", Fail(1, kTwo), kOtherWorker, "RUNNING 1 DTF-01"},
      {"release of somebody else", Release(1, kTwo), kOtherWorker, "RUNNING 1 DTF-01"},
      {"a reaper speaks of an attempt that is over", Republish(2, kOne), kSuperseded, "RUNNING 1 DTF-01"},
      {"fails", Fail(1, kOne), kAccepted, "PENDING 2"},
      {"said twice", Fail(1, kOne), kSuperseded, "PENDING 2"},
      {"nobody holds it", Republish(2, kOne), kNotHeld, "PENDING 2"},
      {"nobody holds it", Release(2, kOne), kNotHeld, "PENDING 2"},
      {"nothing", v1::Event(), kMalformed, "PENDING 2"},
  };
  Proves(rows, {});
}

TEST(LedgerTest, EveryVerdictHasItsOwnNameAndSentence) {
  std::set<std::string_view> names, texts;
  for (size_t i = 0; i < kVerdicts; i++) {
    names.insert(VerdictName(static_cast<FoldVerdict>(i)));
    texts.insert(VerdictText(static_cast<FoldVerdict>(i)));
  }
  EXPECT_EQ(names.size(), kVerdicts);
  EXPECT_EQ(texts.size(), kVerdicts);
}

}  // namespace
}  // namespace laneway
