#include "fleet/placement.h"

#include <algorithm>
#include <utility>

#include "fleet/backlog.h"
#include "fleet/resource_table.h"
#include "fleet/task_queue.h"
#include "fleet/task_slots.h"
#include "fleet/worker_index.h"

namespace laneway {

struct Placement::Impl {
  explicit Impl(const PlacementLimits& limits)
      : workers(limits.policy, limits.prefetch_max),
        resources(limits.resources),
        backlog(&slots, &workers, &resources) {}

  bool IsWaiting(uint32_t slot) const {
    return slots[slot].state == SlotState::kLater || slots[slot].state == SlotState::kReady;
  }

  auto Alive() const {
    return [this](const TaskQueue::Entry& entry) {
      const TaskSlot& task = slots[entry.slot];
      return task.state == SlotState::kLater && task.order.sequence() == entry.key.sequence();
    };
  }

  // Time never goes back: of two moments the later one counts.
  void Advance(LogTime to) {
    if (now < to) {
      now = to;
      resources.Advance(now);
    }
  }

  // Tasks that have become due take their places among the others.
  void WakeDue() {
    while (!later.empty() && later.Head().key.due().ms <= now.ms) {
      const uint32_t slot = later.Head().slot;
      later.Pop(Alive());
      slots[slot].state = SlotState::kReady;
      backlog.Push(slot);
    }
  }

  // Out of the queue it stands in. Its class keeps it as a user.
  void Unqueue(uint32_t slot) {
    const SlotState was = std::exchange(slots[slot].state, SlotState::kFree);
    if (was == SlotState::kLater) {
      later.Dropped(Alive());
    } else {
      backlog.Dropped(slot);
    }
    waiting--;
  }

  void Forget(uint32_t slot) {
    backlog.Unuse(slots[slot].class_index);
    slots.Erase(slot);
  }

  // No longer with its worker.
  void Vacate(uint32_t slot, std::optional<Millis> ran) {
    slots[slot].state = SlotState::kFree;
    backlog.GiveBack(slots[slot].class_index);
    workers.GaveBack(slots[slot].worker, ran);
    backlog.Refresh();
  }

  LogTime now;
  uint64_t sequence = 0;
  size_t waiting = 0;
  TaskSlots slots;
  WorkerIndex workers;
  ResourceTable resources;
  Backlog backlog;
  TaskQueue later;  // those that are not due, by due time
};

Placement::Placement(PlacementLimits limits) : impl_(std::make_unique<Impl>(limits)) {}
Placement::~Placement() = default;

void Placement::Add(const TaskId& task, const Needs& needs, int32_t priority, LogTime due) {
  Impl& s = *impl_;
  const uint32_t class_index = s.backlog.Use(needs);  // first: so that its class outlives being moved
  uint32_t slot = s.slots.Find(task);
  if (slot == TaskSlots::kNone) {
    slot = s.slots.Insert(task);
  } else {
    if (s.IsWaiting(slot)) {
      s.Unqueue(slot);
    } else {
      s.Vacate(slot, std::nullopt);
    }
    s.backlog.Unuse(s.slots[slot].class_index);
  }
  TaskSlot& record = s.slots[slot];
  record.class_index = class_index;
  record.order = TaskOrder::Make(priority, due, ++s.sequence);
  s.waiting++;
  if (due <= s.now) {
    record.state = SlotState::kReady;
    s.backlog.Push(slot);
  } else {
    record.state = SlotState::kLater;
    s.later.Push(record.order.ByDue(), slot);
  }
}

void Placement::Remove(const TaskId& task) {
  Impl& s = *impl_;
  const uint32_t slot = s.slots.Find(task);
  if (slot == TaskSlots::kNone || !s.IsWaiting(slot)) return;
  s.Unqueue(slot);
  s.Forget(slot);
}

void Placement::SetWorker(const WorkerId& worker, const WorkerOffer& offer) {
  impl_->workers.Set(worker, offer);
  impl_->backlog.Refresh();
}

void Placement::RemoveWorker(const WorkerId& worker) {
  impl_->workers.Remove(worker);
  impl_->backlog.Refresh();
}

void Placement::Occupy(const TaskId& task, const Needs& needs, const WorkerId& worker, LogTime now) {
  Impl& s = *impl_;
  s.Advance(now);
  uint32_t slot = s.slots.Find(task);
  if (slot != TaskSlots::kNone && !s.IsWaiting(slot)) {
    if (s.workers.Id(s.slots[slot].worker) == worker) return;
    const uint32_t before = s.slots[slot].worker;
    s.slots[slot].worker = s.workers.Intern(worker);
    s.workers.Took(s.slots[slot].worker, false);
    s.workers.GaveBack(before, std::nullopt);
    s.backlog.Refresh();
    return;
  }
  const uint32_t class_index = s.backlog.Use(needs);
  if (slot == TaskSlots::kNone) {
    slot = s.slots.Insert(task);
  } else {
    s.Unqueue(slot);
    s.backlog.Unuse(s.slots[slot].class_index);
  }
  s.slots[slot].class_index = class_index;
  s.slots[slot].state = SlotState::kOccupied;
  s.slots[slot].worker = s.workers.Intern(worker);
  s.workers.Took(s.slots[slot].worker, false);
  s.backlog.Take(class_index, s.now);
  s.backlog.Refresh();
}

void Placement::Release(const TaskId& task, std::optional<Millis> ran) {
  Impl& s = *impl_;
  const uint32_t slot = s.slots.Find(task);
  if (slot == TaskSlots::kNone || s.IsWaiting(slot)) return;
  s.Vacate(slot, ran);
  s.Forget(slot);
}

std::vector<Assignment> Placement::Place(LogTime now, size_t max) {
  Impl& s = *impl_;
  s.Advance(now);
  s.backlog.Refresh();
  s.WakeDue();
  std::vector<Assignment> out;
  while (out.size() < max) {
    const auto next = s.backlog.Pop(s.now);
    if (!next) break;
    TaskSlot& task = s.slots[next->slot];
    task.state = SlotState::kOccupied;
    task.worker = s.workers.Best(next->view);
    s.waiting--;
    out.push_back({task.id(), s.workers.Id(task.worker)});
    s.workers.Took(task.worker, true);
    s.backlog.Refresh();
  }
  return out;
}

std::optional<LogTime> Placement::NextDeadline(LogTime now) const {
  const Impl& s = *impl_;
  now = std::max(now, s.now);
  if (s.backlog.MayPop()) return now;
  std::optional<LogTime> next;
  if (!s.later.empty()) next = std::max(now, s.later.Head().key.due());
  for (const auto& [opens, resource] : s.resources.openings()) {
    if (next && *next <= opens) break;
    if (s.resources.HasConcurrency(resource) && s.backlog.WaitsFor(resource)) next = std::max(now, opens);
  }
  return next;
}

size_t Placement::waiting() const { return impl_->waiting; }

uint32_t Placement::Credit(const WorkerId& worker) const {
  const uint32_t index = impl_->workers.Find(worker);
  return index == WorkerIndex::kNone ? 0 : impl_->workers.Credit(index);
}

std::string Placement::WhyWaiting(const TaskId& task, LogTime now) const {
  const Impl& s = *impl_;
  const uint32_t slot = s.slots.Find(task);
  if (slot == TaskSlots::kNone) return "it does not wait";
  if (!s.IsWaiting(slot)) return "it is with " + s.workers.Id(s.slots[slot].worker).name;
  now = std::max(now, s.now);
  if (now < s.slots[slot].order.due()) return "not due for " + InWords(s.slots[slot].order.due() - now);
  return s.backlog.WhyWaiting(s.slots[slot].class_index, now);
}

}  // namespace laneway
