// backlog.h: the waiting tasks that are due, so arranged that the next one that can be placed is found
// without looking at those that cannot.
//
// Role:       pure structure; part of Placement. A tournament of five rounds, each an ordered heap of those
// below that have something to offer:
//               Group   tasks that the same workers can take (browser, labels); out while no such worker has
//               credit Gate    in its group, the tasks that look for room in one resource, or in none; out
//               while the resource has none Kind    in its gate, the tasks that ask for the same but for the
//               ordering key Class   in its kind, the tasks with the same ordering key; out while the key is
//               taken TaskQueue
//             What is out costs nothing, however much it is. A kind that asks for several resources stands at
//             the gate of one; found at the top while another one has no room, it goes to the gate of that
//             one.
// Cost:       O(log n) a change.
// Threads:    one owner.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "fleet/indexed_heap.h"
#include "fleet/placement.h"
#include "fleet/resource_table.h"
#include "fleet/task_queue.h"
#include "fleet/task_slots.h"
#include "fleet/worker_index.h"

namespace laneway {

class Backlog {
 public:
  static constexpr uint32_t kNone = ~0U;
  static constexpr size_t kUnusedKindsMax =
      1024;  // kinds and groups without a task that are kept for the next one

  Backlog(TaskSlots* slots, WorkerIndex* workers, ResourceTable* resources)
      : slots_(*slots), workers_(*workers), resources_(*resources) {}

  // The class of these needs, with one user more. Let go with Unuse.
  uint32_t Use(const Needs& needs);
  void Unuse(uint32_t class_index);

  // The slot's task is due: its class and order are set.
  void Push(uint32_t slot);
  // The slot's task, that stood here, does so no more (its state says so already).
  void Dropped(uint32_t slot);

  // A task of this class is with a worker, or no more: its key and resources.
  void Take(uint32_t class_index, LogTime now);
  void GiveBack(uint32_t class_index);

  // After workers or resources have changed.
  void Refresh();
  // The first task that can be placed now, taken out; its key and resources are taken. The caller then says
  // Refresh. Nothing: none can be.
  struct Next {
    uint32_t slot = 0;
    uint32_t view = 0;
  };
  std::optional<Next> Pop(LogTime now);
  bool MayPop() const { return !groups_heap_.empty(); }

  // Does a task wait for room in this resource, with a worker that would take it?
  bool WaitsFor(uint32_t resource) const;
  // Why a task of this class that is due waits, for people.
  std::string WhyWaiting(uint32_t class_index, LogTime now) const;

 private:
  struct Class {
    uint32_t kind = kNone;
    uint32_t key = kNone;
    uint32_t next_of_key = kNone;
    uint32_t users = 0;
    TaskQueue queue;
  };
  struct Key {
    const std::string* name = nullptr;
    uint32_t holders = 0;
    uint32_t first_class = kNone;
  };
  struct KindName {
    bool browser = false;
    std::vector<std::string> labels;
    std::vector<std::string> resources;
    friend bool operator==(const KindName&, const KindName&) = default;
  };
  struct KindHash {
    size_t operator()(const KindName& name) const noexcept;
  };
  struct Kind {
    bool used = false;
    KindName name;
    uint32_t group = kNone;
    uint32_t users = 0;               // tasks
    uint32_t plain_class = kNone;     // the one without an ordering key; it lives as long as its kind
    std::vector<uint32_t> resources;  // those that have a limit
    std::vector<uint32_t> gates;      // one for each of them; one in all when there are none
    uint32_t gate = kNone;            // where it stands
    uint32_t position = kNotInHeap;
    IndexedHeap<TaskOrder> heap;
  };
  struct Gate {
    uint32_t group = kNone;
    uint32_t resource = kNone;
    uint32_t kinds = 0;  // how many name it
    uint32_t position = kNotInHeap;
    IndexedHeap<TaskOrder> heap;
  };
  struct Group {
    bool used = false;
    bool browser = false;
    std::vector<std::string> labels;
    uint32_t view = kNone;
    uint32_t kinds = 0;
    uint32_t position = kNotInHeap;
    std::map<uint32_t, uint32_t> gates;  // by resource
    IndexedHeap<TaskOrder> heap;
  };

  auto Alive() const {
    return [this](const TaskQueue::Entry& entry) {
      const TaskSlot& slot = slots_[entry.slot];
      return slot.state == SlotState::kReady && slot.order.sequence() == entry.key.sequence();
    };
  }
  uint32_t KindOf(const Needs& needs);
  uint32_t MakeKind(const Needs& needs);
  uint32_t GroupOf(bool browser, const std::vector<std::string>& labels);
  uint32_t GateOf(uint32_t group, uint32_t resource);
  uint32_t MakeClass(uint32_t kind, uint32_t key);
  void FreeClass(uint32_t class_index);
  void DropUnusedKinds();
  void DropKind(uint32_t kind);
  void UpdateClass(uint32_t class_index);
  void UpdateKind(uint32_t kind);
  void UpdateGate(uint32_t gate);
  void UpdateGroup(uint32_t group);
  void UpdateKey(uint32_t class_index);  // the class, and all with the same ordering key
  void MoveToGate(uint32_t kind, uint32_t gate);
  // The kind's gate whose resource has no room. kNone: it has room in all.
  uint32_t ClosedGate(const Kind& kind) const;

  TaskSlots& slots_;
  WorkerIndex& workers_;
  ResourceTable& resources_;
  std::vector<Class> classes_;
  std::vector<uint32_t> class_positions_;  // in their kinds; apart, so that a sift stays in few cache lines
  std::vector<uint32_t> free_classes_;
  std::vector<Key> keys_;
  std::vector<uint32_t> free_keys_;
  std::unordered_map<std::string, uint32_t> key_by_name_;  // looked up, never walked
  std::vector<Kind> kinds_;
  std::vector<uint32_t> free_kinds_;
  std::unordered_map<KindName, uint32_t, KindHash> kind_by_name_;  // looked up, never walked
  std::vector<Gate> gates_;
  std::vector<uint32_t> free_gates_;
  std::vector<std::vector<uint32_t>> gates_of_resource_;
  std::vector<Group> groups_;
  std::vector<uint32_t> free_groups_;
  std::map<std::pair<bool, std::vector<std::string>>, uint32_t> group_by_name_;
  std::vector<uint32_t> group_of_view_;
  IndexedHeap<TaskOrder> groups_heap_;
  uint32_t last_kind_ = kNone;  // most tasks ask for what the one before them asked for
  size_t unused_kinds_ = 0;
};

}  // namespace laneway
