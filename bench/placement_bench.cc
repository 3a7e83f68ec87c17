// placement_bench.cc: what one decision of Placement costs, small and large, and what a waiting task takes of
// memory.
//
// One decision is a whole cycle: a task is added, one is placed, one that was placed is released. Prints
// JSON.
#include <malloc.h>
#include <time.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <string>
#include <utility>
#include <vector>

#include "fleet/placement.h"

namespace laneway {
namespace {

// Of this thread alone: what else the machine does is not counted.
double CpuNanoseconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e9 + static_cast<double>(now.tv_nsec);
}

enum class Mix { kInOrder, kPriorities, kKeys, kResources };

struct Setting {
  const char* name;
  Mix mix;
  uint32_t workers;
  uint32_t tasks;
};

struct Result {
  double cycle_ns = 0;
  double bytes_per_task = 0;
  double fill_ms = 0;
};

TaskId MakeTask(uint64_t i) {
  return {JobId{Mix64(i / 1000 + 1), i / 1000}, static_cast<uint32_t>(i % 1000 + 1)};
}

// Needs that tasks share, as those of one job do.
std::vector<Needs> MakeNeeds(Mix mix) {
  std::vector<Needs> needs(mix == Mix::kKeys ? 100000 : mix == Mix::kResources ? 1000 : 1);
  for (size_t i = 0; i < needs.size(); i++) {
    if (mix == Mix::kKeys) needs[i].ordering_key = "customer-" + std::to_string(i);
    if (mix == Mix::kResources) needs[i].resources = {"all", "source-" + std::to_string(i)};
  }
  return needs;
}

PlacementLimits MakeLimits(Mix mix, uint32_t workers) {
  PlacementLimits limits;
  limits.prefetch_max = 0;
  if (mix == Mix::kResources) {
    limits.resources["all"].concurrent_max = workers;
    for (int i = 0; i < 1000; i++) limits.resources["source-" + std::to_string(i)].concurrent_max = 4;
  }
  return limits;
}

Result Measure(const Setting& setting, size_t cycles) {
  const std::vector<Needs> needs = MakeNeeds(setting.mix);
  const auto need = [&](uint64_t i) -> const Needs& { return needs[Mix64(i) % needs.size()]; };
  const auto priority = [&](uint64_t i) {
    return setting.mix == Mix::kPriorities ? static_cast<int32_t>(Mix64(i) % 16) : 0;
  };
  Placement placement(MakeLimits(setting.mix, setting.workers));
  for (uint32_t i = 0; i < setting.workers; i++) {
    WorkerOffer offer;
    offer.capacity = 4;
    char name[16];
    std::snprintf(name, sizeof(name), "DTF-%05u", i);
    placement.SetWorker(WorkerId(name), offer);
  }
  placement.Place(LogTime{1}, 0);
  const size_t before = mallinfo2().uordblks + mallinfo2().hblkhd;
  const double start = CpuNanoseconds();
  uint64_t added = 0;
  for (; added < setting.tasks; added++)
    placement.Add(MakeTask(added), need(added), priority(added), LogTime{1});
  Result result;
  result.fill_ms = (CpuNanoseconds() - start) / 1e6;
  const size_t after = mallinfo2().uordblks + mallinfo2().hblkhd;
  result.bytes_per_task = static_cast<double>(after - before) / setting.tasks;

  // Every worker is busy, as it is while there is a backlog: each release makes room for one placement.
  std::deque<TaskId> running;
  int64_t now = 2;
  for (const Assignment& a : placement.Place(LogTime{now}, setting.tasks / 2)) running.push_back(a.task);
  while (placement.waiting() < setting.tasks) {
    placement.Add(MakeTask(added), need(added), priority(added), LogTime{now});
    added++;
  }
  const auto cycle = [&] {
    now += added % 64 == 0 ? 1 : 0;
    placement.Add(MakeTask(added), need(added), priority(added), LogTime{now});
    added++;
    placement.Release(running.front(), Millis(200));
    running.pop_front();
    for (const Assignment& a : placement.Place(LogTime{now}, 16)) running.push_back(a.task);
  };
  for (size_t i = 0; i < cycles / 4; i++) cycle();
  std::vector<double> rounds;  // the least of nine: what else the machine does only adds
  for (int round = 0; round < 9; round++) {
    const double from = CpuNanoseconds();
    for (size_t i = 0; i < cycles / 9; i++) cycle();
    rounds.push_back((CpuNanoseconds() - from) / static_cast<double>(cycles / 9));
  }
  result.cycle_ns = *std::min_element(rounds.begin(), rounds.end());
  return result;
}

int Main(int argc, char** argv) {
  const size_t cycles = argc > 1 ? static_cast<size_t>(std::strtoull(argv[1], nullptr, 10)) : 900000;
  const std::pair<const char*, Mix> mixes[] = {{"in_order", Mix::kInOrder},
                                               {"16_priorities", Mix::kPriorities},
                                               {"100000_keys", Mix::kKeys},
                                               {"1001_resources", Mix::kResources}};
  std::printf("{\n  \"cycles\": %zu,\n  \"cycle\": \"add + place + release\"", cycles);
  for (const auto& [name, mix] : mixes) {
    if (argc > 2 && std::string(argv[2]) != name) continue;
    const Result small = Measure({name, mix, 3, 100}, cycles);
    const Result large = Measure({name, mix, 10000, 1000000}, cycles);
    std::printf(
        ",\n  \"%s\": {\"ns_3_workers_100_tasks\": %.0f, \"ns_10000_workers_1000000_tasks\": %.0f, "
        "\"ratio\": %.2f, "
        "\"bytes_per_waiting_task\": %.0f, \"fill_1000000_ms\": %.0f}",
        name, small.cycle_ns, large.cycle_ns, large.cycle_ns / small.cycle_ns, large.bytes_per_task,
        large.fill_ms);
    std::fflush(stdout);
  }
  std::printf("\n}\n");
  return 0;
}

}  // namespace
}  // namespace laneway

int main(int argc, char** argv) { return laneway::Main(argc, argv); }
