#include "worker/worker_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "fixture.h"
#include "log/sim_log.h"

namespace laneway::worker {
namespace {

using ::testing::SizeIs;

class WorkerStoreTest : public ::testing::Test {
 protected:
  WorkerStoreTest() : disk_([] { return LogTime{1}; }), client_(disk_.Connect("process")) {
    disk_.SetAutoComplete(true);
  }
  Opened Open(StoreId fresh = StoreId{4, 4}, LogTime now = LogTime{5000}) {
    auto opened = OpenWorkerStore(*client_, id_, fresh, now);
    EXPECT_TRUE(opened.ok()) << opened.status();
    return std::move(*opened);
  }
  void Write(std::vector<log::StoreOp> ops) {
    client_->Commit(std::move(ops), log::Durability::kSynced,
                    [](const absl::Status& status) { EXPECT_TRUE(status.ok()); });
  }
  const WorkerId id_{"DTF-01"};
  log::SimDisk disk_;
  std::unique_ptr<log::SimClient> client_;
};

TEST_F(WorkerStoreTest, RuleL3TheIdentityIsMadeOnceAndALostStoreMakesAnother) {
  const Opened first = Open(StoreId{4, 4});
  EXPECT_TRUE(first.made);
  EXPECT_EQ(first.store, (StoreId{4, 4}));
  const Opened again = Open(StoreId{5, 5});
  EXPECT_FALSE(again.made);
  EXPECT_EQ(again.store, (StoreId{4, 4}));
  disk_.LoseStore("process");
  EXPECT_EQ(Open(StoreId{6, 6}).store, (StoreId{6, 6}));
}

TEST_F(WorkerStoreTest, StepsAreFoldedInOrderAndCompactionDropsOlderOnes) {
  Open();
  Batch batch;
  for (uint64_t seq = 1; seq <= 300; seq++) {
    batch.seq = seq;
    batch.notes.Clear();
    v1::AttemptNote* note = batch.notes.add_attempts();
    note->set_job_id(Job(seq).ToBytes());
    note->set_task(1);
    note->set_attempt(1);
    note->set_stage(v1::QUEUED);
    v1::LaneNote* lane = batch.notes.add_lanes();
    lane->set_lane(2);
    lane->set_next_offset(seq);
    Write(NoteOps(id_, batch));
  }
  Opened opened = Open();
  EXPECT_EQ(opened.restored.next_seq, 301u);
  EXPECT_THAT(opened.restored.attempts, SizeIs(300));
  EXPECT_EQ(opened.restored.attempts.front().key, Key(1, 1));
  EXPECT_EQ(opened.restored.lanes.at(2).next_offset, 300u) << "key 256 comes behind key 255";
  batch.seq = batch.drop_below = 301;
  batch.notes.Clear();
  Write(NoteOps(id_, batch));
  opened = Open();
  EXPECT_EQ(opened.restored.next_seq, 302u);
  EXPECT_THAT(opened.restored.attempts, SizeIs(0));
}

TEST_F(WorkerStoreTest, WorkersOfOneProcessDoNotReadEachOther) {
  Batch batch;
  batch.seq = 1;
  batch.notes.add_lanes()->set_next_offset(9);
  Write(NoteOps(WorkerId("DTF-011"), batch));
  EXPECT_EQ(Open().restored.next_seq, 1u);
}

TEST_F(WorkerStoreTest, ChildrenAreKeptUntilTheyWereStopped) {
  Write({ChildOp(id_, {0, Key(1, 1), 100, 7}), ChildOp(id_, {1, Key(2, 1), 101, 8}),
         ChildOp(id_, {0, Key(3, 1), 102, 9})});
  const Opened opened = Open();
  ASSERT_THAT(opened.children, SizeIs(2));
  EXPECT_EQ(opened.children[0].pid, 102) << "the slot's last child";
  EXPECT_EQ(opened.children[0].pid_start, 9u);
  Write({ForgetChildrenOp(id_)});
  EXPECT_THAT(Open().children, SizeIs(0));
}

TEST_F(WorkerStoreTest, TellsHowLongTheLogWasOutOfReach) {
  EXPECT_FALSE(Open().restored.away.has_value());
  Write({SeenOp(id_, LogTime{4000})});
  EXPECT_EQ(Open(StoreId{}, LogTime{5000}).restored.away, Millis(1000));
  EXPECT_FALSE(Open(StoreId{}, LogTime{3000}).restored.away.has_value())
      << "the clock went back: nothing is known";
}

TEST_F(WorkerStoreTest, AStepThatCannotBeReadIsDataLoss) {
  Write({{log::StoreOp::Kind::kPut, JournalKey(id_, 1), "\xff\xff\xff"}});
  EXPECT_EQ(OpenWorkerStore(*client_, id_, StoreId{1, 1}, LogTime{1}).status().code(),
            absl::StatusCode::kDataLoss);
}

}  // namespace
}  // namespace laneway::worker
