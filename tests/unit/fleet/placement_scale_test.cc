// Placement with many of everything. Times are printed; what is asserted are results, and bounds that only
// a wrong
// order of growth can miss.
#include <gtest/gtest.h>

#include <time.h>

#include <cstdio>
#include <string>
#include <vector>

#include "fleet/placement.h"

namespace laneway {
namespace {

TaskId Task(uint32_t i) { return {JobId{7, i / 1000}, i % 1000 + 1}; }

double CpuSeconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) / 1e9;
}

void SetWorkers(Placement* placement, uint32_t workers) {
  for (uint32_t i = 0; i < workers; i++) {
    WorkerOffer offer;
    offer.capacity = 4;
    placement->SetWorker(WorkerId("w" + std::to_string(100000 + i)), offer);
  }
}

// Microseconds for one task to be added, one placed and one released, while `tasks` wait and all workers
// are busy.
double CycleMicros(uint32_t workers, uint32_t tasks) {
  Placement placement({.prefetch_max = 0});
  SetWorkers(&placement, workers);
  uint32_t added = 0, released = 0;
  while (added < tasks + workers * 4) placement.Add(Task(added++), {}, 0, LogTime{1});
  EXPECT_EQ(placement.Place(LogTime{1}, ~size_t{0}).size(), workers * 4);
  constexpr uint32_t kCycles = 50000;
  const double start = CpuSeconds();
  for (uint32_t i = 0; i < kCycles; i++) {
    placement.Add(Task(added++), {}, 0, LogTime{1});
    placement.Release(Task(released++), Millis(200));
    EXPECT_EQ(placement.Place(LogTime{1}, 10).size(), 1U);
  }
  return (CpuSeconds() - start) * 1e6 / kCycles;
}

TEST(PlacementScaleTest, ADecisionAmongMillionsCostsLittleMoreThanAmongFew) {
  const double small = CycleMicros(3, 100);
  const double large = CycleMicros(10000, 1000000);
  std::printf(
      "add + place + release: %.2f us with 3 workers and 100 tasks, %.2f us with 10,000 and 1,000,000: %.1f "
      "times\n",
      small, large, large / small);
  RecordProperty("ratio", std::to_string(large / small));
  EXPECT_LT(large, small * 50) << "a linear search would be 3,000 to 10,000 times as slow";
}

TEST(PlacementScaleTest, ManyKeysAndBlockedTasksDelayNobody) {  // invariant 5
  Placement placement({.resources = {{"full", {.concurrent_max = 1}}}, .prefetch_max = 0});
  SetWorkers(&placement, 10);
  // In front of everybody: 100,000 keys that are taken, tasks for a resource that is full, tasks that
  // nobody can take.
  uint32_t added = 0;
  for (uint32_t key = 0; key < 100000; key++) {
    Needs needs{.ordering_key = "k" + std::to_string(key)};
    placement.Occupy(Task(added++), needs, WorkerId("elsewhere"), LogTime{1});
    placement.Add(Task(added++), needs, 9, LogTime{1});
  }
  placement.Occupy(Task(added++), {.resources = {"full"}}, WorkerId("elsewhere"), LogTime{1});
  for (uint32_t i = 0; i < 100000; i++) placement.Add(Task(added++), {.resources = {"full"}}, 9, LogTime{1});
  for (uint32_t i = 0; i < 100000; i++) placement.Add(Task(added++), {.browser = true}, 9, LogTime{1});
  const uint32_t first_free = added;
  const double start = CpuSeconds();
  constexpr uint32_t kCycles = 20000;
  for (uint32_t i = 0; i < kCycles; i++) {
    const TaskId task = Task(added++);
    placement.Add(task, {}, 0, LogTime{1});
    const std::vector<Assignment> placed = placement.Place(LogTime{1}, 10);
    ASSERT_EQ(placed.size(), 1U);
    ASSERT_EQ(placed[0].task, task);
    placement.Release(task, Millis(200));
  }
  const double micros = (CpuSeconds() - start) * 1e6 / kCycles;
  std::printf("add + place + release behind 300,000 blocked tasks: %.2f us\n", micros);
  EXPECT_LT(micros, 500) << "looking at each blocked task would take milliseconds";
  EXPECT_EQ(placement.waiting(), 300000U);

  // One key after the other is given back: each frees exactly one task.
  for (uint32_t key = 0; key < 1000; key++) {
    placement.Release(Task(2 * key), Millis(200));
    const std::vector<Assignment> placed = placement.Place(LogTime{1}, 10);
    ASSERT_EQ(placed.size(), 1U);
    ASSERT_EQ(placed[0].task, Task(2 * key + 1));
    placement.Release(placed[0].task, Millis(200));
  }
  EXPECT_EQ(added, first_free + kCycles);
}

TEST(PlacementScaleTest, NeedsThatNobodyUsesAnyMoreAreForgotten) {  // more kinds than are kept
  Placement placement({.prefetch_max = 0});
  SetWorkers(&placement, 1);
  for (uint32_t i = 0; i < 5000; i++) {
    const Needs needs{.labels = {"l" + std::to_string(i)}, .resources = {"r" + std::to_string(i)}};
    WorkerOffer offer;
    offer.labels = needs.labels;
    placement.SetWorker(WorkerId("w100000"), offer);
    placement.Add(Task(i), needs, 0, LogTime{1});
    ASSERT_EQ(placement.Place(LogTime{1}, 10).size(), 1U) << i;
    placement.Release(Task(i), Millis(200));
  }
}

}  // namespace
}  // namespace laneway
