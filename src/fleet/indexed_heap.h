// indexed_heap.h: a 4-ary heap of small numbers, each under a key that may change, least key first.
//
// Role:       pure structure; Placement's tournaments are made of it. Keys stand in the heap itself, so that
//             a sift stays in few cache lines.
// Cost:       O(log n) Set and Erase, O(1) Top.
// Invariants: where an item stands is kept by its owner, in what `pos(item)` refers to: kNotInHeap when it is
//             in none.
// Threads:    one owner.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace laneway {

inline constexpr uint32_t kNotInHeap = ~0U;

// The two ways an entry travels in a 4-ary heap. `moved(entry, index)` hears of every entry that gets a
// place.
template <class Entry, class Moved>
void SiftUp(std::vector<Entry>& heap, size_t at, Entry entry, Moved moved) {
  while (at > 0) {
    const size_t parent = (at - 1) / 4;
    if (!(entry.key < heap[parent].key)) break;
    heap[at] = heap[parent];
    moved(heap[at], at);
    at = parent;
  }
  heap[at] = entry;
  moved(heap[at], at);
}

template <class Entry, class Moved>
void SiftDown(std::vector<Entry>& heap, size_t at, Entry entry, Moved moved) {
  for (;;) {
    const size_t first = at * 4 + 1;
    if (first >= heap.size()) break;
    const size_t end = first + 4 < heap.size() ? first + 4 : heap.size();
    size_t least = first;
    for (size_t child = first + 1; child < end; child++) {
      if (heap[child].key < heap[least].key) least = child;
    }
    if (!(heap[least].key < entry.key)) break;
    heap[at] = heap[least];
    moved(heap[at], at);
    at = least;
  }
  heap[at] = entry;
  moved(heap[at], at);
}

template <class Key>
class IndexedHeap {
 public:
  struct Entry {
    Key key;
    uint32_t item;
  };

  bool empty() const { return heap_.empty(); }
  size_t size() const { return heap_.size(); }
  const Entry& Top() const { return heap_.front(); }

  // Puts the item in, or moves it to another key.
  template <class Pos>
  void Set(uint32_t item, const Key& key, Pos pos) {
    const auto moved = [&pos](const Entry& entry, size_t at) { pos(entry.item) = static_cast<uint32_t>(at); };
    const uint32_t at = pos(item);
    if (at == kNotInHeap) {
      heap_.push_back({key, item});
      SiftUp(heap_, heap_.size() - 1, Entry{key, item}, moved);
    } else if (key < heap_[at].key) {
      SiftUp(heap_, at, Entry{key, item}, moved);
    } else if (heap_[at].key < key) {
      SiftDown(heap_, at, Entry{key, item}, moved);
    }
  }

  // Not in the heap: nothing happens.
  template <class Pos>
  void Erase(uint32_t item, Pos pos) {
    const uint32_t at = pos(item);
    if (at == kNotInHeap) return;
    pos(item) = kNotInHeap;
    const Entry last = heap_.back();
    heap_.pop_back();
    if (at == heap_.size()) return;
    const auto moved = [&pos](const Entry& entry, size_t to) { pos(entry.item) = static_cast<uint32_t>(to); };
    if (at > 0 && last.key < heap_[(at - 1) / 4].key) {
      SiftUp(heap_, at, last, moved);
    } else {
      SiftDown(heap_, at, last, moved);
    }
  }

 private:
  std::vector<Entry> heap_;
};

}  // namespace laneway
