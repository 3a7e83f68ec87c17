// timeline.h: what happened over time, in at most `buckets_max` buckets of equal width.
//
// Role:       pure core. It begins with buckets of 100 ms; when they do not suffice, neighbours are merged
//             into wider ones. So the width fits the run, whatever its length, and memory is bounded.
// Input:      successes, failures, levels and busy spans, in about the order of time.
// Output:     Buckets(): every bucket from the first to the last, those in which nothing happened included.
// Threads:    one owner.
#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "fleet/log_time.h"

namespace laneway::report {

class Timeline {
 public:
  explicit Timeline(size_t buckets_max = 120) : buckets_max_(buckets_max) {}

  struct Bucket {
    LogTime at;                           // where it begins
    std::map<uint32_t, uint32_t> done;    // by worker
    std::map<uint32_t, int64_t> busy_ms;  // by worker: while it ran at least one task
    uint32_t failed = 0;
    int64_t waiting = 0;  // at its end
    int64_t running = 0;
  };

  void Done(uint32_t worker, LogTime at);
  void Failed(LogTime at);
  void Level(LogTime at, int64_t waiting, int64_t running);
  void Busy(uint32_t worker, LogTime from, LogTime to);

  Millis width() const { return width_; }
  std::vector<Bucket> Buckets() const;

 private:
  struct Cell {
    std::map<uint32_t, uint32_t> done;
    std::map<uint32_t, int64_t> busy_ms;
    uint32_t failed = 0;
    bool has_level = false;
    int64_t waiting = 0;
    int64_t running = 0;
  };
  int64_t IndexOf(LogTime at) const;
  Cell& At(LogTime at);
  void Widen();

  const size_t buckets_max_;
  size_t step_ = 0;
  Millis width_{100};
  std::map<int64_t, Cell> cells_;
};

}  // namespace laneway::report
