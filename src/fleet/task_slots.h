// task_slots.h: what Placement keeps of one task, found by the task's id.
//
// Role:       pure structure; part of Placement. Records stand in blocks and never move; a flat table finds
// them by id. Cost:       O(1). 48 bytes a record, and 8 to 24 of the table. Threads:    one owner.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "fleet/ids.h"
#include "fleet/task_queue.h"

namespace laneway {

enum class SlotState : uint32_t { kFree, kLater, kReady, kOccupied };

struct TaskSlot {
  JobId job;
  uint32_t n = 0;
  uint32_t class_index = 0;
  TaskOrder order;
  uint32_t worker = 0;  // kOccupied: with whom. kFree: the next free slot
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

 private:
  static constexpr uint32_t kBlock = 1024;
  struct Cell {
    uint32_t hash = 0;
    uint32_t slot = kNone;
  };

  // Eight tasks of a job that follow each other share a cache line of cells.
  static uint32_t HashOf(const TaskId& task) {
    const uint64_t hash = Mix64(task.job.hi ^ Mix64(task.job.lo + task.n / 8));
    return static_cast<uint32_t>((hash & ~uint64_t{7}) | (((hash >> 32) + task.n) & 7));
  }
  void Rehash(size_t cells);

  std::vector<std::unique_ptr<TaskSlot[]>> blocks_;
  std::vector<Cell> cells_;  // a power of two, linear probing
  uint32_t mask_ = 0;
  uint32_t used_ = 0;
  uint32_t made_ = 0;  // slots that were ever given out
  uint32_t free_ = kNone;
};

}  // namespace laneway
