// rng.h: all the chance there is in a simulated fleet.
#pragma once

#include <cstdint>

#include "fleet/ids.h"

namespace laneway::sim {

class Rng {
 public:
  explicit Rng(uint64_t seed) : state_(Mix64(seed + 0x9e3779b97f4a7c15ULL)) {}
  uint64_t Next() { return Mix64(state_ += 0x9e3779b97f4a7c15ULL); }
  uint64_t Below(uint64_t n) { return n == 0 ? 0 : Next() % n; }
  int64_t Between(int64_t low, int64_t high) {
    return low + static_cast<int64_t>(Below(static_cast<uint64_t>(high - low + 1)));
  }
  bool PerMille(uint32_t chance) { return chance != 0 && Below(1000) < chance; }
  // Mostly short, now and then up to `most`.
  int64_t Delay(int64_t usual, int64_t most) { return Below(20) == 0 ? Between(0, most) : Between(0, usual); }
  template <class Id>
  Id MakeId() {
    Id id;
    id.hi = Next();
    id.lo = Next();
    return id;
  }

 private:
  uint64_t state_;
};

}  // namespace laneway::sim
