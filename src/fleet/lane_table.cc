#include "fleet/lane_table.h"

#include <algorithm>
#include <utility>

namespace laneway {
namespace {

struct Share {
  const WorkerId* worker = nullptr;
  uint64_t capacity = 0;
  uint64_t lanes = 0;      // what it is to have
  uint64_t remainder = 0;  // of its quota
  bool keeps = false;      // it has more than `lanes` already
};

bool ByRemainder(const Share& a, const Share& b) {
  if (a.remainder != b.remainder) return a.remainder > b.remainder;
  // Between equals a lane stays where it is (invariant 4); then the name decides (invariant 5).
  if (a.keeps != b.keeps) return a.keeps;
  return *a.worker < *b.worker;
}

bool ByCapacity(const Share& a, const Share& b) {
  return a.capacity != b.capacity ? a.capacity < b.capacity : *a.worker < *b.worker;
}

}  // namespace

void LaneTable::Restore(const std::map<Lane, WorkerId>& owners,
                        const std::map<WorkerId, uint32_t>& capacities) {
  capacity_.clear();
  for (const auto& [worker, capacity] : capacities) {
    if (capacity > 0) capacity_.emplace(worker, capacity);
  }
  if (!owners.empty() && owners.rbegin()->first >= owner_.size())
    owner_.resize(owners.rbegin()->first + size_t{1});
  std::fill(owner_.begin(), owner_.end(), WorkerId());
  for (const auto& [lane, worker] : owners) owner_[lane] = worker;
  Index();
  settled_ = false;
}

std::vector<LaneMove> LaneTable::SetMember(const WorkerId& worker, uint32_t capacity) {
  const auto known = capacity_.find(worker);
  const uint32_t before = known == capacity_.end() ? 0 : known->second;
  if (capacity == before && settled_) return {};
  if (capacity == 0) {
    capacity_.erase(worker);
  } else {
    capacity_[worker] = capacity;
  }
  return ShareOut();
}

std::vector<LaneMove> LaneTable::Grow(uint32_t lanes) {
  if (lanes > owner_.size()) owner_.resize(lanes);
  return ShareOut();
}

const std::vector<Lane>& LaneTable::LanesOf(const WorkerId& worker) const {
  static const std::vector<Lane> none;
  const auto at = lanes_of_.find(worker);
  return at == lanes_of_.end() ? none : at->second;
}

uint32_t LaneTable::LanesWanted() const {
  return std::max(lanes(), static_cast<uint32_t>(std::min<size_t>(capacity_.size(), ~uint32_t{0})));
}

// How many lanes each member is to have. Members beyond the number of lanes, by name, have none.
std::map<WorkerId, uint64_t> LaneTable::Apportion() const {
  std::vector<Share> shares;
  uint64_t capacities = 0;
  for (const auto& [worker, capacity] : capacity_) {
    if (shares.size() == owner_.size()) break;
    shares.push_back({&worker, capacity, 0, 0, false});
    capacities += capacity;
  }
  // Whose quota is below one gets one; the others share what is left. The smallest goes first: when its quota
  // is one, so are all others'.
  std::sort(shares.begin(), shares.end(), ByCapacity);
  uint64_t left = owner_.size();
  auto first = shares.begin();
  for (; first != shares.end() && first->capacity * left < capacities; ++first) {
    first->lanes = 1;
    left--;
    capacities -= first->capacity;
  }
  uint64_t given = 0;
  for (auto share = first; share != shares.end(); ++share) {
    share->lanes = share->capacity * left / capacities;
    share->remainder = share->capacity * left % capacities;
    share->keeps = LanesOf(*share->worker).size() > share->lanes;
    given += share->lanes;
  }
  std::sort(first, shares.end(), ByRemainder);
  for (auto share = first; given < left && share != shares.end(); ++share, given++) share->lanes++;

  std::map<WorkerId, uint64_t> wanted;
  for (const Share& share : shares) wanted.emplace(*share.worker, share.lanes);
  return wanted;
}

std::vector<LaneMove> LaneTable::ShareOut() {
  settled_ = true;
  std::map<WorkerId, uint64_t> missing = Apportion();
  // Everybody keeps the lowest of their lanes, up to their share: no table with these shares needs fewer
  // moves.
  std::vector<Lane> free;
  for (Lane lane = 0; lane < owner_.size(); lane++) {
    const auto share = missing.find(owner_[lane]);
    if (share != missing.end() && share->second > 0) {
      share->second--;
    } else {
      free.push_back(lane);
    }
  }
  std::vector<LaneMove> moves;
  auto receiver = missing.begin();
  for (const Lane lane : free) {
    while (receiver != missing.end() && receiver->second == 0) ++receiver;
    WorkerId to;
    if (receiver != missing.end()) {
      to = receiver->first;
      receiver->second--;
    }
    if (owner_[lane] == to) continue;  // has no owner and gets none
    moves.push_back({lane, std::exchange(owner_[lane], to), to});
  }
  if (!moves.empty()) Index();
  return moves;
}

void LaneTable::Index() {
  lanes_of_.clear();
  for (Lane lane = 0; lane < owner_.size(); lane++) {
    if (!owner_[lane].empty()) lanes_of_[owner_[lane]].push_back(lane);
  }
}

}  // namespace laneway
