// task_queue.h: waiting tasks in their order: priority first, then age.
//
// Role:       pure structure; part of Placement. Most tasks of a priority come in their order already: they
//             stand in a plain row, read from the front. Those that do not stand in a heap. The first of the
//             fronts is the head.
// Invariants: the head is alive (whoever removes a task elsewhere calls Dropped); at most half of what is
//             held, and a few, is dead.
// Cost:       O(1) for tasks that come in order, O(log n) for others. 24 bytes an entry.
// Threads:    one owner.
#pragma once

#include <algorithm>
#include <compare>
#include <cstddef>
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
  static constexpr size_t kRowsMax = 16;  // tasks of more priorities than this go into the heap

  struct Entry {
    TaskOrder key;
    uint32_t slot = 0;
  };

  bool empty() const { return NoRow() && heap_.empty(); }

  const Entry& Head() const {
    if (heap_.empty()) return rows_.front().Front();
    return FromRow() ? rows_.front().Front() : heap_.front();
  }

  void Push(const TaskOrder& key, uint32_t slot) {
    const Entry entry{key, slot};
    const auto rank = static_cast<uint32_t>(key.hi >> 32);
    if (rows_.size() == 1 && NoRow()) rows_.front().rank = rank;
    auto row = rows_.begin();
    while (row != rows_.end() && row->rank < rank) ++row;
    if (row == rows_.end() || row->rank != rank) {
      if (rows_.size() == kRowsMax) return PushToHeap(entry);
      row = rows_.insert(row, Row{rank, 0, {}});
    }
    if (!row->entries.empty() && !(row->entries.back().key < key)) return PushToHeap(entry);
    row->entries.push_back(entry);
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
    if (dead_ > 16 && dead_ > Held() / 2) Sweep(alive);
  }

 private:
  static constexpr size_t kKeepCapacity = 4096;  // entries; an emptied row gives larger memory back

  struct Row {
    uint32_t rank = 0;  // the priority's part of the order
    uint32_t first = 0;
    std::vector<Entry> entries;  // ascending; its front is `first`
    const Entry& Front() const { return entries[first]; }
  };

  bool NoRow() const { return rows_.empty() || rows_.front().entries.empty(); }
  // Not empty: is the head in a row? All of the first row goes before all of the others.
  bool FromRow() const {
    return !NoRow() && (heap_.empty() || rows_.front().Front().key < heap_.front().key);
  }

  size_t Held() const {
    size_t held = heap_.size();
    for (const Row& row : rows_) held += row.entries.size() - row.first;
    return held;
  }

  void PushToHeap(const Entry& entry) {
    heap_.push_back(entry);
    SiftUp(heap_, heap_.size() - 1, entry, [](const Entry&, size_t) {});
  }

  void PopOne() {
    if (FromRow()) return PopFromRow();
    const Entry last = heap_.back();
    heap_.pop_back();
    if (!heap_.empty()) SiftDown(heap_, 0, last, [](const Entry&, size_t) {});
    if (heap_.empty() && heap_.capacity() > kKeepCapacity) heap_.shrink_to_fit();
  }

  void PopFromRow() {
    Row& row = rows_.front();
    row.first++;
    if (row.first == row.entries.size()) {
      if (rows_.size() > 1) {
        rows_.erase(rows_.begin());
        return;
      }
      row.entries.clear();  // the last row stays, and its memory with it
      row.first = 0;
      if (row.entries.capacity() > kKeepCapacity) row.entries.shrink_to_fit();
    } else if (row.first >= 64 && row.first > row.entries.size() / 2) {
      row.entries.erase(row.entries.begin(), row.entries.begin() + static_cast<ptrdiff_t>(row.first));
      row.first = 0;
    }
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
    const auto dead = [&](const Entry& entry) { return !alive(entry); };
    for (Row& row : rows_) {
      row.entries.erase(row.entries.begin(), row.entries.begin() + static_cast<ptrdiff_t>(row.first));
      row.first = 0;
      std::erase_if(row.entries, dead);
    }
    std::erase_if(rows_, [](const Row& row) { return row.entries.empty(); });
    std::erase_if(heap_, dead);
    // Ascending is a heap.
    std::sort(heap_.begin(), heap_.end(), [](const Entry& a, const Entry& b) { return a.key < b.key; });
    dead_ = 0;
  }

  std::vector<Row> rows_;  // by rank; none is empty, but for one that is alone
  std::vector<Entry> heap_;
  uint32_t dead_ = 0;
};

}  // namespace laneway
