#include "fleet/worker_index.h"

#include <algorithm>
#include <utility>

namespace laneway {
namespace {

constexpr uint64_t kRankGap = uint64_t{1} << 32;

template <class Record>
uint32_t TakeFree(std::vector<uint32_t>& free, std::vector<Record>& records) {
  if (free.empty()) {
    records.emplace_back();
    return static_cast<uint32_t>(records.size() - 1);
  }
  const uint32_t index = free.back();
  free.pop_back();
  records[index] = Record();
  return index;
}

}  // namespace

void WorkerIndex::Set(const WorkerId& id, const WorkerOffer& offer) {
  const uint32_t index = Intern(id);
  const uint32_t pool = PoolOf(offer);
  pools_[pool].members++;  // first: so that a pool of which it is the only member stays
  LeavePool(index);
  Worker& worker = workers_[index];
  worker.pool = pool;
  worker.known = true;
  worker.open = offer.open;
  worker.capacity = std::min(offer.capacity, kCapacityMax);
  worker.prefetch = std::min(worker.prefetch, PrefetchWanted(worker));
  Update(index);
}

void WorkerIndex::Remove(const WorkerId& id) {
  const uint32_t index = Find(id);
  if (index == kNone) return;
  LeavePool(index);
  Worker& worker = workers_[index];
  worker.known = false;
  worker.open = false;
  worker.capacity = 0;
  worker.prefetch = 0;
  worker.mean_us = 0;
  worker.measured = false;
  worker.turn = 0;
  if (worker.load == 0) Forget(index);
}

uint32_t WorkerIndex::Intern(const WorkerId& id) {
  const auto [at, added] = by_name_.try_emplace(id, 0);
  if (added) {
    at->second = TakeFree(free_workers_, workers_);
    positions_.resize(workers_.size(), kNotInHeap);
    workers_[at->second].id = id;
    Rank(at);
  }
  return at->second;
}

uint32_t WorkerIndex::Find(const WorkerId& id) const {
  const auto at = by_name_.find(id);
  return at == by_name_.end() ? kNone : at->second;
}

void WorkerIndex::Forget(uint32_t index) {
  by_name_.erase(workers_[index].id);
  workers_[index] = Worker();
  free_workers_.push_back(index);
}

// Ranks keep the order of names as numbers, with gaps for those who come later.
void WorkerIndex::Rank(std::map<WorkerId, uint32_t>::iterator added) {
  const bool first = added == by_name_.begin();
  const bool last = std::next(added) == by_name_.end();
  const uint64_t before = first ? 0 : workers_[std::prev(added)->second].rank;
  const uint64_t after = last ? ~uint64_t{0} : workers_[std::next(added)->second].rank;
  uint64_t rank = before + (after - before) / 2;
  if (first != last && after - before > kRankGap)
    rank = last ? before + kRankGap : after - kRankGap;  // names often come in a row
  workers_[added->second].rank = rank;
  if (rank != before) return;
  // No gap is left. Ranks are dealt out anew; at least 32 workers must come before that is needed again.
  uint64_t next = uint64_t{1} << 62;
  for (const auto& [id, index] : by_name_) {
    workers_[index].rank = next;
    next += kRankGap;
  }
  for (Pool& pool : pools_) pool.workers = {};
  for (View& view : views_) {
    view.pools = {};
    std::fill(view.positions.begin(), view.positions.end(), kNotInHeap);
  }
  std::fill(positions_.begin(), positions_.end(), kNotInHeap);
  for (const auto& [id, index] : by_name_) Update(index);
}

void WorkerIndex::Took(uint32_t index, bool by_us) {
  Worker& worker = workers_[index];
  worker.load++;
  if (by_us) worker.turn = ++turn_;
  Update(index);
}

void WorkerIndex::GaveBack(uint32_t index, std::optional<Millis> ran) {
  Worker& worker = workers_[index];
  worker.load--;
  if (!worker.known) {
    if (worker.load == 0) Forget(index);
    return;
  }
  if (ran.has_value()) {
    // An hour is as good as for ever, and cannot overflow.
    const int64_t ran_us = std::clamp<int64_t>(ran->count(), 0, 3600 * 1000) * 1000;
    const int64_t mean_us = static_cast<int64_t>(worker.mean_us);
    worker.mean_us = static_cast<uint64_t>(worker.measured ? mean_us + (ran_us - mean_us) / 8 : ran_us);
    worker.measured = true;
    worker.prefetch = std::min(worker.prefetch + 1, PrefetchWanted(worker));
  }
  Update(index);
}

void WorkerIndex::HandedBack(uint32_t index) {
  constexpr uint64_t kLongUs = 2 * kNoPrefetchAbove.count() * 1000;
  Worker& worker = workers_[index];
  if (!worker.known) return;
  worker.mean_us = std::max(worker.mean_us, kLongUs);
  worker.measured = true;
  worker.prefetch = 0;
  Update(index);
}

uint64_t WorkerIndex::PrefetchWanted(const Worker& worker) const {
  constexpr uint64_t kCoverageUs = kCoverage.count() * 1000;
  constexpr uint64_t kNoneAboveUs = kNoPrefetchAbove.count() * 1000;
  if (!worker.measured || worker.mean_us > kNoneAboveUs) return 0;
  const uint64_t most = uint64_t{worker.capacity} * prefetch_max_;
  if (worker.mean_us == 0) return most;
  return std::min(most, worker.capacity * kCoverageUs / worker.mean_us);
}

uint32_t WorkerIndex::Credit(uint32_t index) const {
  const Worker& worker = workers_[index];
  const uint64_t most = worker.capacity + worker.prefetch;
  if (!worker.open || most <= worker.load) return 0;
  return static_cast<uint32_t>(std::min<uint64_t>(most - worker.load, ~0U));
}

bool WorkerIndex::Satisfies(const Pool& pool, const View& view) {
  return (pool.browser || !view.browser) &&
         std::includes(pool.labels.begin(), pool.labels.end(), view.labels.begin(), view.labels.end());
}

uint32_t WorkerIndex::PoolOf(const WorkerOffer& offer) {
  std::vector<std::string> labels = offer.labels;
  std::sort(labels.begin(), labels.end());
  const auto [at, added] = pool_by_kind_.try_emplace({offer.browser_connected, labels}, 0);
  if (!added) return at->second;
  const uint32_t index = at->second = TakeFree(free_pools_, pools_);
  pools_[index].used = true;
  pools_[index].browser = offer.browser_connected;
  pools_[index].labels = std::move(labels);
  for (uint32_t view = 0; view < views_.size(); view++) Connect(index, view);
  return index;
}

void WorkerIndex::LeavePool(uint32_t index) {
  Worker& worker = workers_[index];
  if (worker.pool == kNone) return;
  const uint32_t left = std::exchange(worker.pool, kNone);
  Pool& pool = pools_[left];
  pool.workers.Erase(index, [this](uint32_t item) -> uint32_t& { return positions_[item]; });
  UpdatePool(left);
  if (--pool.members > 0) return;
  pool_by_kind_.erase({pool.browser, pool.labels});
  pool = Pool();
  free_pools_.push_back(left);
}

void WorkerIndex::Connect(uint32_t pool, uint32_t view) {
  if (!views_[view].used || !Satisfies(pools_[pool], views_[view])) return;
  pools_[pool].views.push_back(view);
  UpdateInView(pool, view);
}

uint32_t WorkerIndex::OpenView(bool browser, const std::vector<std::string>& labels) {
  const uint32_t index = TakeFree(free_views_, views_);
  View& view = views_[index];
  view.used = true;
  view.browser = browser;
  view.labels = labels;
  for (uint32_t pool = 0; pool < pools_.size(); pool++) {
    if (pools_[pool].used) Connect(pool, index);
  }
  return index;
}

void WorkerIndex::CloseView(uint32_t index) {
  for (Pool& pool : pools_) std::erase(pool.views, index);
  views_[index] = View();
  free_views_.push_back(index);
}

void WorkerIndex::Update(uint32_t index) {
  const Worker& worker = workers_[index];
  if (worker.pool == kNone) return;
  Pool& pool = pools_[worker.pool];
  const auto position = [this](uint32_t item) -> uint32_t& { return positions_[item]; };
  if (Credit(index) == 0) {
    pool.workers.Erase(index, position);
  } else {
    // Exact: two different fractions with denominators below 2^16 are more than 2^-32 apart.
    const uint64_t ratio = (uint64_t{worker.load} << 32) / worker.capacity;
    pool.workers.Set(index, {policy_ == PlacementPolicy::kLeastLoaded ? ratio : worker.turn, worker.rank},
                     position);
  }
  UpdatePool(worker.pool);
}

void WorkerIndex::UpdatePool(uint32_t pool) {
  for (const uint32_t view : pools_[pool].views) UpdateInView(pool, view);
}

void WorkerIndex::UpdateInView(uint32_t pool, uint32_t index) {
  View& view = views_[index];
  if (view.positions.size() <= pool) view.positions.resize(pools_.size(), kNotInHeap);
  const auto position = [&view](uint32_t item) -> uint32_t& { return view.positions[item]; };
  const bool had = !view.pools.empty();
  if (pools_[pool].workers.empty()) {
    view.pools.Erase(pool, position);
  } else {
    view.pools.Set(pool, pools_[pool].workers.Top().key, position);
  }
  if (had == view.pools.empty()) changed_views_.push_back(index);
}

std::string WorkerIndex::WhyNobody(uint32_t index) const {
  const View& view = views_[index];
  size_t known = 0, with_labels = 0, qualified = 0, open = 0;
  for (const auto& [id, number] : by_name_) {
    const Worker& worker = workers_[number];
    if (!worker.known) continue;
    known++;
    const Pool& pool = pools_[worker.pool];
    if (!std::includes(pool.labels.begin(), pool.labels.end(), view.labels.begin(), view.labels.end()))
      continue;
    with_labels++;
    if (view.browser && !pool.browser) continue;
    qualified++;
    if (worker.open) open++;
  }
  if (known == 0) return "there is no worker";
  if (with_labels == 0) {
    std::string text =
        view.labels.size() == 1 ? "no worker has the label" : "no worker has all of the labels";
    for (const std::string& label : view.labels) text += " " + label;
    return text;
  }
  if (qualified == 0)
    return view.labels.empty() ? "no worker has a browser" : "no worker with its labels has a browser";
  const std::string count = std::to_string(qualified);
  if (open == 0)
    return qualified == 1 ? "the worker that could take it is not open"
                          : "the " + count + " workers that could take it are not open";
  return open == 1 ? "the worker that could take it is busy"
                   : "all " + std::to_string(open) + " workers that could take it are busy";
}

}  // namespace laneway
