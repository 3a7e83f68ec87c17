// placement.h: which worker gets which task, and when.
//
// Role:       pure core; the active dispatcher runs it.
// Input:      tasks that wait (with when they are due), workers with capacity, credit, labels and browser,
//             limits of resources; what was placed and what ended.
// Output:     assignments, in order.
// Invariants: (1) a task is given only to a worker that qualifies and has credit; (2) priority first, then
//             age (due time, then the order of Add); (3) among those that qualify the smallest load/capacity
//             wins (least-loaded) or the next in turn (round-robin); (4) resources and ordering keys are
//             never over-used; (5) one task that no worker can take delays no other.
// Cost:       O(log n) a decision, whatever the numbers of workers, tasks and ordering keys; about 90 bytes a
//             waiting task (bench/placement_bench).
// Time:       never goes back: of two moments handed in the later one counts.
// Parts:      backlog.h (waiting tasks, a tournament), worker_index.h (who takes the next one),
//             resource_table.h, task_slots.h, task_queue.h, indexed_heap.h.
// Threads:    one owner.
#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "fleet/ids.h"
#include "fleet/log_time.h"

namespace laneway {

enum class PlacementPolicy : uint8_t { kLeastLoaded, kRoundRobin };

struct ResourceLimit {
  uint32_t concurrent_max = 0;  // 0: no limit
  uint32_t rate_count = 0;      // starts …
  Millis rate_window{0};        // … in each window of this length; 0: no limit
};

struct PlacementLimits {
  PlacementPolicy policy = PlacementPolicy::kLeastLoaded;
  std::map<std::string, ResourceLimit> resources;  // a resource that is not named has no limit
  uint32_t prefetch_max = 1024;                    // per slot of capacity
};

// What a task asks for. Tasks that ask for the same share one Needs.
struct Needs {
  bool browser = false;
  std::vector<std::string> labels;     // sorted
  std::vector<std::string> resources;  // sorted
  std::string ordering_key;  // tasks of one key run one at a time, in the order of invariant 2; empty: none
  friend auto operator<=>(const Needs&, const Needs&) = default;
};

struct WorkerOffer {
  uint32_t capacity = 1;
  bool open = true;  // false: paused, draining, lost: gets nothing
  bool browser_connected = false;
  std::vector<std::string> labels;  // sorted
};

struct Assignment {
  TaskId task;
  WorkerId worker;
};

class Placement {
 public:
  explicit Placement(PlacementLimits limits);
  Placement(Placement&&) noexcept;
  Placement& operator=(Placement&&) noexcept;
  ~Placement();

  // A task waits from now on; it may be placed when `due` has come. A task that waits already is moved; one
  // that is with a worker is released.
  void Add(const TaskId& task, const Needs& needs, int32_t priority, LogTime due);
  // It does not wait any more (placed by another, cancelled). Unknown: nothing happens.
  void Remove(const TaskId& task);

  void SetWorker(const WorkerId& worker, const WorkerOffer& offer);
  void RemoveWorker(const WorkerId& worker);

  // The task is with this worker (our own assignment, read back, or one found in the fold at start). Takes it
  // from the waiting ones, uses credit, resources and ordering key. Idempotent; a second worker replaces the
  // first.
  void Occupy(const TaskId& task, const Needs& needs, const WorkerId& worker, LogTime now);
  // The task is not with a worker any more. `ran`: how long it ran, for prefetch; nothing when it did not.
  void Release(const TaskId& task, std::optional<Millis> ran);
  // The worker gave back what it could not start in time: for a while it gets nothing in advance.
  void HandedBack(const WorkerId& worker);

  // As many assignments as can be made now, at most `max`. Each takes its task from the waiting ones and uses
  // credit, resources and keys at once: the caller says Occupy (no change) when it is accepted, or Release
  // and Add when it was not.
  std::vector<Assignment> Place(LogTime now, size_t max);

  // The next moment at which Place could give more without any other input (a due time, a rate's window).
  // Nothing: never.
  std::optional<LogTime> NextDeadline(LogTime now) const;

  size_t waiting() const;
  // How many more tasks this worker may be given now.
  uint32_t Credit(const WorkerId& worker) const;
  // Why this task waits, for people: "not due for 3 s", "no worker has a browser", "resource ds_london_01 is
  // in use (4 of 4)", …
  std::string WhyWaiting(const TaskId& task, LogTime now) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace laneway
