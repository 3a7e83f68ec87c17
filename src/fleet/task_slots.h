// task_slots.h: what Placement keeps of tasks that wait, and of tasks that are with a worker, found by the
// task's id.
//
// Role:       pure structure; part of Placement. Records stand in blocks and never move; a flat table finds
//             them by id.
// Cost:       O(1). 48 bytes a record, and 8 to 24 of the table.
// Threads:    one owner.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "fleet/ids.h"
#include "fleet/task_queue.h"

namespace laneway {

enum class SlotState : uint32_t { kFree, kLater, kReady, kHeld };

struct TaskSlot {
  JobId job;
  uint32_t n = 0;
  uint32_t class_index = 0;
  TaskOrder order;
  uint32_t worker = 0;  // kHeld: with whom. kFree: the next free slot
  SlotState state = SlotState::kFree;

  TaskId id() const { return {job, n}; }
};

class TaskSlots {
 public:
  static constexpr uint32_t kNone = ~0U;

  TaskSlot& operator[](uint32_t slot) { return blocks_[slot / kBlock][slot % kBlock]; }
  const TaskSlot& operator[](uint32_t slot) const { return blocks_[slot / kBlock][slot % kBlock]; }

  uint32_t Find(const TaskId& task) const;  // kNone: unknown
  uint32_t Insert(const TaskId& task);      // must be unknown
  void Erase(uint32_t slot);
  static uint32_t HashOf(const TaskId& task) { return static_cast<uint32_t>(std::hash<TaskId>()(task)); }

 private:
  static constexpr uint32_t kBlock = 1024;
  struct Cell {
    uint32_t hash = 0;
    uint32_t slot = kNone;
  };

  void Rehash(size_t cells);

  std::vector<std::unique_ptr<TaskSlot[]>> blocks_;
  std::vector<Cell> cells_;  // a power of two, linear probing
  uint32_t mask_ = 0;
  uint32_t used_ = 0;
  uint32_t made_ = 0;  // slots that were ever given out
  uint32_t free_ = kNone;
};

}  // namespace laneway
