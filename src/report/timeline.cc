#include "report/timeline.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace laneway::report {
namespace {

// Each divides the next, so that buckets can be merged.
constexpr int64_t kMinute = 60'000;
constexpr int64_t kHour = 60 * kMinute;
constexpr int64_t kWidths[] = {100,         200,         1'000,        2'000,        10'000,
                               30'000,      kMinute,     2 * kMinute,  10 * kMinute, 30 * kMinute,
                               kHour,       2 * kHour,   6 * kHour,    12 * kHour,   24 * kHour,
                               168 * kHour, 672 * kHour, 5376 * kHour, 53760 * kHour};

int64_t FloorDivide(int64_t a, int64_t b) { return a / b - (a % b < 0 ? 1 : 0); }

}  // namespace

int64_t Timeline::IndexOf(LogTime at) const { return FloorDivide(at.ms, width_.count()); }

Timeline::Cell& Timeline::At(LogTime at) {
  for (;;) {
    const int64_t index = IndexOf(at);
    const bool fits =
        cells_.empty() || (std::max(cells_.rbegin()->first, index) - std::min(cells_.begin()->first, index) <
                           static_cast<int64_t>(buckets_max_));
    if (fits || step_ + 1 == std::size(kWidths)) return cells_[index];
    Widen();
  }
}

void Timeline::Widen() {
  const int64_t factor = kWidths[step_ + 1] / kWidths[step_];
  std::map<int64_t, Cell> wider;
  for (auto& [index, cell] : cells_) {
    Cell& into = wider[FloorDivide(index, factor)];
    for (const auto& [worker, count] : cell.done) into.done[worker] += count;
    for (const auto& [worker, ms] : cell.busy_ms) into.busy_ms[worker] += ms;
    into.failed += cell.failed;
    if (!cell.has_level) continue;
    into.has_level = true;  // the later one counts
    into.waiting = cell.waiting;
    into.running = cell.running;
  }
  cells_ = std::move(wider);
  width_ = Millis(kWidths[++step_]);
}

void Timeline::Done(uint32_t worker, LogTime at) { At(at).done[worker]++; }

void Timeline::Failed(LogTime at) { At(at).failed++; }

void Timeline::Level(LogTime at, int64_t waiting, int64_t running) {
  Cell& cell = At(at);
  cell.has_level = true;
  cell.waiting = waiting;
  cell.running = running;
}

void Timeline::Busy(uint32_t worker, LogTime from, LogTime to) {
  if (to <= from) return;
  At(from);
  At(to - Millis(1));  // now the width is one that holds both
  while (from < to) {
    const LogTime end = std::min(to, LogTime{(IndexOf(from) + 1) * width_.count()});
    At(from).busy_ms[worker] += (end - from).count();
    from = end;
  }
}

std::vector<Timeline::Bucket> Timeline::Buckets() const {
  std::vector<Bucket> all;
  if (cells_.empty()) return all;
  int64_t waiting = 0;
  int64_t running = 0;
  const int64_t last = cells_.rbegin()->first;
  for (int64_t index = cells_.begin()->first; index <= last && all.size() < buckets_max_; index++) {
    Bucket bucket{.at = LogTime{index * width_.count()}};
    if (const auto found = cells_.find(index); found != cells_.end()) {
      const Cell& cell = found->second;
      bucket.done = cell.done;
      bucket.busy_ms = cell.busy_ms;
      bucket.failed = cell.failed;
      if (cell.has_level) {
        waiting = cell.waiting;
        running = cell.running;
      }
    }
    bucket.waiting = waiting;
    bucket.running = running;
    all.push_back(std::move(bucket));
  }
  return all;
}

}  // namespace laneway::report
