// task_queue.h: waiting tasks in their order: priority first, then age.
//
// Role:       pure structure; part of Placement. Most tasks come in their order already: they stand in a
// plain row, read from the front. Those that
//             do not stand in a heap. The first of the two fronts is the head.
// Invariants: the head is alive (whoever removes a task elsewhere calls Dropped); at most half of what is
// held, and a few, is dead. Cost:       O(1) for tasks that come in order, O(log n) for others. 24 bytes an
// entry. Threads:    one owner.
#pragma once

#include <algorithm>
#include <compare>
#include <cstdint>
#include <vector>

#include "fleet/indexed_heap.h"
#include "fleet/log_time.h"

namespace laneway {

// Where a task stands among all: 32 bits of priority (higher first), 48 of due time, 48 of the order in which
// tasks were added. Least goes first.
struct TaskOrder {
  uint64_t hi = 0;
  uint64_t lo = 0;

  static constexpr uint64_t kBits48 = (uint64_t{1} << 48) - 1;

  static TaskOrder Make(int32_t priority, LogTime due, uint64_t sequence) {
    const uint64_t first = 0xffffffffU - (static_cast<uint32_t>(priority) ^ 0x80000000U);
    const uint64_t when = DueOf(due);
    return {first << 32 | when >> 16, (when & 0xffff) << 48 | (sequence & kBits48)};
  }
  // Before 1970 is 1970; after the year 10889 is 10889.
  static uint64_t DueOf(LogTime due) {
    return static_cast<uint64_t>(std::clamp<int64_t>(due.ms, 0, static_cast<int64_t>(kBits48)));
  }
  // The same task among those that are not due yet: priority does not count.
  TaskOrder ByDue() const { return {hi & 0xffffffffU, lo}; }
  uint64_t sequence() const { return lo & kBits48; }
  LogTime due() const { return {static_cast<int64_t>((hi & 0xffffffffU) << 16 | lo >> 48)}; }

  friend auto operator<=>(const TaskOrder&, const TaskOrder&) = default;
};

class TaskQueue {
 public:
  struct Entry {
    TaskOrder key;
    uint32_t slot = 0;
  };

  bool empty() const { return row_first_ == row_.size() && heap_.empty(); }

  const Entry& Head() const {
    if (heap_.empty()) return row_[row_first_];
    if (row_first_ == row_.size()) return heap_.front();
    return row_[row_first_].key < heap_.front().key ? row_[row_first_] : heap_.front();
  }

  // One that will be the head soon, most likely: its record may be fetched from memory meanwhile. Not empty.
  const Entry& Ahead() const {
    constexpr size_t kAhead = 4;
    if (row_first_ == row_.size()) return heap_.front();
    return row_[row_first_ + kAhead < row_.size() ? row_first_ + kAhead : row_.size() - 1];
  }

  void Push(const TaskOrder& key, uint32_t slot) {
    if (row_first_ == row_.size()) {
      row_.clear();
      row_first_ = 0;
      row_.push_back({key, slot});
    } else if (row_.back().key < key) {
      row_.push_back({key, slot});
    } else {
      heap_.push_back({key, slot});
      SiftUp(heap_, heap_.size() - 1, Entry{key, slot}, [](const Entry&, size_t) {});
    }
  }

  // Takes the head away, and what is dead behind it.
  template <class Alive>
  void Pop(Alive alive) {
    PopOne();
    DropDeadHeads(alive);
  }

  // A task that stands here is gone. `alive(entry)` tells which still count.
  template <class Alive>
  void Dropped(Alive alive) {
    dead_++;
    DropDeadHeads(alive);
    if (dead_ > 16 && dead_ > (row_.size() - row_first_ + heap_.size()) / 2) Sweep(alive);
  }

 private:
  static constexpr size_t kKeepCapacity = 4096;  // entries; an emptied queue gives larger memory back

  void PopOne() {
    const bool from_row =
        heap_.empty() || (row_first_ < row_.size() && row_[row_first_].key < heap_.front().key);
    if (from_row) {
      row_first_++;
      if (row_first_ == row_.size()) {
        row_.clear();
        row_first_ = 0;
        if (row_.capacity() > kKeepCapacity) row_.shrink_to_fit();
      } else if (row_first_ >= 64 && row_first_ > row_.size() / 2) {
        row_.erase(row_.begin(), row_.begin() + static_cast<ptrdiff_t>(row_first_));
        row_first_ = 0;
      }
      return;
    }
    const Entry last = heap_.back();
    heap_.pop_back();
    if (!heap_.empty()) SiftDown(heap_, 0, last, [](const Entry&, size_t) {});
    if (heap_.empty() && heap_.capacity() > kKeepCapacity) heap_.shrink_to_fit();
  }

  template <class Alive>
  void DropDeadHeads(Alive alive) {
    while (dead_ > 0 && !empty() && !alive(Head())) {
      PopOne();
      dead_--;
    }
  }

  template <class Alive>
  void Sweep(Alive alive) {
    row_.erase(row_.begin(), row_.begin() + static_cast<ptrdiff_t>(row_first_));
    row_first_ = 0;
    std::erase_if(row_, [&](const Entry& entry) { return !alive(entry); });
    std::erase_if(heap_, [&](const Entry& entry) { return !alive(entry); });
    std::sort(heap_.begin(), heap_.end(), [](const Entry& a, const Entry& b) { return a.key < b.key; });
    dead_ = 0;
  }

  std::vector<Entry> row_;  // ascending; its front is row_first_
  std::vector<Entry> heap_;
  uint32_t row_first_ = 0;
  uint32_t dead_ = 0;
};

}  // namespace laneway
