// Rules W1 and W3 where store and log are two things: the notes are durable before a record is sent.
#include "log/store_then_log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "log/sim_log.h"

namespace laneway::log {
namespace {

constexpr TopicPartition kEvents0{Topic::kEvents, 0};

class StoreThenLogTest : public testing::Test {
 protected:
  StoreThenLogTest() { EXPECT_TRUE(log_->EnsureTopic(Topic::kEvents, 1).ok()); }

  void Commit(bool with_record = true) {
    std::vector<NewRecord> records;
    if (with_record) records.push_back({kEvents0, RecordType::kEvent, "k", "event"});
    journal_.Commit(
        {{StoreOp::Kind::kPut, "note", "1"}}, std::move(records),
        [this](const absl::Status& status, std::span<const Offset> offsets) {
          answers_.push_back(absl::StatusCodeToString(status.code()) + " " + std::to_string(offsets.size()));
        });
  }
  uint64_t Records() { return log_->Range(kEvents0)->next; }
  // After a power loss.
  bool NoteIsDurable() {
    store_->Kill();
    own_disk_.PowerLoss();
    return own_disk_.Connect("DTF-01")->Get("note")->has_value();
  }

  SimDisk shared_disk_{[] { return LogTime{1000}; }}, own_disk_{[] { return LogTime{1000}; }};
  std::unique_ptr<SimClient> log_ = shared_disk_.Connect("DTF-01"), store_ = own_disk_.Connect("DTF-01");
  StoreThenLog journal_{store_.get(), log_.get()};
  std::vector<std::string> answers_;
};

TEST_F(StoreThenLogTest, NothingIsSentBeforeTheNotesAreDurable) {  // rules W1, W3
  Commit();
  EXPECT_EQ(shared_disk_.waiting(), 0u);
  own_disk_.CompleteAll();
  EXPECT_EQ(shared_disk_.waiting(), 1u);
  EXPECT_TRUE(answers_.empty());
  shared_disk_.CompleteAll();
  EXPECT_THAT(answers_, testing::ElementsAre("OK 1"));
  EXPECT_EQ(Records(), 1u);
  EXPECT_TRUE(NoteIsDurable());
}

TEST_F(StoreThenLogTest, AnErrorOfTheStoreSendsNothing) {
  Commit();
  own_disk_.CompleteNext(SimFate::kDiskFull);
  EXPECT_EQ(shared_disk_.waiting(), 0u);
  EXPECT_THAT(answers_, testing::ElementsAre("RESOURCE_EXHAUSTED 0"));
  EXPECT_FALSE(NoteIsDurable());
}

TEST_F(StoreThenLogTest, AnErrorOfTheLogIsToldAsItIsAndTheNotesStay) {
  Commit();
  own_disk_.CompleteAll();
  shared_disk_.CompleteNext(SimFate::kReplyLost);
  EXPECT_THAT(answers_, testing::ElementsAre("UNKNOWN 0"));
  EXPECT_EQ(Records(), 1u);
  Commit();
  own_disk_.CompleteAll();
  shared_disk_.CompleteAll();
  EXPECT_THAT(answers_, testing::ElementsAre("UNKNOWN 0", "OK 1")) << "the same step again";
  EXPECT_TRUE(NoteIsDurable());
}

TEST_F(StoreThenLogTest, NotesAloneNeedNoLog) {
  Commit(false);
  own_disk_.CompleteAll();
  EXPECT_THAT(answers_, testing::ElementsAre("OK 0"));
  EXPECT_EQ(shared_disk_.waiting(), 0u);
}

}  // namespace
}  // namespace laneway::log
