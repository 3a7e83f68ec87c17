// The promises of store.h, whoever keeps them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <future>

#include "contract/log_contract.h"

namespace laneway::log {
namespace {

using testing::ElementsAre;

TEST_P(StoreContract, StoreKeepsWhatWasCommitted) {
  ASSERT_TRUE(
      Commit(
          {{StoreOp::Kind::kPut, "b", "2"}, {StoreOp::Kind::kPut, "a", "1"}, {StoreOp::Kind::kPut, "c", ""}})
          .ok());
  ASSERT_TRUE(Commit({{StoreOp::Kind::kDelete, "b", ""}}).ok());
  for (int round = 0; round < 2; round++, Reopen()) {
    EXPECT_EQ(*store().Get("a"), "1");
    EXPECT_EQ(*store().Get("b"), std::nullopt);
    EXPECT_EQ(*store().Get("c"), "");
  }
}

TEST_P(StoreContract, BufferedCommitsSurviveTheProcess) {
  ASSERT_TRUE(Commit({{StoreOp::Kind::kPut, "a", "1"}}, Durability::kBuffered).ok());
  EXPECT_EQ(*store().Get("a"), "1");
  Reopen();
  EXPECT_EQ(*store().Get("a"), "1");
}

TEST_P(StoreContract, CommitsHappenInTheOrderOfTheCalls) {
  std::vector<std::future<absl::Status>> answers;
  for (int i = 0; i < 200; i++) {
    auto promise = std::make_shared<std::promise<absl::Status>>();
    answers.push_back(promise->get_future());
    store().Commit({{StoreOp::Kind::kPut, "k", std::to_string(i)}},
                   i % 3 == 0 ? Durability::kSynced : Durability::kBuffered,
                   [promise](const absl::Status& status) { promise->set_value(status); });
  }
  for (auto& answer : answers) EXPECT_TRUE(answer.get().ok());
  EXPECT_EQ(*store().Get("k"), "199");
}

TEST_P(StoreContract, ScanIsOrderedByBytesInBothDirections) {
  const std::string high("\xff\xfe", 2);
  const std::string zero("a\0b", 3);
  ASSERT_TRUE(Commit({{StoreOp::Kind::kPut, "b", "2"},
                      {StoreOp::Kind::kPut, high, "5"},
                      {StoreOp::Kind::kPut, "a", "0"},
                      {StoreOp::Kind::kPut, zero, "1"},
                      {StoreOp::Kind::kPut, "c", "3"}})
                  .ok());
  using P = std::pair<std::string, std::string>;
  EXPECT_THAT(Scan("", "", false),
              ElementsAre(P{"a", "0"}, P{zero, "1"}, P{"b", "2"}, P{"c", "3"}, P{high, "5"}));
  EXPECT_THAT(Scan("a", "c", false), ElementsAre(P{"a", "0"}, P{zero, "1"}, P{"b", "2"}));
  EXPECT_THAT(Scan("a", "c", true), ElementsAre(P{"b", "2"}, P{zero, "1"}, P{"a", "0"}));
  EXPECT_THAT(Scan("c", "a", false), ElementsAre());
  int seen = 0;
  ASSERT_TRUE(
      store().Scan("", "", true, [&](std::string_view, std::string_view) { return ++seen < 2; }).ok());
  EXPECT_EQ(seen, 2);
}

TEST_P(StoreContract, DeleteRangeTakesTheFirstKeyAndLeavesTheLast) {
  ASSERT_TRUE(
      Commit({{StoreOp::Kind::kPut, "a", ""}, {StoreOp::Kind::kPut, "b", ""}, {StoreOp::Kind::kPut, "c", ""}})
          .ok());
  // Within a batch the operations happen in order.
  ASSERT_TRUE(Commit({{StoreOp::Kind::kPut, "bb", ""},
                      {StoreOp::Kind::kDeleteRange, "a", "c"},
                      {StoreOp::Kind::kPut, "b", "new"},
                      {StoreOp::Kind::kDeleteRange, "z", "a"}})
                  .ok());
  using P = std::pair<std::string, std::string>;
  EXPECT_THAT(Scan("", "", false), ElementsAre(P{"b", "new"}, P{"c", ""}));
}

TEST_P(StoreContract, AJournalCommitWritesNotesAndRecords) {
  const Appended appended =
      CommitJournal({{StoreOp::Kind::kPut, "note", "1"}}, {Make(kEvents0, "k", "v"), Make(kLane0, "k", "w")});
  ASSERT_TRUE(appended.status.ok());
  EXPECT_THAT(appended.offsets, ElementsAre(0, 0));
  Reopen();
  EXPECT_EQ(*store().Get("note"), "1");
  EXPECT_THAT(ReadFrom(kEvents0, 0), ElementsAre(Read1{0, "k", "v"}));
  EXPECT_THAT(ReadFrom(kLane0, 0), ElementsAre(Read1{0, "k", "w"}));
}

TEST_P(StoreContract, ARefusedJournalCommitLeavesNothing) {
  const Appended appended = CommitJournal({{StoreOp::Kind::kPut, "note", "1"}},
                                          {Make(kEvents0, "k", "v"), Make({Topic::kAlerts, 9}, "", "")});
  EXPECT_EQ(appended.status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(*store().Get("note"), std::nullopt);
  EXPECT_EQ(log().Range(kEvents0)->next, 0u);
}

// The notes are durable no later than the events are readable (rules W1, W3).
TEST_P(StoreContract, NotesAreThereWhenTheirRecordsAreReadable) {
  std::promise<std::optional<std::string>> seen;
  std::atomic<bool> once = false;
  const auto watch = log().WatchPartitions({kEvents0}, [&] {
    if (!once.exchange(true)) seen.set_value(*store().Get("note"));
  });
  CommitJournal({{StoreOp::Kind::kPut, "note", "1"}}, {Make(kEvents0, "k", "v")});
  EXPECT_EQ(seen.get_future().get(), "1");
}

TEST_P(StoreContract, AJournalCommitOfNotesAloneIsDurable) {
  EXPECT_TRUE(CommitJournal({{StoreOp::Kind::kPut, "note", "1"}}, {}).status.ok());
  Reopen();
  EXPECT_EQ(*store().Get("note"), "1");
}

}  // namespace
}  // namespace laneway::log
