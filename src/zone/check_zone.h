// check_zone.h: what would go wrong with this dispatch zone, said before it does.
//
// Role:       for `laneway doctor` and for the check of a configuration at start.
// Input:      the zone's path.
// Output:     problems, each with what to do; none when all is well.
// Effects:    a folder named .probe-… is made and renamed between the folders that exist, and removed again.
// Threads:    any.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace laneway::zone {

struct Problem {
  std::string what;
  std::string remedy;
  bool serious = true;  // false: it works, with the restriction that `what` tells
};

// `free_bytes_min`: with less free space than this new files are not taken.
std::vector<Problem> CheckZone(const std::string& root, uint64_t free_bytes_min = uint64_t{512} << 20);

}  // namespace laneway::zone
