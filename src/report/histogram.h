// histogram.h: quantiles of durations, in little memory whatever their number.
//
// Role:       pure core. Values below 128 ms are kept exactly, larger ones in 64 steps an octave.
// Invariants: a quantile differs from the true one by less than 1 %; mean and maximum are exact.
// Threads:    one owner.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <optional>
#include <vector>

#include "fleet/log_time.h"

namespace laneway::report {

class Histogram {
 public:
  void Add(Millis duration) {
    const auto value = static_cast<uint64_t>(std::max<int64_t>(duration.count(), 0));
    const size_t at = IndexOf(value);
    if (at >= counts_.size()) counts_.resize(at + 1);
    counts_[at]++;
    count_++;
    sum_ += static_cast<double>(value);
    largest_ = std::max(largest_, value);
  }

  uint64_t count() const { return count_; }
  std::optional<Millis> Largest() const { return Known(largest_); }
  std::optional<Millis> Mean() const {
    return Known(count_ == 0 ? 0 : static_cast<uint64_t>(std::llround(sum_ / static_cast<double>(count_))));
  }
  // The smallest value that at least this share of all values does not exceed. Nothing when there is none.
  std::optional<Millis> Quantile(double share) const {
    const auto wanted = static_cast<uint64_t>(std::ceil(share * static_cast<double>(count_)));
    if (wanted >= count_) return Largest();
    uint64_t seen = 0;
    for (size_t at = 0; at < counts_.size(); at++) {
      seen += counts_[at];
      if (seen >= std::max<uint64_t>(wanted, 1)) return Known(std::min(ValueOf(at), largest_));
    }
    return std::nullopt;
  }

 private:
  static constexpr uint64_t kExact = 128;
  static constexpr uint64_t kSteps = 64;

  static size_t IndexOf(uint64_t value) {
    if (value < kExact) return value;
    const auto octave = static_cast<uint64_t>(std::bit_width(value)) - 7;
    return kExact + (octave - 1) * kSteps + (value >> octave) - kSteps;
  }
  static uint64_t ValueOf(size_t at) {  // the middle of what it holds
    if (at < kExact) return at;
    const uint64_t octave = (at - kExact) / kSteps + 1;
    return ((kSteps + (at - kExact) % kSteps) << octave) + (1ULL << (octave - 1));
  }
  std::optional<Millis> Known(uint64_t value) const {
    if (count_ == 0) return std::nullopt;
    return Millis(static_cast<int64_t>(value));
  }

  std::vector<uint32_t> counts_;
  uint64_t count_ = 0;
  uint64_t largest_ = 0;
  double sum_ = 0;
};

}  // namespace laneway::report
