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

  // It does not wait any more.
  void Drop(uint32_t slot) {
    TaskSlot& task = slots[slot];
    if (std::exchange(task.state, SlotState::kFree) == SlotState::kLater) {
      later.Dropped(Alive());
    } else {
      backlog.Dropped(slot);
    }
    backlog.Unuse(task.class_index);
    slots.Erase(slot);
    waiting--;
  }

  void Hold(const TaskId& task, uint32_t class_index, uint32_t worker) {
    TaskSlot& record = held[held.Insert(task)];
    record.state = SlotState::kHeld;
    record.class_index = class_index;
    record.worker = worker;
  }

  // It is not with its worker any more.
  void Vacate(uint32_t slot, std::optional<Millis> ran) {
    const TaskSlot& record = held[slot];
    backlog.GiveBack(record.class_index);
    backlog.Unuse(record.class_index);
    workers.GaveBack(record.worker, ran);
    held.Erase(slot);
    backlog.Refresh();
  }

  LogTime now;
  uint64_t sequence = 0;
  size_t waiting = 0;
  TaskSlots slots;  // those that wait
  TaskSlots held;   // those with a worker: apart, because they are few and looked for more often
  WorkerIndex workers;
  ResourceTable resources;
  Backlog backlog;
  TaskQueue later;  // those that are not due, by due time
};

Placement::Placement(PlacementLimits limits) : impl_(std::make_unique<Impl>(limits)) {}
Placement::Placement(Placement&&) noexcept = default;
Placement& Placement::operator=(Placement&&) noexcept = default;
Placement::~Placement() = default;

void Placement::Add(const TaskId& task, const Needs& needs, int32_t priority, LogTime due) {
  Impl& s = *impl_;
  if (const uint32_t with = s.held.Find(task); with != TaskSlots::kNone) s.Vacate(with, std::nullopt);
  Remove(task);
  const uint32_t slot = s.slots.Insert(task);
  TaskSlot& record = s.slots[slot];
  record.class_index = s.backlog.Use(needs);
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
  const uint32_t slot = impl_->slots.Find(task);
  if (slot != TaskSlots::kNone) impl_->Drop(slot);
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
  const uint32_t slot = s.held.Find(task);
  if (slot != TaskSlots::kNone) {
    if (s.workers.Id(s.held[slot].worker) == worker) return;
    const uint32_t before = std::exchange(s.held[slot].worker, s.workers.Intern(worker));
    s.workers.Took(s.held[slot].worker, false);
    s.workers.GaveBack(before, std::nullopt);
    s.backlog.Refresh();
    return;
  }
  Remove(task);
  const uint32_t class_index = s.backlog.Use(needs);
  const uint32_t index = s.workers.Intern(worker);
  s.Hold(task, class_index, index);
  s.workers.Took(index, false);
  s.backlog.Take(class_index, s.now);
  s.backlog.Refresh();
}

void Placement::Release(const TaskId& task, std::optional<Millis> ran) {
  const uint32_t slot = impl_->held.Find(task);
  if (slot != TaskSlots::kNone) impl_->Vacate(slot, ran);
}

void Placement::HandedBack(const WorkerId& worker) {
  const uint32_t index = impl_->workers.Find(worker);
  if (index == WorkerIndex::kNone) return;
  impl_->workers.HandedBack(index);
  impl_->backlog.Refresh();
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
    const TaskId task = s.slots[next->slot].id();
    const uint32_t worker = s.workers.Best(next->view);
    s.Hold(task, s.slots[next->slot].class_index, worker);
    s.slots.Erase(next->slot);
    s.waiting--;
    out.push_back({task, s.workers.Id(worker)});
    s.workers.Took(worker, true);
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
  const uint32_t with = s.held.Find(task);
  if (with != TaskSlots::kNone) return "it is with " + s.workers.Id(s.held[with].worker).name;
  const uint32_t slot = s.slots.Find(task);
  if (slot == TaskSlots::kNone) return "it does not wait";
  now = std::max(now, s.now);
  if (now < s.slots[slot].order.due()) return "not due for " + InWords(s.slots[slot].order.due() - now);
  return s.backlog.WhyWaiting(s.slots[slot].class_index, now);
}

}  // namespace laneway
