// dispatcher_members.cc: who may be given tasks, and through which lanes (rules P1, P2).
#include <algorithm>

#include "dispatcher/dispatcher.h"
#include "fleet/planted.h"
#include "fleet/why_waiting.h"

namespace laneway::dispatcher {

// What placement knows of a worker, and its share of the lanes.
void Dispatcher::Offer(const Member& member, Commands* out) {
  const bool here = member.registered && !member.removed;
  const bool drained = member.intent == v1::DRAIN && member.draining_done;
  const std::vector<Lane>& its = lanes_.LanesOf(member.id);
  const uint32_t share = here && !drained && !(its.empty() && IsAway(member)) ? member.capacity : 0;
  const bool changed = share == 0 && !its.empty();
  std::vector<LaneMove> moves = lanes_.SetMember(member.id, share);
  if (share != 0 && lanes_.LanesOf(member.id).empty()) TakeLanesOfAway(&moves);
  // Asked for again with each heartbeat of somebody who has none.
  if (active() && share != 0 && lanes_.LanesOf(member.id).empty()) out->lanes_wanted = lanes_.LanesWanted();
  CarryOutMoves(moves);
  if (!moves.empty() || changed) {
    MaybeHandOver(nullptr, out);
    TellLaneTable(out);
  }
  OfferTasks(member);
}

// Lanes are not hashed: more of them move nothing that is under way.
void Dispatcher::OnLanesGrown(uint32_t lanes, Commands* out) {
  const Lane before = lanes_.lanes();
  if (!active() || lanes <= before) return;
  const std::vector<LaneMove> moves = lanes_.Grow(lanes);
  for (Lane lane = before; lane < lanes; lane++) OpenLane(lane, out);
  CarryOutMoves(moves);
  MaybeHandOver(nullptr, out);
  TellLaneTable(out);
  for (const auto& [id, member] : members_->all()) OfferTasks(member);
}

// Packets of older epochs behind this are void.
void Dispatcher::OpenLane(Lane lane, Commands* out) {
  v1::LaneRecord record;
  record.mutable_epoch_opened()->set_epoch(epoch_);
  SendToLane(lane, WorkerId(), std::move(record), {}, 0, out);
}

bool Dispatcher::IsAway(const Member& member) const {
  const WorkerVerdicts* verdicts = ledger_->Verdicts(member.id.name);
  return member.removed || member.leaving || (verdicts != nullptr && verdicts->lost);
}

// Who is away keeps its lanes for when it is back, unless somebody who is here has none.
void Dispatcher::TakeLanesOfAway(std::vector<LaneMove>* moves) {
  for (Lane lane = 0; lane < lanes_.lanes(); lane++) {
    const Member* owner = members_->Find(lanes_.Owner(lane));
    if (owner == nullptr || !IsAway(*owner)) continue;
    const auto more = lanes_.SetMember(owner->id, 0);
    moves->insert(moves->end(), more.begin(), more.end());
  }
}

void Dispatcher::OfferTasks(const Member& member) {
  Pauses(member, TakesTasks(member, ledger_->Verdicts(member.id.name)) && HasUsableLane(member.id));
  if (member.registered && !member.removed) {
    placement_->SetWorker(member.id, Offered(member));
  } else {
    placement_->RemoveWorker(member.id);
  }
}

WorkerOffer Dispatcher::Offered(const Member& member) const {
  const bool open = able_.contains(member.id) && (AllPaused() || !paused_.contains(member.id));
  return OfferOf(member, ledger_->Verdicts(member.id.name), open);
}

// A worker that paused itself gets nothing, unless all have: then the tasks are to blame, and use up their
// attempts instead of waiting for ever.
void Dispatcher::Pauses(const Member& member, bool able) {
  const bool before = AllPaused();
  able ? (void)able_.insert(member.id) : (void)able_.erase(member.id);
  able&& member.paused_by_itself ? (void)paused_.insert(member.id) : (void)paused_.erase(member.id);
  if (AllPaused() == before) return;
  for (const WorkerId& paused : paused_) placement_->SetWorker(paused, Offered(*members_->Find(paused)));
}

void Dispatcher::CarryOutMoves(const std::vector<LaneMove>& moves) {
  for (const LaneMove& move : moves) {
    const auto pending = handovers_.find(move.lane);
    if (pending == handovers_.end()) {
      if (!move.from.empty()) handovers_[move.lane] = {.from = move.from, .to = move.to};
      continue;
    }
    // Decided anew before it was over. Whoever was to have it meanwhile got nothing in it: it is still to be
    // read to its mark by the one before.
    pending->second.to = move.to;
    if (!pending->second.sent && move.to == pending->second.from) handovers_.erase(pending);
  }
}

bool Dispatcher::InFlight(Lane lane) const {
  return in_flight_.contains(lane) && !LANEWAY_PLANTED(kP2HandoverInFlight);
}

// Rule P2: the mark is appended when no packet for the old owner is in flight; the handover is over when the
// old owner has read it. `owner`: a member that has just beaten; nullptr: look at all.
void Dispatcher::MaybeHandOver(const Member* owner, Commands* out) {
  for (auto it = handovers_.begin(); it != handovers_.end();) {
    const Lane lane = it->first;
    Handover& handover = it->second;
    if (!handover.sent && !InFlight(lane)) {
      v1::LaneRecord record;
      record.mutable_handover()->set_epoch(epoch_);
      record.mutable_handover()->set_to(handover.to.name);
      handover.sent = true;
      SendToLane(lane, handover.from, std::move(record), {}, 0, out);
    }
    const Member* from = owner != nullptr ? owner : members_->Find(handover.from);
    if (from != nullptr && from->id != handover.from) from = nullptr;
    const bool gone = from == nullptr ? members_->Find(handover.from) == nullptr : IsAway(*from);
    bool read = false;
    if (from != nullptr && handover.mark) {
      const auto position = from->lanes.find(lane);
      const auto last = last_sent_.find(lane);
      const bool nothing_unread = last == last_sent_.end() || last->second.to != handover.from ||
                                  position == from->lanes.end() ||
                                  position->second.next > last->second.offset;
      // One that had the lane for a moment only may not have noticed, and reads no further: what was for it
      // is sent again (rule P1).
      constexpr Millis kReadsNoMore{60000};
      read = nothing_unread || position->second.next > *handover.mark ||
             from->last_beat - handover.marked > kReadsNoMore;
    }
    if (!handover.mark || !(read || gone)) {
      ++it;
      continue;
    }
    const WorkerId to = lanes_.Owner(lane);
    it = handovers_.erase(it);
    if (const Member* member = members_->Find(to)) OfferTasks(*member);  // it has a lane that can be used now
  }
}

// Said again now and then until the worker is drained: the mark may be damaged, or its store gone.
void Dispatcher::MaybeDrain(const Member& member, LogTime now, Commands* out) {
  if (member.intent != v1::DRAIN) {
    drain_marked_.erase(member.id);
    return;
  }
  if (member.draining_done) return;
  if (const auto marked = drain_marked_.find(member.id);
      marked != drain_marked_.end() && now - marked->second < options_.reconcile_every)
    return;
  const std::vector<Lane> lanes = lanes_.LanesOf(member.id);
  if (lanes.empty()) return;  // it cannot be told before it has one
  for (Lane lane : lanes) {
    if (InFlight(lane)) return;  // rule P2; the next heartbeat asks again
  }
  drain_marked_[member.id] = now;
  for (Lane lane : lanes) {
    v1::LaneRecord record;
    record.mutable_drain()->set_epoch(epoch_);
    record.mutable_drain()->set_intent(member.intent_at);
    SendToLane(lane, member.id, std::move(record), {}, 0, out);
  }
}

void Dispatcher::TellLaneTable(Commands* out) {
  v1::LaneTableSnapshot& table = *out->control.emplace_back().mutable_lane_table();
  table.set_epoch(epoch_);
  table.set_version(++table_version_);
  for (Lane lane = 0; lane < lanes_.lanes(); lane++) {
    if (lanes_.Owner(lane).empty()) continue;
    v1::LaneOwner& owner = *table.add_lanes();
    owner.set_lane(lane);
    owner.set_worker(lanes_.Owner(lane).name);
  }
}

// Rule P2: only below what its owner has finished, and not while the lane changes hands.
void Dispatcher::MaybeTrim(const Member& member, Commands* out) {
  for (const auto& [lane, position] : member.lanes) {
    if (lane >= lanes_.lanes() || lanes_.Owner(lane) != member.id || handovers_.contains(lane)) continue;
    Offset below = position.finished_below;
    if (LANEWAY_PLANTED(kP2TrimUnread)) below = position.next + 1000000;
    Offset& trimmed = trimmed_[lane];
    constexpr Offset kTrimStep = 256;  // trimming costs a write
    if (below < trimmed + kTrimStep) continue;
    trimmed = below;
    out->trims.push_back({lane, below});
  }
}

bool Dispatcher::HasUsableLane(const WorkerId& worker) const {
  const std::vector<Lane>& lanes = lanes_.LanesOf(worker);
  return std::any_of(lanes.begin(), lanes.end(), [this](Lane lane) { return !handovers_.contains(lane); });
}

// A worker's lanes are filled in turns, one each second: what is written at one time goes into few
// partitions, and costs the brokers few requests. `same`: where a packet lies that this must come behind.
std::optional<Lane> Dispatcher::LaneFor(const WorkerId& worker, std::optional<Lane> same) const {
  if (same && lanes_.Owner(*same) == worker && !handovers_.contains(*same)) return same;
  const std::vector<Lane>& lanes = lanes_.LanesOf(worker);
  for (size_t i = 0; i < lanes.size(); i++) {
    const Lane lane = lanes[(lane_turn_ + i) % lanes.size()];
    if (!handovers_.contains(lane)) return lane;
  }
  return std::nullopt;  // it has none, or all of them are just changing hands
}

void Dispatcher::SendToLane(Lane lane, const WorkerId& worker, v1::LaneRecord record, TaskId task,
                            uint32_t attempt, Commands* out) {
  record.set_worker(worker.name);
  in_flight_[lane]++;
  out->lanes.push_back({.lane = lane, .record = std::move(record), .task = task, .attempt = attempt});
}

}  // namespace laneway::dispatcher
