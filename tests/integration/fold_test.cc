// The fold of a process on the real log and store: what it answers to appends, restarts, and records nobody
// can read.
#include <gtest/gtest.h>

#include <algorithm>
#include <future>
#include <memory>

#include "fold/fleet_fold.h"
#include "log/embedded.h"
#include "support/events.h"
#include "support/temp_folder.h"

namespace laneway::fold {
namespace {

using namespace laneway::testing;  // the words of the events

class FoldTest : public ::testing::Test {
 protected:
  static constexpr uint32_t kPartitions = 2;

  void Open() {
    log::EmbeddedOptions options;
    options.folder = folder_ / "data";
    auto engine = log::EmbeddedEngine::Open(options);
    ASSERT_TRUE(engine.ok()) << engine.status();
    engine_ = std::move(*engine);
    for (const log::Topic topic :
         {log::Topic::kHeartbeats, log::Topic::kBrowserHealth, log::Topic::kControl, log::Topic::kAlerts}) {
      ASSERT_TRUE(engine_->log().EnsureTopic(topic, 1).ok());
    }
    ASSERT_TRUE(engine_->log().EnsureTopic(log::Topic::kEvents, kPartitions).ok());
    loop_ = std::make_unique<ops::Loop>("fold");
    FoldOptions fold;
    fold.event_partitions = kPartitions;
    fold_ = std::make_unique<FleetFold>(fold, loop_.get(), &engine_->log(), &engine_->store(),
                                        &ops::RealClock::Get());
    ASSERT_TRUE(fold_->Open().ok());
    loop_->Start();
    loop_->Call([&] { fold_->Follow(); });
  }
  // As a process that ends well, or one that is killed: then no snapshot is written.
  void Close(bool well) {
    if (well) {
      std::promise<void> closed;
      loop_->Call([&] { fold_->Close([&] { closed.set_value(); }); });
      closed.get_future().wait();
    }
    loop_->Stop();
    loop_->Join();
    fold_.reset();
    loop_.reset();
    engine_.reset();
  }
  std::vector<FoldVerdict> Ask(std::vector<v1::Event> events) {
    std::promise<std::vector<FoldVerdict>> answer;
    loop_->Call([&] {
      fold_->AppendAndAwait(std::move(events),
                            [&](const absl::Status& status, std::span<const FoldVerdict> verdicts) {
                              EXPECT_TRUE(status.ok()) << status;
                              answer.set_value({verdicts.begin(), verdicts.end()});
                            });
    });
    return answer.get_future().get();
  }
  uint64_t Digest() {
    return *loop_->Call([&] { return fold_->ledger().Digest(); });
  }

  TempFolder folder_;
  std::unique_ptr<log::EmbeddedEngine> engine_;
  std::unique_ptr<ops::Loop> loop_;
  std::unique_ptr<FleetFold> fold_;
};

TEST_F(FoldTest, AnAppendIsAnsweredWithTheVerdictOfEachOfItsEvents) {
  Open();
  using enum FoldVerdict;
  EXPECT_EQ(Ask({Submit(), Submit(), Assign(1, kOne), Start(1, kTwo)}),
            (std::vector{kAccepted, kDuplicate, kAccepted, kOtherWorker}));
  EXPECT_EQ(Ask({Start(1, kOne), Lost(kTwo, 3), Succeed(1, kOne)}),
            (std::vector{kAccepted, kAccepted, kAccepted}));
  EXPECT_EQ(Ask({Submit()}), (std::vector{kDuplicate})) << "closed, and remembered";
  Close(true);
}

TEST_F(FoldTest, ARestartGoesOnFromTheSnapshotWithTheSameState) {
  Open();
  Ask({Submit(), Assign(1, kOne), Submit(JobId{7, 2}), Assign(1, kTwo, 0, {JobId{7, 2}, 1}),
       Succeed(1, kTwo, {JobId{7, 2}, 1})});
  const uint64_t before = Digest();
  Close(true);
  Open();
  EXPECT_EQ(fold_->records_folded(), 0u) << "the snapshot covers all of it";
  EXPECT_EQ(Digest(), before);
  EXPECT_EQ(Ask({Start(1, kOne), Submit(JobId{7, 2})}),
            (std::vector{FoldVerdict::kAccepted, FoldVerdict::kDuplicate}));
  const uint64_t later = Digest();
  Close(false);
  Open();
  EXPECT_GT(fold_->records_folded(), 0u) << "killed: the tail is folded again";
  EXPECT_EQ(Digest(), later);
  Close(true);
}

TEST_F(FoldTest, ARecordThatNobodyCanReadIsPassedOver) {
  Open();
  Ask({Submit()});
  log::NewRecord bad = RecordOf(Submit(), EventPartition(kJob, kPartitions));
  bad.value = "\xff\xff";
  std::promise<void> appended;
  engine_->log().Append({bad}, [&](const absl::Status&, std::span<const Offset>) { appended.set_value(); });
  appended.get_future().wait();
  EXPECT_EQ(Ask({Assign(1, kOne)}), (std::vector{FoldVerdict::kAccepted})) << "what follows it counts";
  EXPECT_EQ(*loop_->Call([&] { return fold_->bad_records(); }), 1u);
  const uint64_t before = Digest();
  Close(false);
  Open();
  EXPECT_EQ(Digest(), before) << "it still takes its offset";
  Close(true);
}

TEST_F(FoldTest, WhatWasClosedIsKnownAlsoToWhoOpensTheMemoryAnew) {
  log::EmbeddedOptions options;
  options.folder = folder_ / "data";
  const auto engine = log::EmbeddedEngine::Open(options);
  ASSERT_TRUE(engine.ok()) << engine.status();
  const auto later = [](const std::function<void()>&) {};  // than this test: answers of the store
  // ULIDs of one time, and two hashes: one that could be a ULID of years ago, and one that could be none.
  const uint64_t now = uint64_t{1'790'000'000'000} << 16;
  const JobId low{now, 9}, middle{now + 1, 0}, high{now + 1, 1}, higher{now + 2, 0};
  const JobId old{uint64_t{1'600'000'000'000} << 16, 5}, none{~uint64_t{0}, 1};
  const auto known = [=](FinishedStore& finished) {
    std::vector<JobId> found;
    for (const JobId& id : {low, middle, high, higher, old, none})
      if (finished.Contains(id, 100)) found.push_back(id);
    return found;
  };
  {
    FinishedStore finished(&(*engine)->store(), later);
    ASSERT_TRUE(finished.Open().ok());
    EXPECT_EQ(known(finished), std::vector<JobId>());
    finished.Put(high, 7, "state", false);
    finished.Put(low, 8, "state", false);  // a later one with a lower id, as files have
    EXPECT_EQ(known(finished), (std::vector<JobId>{low, high}));
    finished.Flush();
    EXPECT_EQ(known(finished), (std::vector<JobId>{low, high}));
    std::promise<absl::Status> synced;
    (*engine)->store().Commit({{log::StoreOp::Kind::kPut, "z", "behind it"}}, log::Durability::kSynced,
                              [&](const absl::Status& status) { synced.set_value(status); });
    ASSERT_TRUE(synced.get_future().get().ok());
  }
  FinishedStore finished(&(*engine)->store(), later);
  ASSERT_TRUE(finished.Open().ok());
  EXPECT_EQ(known(finished), (std::vector<JobId>{low, high}));
  finished.Put(higher, 9, "state", false);
  finished.Put(middle, 10, "state", false);
  EXPECT_EQ(known(finished), (std::vector<JobId>{low, middle, high, higher}));
  finished.Put(none, 11, "state", false);
  finished.Put(old, 12, "state", false);
  EXPECT_EQ(known(finished), (std::vector<JobId>{low, middle, high, higher, old, none}));
}

}  // namespace
}  // namespace laneway::fold
