// From a file in incoming/ to a job, and to an output folder.
#include <gtest/gtest.h>

#include <algorithm>

#include "rig.h"

namespace laneway::dispatcher {
namespace {

using Words = std::vector<std::string>;

zone::Identity File(const std::string& path = "a.csv", uint64_t inode = 11) {
  return {.path = path, .size = 3, .mtime_ns = 5, .inode = inode};
}

// A look at all of incoming/, with what it finds new and what it misses.
void Look(Rig& rig, std::vector<zone::Identity> complete, std::vector<zone::Identity> vanished = {}) {
  rig.core->OnLookBegins();
  zone::Findings findings;
  findings.complete = std::move(complete);
  findings.vanished = std::move(vanished);
  rig.core->OnFindings(findings, rig.now, &rig.out);
  rig.Run();
}
void Work(Rig& rig, const JobId& job, bool well = true) {
  rig.Say(Start(1, kOne, {job, 1}));
  rig.Say(well ? Succeed(1, kOne, {job, 1}) : Fail(1, kOne, v1::BAD_INPUT, {job, 1}));
  rig.Run();
}
// A file came, and its first attempt said that it is bad.
JobId OfABadFile(Rig& rig) {
  rig.Become();
  rig.Joins(kOne);
  Look(rig, {File()});
  const JobId job = rig.OnlyJob();
  Work(rig, job, false);
  return job;
}
size_t Count(const Words& words, std::string_view word) {
  return static_cast<size_t>(std::count(words.begin(), words.end(), word));
}

std::string WayOfAFile() {  // rules Z4, L6
  Rig rig;
  rig.Become();
  rig.Joins(kOne);
  rig.zone_log.clear();
  Look(rig, {File()});
  const JobId job = rig.OnlyJob();
  if (rig.zone_log != Words{"place 1"})
    return "the file goes to its attempt's folder before its packet is sent";
  if (rig.SaidTo(kOne) != Words{"packet 1"}) return "then the packet";
  const auto [lane, offset] = rig.LastPacket();
  if (!rig.lanes[lane][offset].packet().has_file()) return "the packet names the file";
  rig.finish = zone::FinishOutcome::kRetry;
  Work(rig, job);
  if (rig.ledger.IsClosed(job)) return "rule L6: closed before its file has arrived";
  rig.finish.reset();
  rig.Advance(Rig::kAgain);
  rig.Advance(Rig::kAgain);
  if (!rig.ledger.IsClosed(job)) return "it has arrived";
  if (rig.ledger.Load(job)->final_path() != "completed/a.csv") return "where it is";
  return rig.zone_log.back() == "finish completed claimed" ? "" : rig.zone_log.back();
}

TEST(DispatcherFilesTest, RuleL6AJobIsClosedWhenItsFileHasArrived) {  // rule L6
  Proves(WayOfAFile, {planted::kL6ClosedBeforeRename});
}

TEST(DispatcherFilesTest, RuleL4AMoveThatWasAskedForBeforeARedriveIsNotTold) {  // rule L4
  Rig rig;
  const JobId job = OfABadFile(rig);
  ASSERT_TRUE(rig.ledger.IsClosed(job));
  EXPECT_EQ(rig.decided.back().attempt(), 1u) << "the attempt after which it was moved";
  zone::FinishRequest first;
  first.task = {job, 1};
  first.attempt = 1;
  rig.Say(Redrive(1, {job, 1}));
  rig.Run();
  rig.finish = zone::FinishOutcome::kRetry;  // the second move takes its time
  rig.Say(Start(2, kOne, {job, 1}));
  rig.Say(Succeed(2, kOne, {job, 1}));
  rig.Run();
  ASSERT_FALSE(rig.ledger.IsClosed(job));
  const size_t before = rig.decided.size();
  zone::FinishResult late;
  late.outcome = zone::FinishOutcome::kMoved;
  late.path = "quarantine/a.csv";
  rig.core->OnFinished(first, late, rig.now, &rig.out);
  rig.Run();
  EXPECT_EQ(rig.decided.size(), before) << "an answer that comes late";
  rig.finish.reset();
  rig.Advance(Rig::kAgain);
  rig.Advance(Rig::kAgain);
  ASSERT_TRUE(rig.ledger.IsClosed(job));
  EXPECT_EQ(rig.ledger.Load(job)->final_path(), "completed/a.csv");
  EXPECT_EQ(rig.decided.back().attempt(), 2u);
}

TEST(DispatcherFilesTest, ABadInputGoesToQuarantineWithALetter) {
  Rig rig;
  const JobId job = OfABadFile(rig);
  EXPECT_EQ(rig.ledger.Load(job)->final_path(), "quarantine/a.csv");
  ASSERT_EQ(rig.dead.size(), 1u);
  EXPECT_EQ(rig.dead[0].file(), "a.csv");
  ASSERT_EQ(rig.dead[0].evidence_size(), 1);
  EXPECT_NE(rig.dead[0].evidence(0).find("attempt 1 on DTF-01: failed"), std::string::npos);
}

std::string PutBack() {  // rule I1
  Rig rig;
  rig.Become();
  rig.Joins(kOne);
  Look(rig, {File()});
  const JobId first = rig.OnlyJob();
  Look(rig, {File()});
  if (rig.OnlyJob() != first) return "told twice it is one job";
  // A look begins while the job is under way; the job is closed before the findings of that look are read:
  // what was seen may be the file on its way.
  rig.core->OnLookBegins();
  Work(rig, first);
  if (!rig.ledger.IsClosed(first)) return "closed";
  zone::Findings findings;
  findings.complete = {File()};
  rig.core->OnFindings(findings, rig.now, &rig.out);
  rig.Run();
  if (rig.ledger.open_jobs() != 0) return "the number of closed jobs is that of before the look";
  if (Count(rig.zone_log, "forget a.csv") == 0) return "it is told again by the next look";
  Look(rig, {File()});
  const JobId second = rig.OnlyJob();
  if (second.empty() || second == first) return "put back on purpose it is another job";
  return "";
}

TEST(DispatcherFilesTest, RuleI1AFileThatIsPutBackIsASecondJob) {  // rule I1
  Proves(PutBack, {planted::kI1CountAfterLook});
}

TEST(DispatcherFilesTest, RuleI1TwoDispatchersMakeOneJob) {  // rule I1
  Rig one, two;
  for (Rig* rig : {&one, &two}) {
    rig->Become();
    Look(*rig, {File()});
  }
  EXPECT_EQ(one.OnlyJob(), two.OnlyJob());
  EXPECT_EQ(one.Say(two.decided.at(0)), FoldVerdict::kDuplicate);
  Look(one, {File("b.csv"), File("a.csv", 12)});
  EXPECT_EQ(one.ledger.open_jobs(), 3u) << "another name, another inode: other arrivals";
}

std::string ClaimsFirst() {  // rule Z4
  Rig rig;
  rig.Become();  // nobody is there to take the task
  Look(rig, {File()});
  const JobId job = rig.OnlyJob();
  rig.Say(Cancel(job));
  rig.keep_events = true;
  rig.zone_log.clear();
  rig.Run();
  if (rig.zone_log != Words{"finish failed"}) return "it may still be in incoming/: through staging";
  if (rig.kept.size() != 1 || !rig.kept[0].has_file_claimed()) return "the claim comes first";
  rig.keep_events = false;
  rig.ReadBackKept();
  if (rig.zone_log != Words{"finish failed", "finish failed claimed"}) return "then it goes on";
  if (rig.Decisions() != Words{"job_submitted", "file_claimed", "file_moved"}) return "in this order";
  return rig.ledger.IsClosed(job) ? "" : "closed";
}

TEST(DispatcherFilesTest, RuleZ4ACancelledFileIsClaimedBeforeItGoesToAnOutputFolder) {  // rule Z4
  Proves(ClaimsFirst, {planted::kZ4OutputUnclaimed});
}

std::string TakesOnce() {  // rule Z4
  Rig rig;
  rig.Become();
  rig.Joins(kOne);
  Look(rig, {File()});
  const JobId job = rig.OnlyJob();
  rig.Say(Start(1, kOne, {job, 1}));
  rig.Say(Republish(1, kOne, {job, 1}));
  rig.zone_log.clear();
  rig.Run();
  return rig.zone_log == Words{"place 2 claimed"} ? "" : "a claimed task never takes anything from incoming/";
}

TEST(DispatcherFilesTest, RuleZ4AClaimedTaskTakesNothingFromIncoming) {  // rule Z4
  Proves(TakesOnce, {planted::kZ4TakeAgain});
}

TEST(DispatcherFilesTest, RuleL6AFileIsGoneWhenItWasLookedForTwice) {  // rule L6
  Rig rig;
  rig.Become();
  rig.Joins(kOne);
  rig.place = zone::PlaceOutcome::kNowhere;
  Look(rig, {File()});
  const JobId job = rig.OnlyJob();
  EXPECT_EQ(Count(rig.zone_log, "place 1"), 1u);
  EXPECT_EQ(rig.TaskIs({job, 1}), "ASSIGNED 1 DTF-01") << "one look may have been unlucky";
  rig.lose_events = true;
  rig.Advance(Rig::kAgain);
  EXPECT_EQ(rig.Decisions().back(), "file_gone");
  rig.lose_events = false;
  for (int i = 0; i < 3; i++) rig.Advance(Rig::kAgain);
  EXPECT_EQ(rig.TaskIs({job, 1}), "DEAD 1") << "the append that failed was decided again";
  EXPECT_EQ(rig.decided.back().file_gone().epoch(), rig.core->epoch());
  EXPECT_TRUE(rig.ledger.IsClosed(job));
  EXPECT_GT(Count(rig.alerts, "file_gone"), 0u);
  EXPECT_EQ(rig.Packets(), 0u);
}

TEST(DispatcherFilesTest, AFileThatWasOnlyMissedOnceIsPlaced) {
  Rig rig;
  rig.Become();
  rig.Joins(kOne);
  rig.place = zone::PlaceOutcome::kReplaced;
  Look(rig, {File()});
  rig.place = zone::PlaceOutcome::kPlaced;
  rig.Advance(Rig::kAgain);
  EXPECT_EQ(rig.SaidTo(kOne), Words{"packet 1"});
}

TEST(DispatcherFilesTest, AFileThatItsOwnerTakesAwayCancelsItsJobAtTheSecondLook) {
  Rig rig;
  rig.Become();
  Look(rig, {File(), File("b.csv", 12)});
  ASSERT_EQ(rig.ledger.open_jobs(), 2u);
  Look(rig, {}, {File(), File("b.csv", 12)});
  EXPECT_EQ(rig.Decisions().back(), "job_submitted") << "missed once";
  rig.core->OnLookBegins(false);
  rig.core->OnFindings({}, rig.now, &rig.out);
  rig.Run();
  EXPECT_EQ(rig.Decisions().back(), "job_submitted") << "a look at another place tells nothing";
  rig.finish = zone::FinishOutcome::kNowhere;
  Look(rig, {File("b.csv", 12)});
  EXPECT_EQ(Count(rig.Decisions(), "job_cancelled"), 1u) << "the other one is there again";
  ASSERT_EQ(rig.ledger.open_jobs(), 1u);
  EXPECT_EQ(rig.ledger.Find(rig.OnlyJob())->file->identity.path(), "b.csv");
  EXPECT_EQ(Count(rig.alerts, "file_gone"), 0u) << "its owner knows";
}

TEST(DispatcherFilesTest, AFileThatVanishedBecauseItWasTakenCancelsNothing) {
  Rig rig;
  rig.Become();
  rig.Joins(kOne);
  Look(rig, {File()});
  Look(rig, {}, {File()});
  Look(rig, {});
  EXPECT_EQ(Count(rig.Decisions(), "job_cancelled"), 0u);
}

TEST(DispatcherFilesTest, ASubmissionThatFailedIsToldAgain) {
  Rig rig;
  rig.Become();
  rig.lose_events = true;
  Look(rig, {File()});
  EXPECT_EQ(Count(rig.zone_log, "forget a.csv"), 1u)
      << "the scanner tells of a file once, unless it is asked to forget it";
  rig.lose_events = false;
  rig.Advance(Rig::kAgain);
  Look(rig, {File()});
  EXPECT_EQ(rig.ledger.open_jobs(), 1u);
}

TEST(DispatcherFilesTest, ARedrivenFileIsFetchedFromWhereItWent) {
  Rig rig;
  const JobId job = OfABadFile(rig);
  rig.zone_log.clear();
  rig.Say(Redrive(1, {job, 1}));
  rig.Run();
  EXPECT_EQ(rig.zone_log, Words{"place 2 claimed from quarantine/a.csv"});
  EXPECT_EQ(rig.TaskIs({job, 1}), "ASSIGNED 2 DTF-01");
}

TEST(DispatcherFilesTest, AnInputThatAScriptChangedIsNamedAsItLiesThere) {
  Rig rig;
  rig.Become();
  rig.Joins(kOne);
  Look(rig, {File()});
  const JobId job = rig.OnlyJob();
  rig.Say(Start(1, kOne, {job, 1}));
  zone::Identity changed = File();
  changed.size = 99;
  rig.changed = changed;
  rig.Say(Republish(1, kOne, {job, 1}));
  rig.Run();
  const auto [lane, offset] = rig.LastPacket();
  EXPECT_EQ(rig.lanes[lane][offset].packet().file().size(), 99u);
}

TEST(DispatcherFilesTest, WhatLiesBelowProcessingIsJudgedByTheFold) {  // rules Z1, Z2
  Rig rig;
  rig.Become();
  rig.Joins(kOne);
  Look(rig, {File()});
  const JobId job = rig.OnlyJob();
  const auto leftover = [&](const std::string& path, uint32_t attempt, bool in_staging,
                            std::optional<uint64_t> inode) {
    zone::Leftover found{.path = path,
                         .folder = "processing/x",
                         .task = TaskId{job, 1},
                         .attempt = attempt,
                         .in_staging = in_staging};
    if (inode) {
      found.file.emplace();
      found.file->inode = *inode;
      found.file->size = 3;
      found.file->mtime_ns = 5;
    }
    return found;
  };
  rig.zone_log.clear();
  const auto tell = [&](const zone::Leftover& found) {
    rig.core->OnLeftovers({found}, rig.now, &rig.out);
    rig.Run();
    return std::exchange(rig.zone_log, {});
  };
  EXPECT_EQ(tell(leftover("x/stranger", 1, true, 77)), Words{"put back x/stranger as a.csv"})
      << "rule Z2: where it came from";
  EXPECT_EQ(tell(leftover("x/work file", 1, false, 77)), Words{}) << "a script's own files are its own";
  EXPECT_EQ(tell(leftover("x/a.csv", 5, true, 77)), Words{}) << "rule Z1: newer than what this fold knows";
  EXPECT_EQ(tell(leftover("x/folder", 1, false, {})), Words{}) << "the current attempt's";
  rig.Say(Start(1, kOne, {job, 1}));
  rig.Say(Republish(1, kOne, {job, 1}));
  rig.Run();
  rig.zone_log.clear();
  EXPECT_EQ(tell(leftover("x/folder", 1, false, {})), Words{"remove x/folder"})
      << "of an attempt that is over";
  rig.Say(Succeed(1, kOne, {job, 1}));
  rig.Run();
  ASSERT_TRUE(rig.ledger.IsClosed(job));
  rig.zone_log.clear();
  EXPECT_EQ(tell(leftover("x/a.csv", 1, true, 11)), Words{"finish completed claimed"})
      << "its own file, left behind by a dispatcher that died";
}

TEST(DispatcherFilesTest, WhatMayNotBecomeAJobIsRefusedAloud) {
  Rig rig;
  rig.Become();
  rig.core->OnLookBegins();
  zone::Findings findings;
  findings.refused = {{"link", "a symbolic link"}};
  findings.unreadable = {{"folder", "no rights"}};
  rig.core->OnFindings(findings, rig.now, &rig.out);
  rig.Run();
  EXPECT_EQ(rig.zone_log.back(), "refuse link");
  EXPECT_EQ(rig.alerts, (Words{"file_refused", "folder_unreadable"}));
}

}  // namespace
}  // namespace laneway::dispatcher
