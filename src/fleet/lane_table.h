// lane_table.h: shares lanes out to workers in proportion to capacity.
//
// Role:       pure core; the active dispatcher runs it.
// Input:      membership changes, in log order.
// Output:     lane moves, to be carried out in order before the next input.
// Invariants: (1) every lane has at most one owner; (2) no worker is without a lane while lanes suffice (when
//             they do not, the last by name have none); (3) shares are by largest remainder; (4) fewest
//             moves: between equal remainders a lane stays where it is; (5) the same inputs give the same
//             table, whoever computes it.
// Source:     largest-remainder (Hamilton) apportionment, with a minimum of one: whose quota is below one
//             gets one, the others share the rest.
// Cost:       O(lanes + members log members) a change, O(log members) LanesOf and SetMember without a change.
// Threads:    one owner.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "fleet/ids.h"

namespace laneway {

struct LaneMove {
  Lane lane = 0;
  WorkerId from;  // empty: had no owner
  WorkerId to;    // empty: has none from now on
  friend bool operator==(const LaneMove&, const LaneMove&) = default;
};

class LaneTable {
 public:
  explicit LaneTable(uint32_t lanes) : owner_(lanes) {}

  // What an earlier dispatcher decided. Lanes that are not named have no owner
  // until the next input: Grow(lanes()) shares them out.
  void Restore(const std::map<Lane, WorkerId>& owners, const std::map<WorkerId, uint32_t>& capacities);
  // A member joins, or its capacity changes. capacity 0: it leaves.
  std::vector<LaneMove> SetMember(const WorkerId& worker, uint32_t capacity);
  // Lanes were added (never removed).
  std::vector<LaneMove> Grow(uint32_t lanes);

  // Ascending. Valid until the next input.
  const std::vector<Lane>& LanesOf(const WorkerId& worker) const;
  const WorkerId& Owner(Lane lane) const { return owner_.at(lane); }
  uint32_t lanes() const { return static_cast<uint32_t>(owner_.size()); }
  // How many lanes there should be for everybody to have one; lanes() when they suffice.
  uint32_t LanesWanted() const;

 private:
  std::map<WorkerId, uint64_t> Apportion() const;
  std::vector<LaneMove> ShareOut();
  void Index();

  std::vector<WorkerId> owner_;  // by lane
  std::map<WorkerId, std::vector<Lane>> lanes_of_;
  std::map<WorkerId, uint32_t> capacity_;
  bool settled_ = false;  // shared out since the last Restore
};

}  // namespace laneway
