#include "fleet/why_waiting.h"

#include <gtest/gtest.h>

#include "support/events.h"

namespace laneway {
namespace {

using namespace laneway::testing;

constexpr LogTime kNow{1'000'000};

class WhyWaitingTest : public ::testing::Test {
 protected:
  void Say(const v1::Event& event) {
    std::vector<Change> changes;
    ASSERT_EQ(ledger_.Apply(0, ledger_.next_offset(0), kNow, event, &changes), FoldVerdict::kAccepted);
  }
  void Control(const v1::ControlRecord& record) { (void)members_.OnControl(record, controls_++); }
  // A worker that beats, and owns a lane of its own.
  void Joins(std::string_view worker, const std::string& label = "") {
    v1::Heartbeat beat;
    beat.set_worker(std::string(worker));
    beat.set_incarnation(kFirstLife.ToBytes());
    beat.set_store(kStore.ToBytes());
    beat.set_capacity(1);
    if (!label.empty()) beat.add_labels(label);
    (void)members_.OnHeartbeat(beat, beats_++, kNow);
    v1::LaneOwner& owner = *table_.mutable_lane_table()->add_lanes();
    owner.set_lane(lanes_++);
    owner.set_worker(std::string(worker));
    Control(table_);
  }
  std::string Why(const std::string& label = "", const std::string& resource = "",
                  int64_t not_before_ms = 0) {
    const JobId id{7, ++jobs_};
    v1::Event event = Submit(id, {.not_before_ms = not_before_ms});
    v1::JobSpec& spec = *event.mutable_job_submitted()->mutable_spec();
    if (!label.empty()) spec.add_labels(label);
    if (!resource.empty()) spec.add_resources(resource);
    Say(event);
    const uint32_t first = 1;
    return WhyWaiting(ledger_, members_, limits_, *ledger_.Find(id), {&first, 1}, kNow).at(0);
  }

  MemoryFinished finished_;
  Ledger ledger_{{.partitions = 1}, &finished_};
  Members members_;
  PlacementLimits limits_{.resources = {{"printer", {.concurrent_max = 1}}}, .prefetch_max = 0};
  v1::ControlRecord table_;
  Offset controls_ = 0;
  Offset beats_ = 0;
  Lane lanes_ = 0;
  uint64_t jobs_ = 100;
};

TEST_F(WhyWaitingTest, TheFoldAloneTellsWhy) {
  EXPECT_EQ(Why(), "there is no worker");
  Joins(kOne, "windows");
  EXPECT_EQ(Why("gpu"), "no worker has the label gpu");
  EXPECT_EQ(Why("windows"), "its turn has not come");
  EXPECT_EQ(Why("", "", kNow.ms + 3000), "not due for 3 s");
  v1::Event holder = Submit(kJob);
  holder.mutable_job_submitted()->mutable_spec()->add_resources("printer");
  Say(holder);
  Say(Assign(1, kOne));
  EXPECT_EQ(Why("windows"), "the worker that could take it is busy");
  Joins(kTwo);
  EXPECT_EQ(Why("", "printer"), "resource printer is in use (1 of 1)");
  v1::ControlRecord drain;
  drain.mutable_operator_intent()->set_worker(kOne);
  drain.mutable_operator_intent()->set_intent(v1::DRAIN);
  Control(drain);
  EXPECT_EQ(Why("windows"), "the worker that could take it is not open");
}

}  // namespace
}  // namespace laneway
