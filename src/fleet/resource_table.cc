#include "fleet/resource_table.h"

#include <algorithm>

namespace laneway {

std::string InWords(Millis time) {
  const int64_t ms = std::max<int64_t>(time.count(), 0);
  if (ms < 1000) return std::to_string(ms) + " ms";
  const int64_t s = (ms + 999) / 1000;
  if (s < 120) return std::to_string(s) + " s";
  return s < 7200 ? std::to_string((s + 59) / 60) + " min" : std::to_string((s + 3599) / 3600) + " h";
}

ResourceTable::ResourceTable(const std::map<std::string, ResourceLimit>& limits) {
  for (const auto& [name, limit] : limits) {
    Resource resource;
    resource.name = name;
    resource.limit = limit;
    if (limit.concurrent_max == 0 && !HasRate(resource)) continue;
    by_name_.emplace(name, static_cast<uint32_t>(resources_.size()));
    resources_.push_back(std::move(resource));
  }
}

uint32_t ResourceTable::Find(const std::string& name) const {
  const auto at = by_name_.find(name);
  return at == by_name_.end() ? kNone : at->second;
}

void ResourceTable::Take(uint32_t index, LogTime now) {
  Resource& resource = resources_[index];
  resource.in_use++;
  if (HasRate(resource)) {
    const Millis grain = resource.limit.rate_window / kGrains;
    if (!resource.starts.empty() && now - resource.starts.back().first <= grain) {
      resource.starts.back().last = now;
      resource.starts.back().count++;
    } else {
      resource.starts.push_back({now, now, 1});
    }
    resource.recent++;
  }
  Update(index);
}

void ResourceTable::GiveBack(uint32_t index) {
  resources_[index].in_use--;
  Update(index);
}

void ResourceTable::Advance(LogTime now) {
  now_ = now;
  while (!openings_.empty() && openings_.begin()->first <= now) Update(openings_.begin()->second);
}

bool ResourceTable::HasConcurrency(uint32_t index) const {
  const Resource& resource = resources_[index];
  return resource.limit.concurrent_max == 0 || resource.in_use < resource.limit.concurrent_max;
}

void ResourceTable::Update(uint32_t index) {
  Resource& resource = resources_[index];
  const Millis window = resource.limit.rate_window;
  while (!resource.starts.empty() && resource.starts.front().last + window <= now_) {
    resource.recent -= resource.starts.front().count;
    resource.starts.pop_front();
  }
  std::optional<LogTime> opens;
  if (HasRate(resource) && resource.recent >= resource.limit.rate_count) {
    // The first moment at which enough of the starts lie before the window. More than one group goes when
    // more than the rate was taken.
    uint64_t recent = resource.recent;
    for (const Starts& starts : resource.starts) {
      recent -= starts.count;
      opens = starts.last + window;
      if (recent < resource.limit.rate_count) break;
    }
  }
  if (opens != resource.opens) {
    if (resource.opens) openings_.erase({*resource.opens, index});
    if (opens) openings_.insert({*opens, index});
    resource.opens = opens;
  }
  const bool open = HasConcurrency(index) && !opens;
  if (open != resource.open) changed_.push_back(index);
  resource.open = open;
}

std::string ResourceTable::WhyClosed(uint32_t index, LogTime now) const {
  const Resource& resource = resources_[index];
  if (!HasConcurrency(index)) {
    return "resource " + resource.name + " is in use (" + std::to_string(resource.in_use) + " of " +
           std::to_string(resource.limit.concurrent_max) + ")";
  }
  return "resource " + resource.name + " allows " + std::to_string(resource.limit.rate_count) +
         " starts in " + InWords(resource.limit.rate_window) +
         (resource.opens ? ": the next in " + InWords(*resource.opens - now) : "");
}

}  // namespace laneway
