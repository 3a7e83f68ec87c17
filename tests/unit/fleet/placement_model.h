// placement_model.h: Placement as one would explain it: lists, walked from end to end. Slow and obviously
// right.
//
// Role:       what the real one is compared with. The rates of its resources must have windows shorter than a
// second (there the real one is exact).
#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "fleet/placement.h"

namespace laneway {

class PlacementModel {
 public:
  explicit PlacementModel(PlacementLimits limits) : limits_(std::move(limits)) {}

  void Add(const TaskId& task, const Needs& needs, int32_t priority, LogTime due) {
    Release(task, std::nullopt);
    Remove(task);
    waiting_.push_back({task, needs, priority, due, ++sequence_});
  }
  void Remove(const TaskId& task) {
    std::erase_if(waiting_, [&](const Waiting& waiting) { return waiting.task == task; });
  }
  void SetWorker(const WorkerId& id, const WorkerOffer& offer) {
    Worker& worker = workers_[id];
    worker.offer = offer;
    worker.known = true;
    worker.prefetch = std::min(worker.prefetch, Wanted(worker));
  }
  void RemoveWorker(const WorkerId& id) { workers_.erase(id); }
  void Occupy(const TaskId& task, const Needs& needs, const WorkerId& worker, LogTime now) {
    now_ = std::max(now_, now);
    const auto held = held_.find(task);
    if (held != held_.end()) {
      held->second.worker = worker;
      return;
    }
    Remove(task);
    Hold(task, needs, worker);
  }
  void Release(const TaskId& task, std::optional<Millis> ran) {
    const auto held = held_.find(task);
    if (held == held_.end()) return;
    const auto found = workers_.find(held->second.worker);
    held_.erase(held);
    if (found == workers_.end() || !ran) return;
    Worker& worker = found->second;
    const int64_t us = ran->count() * 1000;
    worker.mean_us = worker.mean_us ? *worker.mean_us + (us - *worker.mean_us) / 8 : us;
    worker.prefetch = std::min(worker.prefetch + 1, Wanted(worker));
  }
  std::vector<Assignment> Place(LogTime now, size_t max) {
    now_ = std::max(now_, now);
    std::vector<Assignment> out;
    while (out.size() < max) {
      const Waiting* best = nullptr;
      for (const Waiting& waiting : waiting_) {
        if (waiting.due > now_ || !HasRoom(waiting.needs) || !BestWorker(waiting.needs)) continue;
        if (best == nullptr || Before(waiting, *best)) best = &waiting;
      }
      if (best == nullptr) break;
      const Waiting placed = *best;
      const WorkerId worker = *BestWorker(placed.needs);
      out.push_back({placed.task, worker});
      workers_[worker].turn = ++turn_;
      Remove(placed.task);
      Hold(placed.task, placed.needs, worker);
    }
    return out;
  }
  size_t waiting() const { return waiting_.size(); }
  uint32_t Credit(const WorkerId& id) const {
    const auto at = workers_.find(id);
    if (at == workers_.end() || !at->second.offer.open) return 0;
    return static_cast<uint32_t>(
        std::max<int64_t>(0, at->second.offer.capacity + at->second.prefetch - Load(id)));
  }

 private:
  struct Waiting {
    TaskId task;
    Needs needs;
    int32_t priority;
    LogTime due;
    uint64_t sequence;
  };
  struct Held {
    Needs needs;
    WorkerId worker;
  };
  struct Worker {
    WorkerOffer offer;
    bool known = false;
    int64_t prefetch = 0;
    std::optional<int64_t> mean_us;
    uint64_t turn = 0;
  };

  static bool Before(const Waiting& a, const Waiting& b) {
    if (a.priority != b.priority) return a.priority > b.priority;
    if (a.due != b.due) return a.due < b.due;
    return a.sequence < b.sequence;
  }
  int64_t Wanted(const Worker& worker) const {
    if (!worker.mean_us || *worker.mean_us > 100000) return 0;
    const int64_t most = int64_t{worker.offer.capacity} * limits_.prefetch_max;
    return *worker.mean_us == 0 ? most
                                : std::min<int64_t>(most, worker.offer.capacity * 25000 / *worker.mean_us);
  }
  int64_t Load(const WorkerId& id) const {
    return std::count_if(held_.begin(), held_.end(),
                         [&](const auto& held) { return held.second.worker == id; });
  }
  void Hold(const TaskId& task, const Needs& needs, const WorkerId& worker) {
    held_[task] = {needs, worker};
    for (const std::string& name : needs.resources) starts_[name].push_back(now_);
  }
  bool HasRoom(const Needs& needs) const {
    for (const auto& [task, held] : held_) {
      if (!needs.ordering_key.empty() && held.needs.ordering_key == needs.ordering_key) return false;
    }
    for (const std::string& name : needs.resources) {
      const auto at = limits_.resources.find(name);
      if (at == limits_.resources.end()) continue;
      const ResourceLimit& limit = at->second;
      const auto used = std::count_if(held_.begin(), held_.end(), [&](const auto& held) {
        return std::count(held.second.needs.resources.begin(), held.second.needs.resources.end(), name) > 0;
      });
      if (limit.concurrent_max > 0 && used >= limit.concurrent_max) return false;
      if (limit.rate_count == 0 || limit.rate_window.count() == 0) continue;
      const auto starts = starts_.find(name);
      if (starts == starts_.end()) continue;
      const auto recent = std::count_if(starts->second.begin(), starts->second.end(),
                                        [&](LogTime start) { return start + limit.rate_window > now_; });
      if (recent >= limit.rate_count) return false;
    }
    return true;
  }
  std::optional<WorkerId> BestWorker(const Needs& needs) const {
    const std::pair<const WorkerId, Worker>* best = nullptr;
    for (const auto& entry : workers_) {  // by name, so that a tie goes to the first
      const WorkerOffer& offer = entry.second.offer;
      const bool fits = !needs.browser || offer.browser_connected;
      const bool labels =
          std::includes(offer.labels.begin(), offer.labels.end(), needs.labels.begin(), needs.labels.end());
      if (!fits || !labels || Credit(entry.first) == 0) continue;
      if (best == nullptr || Better(entry, *best)) best = &entry;
    }
    return best == nullptr ? std::nullopt : std::optional(best->first);
  }
  bool Better(const std::pair<const WorkerId, Worker>& a, const std::pair<const WorkerId, Worker>& b) const {
    if (limits_.policy == PlacementPolicy::kRoundRobin) return a.second.turn < b.second.turn;
    return Load(a.first) * b.second.offer.capacity < Load(b.first) * a.second.offer.capacity;
  }

  PlacementLimits limits_;
  LogTime now_;
  uint64_t sequence_ = 0;
  uint64_t turn_ = 0;
  std::vector<Waiting> waiting_;
  std::map<TaskId, Held> held_;
  std::map<WorkerId, Worker> workers_;
  std::map<std::string, std::vector<LogTime>> starts_;
};

inline bool operator==(const Assignment& a, const Assignment& b) {
  return a.task == b.task && a.worker == b.worker;
}

}  // namespace laneway
