#include "log/sim_log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "log/faulty_log.h"

namespace laneway::log {
namespace {

using testing::ElementsAre;

constexpr TopicPartition kEvents0{Topic::kEvents, 0};

class SimLogTest : public testing::Test {
 protected:
  SimLogTest() { EXPECT_TRUE(client_->EnsureTopic(Topic::kEvents, 1).ok()); }

  AppendDone Note(const std::string& name) {
    return [this, name](const absl::Status& status, std::span<const Offset>) {
      answers_.push_back(name + ":" + absl::StatusCodeToString(status.code()));
    };
  }
  void Append(Log& log, const std::string& value) {
    log.Append({{kEvents0, RecordType::kEvent, "k", value}}, Note(value));
  }
  void Put(SimClient& client, const std::string& key, const std::string& value, Durability durability) {
    client.Commit({{StoreOp::Kind::kPut, key, value}}, durability, [](const absl::Status&) {});
  }
  std::vector<std::string> Values(Log& log) {
    std::vector<std::string> values;
    auto batch = log.Read(kEvents0, log.Range(kEvents0)->first, 1 << 20);
    for (const RecordView& record : batch->records) values.emplace_back(record.value);
    return values;
  }

  int64_t now_ = 1000;
  SimDisk disk_{[this] { return LogTime{now_}; }};
  std::unique_ptr<SimClient> client_ = disk_.Connect("DTF-01");
  std::vector<std::string> answers_;
};

TEST_F(SimLogTest, NothingHappensBeforeTheSimulatorSaysSo) {
  Append(*client_, "a");
  Append(*client_, "b");
  EXPECT_EQ(disk_.waiting(), 2u);
  EXPECT_TRUE(answers_.empty());
  EXPECT_EQ(client_->Range(kEvents0)->next, 0u);
  EXPECT_TRUE(disk_.CompleteNext());
  EXPECT_THAT(answers_, ElementsAre("a:OK"));
  EXPECT_THAT(Values(*client_), ElementsAre("a"));
  EXPECT_EQ(disk_.ListWaiting()[0].owner, "DTF-01");
  disk_.CompleteAll();
  EXPECT_FALSE(disk_.CompleteNext());
  EXPECT_THAT(Values(*client_), ElementsAre("a", "b"));
}

TEST_F(SimLogTest, AppendsOfSeveralClientsCompleteInTheOrderTheSimulatorChooses) {
  const auto other = disk_.Connect("DTF-02");
  Append(*client_, "a");
  Append(*other, "b");
  EXPECT_TRUE(disk_.Complete(disk_.ListWaiting()[1].id));
  EXPECT_TRUE(disk_.Complete(disk_.ListWaiting()[0].id));
  EXPECT_FALSE(disk_.Complete(999));
  EXPECT_THAT(Values(*client_), ElementsAre("b", "a"));
}

TEST_F(SimLogTest, EachFateIsToldAsItIs) {
  const struct {
    SimFate fate;
    const char* answer;
    size_t records;
  } rows[] = {{SimFate::kDone, "x:OK", 1},
              {SimFate::kReplyLost, "x:UNKNOWN", 1},
              {SimFate::kRequestLost, "x:UNKNOWN", 0},
              {SimFate::kUnavailable, "x:UNAVAILABLE", 0},
              {SimFate::kDiskFull, "x:RESOURCE_EXHAUSTED", 0}};
  for (const auto& row : rows) {
    answers_.clear();
    const Offset before = client_->Range(kEvents0)->next;
    Append(*client_, "x");
    disk_.CompleteNext(row.fate);
    EXPECT_THAT(answers_, ElementsAre(row.answer));
    EXPECT_EQ(client_->Range(kEvents0)->next - before, row.records) << row.answer;
  }
}

TEST_F(SimLogTest, WhatWasAnsweredUnknownMayArriveLateOrTwice) {
  Append(*client_, "lost");
  disk_.CompleteNext(SimFate::kRequestLost);
  Append(*client_, "twice");
  disk_.CompleteNext(SimFate::kReplyLost);
  ASSERT_EQ(disk_.unknown(), 2u);
  EXPECT_TRUE(disk_.AppendLate(1));
  EXPECT_TRUE(disk_.AppendLate(0));
  EXPECT_FALSE(disk_.AppendLate(0));
  EXPECT_THAT(Values(*client_), ElementsAre("twice", "twice", "lost"));
  EXPECT_EQ(answers_.size(), 2u);
}

TEST_F(SimLogTest, ADeadClientIsNeverCalledAgainButItsAppendsMayHappen) {
  int wakes = 0;
  const auto watch = client_->WatchPartitions({kEvents0}, [&] { wakes++; });
  Append(*client_, "a");
  client_->Kill();
  EXPECT_TRUE(disk_.ListWaiting()[0].client_is_dead);
  disk_.CompleteAll();
  EXPECT_TRUE(answers_.empty());
  EXPECT_EQ(wakes, 0);
  const auto next = disk_.Connect("DTF-01");
  EXPECT_THAT(Values(*next), ElementsAre("a"));
  EXPECT_TRUE(absl::IsUnavailable(client_->Read(kEvents0, 0, 1).status()));
}

TEST_F(SimLogTest, AClientCutOffHearsNothingAndLosesItsReplies) {
  int wakes = 0;
  const auto watch = client_->WatchPartitions({kEvents0}, [&] { wakes++; });
  Append(*client_, "before");
  client_->CutOff(true);
  Append(*client_, "during");
  disk_.CompleteAll();
  EXPECT_THAT(answers_, ElementsAre("before:UNKNOWN", "during:UNAVAILABLE"));
  EXPECT_EQ(wakes, 0);
  EXPECT_TRUE(absl::IsUnavailable(client_->Read(kEvents0, 0, 1).status()));
  Put(*client_, "k", "v", Durability::kSynced);  // its own disk is there
  disk_.CompleteAll();
  EXPECT_EQ(*client_->Get("k"), "v");
  client_->CutOff(false);
  EXPECT_THAT(Values(*client_), ElementsAre("before"));
}

TEST_F(SimLogTest, APowerLossTakesWhatWasNotSynced) {
  Put(*client_, "a", "synced", Durability::kSynced);
  Put(*client_, "b", "buffered, then synced by the next", Durability::kBuffered);
  Put(*client_, "c", "synced", Durability::kSynced);
  Put(*client_, "d", "buffered", Durability::kBuffered);
  disk_.CompleteAll();
  Put(*client_, "e", "waiting", Durability::kSynced);
  Append(*client_, "waiting");
  client_->Kill();
  disk_.PowerLoss();
  EXPECT_EQ(disk_.waiting(), 0u);
  client_ = disk_.Connect("DTF-01");
  for (const char* key : {"a", "b", "c"}) EXPECT_TRUE(client_->Get(key)->has_value()) << key;
  for (const char* key : {"d", "e"}) EXPECT_FALSE(client_->Get(key)->has_value()) << key;
  EXPECT_EQ(client_->Range(kEvents0)->next, 0u);
}

TEST_F(SimLogTest, AKilledProcessKeepsWhatWasBuffered) {
  Put(*client_, "d", "buffered", Durability::kBuffered);
  disk_.CompleteAll();
  client_ = disk_.Connect("DTF-01");
  EXPECT_TRUE(client_->Get("d")->has_value());
}

TEST_F(SimLogTest, StoresAreTheirOwnersAndCanBeLost) {
  const auto other = disk_.Connect("DTF-02");
  Put(*client_, "k", "1", Durability::kSynced);
  Put(*other, "k", "2", Durability::kSynced);
  disk_.CompleteAll();
  disk_.LoseStore("DTF-02");
  EXPECT_EQ(*client_->Get("k"), "1");
  EXPECT_EQ(*other->Get("k"), std::nullopt);
}

TEST_F(SimLogTest, StoreCallsOfOneOwnerCompleteInOrderWhateverIsAskedFor) {
  Put(*client_, "k", "1", Durability::kSynced);
  Put(*client_, "k", "2", Durability::kSynced);
  EXPECT_TRUE(disk_.Complete(disk_.ListWaiting()[1].id));
  EXPECT_EQ(*client_->Get("k"), "2");
  EXPECT_EQ(disk_.waiting(), 0u);
}

TEST_F(SimLogTest, AFullDiskRefusesWhateverFateIsAskedFor) {
  disk_.SetDiskFull(true);
  client_->Commit({{StoreOp::Kind::kPut, "note", "1"}}, {{kEvents0, RecordType::kEvent, "", "x"}}, Note("x"));
  disk_.CompleteNext();
  EXPECT_THAT(answers_, ElementsAre("x:RESOURCE_EXHAUSTED"));
  EXPECT_EQ(*client_->Get("note"), std::nullopt);
  disk_.SetDiskFull(false);
  Append(*client_, "y");
  disk_.CompleteNext();
  EXPECT_THAT(Values(*client_), ElementsAre("y"));
}

TEST_F(SimLogTest, ADamagedValueIsReadAsItIs) {
  Append(*client_, "a");
  Append(*client_, "b");
  disk_.CompleteAll();
  const uint64_t before = disk_.Digest();
  EXPECT_TRUE(disk_.ReplaceValue(kEvents0, 0, "garbage"));
  EXPECT_FALSE(disk_.ReplaceValue(kEvents0, 2, "garbage"));
  EXPECT_THAT(Values(*client_), ElementsAre("garbage", "b"));
  EXPECT_NE(disk_.Digest(), before);
}

TEST_F(SimLogTest, TimesComeFromTheSimulatorAndNeverRunBackwards) {
  Append(*client_, "a");
  disk_.CompleteNext();
  now_ = 500;
  Append(*client_, "b");
  disk_.CompleteNext();
  now_ = 2000;
  Append(*client_, "c");
  disk_.CompleteNext();
  const auto batch = client_->Read(kEvents0, 0, 1 << 20);
  EXPECT_EQ(batch->records[1].time.ms, 1000);
  EXPECT_EQ(batch->records[2].time.ms, 2000);
}

// As on Kafka: each partition's records by themselves.
class RemoteSimLogTest : public SimLogTest {
 protected:
  RemoteSimLogTest() {
    EXPECT_TRUE(client_->EnsureTopic(Topic::kEvents, 2).ok());
    disk_.SetRemote(true);
  }
  // "a" and "c" into one partition, "b" into the other.
  void AppendToBoth() {
    client_->Append({{kEvents0, RecordType::kEvent, "", "a"},
                     {kEvents1, RecordType::kEvent, "", "b"},
                     {kEvents0, RecordType::kEvent, "", "c"}},
                    [this](const absl::Status& status, std::span<const Offset> offsets) {
                      answers_.push_back(absl::StatusCodeToString(status.code()));
                      for (const Offset offset : offsets) answers_.push_back(std::to_string(offset));
                    });
  }
  size_t Records(TopicPartition partition) { return client_->Range(partition)->next; }

  static constexpr TopicPartition kEvents1{Topic::kEvents, 1};
};

TEST_F(RemoteSimLogTest, AnAppendReachesEachPartitionByItselfAndIsAnsweredWhenAllHave) {
  AppendToBoth();
  ASSERT_EQ(disk_.waiting(), 2u);
  EXPECT_EQ(disk_.ListWaiting()[0].to, kEvents0);
  EXPECT_EQ(disk_.ListWaiting()[0].records, 2u);
  const uint64_t of_events0 = disk_.ListWaiting()[0].id;
  EXPECT_EQ(disk_.ListWaiting(of_events0).size(), 1u);
  EXPECT_TRUE(disk_.Complete(disk_.ListWaiting()[1].id));
  EXPECT_TRUE(answers_.empty());
  EXPECT_EQ(Records(kEvents1), 1u);
  EXPECT_EQ(Records(kEvents0), 0u);
  EXPECT_TRUE(disk_.Complete(of_events0));
  EXPECT_THAT(answers_, ElementsAre("OK", "0", "0", "1"));
  EXPECT_THAT(Values(*client_), ElementsAre("a", "c"));
}

TEST_F(RemoteSimLogTest, TheAnswerIsOkOnlyWhenAllIsDoneAndARefusalOnlyWhenNothingIs) {
  const struct {
    SimFate first, second;
    const char* answer;
  } rows[] = {{SimFate::kDone, SimFate::kReplyLost, "UNKNOWN"},
              {SimFate::kDone, SimFate::kUnavailable, "UNKNOWN"},
              {SimFate::kUnavailable, SimFate::kDone, "UNKNOWN"},
              {SimFate::kUnavailable, SimFate::kRequestLost, "UNKNOWN"},
              {SimFate::kRequestLost, SimFate::kDiskFull, "UNKNOWN"},
              {SimFate::kUnavailable, SimFate::kUnavailable, "UNAVAILABLE"},
              {SimFate::kDiskFull, SimFate::kUnavailable, "RESOURCE_EXHAUSTED"}};
  for (const auto& row : rows) {
    answers_.clear();
    AppendToBoth();
    disk_.CompleteNext(row.first);
    EXPECT_TRUE(answers_.empty());
    disk_.CompleteNext(row.second);
    EXPECT_THAT(answers_, ElementsAre(row.answer));
  }
}

TEST_F(RemoteSimLogTest, APartThatWasLostArrivesLateWithoutTheOthers) {
  AppendToBoth();
  disk_.CompleteNext(SimFate::kDone);
  disk_.CompleteNext(SimFate::kRequestLost);
  ASSERT_EQ(disk_.unknown(), 1u);
  EXPECT_EQ(Records(kEvents1), 0u);
  EXPECT_TRUE(disk_.AppendLate(0));
  EXPECT_EQ(Records(kEvents1), 1u);
  EXPECT_EQ(Records(kEvents0), 2u);
  EXPECT_EQ(answers_.size(), 1u);
}

TEST_F(RemoteSimLogTest, APartMayBeCutShortAndItsRestArrivesLater) {
  AppendToBoth();
  disk_.CompleteNext(SimFate::kCutShort);
  disk_.CompleteNext(SimFate::kDone);
  EXPECT_THAT(answers_, ElementsAre("UNKNOWN"));
  EXPECT_THAT(Values(*client_), ElementsAre("a"));
  EXPECT_TRUE(disk_.AppendLate(0));
  EXPECT_THAT(Values(*client_), ElementsAre("a", "c"));
}

TEST_F(RemoteSimLogTest, APartMayLoseItsBeginning) {
  Append(*client_, "x");
  disk_.CompleteNext(SimFate::kDone);
  AppendToBoth();
  disk_.CompleteNext(SimFate::kCutShort);
  disk_.CompleteNext(SimFate::kDone);
  EXPECT_THAT(answers_, ElementsAre("x:OK", "UNKNOWN"));
  EXPECT_THAT(Values(*client_), ElementsAre("x", "c"));
  EXPECT_TRUE(disk_.AppendLate(0));
  EXPECT_THAT(Values(*client_), ElementsAre("x", "c", "a"));
}

TEST_F(RemoteSimLogTest, AnAppendSyncsNoStore) {
  for (const bool remote : {true, false}) {
    disk_.SetRemote(remote);
    Put(*client_, "k", "buffered", Durability::kBuffered);
    Append(*client_, "x");
    disk_.CompleteAll();
    disk_.PowerLoss();
    EXPECT_EQ(client_->Get("k")->has_value(), !remote);
  }
}

TEST_F(RemoteSimLogTest, AJournalCommitStaysWhole) {
  client_->Commit({{StoreOp::Kind::kPut, "note", "1"}},
                  {{kEvents0, RecordType::kEvent, "", "a"}, {kEvents1, RecordType::kEvent, "", "b"}},
                  Note("x"));
  EXPECT_EQ(disk_.waiting(), 1u);
  disk_.CompleteNext(SimFate::kUnavailable);
  EXPECT_THAT(answers_, ElementsAre("x:UNAVAILABLE"));
  EXPECT_EQ(*client_->Get("note"), std::nullopt);
}

// As a consumer of Kafka.
class FollowerTest : public SimLogTest {
 protected:
  FollowerTest() {
    disk_.SetAutoComplete(true);
    Append(*client_, "a");
    reader_->Follow();
    watch_ = reader_->WatchPartitions({kEvents0}, [this] { wakes_++; });
  }
  bool Show(size_t more) {
    return reader_->Show([more](size_t unseen) { return std::min(more, unseen); });
  }

  std::unique_ptr<SimClient> reader_ = disk_.Connect("reader");
  std::unique_ptr<Watch> watch_;
  int wakes_ = 0;
};

TEST_F(FollowerTest, SeesWhatThereIsAtFirstAndLaterWhatItWasShown) {
  EXPECT_THAT(Values(*reader_), ElementsAre("a"));
  Append(*client_, "b");
  Append(*client_, "c");
  EXPECT_THAT(Values(*reader_), ElementsAre("a"));
  EXPECT_EQ(reader_->Range(kEvents0)->next, 3u);
  for (const Offset at : {1u, 2u, 3u}) {
    const auto beyond = reader_->Read(kEvents0, at, 100);  // what it has not seen yet is no error
    ASSERT_TRUE(beyond.ok()) << beyond.status();
    EXPECT_TRUE(beyond->records.empty());
    EXPECT_EQ(beyond->next_offset, at);
  }
  EXPECT_TRUE(absl::IsOutOfRange(reader_->Read(kEvents0, 4, 100).status()));
  EXPECT_TRUE(Show(1));
  EXPECT_THAT(Values(*reader_), ElementsAre("a", "b"));
  EXPECT_THAT(Values(*client_), ElementsAre("a", "b", "c")) << "two readers, two ends";
  EXPECT_FALSE(Show(1));
  EXPECT_THAT(Values(*reader_), ElementsAre("a", "b", "c"));
}

TEST_F(FollowerTest, IsWokenWhenItsOwnViewMoves) {
  Append(*client_, "b");
  EXPECT_EQ(wakes_, 0);
  EXPECT_TRUE(Show(0));
  EXPECT_EQ(wakes_, 0);
  EXPECT_FALSE(Show(1));
  EXPECT_EQ(wakes_, 1);
  EXPECT_FALSE(Show(1));
  EXPECT_EQ(wakes_, 1);
}

TEST_F(FollowerTest, ACutOffOneIsShownNothing) {
  Append(*client_, "b");
  reader_->CutOff(true);
  EXPECT_FALSE(Show(1));
  reader_->CutOff(false);
  EXPECT_THAT(Values(*reader_), ElementsAre("a"));
  EXPECT_FALSE(Show(1));
  EXPECT_THAT(Values(*reader_), ElementsAre("a", "b"));
}

TEST_F(FollowerTest, WhatWasTrimmedUnseenIsNotReadAsEmpty) {
  Append(*client_, "b");
  Append(*client_, "c");
  ASSERT_TRUE(client_->Trim(kEvents0, 2).ok());
  EXPECT_TRUE(absl::IsOutOfRange(reader_->Read(kEvents0, 1, 100).status()));
  EXPECT_TRUE(reader_->Read(kEvents0, 2, 100)->records.empty());
  Show(1);
  EXPECT_EQ(reader_->Read(kEvents0, 2, 100)->records.size(), 1u);
}

TEST_F(FollowerTest, APartitionWithoutALeaderCannotBeReadUntilItHasOneAgain) {
  disk_.SetLeader(kEvents0, false);
  EXPECT_FALSE(disk_.HasLeader(kEvents0));
  EXPECT_TRUE(absl::IsUnavailable(reader_->Read(kEvents0, 0, 100).status()));
  EXPECT_TRUE(absl::IsUnavailable(reader_->Range(kEvents0).status()));
  disk_.SetAutoComplete(false);
  Append(*client_, "b");
  disk_.CompleteNext(SimFate::kReplyLost);  // it was replicated; its client has given up
  EXPECT_FALSE(disk_.AppendLate(0)) << "nobody takes it";
  EXPECT_FALSE(Show(1));
  EXPECT_EQ(wakes_, 0);
  disk_.SetLeader(kEvents0, true);
  EXPECT_THAT(Values(*reader_), ElementsAre("a"));
  EXPECT_FALSE(Show(1));
  EXPECT_EQ(wakes_, 1);
  EXPECT_THAT(Values(*reader_), ElementsAre("a", "b"));
  EXPECT_TRUE(disk_.AppendLate(0));
}

// FaultyLog over it.
struct FaultRun {
  std::vector<std::string> answers;
  std::vector<std::string> values;
  FaultCounts counts;
};

FaultRun RunFaulty(FaultPlan plan, int appends) {
  SimDisk disk([] { return LogTime{1}; });
  disk.SetAutoComplete(true);
  const auto client = disk.Connect("x");
  EXPECT_TRUE(client->EnsureTopic(Topic::kEvents, 1).ok());
  FaultRun run;
  {
    FaultyLog log(*client, plan);
    for (int i = 0; i < appends; i++) {
      const std::string name = std::to_string(i);
      log.Append({{kEvents0, RecordType::kEvent, "", name}},
                 [&run, name](const absl::Status& status, std::span<const Offset>) {
                   run.answers.push_back(name + ":" + absl::StatusCodeToString(status.code()));
                 });
    }
    run.counts = log.counts();
  }
  const auto batch = client->Read(kEvents0, 0, 1 << 20);
  for (const RecordView& record : batch->records) run.values.emplace_back(record.value);
  return run;
}

TEST(FaultyLogTest, ASeedGivesTheSameFaultsAgainAndAnotherSeedOthers) {
  const FaultPlan plan{.seed = 7, .refuse = 100, .lose_reply = 100, .duplicate = 500, .delay = 200};
  FaultPlan other = plan;
  other.seed = 8;
  const FaultRun run = RunFaulty(plan, 300);
  EXPECT_EQ(run.answers, RunFaulty(plan, 300).answers);
  EXPECT_EQ(run.values, RunFaulty(plan, 300).values);
  EXPECT_NE(run.answers, RunFaulty(other, 300).answers);
}

TEST(FaultyLogTest, EveryCallIsAnsweredOnceAndTheAnswersAreTrue) {
  const FaultRun run =
      RunFaulty({.seed = 3, .refuse = 150, .lose_reply = 150, .duplicate = 500, .delay = 300}, 1000);
  EXPECT_EQ(run.answers.size(), 1000u);
  EXPECT_GT(run.counts.refused, 0u);
  EXPECT_GT(run.counts.replies_lost, 0u);
  EXPECT_GT(run.counts.duplicated, 0u);
  EXPECT_GT(run.counts.delayed, 0u);
  std::map<std::string, int> times;
  for (const std::string& value : run.values) times[value]++;
  for (const std::string& answer : run.answers) {
    const size_t colon = answer.find(':');
    const int happened = times[answer.substr(0, colon)];
    const std::string code = answer.substr(colon + 1);
    if (code == "OK") {
      EXPECT_EQ(happened, 1) << answer;
    }
    if (code == "UNKNOWN") {
      EXPECT_GE(happened, 1) << answer;
    }
    if (code == "UNAVAILABLE" || code == "RESOURCE_EXHAUSTED") {
      EXPECT_EQ(happened, 0) << answer;
    }
  }
}

TEST(FaultyLogTest, ReadsMayFailOrBeShortAndHeal) {
  SimDisk disk([] { return LogTime{1}; });
  disk.SetAutoComplete(true);
  const auto client = disk.Connect("x");
  ASSERT_TRUE(client->EnsureTopic(Topic::kEvents, 1).ok());
  client->Append(std::vector<NewRecord>(5, {kEvents0, RecordType::kEvent, "", "v"}),
                 [](const absl::Status&, std::span<const Offset>) {});
  FaultyLog log(*client, {.short_read = 1000});
  EXPECT_EQ(log.Read(kEvents0, 0, 1000)->records.size(), 1u);
  log.SetPlan({.fail_read = 1000});
  EXPECT_TRUE(absl::IsUnavailable(log.Read(kEvents0, 0, 1000).status()));
  log.SetPlan({});
  EXPECT_EQ(log.Read(kEvents0, 0, 1000)->records.size(), 5u);
}

}  // namespace
}  // namespace laneway::log
