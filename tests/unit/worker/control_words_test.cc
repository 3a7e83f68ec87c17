// What workers make of `control`, and that a lane that was away for a moment is read to its new mark.
#include "worker/control_words.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

#include "fixture.h"

namespace laneway::worker {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

// `lanes` of DTF-01; all others are DTF-02's.
std::string Table(uint64_t version, std::vector<Lane> lanes, Epoch epoch = 1) {
  v1::ControlRecord control;
  control.mutable_lane_table()->set_epoch(epoch);
  control.mutable_lane_table()->set_version(version);
  for (const Lane lane : lanes) {
    v1::LaneOwner* owner = control.mutable_lane_table()->add_lanes();
    owner->set_lane(lane);
    owner->set_worker("DTF-01");
  }
  return control.SerializeAsString();
}

std::string Word(v1::Intent intent) {
  v1::ControlRecord control;
  control.mutable_operator_intent()->set_worker("DTF-01");
  control.mutable_operator_intent()->set_intent(intent);
  return control.SerializeAsString();
}

// What one read of these records makes the worker do, as its shell does it: which tables were applied.
std::vector<uint64_t> Read(ControlWords& words, Offset* next, const std::vector<std::string>& records,
                           bool at_end = true, Worker* worker = nullptr) {
  std::vector<uint64_t> applied;
  const auto apply = [&](const v1::LaneTableSnapshot& table) {
    applied.push_back(table.version());
    std::vector<Lane> owned;
    for (const v1::LaneOwner& owner : table.lanes()) owned.push_back(owner.lane());
    if (worker != nullptr) worker->SetLanes(owned);
  };
  for (const std::string& record : records) {
    if (const auto table = words.Take((*next)++, record)) apply(*table);
  }
  if (const auto news = words.AfterRead(at_end); news.table) apply(*news.table);
  return applied;
}

TEST(ControlWordsTest, OfTheHistoryOnlyTheLastTableCountsAndAfterItEachInItsTurn) {
  ControlWords words;
  Offset next = 0;
  EXPECT_THAT(Read(words, &next, {Table(1, {1}), Table(2, {})}, false), ElementsAre(2))
      << "a read that broke off";
  EXPECT_THAT(Read(words, &next, {Table(3, {1}), "\xff", Table(4, {1, 2})}), ElementsAre(4));
  EXPECT_THAT(Read(words, &next, {Table(5, {1}), Table(6, {1, 2})}), ElementsAre(5, 6));
  EXPECT_THAT(Read(words, &next, {Table(5, {})}), IsEmpty()) << "it comes late";
  EXPECT_THAT(Read(words, &next, {Table(1, {}, 2), Table(7, {1}, 1)}), ElementsAre(1))
      << "versions begin anew with an epoch; of the older epoch nothing counts any more";
}

TEST(ControlWordsTest, TheLastWordForEachWorkerCounts) {
  ControlWords words;
  EXPECT_EQ(words.Take(7, Word(v1::DRAIN)), std::nullopt);
  EXPECT_EQ(words.Take(8, Word(v1::RESUME)), std::nullopt);
  const ControlWords::News news = words.AfterRead(true);
  ASSERT_EQ(news.intents.size(), 1u);
  EXPECT_EQ(news.intents.at("DTF-01").intent, v1::RESUME);
  EXPECT_EQ(news.intents.at("DTF-01").at, 9u);
  EXPECT_TRUE(words.AfterRead(true).intents.empty()) << "said once";
}

TEST(ControlWordsTest, RuleP2ALaneTakenAwayAndGivenBackInOneReadIsReadUpToItsNewMark) {
  Rig rig(4);
  ControlWords words;
  Offset next = 0;
  Read(words, &next, {Table(1, {Rig::kLane})}, true, rig.worker.get());
  rig.Handover("DTF-02");
  rig.Settle();  // the mark was faster than the tables
  Read(words, &next, {Table(2, {}), Table(3, {Rig::kLane})}, true, rig.worker.get());
  rig.Settle();
  Read(words, &next, {Table(4, {})}, true, rig.worker.get());
  rig.Settle();  // read to its end, and the table was faster than what was on its way
  rig.Send(Key(1, 1));
  rig.Handover("DTF-02");
  rig.Settle();
  EXPECT_THAT(rig.runs, ElementsAre(Key(1, 1))) << "the mark that was read is not the one of this time";
  rig.Send(Key(2, 1));
  rig.Settle();
  EXPECT_THAT(rig.runs, ::testing::Not(Contains(Key(2, 1)))) << "behind the new mark nothing is for us";
}

TEST(ControlWordsTest, RuleP2ALaneOwnedForAMomentIsReadUpToItsMark) {
  Rig rig(4);
  constexpr Lane kOther = Rig::kLane + 1;
  ControlWords words;
  Offset next = 0;
  Read(words, &next, {Table(1, {Rig::kLane})}, true, rig.worker.get());
  Read(words, &next, {Table(2, {Rig::kLane, kOther}), Table(3, {Rig::kLane})}, true, rig.worker.get());
  std::vector<Lane> reads;
  rig.worker->ForEachLane([&](Lane lane, Offset) { reads.push_back(lane); });
  EXPECT_THAT(reads, ElementsAre(Rig::kLane, kOther)) << "what was sent meanwhile stands before the mark";
}

}  // namespace
}  // namespace laneway::worker
