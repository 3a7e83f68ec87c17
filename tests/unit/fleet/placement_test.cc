// Placement, one promise after the other. placement_property_test.cc compares it with a model.
#include "fleet/placement.h"

#include <gtest/gtest.h>

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "fleet/worker_index.h"

namespace laneway {
namespace {

using std::chrono_literals::operator""ms;
using std::chrono_literals::operator""s;

LogTime At(Millis time) { return LogTime{1000000} + time; }
TaskId Task(uint32_t n) { return {JobId{0, 1}, n}; }
const WorkerId kA("A"), kB("B"), kC("C");

WorkerOffer Slots(uint32_t capacity) {
  WorkerOffer offer;
  offer.capacity = capacity;
  return offer;
}
WorkerOffer WithBrowser(uint32_t capacity) {
  WorkerOffer offer = Slots(capacity);
  offer.browser_connected = true;
  return offer;
}
WorkerOffer Labelled(std::vector<std::string> labels, uint32_t capacity = 1) {
  WorkerOffer offer = Slots(capacity);
  offer.labels = std::move(labels);
  return offer;
}
Needs Browser() { return {.browser = true}; }
Needs Labels(std::vector<std::string> labels) { return {.labels = std::move(labels)}; }
Needs Resources(std::vector<std::string> resources) { return {.resources = std::move(resources)}; }
Needs Key(std::string key) { return {.ordering_key = std::move(key)}; }

std::string Words(const std::vector<Assignment>& assignments) {
  std::string text;
  for (const Assignment& a : assignments) {
    if (!text.empty()) text += " ";
    text += std::to_string(a.task.n) + a.worker.name;
  }
  return text;
}

class PlacementTest : public testing::Test {
 protected:
  std::string Place(Millis at = 0s, size_t max = 100) { return Words(placement_.Place(At(at), max)); }
  void Add(uint32_t n, const Needs& needs = {}, int32_t priority = 0, Millis due = 0s) {
    placement_.Add(Task(n), needs, priority, At(due));
  }
  std::string Why(uint32_t n, Millis at = 0s) const { return placement_.WhyWaiting(Task(n), At(at)); }
  void With(PlacementLimits limits) { placement_ = Placement(std::move(limits)); }

  Placement placement_{PlacementLimits{}};
};

TEST_F(PlacementTest, PriorityFirstThenAge) {  // invariant 2
  placement_.SetWorker(kA, Slots(9));
  Add(1, {}, 0, 5s);
  Add(2, {}, 0, 3s);
  Add(3, {}, 7, 4s);
  Add(4, {}, -7, 1s);
  Add(5, {}, 0, 3s);
  Add(6, {}, 7, 6s);
  EXPECT_EQ(Place(5s), "3A 2A 5A 1A 4A") << "6 has the highest priority, but is not due";
  EXPECT_EQ(Place(6s), "6A");
  Add(7);
  Add(8);
  Add(7);
  EXPECT_EQ(Place(7s), "8A 7A") << "who is added again goes to the end of its like";
}

TEST_F(PlacementTest, TheLeastLoadedForItsCapacityTakesTheNext) {  // invariant 3
  placement_.SetWorker(kB, Slots(2));
  placement_.SetWorker(kA, Slots(4));
  for (uint32_t n = 1; n <= 7; n++) Add(n);
  EXPECT_EQ(Place(), "1A 2B 3A 4A 5B 6A")
      << "0/4 0/2 | 1/4 1/2 | 2/4 1/2 | ties by name; the seventh finds no credit";
  placement_.Release(Task(2), std::nullopt);
  EXPECT_EQ(Place(), "7B");
}

TEST_F(PlacementTest, LoadsAreComparedExactly) {
  placement_.SetWorker(kA, Slots(65535));
  placement_.SetWorker(kB, Slots(65534));
  for (uint32_t n = 1; n <= 3; n++) Add(n);
  EXPECT_EQ(Place(), "1A 2B 3A") << "1/65535 is less than 1/65534";
  placement_.SetWorker(kC, Slots(~0U));
  EXPECT_EQ(placement_.Credit(kC), WorkerIndex::kCapacityMax) << "more is cut";
}

TEST_F(PlacementTest, RoundRobinGivesToWhoHadNoneForLongest) {
  With({.policy = PlacementPolicy::kRoundRobin});
  placement_.SetWorker(kA, Slots(1));
  placement_.SetWorker(kB, Slots(9));
  placement_.SetWorker(kC, Slots(9));
  for (uint32_t n = 1; n <= 6; n++) Add(n);
  EXPECT_EQ(Place(), "1A 2B 3C 4B 5C 6B") << "A is full";
  placement_.Release(Task(1), std::nullopt);
  Add(7);
  Add(8);
  EXPECT_EQ(Place(), "7A 8C");
}

TEST_F(PlacementTest, OnlyWhoQualifiesAndIsOpenGetsATask) {  // invariant 1
  placement_.SetWorker(kA, Slots(1));
  placement_.SetWorker(kB, WithBrowser(1));
  placement_.SetWorker(kC, Labelled({"gpu", "linux"}));
  Add(1, Browser());
  Add(2, Labels({"gpu"}));
  Add(3, Labels({"gpu", "windows"}));
  Add(4);
  EXPECT_EQ(Place(), "1B 2C 4A") << "nobody has a windows machine; that delays no other (invariant 5)";
  Add(5, Browser());
  placement_.SetWorker(kB, Slots(2));
  EXPECT_EQ(Place(), "") << "its browser went, though it has credit";
  placement_.SetWorker(kB, WithBrowser(2));
  EXPECT_EQ(Place(), "5B");
  WorkerOffer paused = Labelled({"gpu", "linux", "windows"}, 4);
  paused.open = false;
  placement_.SetWorker(kC, paused);
  EXPECT_EQ(Place(), "");
  paused.open = true;
  placement_.SetWorker(kC, paused);
  EXPECT_EQ(Place(), "3C");
  placement_.RemoveWorker(kC);
  Add(6, Labels({"gpu"}));
  EXPECT_EQ(Place(), "");
  EXPECT_EQ(placement_.Credit(kC), 0U);
}

TEST_F(PlacementTest, TasksOfOneKeyRunOneAtATimeInOrder) {  // invariants 2, 4, 5
  placement_.SetWorker(kA, Slots(9));
  Add(1, Key("x"));
  Add(2, Key("x"));
  Add(3, Key("x"), 5);
  Add(4, Key("y"));
  Add(5);
  EXPECT_EQ(Place(), "3A 4A 5A");
  placement_.Release(Task(3), 1s);
  EXPECT_EQ(Place(), "1A");
  placement_.Release(Task(4), 1s);
  EXPECT_EQ(Place(), "");
  placement_.Release(Task(1), 1s);
  EXPECT_EQ(Place(), "2A");
  EXPECT_EQ(placement_.waiting(), 0U);
}

TEST_F(PlacementTest, AKeyThatTwoHoldIsFreeWhenBothHaveLeft) {  // after a false verdict the fold may name two
  placement_.SetWorker(kA, Slots(9));
  placement_.Occupy(Task(1), Key("x"), kA, At(0s));
  placement_.Occupy(Task(2), Key("x"), kB, At(0s));
  Add(3, Key("x"));
  placement_.Release(Task(1), 1s);
  EXPECT_EQ(Place(), "");
  placement_.Release(Task(2), 1s);
  EXPECT_EQ(Place(), "3A");
}

TEST_F(PlacementTest, AResourceIsNeverOverused) {  // invariants 4, 5
  With({.resources = {{"db", {.concurrent_max = 2}}, {"site", {.concurrent_max = 1}}}});
  placement_.SetWorker(kA, Slots(99));
  Add(1, Resources({"db"}));
  Add(2, Resources({"db", "site"}));
  Add(3, Resources({"db"}));
  Add(4, Resources({"site"}));
  Add(5, Resources({"unlimited"}));
  EXPECT_EQ(Place(), "1A 2A 5A") << "3 waits for db, 4 for site, 5 for nobody";
  placement_.Release(Task(1), 1s);
  EXPECT_EQ(Place(), "3A");
  placement_.Release(Task(3), 1s);
  EXPECT_EQ(Place(), "") << "there is room in db, but 4 waits for site";
  placement_.Release(Task(2), 1s);
  EXPECT_EQ(Place(), "4A");
}

TEST_F(PlacementTest, ARateHoldsInEveryWindow) {  // invariant 4
  With({.resources = {{"api", {.rate_count = 2, .rate_window = 500ms}}}});
  placement_.SetWorker(kA, Slots(99));
  for (uint32_t n = 1; n <= 6; n++) Add(n, Resources({"api"}));
  EXPECT_EQ(Place(0ms, 1), "1A");
  EXPECT_EQ(Place(400ms), "2A");
  EXPECT_EQ(placement_.NextDeadline(At(400ms)), At(500ms)) << "the first start leaves the window";
  EXPECT_EQ(Place(499ms), "");
  EXPECT_EQ(Place(500ms), "3A");
  EXPECT_EQ(placement_.NextDeadline(At(500ms)), At(900ms));
  EXPECT_EQ(Place(10s), "4A 5A") << "what was not used is not saved";
  EXPECT_EQ(Place(9s), "") << "time does not go back";
}

TEST_F(PlacementTest, ALongWindowIsKeptInThousandths) {
  With({.resources = {{"api", {.rate_count = 3, .rate_window = 60s}}}});
  placement_.SetWorker(kA, Slots(99));
  for (uint32_t n = 1; n <= 4; n++) Add(n, Resources({"api"}));
  EXPECT_EQ(Place(0ms, 1), "1A");
  EXPECT_EQ(Place(60ms), "2A 3A") << "within a thousandth of the window: counted as made at the last of them";
  EXPECT_EQ(Place(60000ms), "") << "never more than the rate; at times a little less";
  EXPECT_EQ(placement_.NextDeadline(At(60000ms)), At(60060ms));
  EXPECT_EQ(Place(60060ms), "4A");
}

TEST_F(PlacementTest, WhatIsFoundRunningCounts) {  // at the start of a dispatcher
  With({.resources = {{"db", {.concurrent_max = 1}}}});
  placement_.Occupy(Task(1), Resources({"db"}), kA, At(0s));
  placement_.Occupy(Task(1), Resources({"db"}), kA, At(0s));
  placement_.SetWorker(kA, Slots(2));
  EXPECT_EQ(placement_.Credit(kA), 1U) << "its load is older than our knowing it; said twice it counts once";
  Add(2, Resources({"db"}));
  EXPECT_EQ(Place(), "");
  placement_.Occupy(Task(1), Resources({"db"}), kB, At(1s));
  EXPECT_EQ(placement_.Credit(kA), 2U) << "a second worker replaces the first";
  Add(3);
  placement_.Occupy(Task(3), {}, kB, At(1s));
  EXPECT_EQ(placement_.waiting(), 1U) << "placed by another";
  placement_.Release(Task(1), std::nullopt);
  placement_.Release(Task(9), std::nullopt);
  EXPECT_EQ(Place(), "2A");
}

TEST_F(PlacementTest, AnAssignmentThatIsNotAcceptedIsUndone) {
  placement_.SetWorker(kA, Slots(1));
  Add(1, Key("x"));
  EXPECT_EQ(Place(), "1A");
  placement_.Release(Task(1), std::nullopt);
  Add(1, Key("x"));
  EXPECT_EQ(Place(), "1A");
  Add(1, Key("x"), 0, 9s);
  EXPECT_EQ(placement_.Credit(kA), 1U) << "added again, it cannot be with a worker";
  placement_.Remove(Task(1));
  EXPECT_EQ(Place(10s), "");
  EXPECT_EQ(placement_.NextDeadline(At(10s)), std::nullopt);
}

TEST_F(PlacementTest, CreditGrowsWithShortTasksAndFallsWithLongOnes) {
  With({.prefetch_max = 8});
  placement_.SetWorker(kA, Slots(2));
  uint32_t n = 0;
  const auto run = [&](Millis ran, int times) {
    for (int i = 0; i < times; i++) {
      placement_.Occupy(Task(++n), {}, kA, At(0s));
      placement_.Release(Task(n), ran);
    }
    return placement_.Credit(kA);
  };
  EXPECT_EQ(placement_.Credit(kA), 2U) << "nothing is known: none ahead";
  EXPECT_EQ(run(1ms, 1), 3U) << "one more for each short one: doubles in each round";
  EXPECT_EQ(run(1ms, 3), 6U);
  EXPECT_EQ(run(1ms, 99), 18U) << "25 ms of work would be 50, prefetch_max allows 2 * 8";
  EXPECT_EQ(run(1s, 1), 2U) << "a long one: nobody's task may wait behind it";
  EXPECT_EQ(run(10ms, 20), 2U + 2U) << "the mean has come down below 25 ms, and it begins again";
  EXPECT_EQ(run(10ms, 60), 2U + 4U) << "2 slots * 25 / 10.x";
  placement_.HandedBack(kA);
  EXPECT_EQ(placement_.Credit(kA), 2U) << "what was given in advance could not start there";
  EXPECT_EQ(run(1ms, 1), 2U);
  EXPECT_EQ(run(1ms, 99), 18U) << "short ones are forgiven in time";
  EXPECT_EQ(run(Millis(1) * 1000 * 3600 * 24 * 365, 1), 2U) << "a year does not overflow";
}

TEST_F(PlacementTest, TheDeadlineIsTheNextMomentThatCanGiveMore) {
  EXPECT_EQ(placement_.NextDeadline(At(0s)), std::nullopt);
  placement_.SetWorker(kA, Slots(1));
  Add(1, {}, 0, 5s);
  Add(2, {}, 9, 7s);
  EXPECT_EQ(placement_.NextDeadline(At(0s)), At(5s));
  EXPECT_EQ(placement_.NextDeadline(At(6s)), At(6s)) << "overdue: at once";
  EXPECT_EQ(Place(5s), "1A");
  EXPECT_EQ(placement_.NextDeadline(At(5s)), At(7s));
  placement_.Remove(Task(2));
  EXPECT_EQ(placement_.NextDeadline(At(5s)), std::nullopt) << "1 must end first: no time helps";
  Add(3);
  Add(4);
  placement_.SetWorker(kB, Slots(2));
  EXPECT_EQ(Place(8s, 1), "3B");
  EXPECT_EQ(placement_.NextDeadline(At(8s)), At(8s)) << "max was reached";
}

TEST_F(PlacementTest, PeopleAreToldWhyATaskWaits) {
  With({.resources = {{"db", {.concurrent_max = 1}}, {"api", {.rate_count = 1, .rate_window = 60s}}}});
  Add(1);
  EXPECT_EQ(Why(1), "there is no worker");
  Place();
  EXPECT_EQ(Why(1), "there is no worker");
  placement_.SetWorker(kA, Slots(3));
  Place();
  EXPECT_EQ(Why(1), "it is with A");
  EXPECT_EQ(Why(99), "it does not wait");
  Add(2, Browser());
  Add(3, Labels({"gpu"}));
  Add(4, {}, 0, 2500ms);
  Add(5, Key("x"));
  Add(6, Key("x"));
  Add(7, Resources({"db"}));
  Add(8, Resources({"db"}));
  EXPECT_EQ(Place(), "5A 7A");
  EXPECT_EQ(Why(2), "no worker has a browser");
  EXPECT_EQ(Why(3), "no worker has the label gpu");
  EXPECT_EQ(Why(4), "not due for 3 s");
  EXPECT_EQ(Why(6), "another task with the ordering key x is under way");
  EXPECT_EQ(Why(8), "resource db is in use (1 of 1)");
  placement_.Release(Task(5), 1s);
  placement_.Release(Task(7), 1s);
  EXPECT_EQ(Place(), "6A 8A");
  Add(9);
  EXPECT_EQ(Place(), "");
  EXPECT_EQ(Why(9), "the worker that could take it is busy");
  placement_.SetWorker(kA, Slots(9));
  EXPECT_EQ(Place(0s, 0), "");
  EXPECT_EQ(Why(9), "its turn has not come");
  Add(10, Resources({"api"}));
  Add(11, Resources({"api"}));
  Place();
  EXPECT_EQ(Why(11, 20s), "resource api allows 1 starts in 60 s: the next in 40 s");
}

}  // namespace
}  // namespace laneway
