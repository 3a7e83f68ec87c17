#include "fleet/task_slots.h"

namespace laneway {

uint32_t TaskSlots::Find(const TaskId& task) const {
  if (used_ == 0) return kNone;
  const uint32_t hash = HashOf(task);
  for (uint32_t at = hash & mask_;; at = (at + 1) & mask_) {
    const Cell& cell = cells_[at];
    if (cell.slot == kNone) return kNone;
    if (cell.hash == hash && (*this)[cell.slot].id() == task) return cell.slot;
  }
}

uint32_t TaskSlots::Insert(const TaskId& task) {
  // At most two thirds full: probes stay short.
  if ((used_ + 1) * uint64_t{3} > cells_.size() * 2) Rehash(cells_.empty() ? 64 : cells_.size() * 2);
  uint32_t slot = free_;
  if (slot != kNone) {
    free_ = (*this)[slot].worker;
  } else {
    slot = made_++;
    if (slot / kBlock == blocks_.size()) blocks_.push_back(std::make_unique<TaskSlot[]>(kBlock));
  }
  (*this)[slot].job = task.job;
  (*this)[slot].n = task.n;
  const uint32_t hash = HashOf(task);
  uint32_t at = hash & mask_;
  while (cells_[at].slot != kNone) at = (at + 1) & mask_;
  cells_[at] = {hash, slot};
  used_++;
  return slot;
}

void TaskSlots::Erase(uint32_t slot) {
  TaskSlot& record = (*this)[slot];
  uint32_t hole = HashOf(record.id()) & mask_;
  while (cells_[hole].slot != slot) hole = (hole + 1) & mask_;
  // Closes the gap: whoever stands behind it and could stand in it moves up.
  for (uint32_t at = (hole + 1) & mask_; cells_[at].slot != kNone; at = (at + 1) & mask_) {
    const uint32_t home = cells_[at].hash & mask_;
    if (((at - home) & mask_) >= ((at - hole) & mask_)) {
      cells_[hole] = cells_[at];
      hole = at;
    }
  }
  cells_[hole] = {};
  record.state = SlotState::kFree;
  record.worker = free_;
  free_ = slot;
  used_--;
  if (used_ == 0 && made_ > kBlock) *this = TaskSlots();  // after a large backlog: its memory goes back
}

void TaskSlots::Rehash(size_t cells) {
  std::vector<Cell> old(cells);
  old.swap(cells_);
  mask_ = static_cast<uint32_t>(cells - 1);
  for (const Cell& cell : old) {
    if (cell.slot == kNone) continue;
    uint32_t at = cell.hash & mask_;
    while (cells_[at].slot != kNone) at = (at + 1) & mask_;
    cells_[at] = cell;
  }
}

}  // namespace laneway
