#include "fleet/why_waiting.h"

#include <algorithm>
#include <set>

namespace laneway {
namespace {

// Whose load is looked at, at most: who asks must not hold the fold for long.
constexpr size_t kHeldMax = 10000;

void SetWorkers(const Ledger& ledger, const Members& members, Placement* placement) {
  std::set<WorkerId> with_lane;
  for (const auto& [lane, owner] : members.lane_owners()) with_lane.insert(owner);
  bool all_paused = true;
  for (const auto& [id, member] : members.all()) {
    const bool able = TakesTasks(member, ledger.Verdicts(id.name)) && with_lane.contains(id);
    if (able && !member.paused_by_itself) all_paused = false;
  }
  for (const auto& [id, member] : members.all()) {
    const WorkerVerdicts* const verdicts = ledger.Verdicts(id.name);
    if (!member.registered || member.removed) continue;
    const bool open =
        TakesTasks(member, verdicts) && with_lane.contains(id) && (all_paused || !member.paused_by_itself);
    placement->SetWorker(id, OfferOf(member, verdicts, open));
  }
}

void OccupyHeld(const Ledger& ledger, const Members& members, LogTime now, Placement* placement) {
  size_t seen = 0;
  for (const auto& [worker, member] : members.all()) {
    for (const TaskId& held : ledger.HeldBy(worker.name)) {
      if (seen++ == kHeldMax) return;
      if (const Job* job = ledger.Find(held.job)) placement->Occupy(held, NeedsOf(*job->spec), worker, now);
    }
  }
}

}  // namespace

Needs NeedsOf(const v1::JobSpec& spec) {
  Needs needs;
  needs.browser = spec.needs_browser();
  needs.labels.assign(spec.labels().begin(), spec.labels().end());
  needs.resources.assign(spec.resources().begin(), spec.resources().end());
  std::sort(needs.labels.begin(), needs.labels.end());
  std::sort(needs.resources.begin(), needs.resources.end());
  needs.ordering_key = spec.ordering_key();
  return needs;
}

bool TakesTasks(const Member& member, const WorkerVerdicts* verdicts) {
  const bool lost = verdicts != nullptr && verdicts->lost;
  return member.registered && !member.removed && !lost && member.intent == v1::INTENT_NONE &&
         !member.draining_done && member.beats && !member.leaving && !member.stopping;
}

WorkerOffer OfferOf(const Member& member, const WorkerVerdicts* verdicts, bool open) {
  WorkerOffer offer;
  offer.capacity = member.capacity;
  offer.labels = member.labels;
  offer.browser_connected = member.browser_connected && (verdicts == nullptr || !verdicts->browser_lost);
  offer.open = open;
  return offer;
}

std::vector<std::string> WhyWaiting(const Ledger& ledger, const Members& members,
                                    const PlacementLimits& limits, const Job& job,
                                    std::span<const uint32_t> tasks, LogTime now) {
  Placement placement(limits);
  SetWorkers(ledger, members, &placement);
  OccupyHeld(ledger, members, now, &placement);
  std::vector<std::string> reasons;
  for (const uint32_t n : tasks) {
    const TaskId id{job.id, n};
    placement.Add(id, NeedsOf(*job.spec), job.spec->priority(), job.Find(n)->due);
    reasons.push_back(placement.WhyWaiting(id, now));
  }
  return reasons;
}

}  // namespace laneway
