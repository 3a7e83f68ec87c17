#include "fold/finished_store.h"

#include <algorithm>
#include <utility>

#include "ops/check.h"

namespace laneway::fold {
namespace {

constexpr std::string_view kJobs = "f/j/";
constexpr std::string_view kLists = "f/l/";
constexpr std::string_view kListsEnd = "f/l0";  // the first key behind "f/l/…"

std::string JobKey(const JobId& job) { return std::string(kJobs) + job.ToBytes(); }

// Ids that may be ULIDs of 2020 to 2119, by the first 16 bits of their time: seasons of 50 days. Of ids that
// are hashes, of files and of keys that clients name, one in ninety is among them, spread over all of them.
std::optional<uint64_t> SeasonOf(const JobId& job) {
  constexpr uint64_t kFirst = 1'577'836'800'000 >> 32, kLast = 4'733'510'400'000 >> 32;
  const uint64_t season = job.hi >> 48;
  if (season < kFirst || season > kLast) return std::nullopt;
  return season;
}

std::string ListKey(uint64_t n) {
  std::string key(kLists);
  for (int shift = 56; shift >= 0; shift -= 8) key.push_back(static_cast<char>(n >> shift));
  return key;
}

uint64_t ListNumber(std::string_view key) {
  uint64_t n = 0;
  for (char c : key.substr(kLists.size())) n = n << 8 | static_cast<uint8_t>(c);
  return n;
}

}  // namespace

FinishedStore::FinishedStore(log::Store* store, std::function<void(std::function<void()>)> post)
    : store_(store), post_(std::move(post)) {}

absl::Status FinishedStore::Open() {
  return store_->Scan(kLists, kListsEnd, true, [&](std::string_view key, std::string_view) {
    next_list_ = ListNumber(key) + 1;
    return false;
  });
}

JobId& FinishedStore::GreatestOf(uint64_t season) {
  const auto [entry, added] = greatest_.try_emplace(season);
  if (!added) return entry->second;
  const absl::Status scanned = store_->Scan(JobKey({season << 48, 0}), JobKey({(season + 1) << 48, 0}), true,
                                            [&](std::string_view key, std::string_view) {
                                              const auto id = JobId::FromBytes(key.substr(kJobs.size()));
                                              if (id) entry->second = *id;
                                              return false;
                                            });
  LANEWAY_CHECK(scanned.ok(), "the memory of finished jobs cannot be read");
  return entry->second;
}

const v1::FinishedVersion* FinishedStore::Visible(const v1::FinishedEntry& entry, Offset as_of) {
  for (int i = entry.versions_size() - 1; i >= 0; i--) {
    const v1::FinishedVersion& version = entry.versions(i);
    if (version.closed_at() < as_of && (version.reopened_at() == 0 || version.reopened_at() > as_of))
      return &version;
  }
  return nullptr;
}

const v1::FinishedEntry* FinishedStore::Find(const JobId& job, v1::FinishedEntry* room) {
  if (const auto season = SeasonOf(job); season && GreatestOf(*season) < job) return nullptr;
  if (const auto found = dirty_.find(job); found != dirty_.end()) return &found->second;
  for (auto it = flying_.rbegin(); it != flying_.rend(); ++it) {
    if (const auto found = (*it)->entries.find(job); found != (*it)->entries.end()) return &found->second;
  }
  const auto bytes = store_->Get(JobKey(job));
  LANEWAY_CHECK(bytes.ok(), "the memory of finished jobs cannot be read");
  if (!*bytes) return nullptr;
  LANEWAY_CHECK(room->ParseFromString(**bytes), "the memory of finished jobs is damaged");
  return room;
}

void FinishedStore::Put(const JobId& job, Offset at, std::string state, bool was_reopened) {
  v1::FinishedEntry entry;
  bool listed = false;
  if (replaying_) {
    v1::FinishedEntry room;
    const v1::FinishedEntry* known = Find(job, &room);
    for (int i = 0; known != nullptr && i < known->versions_size(); i++)
      listed |= known->versions(i).closed_at() == at;
  }
  if (was_reopened) {  // earlier closings are kept for a fold that replays from before the redrive
    v1::FinishedEntry room;
    if (const v1::FinishedEntry* known = Find(job, &room)) {
      for (const v1::FinishedVersion& version : known->versions()) {
        if (version.closed_at() < at) *entry.add_versions() = version;
      }
    }
  }
  v1::FinishedVersion& version = *entry.add_versions();
  version.set_closed_at(at);
  version.set_state(std::move(state));
  if (const auto season = SeasonOf(job)) {
    JobId& greatest = GreatestOf(*season);
    greatest = std::max(greatest, job);
  }
  dirty_[job] = std::move(entry);
  if (!listed) closed_.emplace_back(job, at);
}

std::optional<std::string> FinishedStore::Get(const JobId& job, Offset as_of) {
  v1::FinishedEntry room;
  const v1::FinishedEntry* entry = Find(job, &room);
  const v1::FinishedVersion* version = entry == nullptr ? nullptr : Visible(*entry, as_of);
  if (version == nullptr) return std::nullopt;
  return version->state();
}

bool FinishedStore::Contains(const JobId& job, Offset as_of) {
  v1::FinishedEntry room;
  const v1::FinishedEntry* entry = Find(job, &room);
  return entry != nullptr && Visible(*entry, as_of) != nullptr;
}

void FinishedStore::Reopen(const JobId& job, Offset at) {
  v1::FinishedEntry room;
  const v1::FinishedEntry* known = Find(job, &room);
  if (known == nullptr) return;
  v1::FinishedEntry entry = *known;
  for (v1::FinishedVersion& version : *entry.mutable_versions()) {
    if (version.closed_at() < at && version.reopened_at() == 0) version.set_reopened_at(at + 1);
  }
  dirty_[job] = std::move(entry);
}

void FinishedStore::Flush() {
  if (dirty_.empty()) return;
  auto group = std::make_shared<Group>();
  group->entries = std::exchange(dirty_, {});
  group->closed = std::exchange(closed_, {});
  std::vector<log::StoreOp> ops;
  ops.reserve(group->entries.size() + 1);
  for (const auto& [job, entry] : group->entries)
    ops.push_back({log::StoreOp::Kind::kPut, JobKey(job), entry.SerializeAsString()});
  std::sort(ops.begin(), ops.end(), [](const auto& a, const auto& b) { return a.key < b.key; });
  if (!group->closed.empty()) {
    v1::FinishedList list;
    for (const auto& [job, at] : group->closed) {
      list.add_job_ids(job.ToBytes());
      list.add_closed_at(at);
    }
    group->list = next_list_++;
    ops.push_back({log::StoreOp::Kind::kPut, ListKey(group->list), list.SerializeAsString()});
  }
  flying_.push_back(group);
  const auto done = [this, group, alive = std::weak_ptr<bool>(alive_)](const absl::Status& status) {
    post_([this, group, alive, ok = status.ok()] {
      if (alive.expired()) return;
      std::erase(flying_, group);
      if (ok) return;
      for (auto& [job, entry] : group->entries) dirty_.try_emplace(job, std::move(entry));  // newer ones win
      closed_.insert(closed_.begin(), group->closed.begin(), group->closed.end());
    });
  };
  store_->Commit(std::move(ops), log::Durability::kBuffered, done);
}

std::optional<FinishedStore::Cursor> FinishedStore::ForEachRecent(Cursor from, const AsOf& as_of,
                                                                  const Each& each) {
  std::optional<Cursor> stopped;
  const auto show = [&](const JobId& job, std::optional<Offset> at, Cursor behind) {
    v1::FinishedEntry room;
    const v1::FinishedEntry* entry = Find(job, &room);
    const v1::FinishedVersion* version = entry == nullptr ? nullptr : Visible(*entry, as_of(job));
    // open again, or closed again later
    if (version == nullptr || (at && *at != version->closed_at())) return;
    if (!each(job, version->state())) stopped = behind;
  };
  // What the store has not got yet: since the last flush, then the flushes that are under way.
  uint64_t end = from.list == 0 ? next_list_ + 1 : std::min(from.list, next_list_) + 1;
  const auto walk = [&](const List& list, uint64_t number) {
    if (stopped || list.empty() || number >= end) return;
    uint32_t i = static_cast<uint32_t>(list.size());
    if (number == from.list) i = std::min(i, from.below);
    for (; i > 0 && !stopped; i--) show(list[i - 1].first, list[i - 1].second, {number, i});
    end = number;
  };
  walk(closed_, next_list_);
  for (auto it = flying_.rbegin(); it != flying_.rend(); ++it) walk((*it)->closed, (*it)->list);
  if (stopped) return stopped;
  const absl::Status status =
      store_->Scan(kLists, ListKey(end), true, [&](std::string_view key, std::string_view value) {
        v1::FinishedList list;
        if (!list.ParseFromArray(value.data(), static_cast<int>(value.size()))) return true;
        const uint64_t number = ListNumber(key);
        uint32_t i = static_cast<uint32_t>(list.job_ids_size());
        if (number == from.list) i = std::min(i, from.below);
        for (; i > 0 && !stopped; i--) {
          const int at = static_cast<int>(i) - 1;
          const auto job = JobId::FromBytes(list.job_ids(at));
          if (job)
            show(*job, at < list.closed_at_size() ? std::optional<Offset>(list.closed_at(at)) : std::nullopt,
                 {number, i});
        }
        return !stopped;
      });
  return status.ok() ? stopped : std::nullopt;
}

}  // namespace laneway::fold
