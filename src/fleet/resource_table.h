// resource_table.h: named resources with a limit of concurrency and of starts in a window of time.
//
// Role:       pure; part of Placement.
// Invariants: (1) in no window of `rate_window` are more than `rate_count` tasks given out (what is found
//             running at a start counts as just started, and is not refused); (2) Open tells the truth for
//             the last moment given to Advance.
// Cost:       O(1) a start; a resource remembers at most kGrains moments: starts that are closer together
//             than a thousandth of the window count as made at the last of them, so that a rate is kept, if
//             not used up to the last start.
// Threads:    one owner.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "fleet/log_time.h"
#include "fleet/placement.h"

namespace laneway {

class ResourceTable {
 public:
  static constexpr uint32_t kNone = ~0U;
  static constexpr int64_t kGrains = 1000;

  explicit ResourceTable(const std::map<std::string, ResourceLimit>& limits);

  uint32_t Find(const std::string& name) const;  // kNone: has no limit
  bool Open(uint32_t resource) const { return resources_[resource].open; }
  void Take(uint32_t resource, LogTime now);
  void GiveBack(uint32_t resource);
  // Time has passed. Later calls never name an earlier moment.
  void Advance(LogTime now);
  // Resources that were opened or closed since the last call; may name one twice.
  template <class F>
  void ForChanged(F f) {
    for (const uint32_t resource : changed_) f(resource);
    changed_.clear();
  }

  // When rates open resources, ascending.
  const std::set<std::pair<LogTime, uint32_t>>& openings() const { return openings_; }
  // Room but for its rate?
  bool HasConcurrency(uint32_t resource) const;
  std::string WhyClosed(uint32_t resource, LogTime now) const;

 private:
  struct Starts {
    LogTime first;
    LogTime last;
    uint32_t count = 0;
  };
  struct Resource {
    std::string name;
    ResourceLimit limit;
    uint32_t in_use = 0;
    uint64_t recent = 0;           // the sum of `starts`
    std::deque<Starts> starts;     // within the window
    std::optional<LogTime> opens;  // its entry in openings_
    bool open = true;
  };

  static bool HasRate(const Resource& resource) {
    return resource.limit.rate_count > 0 && resource.limit.rate_window.count() > 0;
  }
  void Update(uint32_t resource);

  std::map<std::string, uint32_t> by_name_;
  std::vector<Resource> resources_;
  std::set<std::pair<LogTime, uint32_t>> openings_;
  std::vector<uint32_t> changed_;
  LogTime now_;
};

// "3 s", "250 ms": how long until then.
std::string InWords(Millis time);

}  // namespace laneway
