// worker_index.h: the workers as Placement sees them: load, credit, and who takes the next task.
//
// Role:       pure; part of Placement. Workers with the same labels and browser state stand in one pool,
//             ordered by who takes the next task. A view is all pools that satisfy one kind of need, ordered
//             by their best worker.
// Output:     the best worker of a view; which views have got their first or lost their last worker with
//             credit.
// Invariants: (1) in a pool's order stand exactly the open workers with credit; (2) smallest load/capacity
//             first, compared exactly, or who had a task longest ago; ties go by name.
// Source:     prefetch is Little's law: tasks in flight = rate * time. It grows by one a finished task, so it
//             doubles in each round of tasks, up to what covers kCoverage of work a slot; it falls at once.
//             Tasks that take longer than kNoPrefetchAbove on average get none.
// Cost:       O(log workers) a change of load, times the views that the worker's pool satisfies.
// Threads:    one owner.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "fleet/ids.h"
#include "fleet/indexed_heap.h"
#include "fleet/log_time.h"
#include "fleet/placement.h"

namespace laneway {

class WorkerIndex {
 public:
  static constexpr uint32_t kNone = ~0U;
  static constexpr uint32_t kCapacityMax =
      65535;  // more is cut: up to here load/capacity is compared exactly
  static constexpr Millis kCoverage{25};
  static constexpr Millis kNoPrefetchAbove{100};

  WorkerIndex(PlacementPolicy policy, uint32_t prefetch_max) : policy_(policy), prefetch_max_(prefetch_max) {}

  void Set(const WorkerId& worker, const WorkerOffer& offer);
  void Remove(const WorkerId& worker);
  // The worker's number; one that is not known yet gets one: its load counts, it gets nothing until Set.
  uint32_t Intern(const WorkerId& worker);
  uint32_t Find(const WorkerId& worker) const;  // kNone: unknown
  const WorkerId& Id(uint32_t worker) const { return workers_[worker].id; }

  void Took(uint32_t worker, bool by_us);  // `by_us`: its turn is over (round-robin)
  void GaveBack(uint32_t worker, std::optional<Millis> ran);
  // Its tasks are longer than they seemed: the mean starts again above what allows a prefetch.
  void HandedBack(uint32_t worker);
  uint32_t Credit(uint32_t worker) const;

  uint32_t OpenView(bool browser, const std::vector<std::string>& labels);
  void CloseView(uint32_t view);
  bool HasWorker(uint32_t view) const { return !views_[view].pools.empty(); }
  uint32_t Best(uint32_t view) const { return pools_[views_[view].pools.Top().item].workers.Top().item; }
  // Views for which HasWorker has changed since the last call. May name one twice, or one that changed back.
  template <class F>
  void ForChangedViews(F f) {
    for (const uint32_t view : changed_views_) f(view);
    changed_views_.clear();
  }

  // Why nobody of this view takes a task, for people.
  std::string WhyNobody(uint32_t view) const;

 private:
  struct Key {
    uint64_t first = 0;  // load/capacity, or the turn
    uint64_t rank = 0;   // by name
    friend auto operator<=>(const Key&, const Key&) = default;
  };
  struct Worker {
    WorkerId id;
    bool known = false;
    bool open = false;
    bool measured = false;
    uint32_t capacity = 0;
    uint32_t load = 0;
    uint32_t pool = kNone;
    uint64_t prefetch = 0;
    uint64_t mean_us = 0;  // how long its tasks take
    uint64_t turn = 0;
    uint64_t rank = 0;
  };
  struct Pool {
    bool used = false;
    bool browser = false;
    std::vector<std::string> labels;
    uint32_t members = 0;
    std::vector<uint32_t> views;
    IndexedHeap<Key> workers;
  };
  struct View {
    bool used = false;
    bool browser = false;
    std::vector<std::string> labels;
    IndexedHeap<Key> pools;
    std::vector<uint32_t> positions;  // by pool
  };

  static bool Satisfies(const Pool& pool, const View& view);
  uint64_t PrefetchWanted(const Worker& worker) const;
  uint32_t PoolOf(const WorkerOffer& offer);
  void LeavePool(uint32_t worker);
  void Connect(uint32_t pool, uint32_t view);
  void Forget(uint32_t worker);
  void Rank(std::map<WorkerId, uint32_t>::iterator added);
  void Update(uint32_t worker);
  void UpdatePool(uint32_t pool);
  void UpdateInView(uint32_t pool, uint32_t view);

  PlacementPolicy policy_;
  uint32_t prefetch_max_;
  uint64_t turn_ = 0;
  std::map<WorkerId, uint32_t> by_name_;
  std::vector<Worker> workers_;
  std::vector<uint32_t> positions_;  // by worker, in its pool; apart, so that a sift stays in few cache lines
  std::vector<uint32_t> free_workers_;
  std::map<std::pair<bool, std::vector<std::string>>, uint32_t> pool_by_kind_;
  std::vector<Pool> pools_;
  std::vector<uint32_t> free_pools_;
  std::vector<View> views_;
  std::vector<uint32_t> free_views_;
  std::vector<uint32_t> changed_views_;
};

}  // namespace laneway
