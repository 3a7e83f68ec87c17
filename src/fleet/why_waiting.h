// why_waiting.h: why tasks wait, as far as the fold tells: for a process without the active dispatcher.
//
// Role:       pure. Asks a Placement of its own, made from the fold for one question. The dispatcher knows
//             more (rates, what it has just decided) and answers for itself.
// Input:      Ledger and Members, the limits of the configuration.
// Output:     a sentence for people, for each task.
// Threads:    the Ledger's.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "fleet/ledger.h"
#include "fleet/members.h"
#include "fleet/placement.h"

namespace laneway {

Needs NeedsOf(const v1::JobSpec& spec);

// Whether a worker could be given tasks, but for its lanes and for a pause of its own.
bool TakesTasks(const Member& member, const WorkerVerdicts* verdicts);
// What it offers then.
WorkerOffer OfferOf(const Member& member, const WorkerVerdicts* verdicts, bool open);

// For tasks of one job that are PENDING in its open phase.
std::vector<std::string> WhyWaiting(const Ledger& ledger, const Members& members,
                                    const PlacementLimits& limits, const Job& job,
                                    std::span<const uint32_t> tasks, LogTime now);

}  // namespace laneway
