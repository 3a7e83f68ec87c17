#include "fleet/liveness.h"

#include <algorithm>

#include "fleet/planted.h"

namespace laneway {

std::vector<Verdict> Liveness::Step(const Signal& signal, LogTime now) {
  std::vector<Verdict> out;
  std::visit([&](const auto& what) { On(what, now, &out); }, signal);
  return out;
}

std::optional<LogTime> Liveness::NextDeadline() const {
  if (deadlines_.empty()) return std::nullopt;
  return deadlines_.begin()->first;
}

Liveness::Member& Liveness::Get(const WorkerId& worker, LogTime now) {
  const auto [at, added] = members_.try_emplace(worker);
  if (added) at->second.last_sign = now;
  return at->second;
}

void Liveness::On(const Beat& beat, LogTime now, std::vector<Verdict>* out) {
  Member& member = Get(beat.worker, now);
  if (beat.offset + 1 <= member.judged) return;  // read before
  const bool restarted = member.judged != 0 && member.incarnation != beat.incarnation;
  member.incarnation = beat.incarnation;
  member.judged = beat.offset + 1;
  member.last_beat = std::max(member.last_beat, now);
  member.last_sign = std::max(member.last_sign, now);
  member.polls = beat.lane_poll_age < limits_.heartbeat_timeout;
  member.leaving = beat.leaving;
  if (beat.has_browser && (restarted || !member.has_browser))
    member.browser_since = member.browser_heard = now;  // its browser has a full timeout to come
  member.has_browser = beat.has_browser;
  if (member.polls && !member.fold_lost) member.said.reset();
  if (MayReturn(member)) {
    // Rule R2: whoever reads a later beat says Returned.
    SayWorker(beat.worker, member, Verdict::Kind::kWorkerReturned, "", now, out);
  } else if (in_touch_ && !member.polls && !member.fold_lost && !member.leaving && !member.removed &&
             now >= in_touch_since_ + limits_.heartbeat_timeout &&
             (!member.said || now >= *member.said + limits_.heartbeat_timeout)) {
    // Only after a full timeout in touch: what kept us from the log may have kept the worker from it.
    SayWorker(beat.worker, member, Verdict::Kind::kWorkerLost, "not_reading", now, out);
  }
  Plan(beat.worker, member);
}

void Liveness::On(const BrowserBeat& beat, LogTime now, std::vector<Verdict>* out) {
  Member& member = Get(beat.worker, now);
  if (beat.offset + 1 <= member.browser_judged) return;  // read before
  if (member.browser_judged == 0 || member.browser_connected != beat.connected) {
    member.browser_since = now;
    if (!member.fold_browser_lost) member.browser_said.reset();
  }
  member.browser_heard = std::max(member.browser_heard, now);
  member.browser_judged = beat.offset + 1;
  member.browser_incarnation = beat.incarnation;
  member.browser_connected = beat.connected;
  if (in_touch_ && member.fold_browser_lost && !member.removed && BrowserMayReturn(member)) {
    SayBrowser(beat.worker, member, Verdict::Kind::kBrowserReturned, "", now, out);
  }
  Plan(beat.worker, member);
}

void Liveness::On(const CaughtUp&, LogTime now, std::vector<Verdict>*) {
  if (in_touch_) return;
  in_touch_ = true;
  in_touch_since_ = now;
  PlanAll();
}

void Liveness::On(const LostTouch&, LogTime, std::vector<Verdict>*) {
  in_touch_ = false;
  PlanAll();
}

void Liveness::On(const Tick&, LogTime now, std::vector<Verdict>* out) {
  std::set<WorkerId> due;  // by name, so that verdicts come in one order
  for (auto at = deadlines_.begin(); at != deadlines_.end() && at->first <= now; ++at) due.insert(at->second);
  for (const WorkerId& worker : due) {
    Member& member = members_.at(worker);
    const auto worker_due = WorkerDue(member);
    if (worker_due && *worker_due <= now) {
      if (member.fold_lost && now >= member.last_beat + limits_.heartbeat_timeout) {
        member.said = now;  // nobody has asked in time: an old beat proves nothing
      } else if (member.fold_lost) {
        SayWorker(worker, member, Verdict::Kind::kWorkerReturned, "", now, out);
      } else {
        SayWorker(worker, member, Verdict::Kind::kWorkerLost, member.leaving ? kLeft : "silent", now, out);
      }
    }
    const auto browser_due = BrowserDue(member);
    if (browser_due && *browser_due <= now) {
      if (member.fold_browser_lost) {
        SayBrowser(worker, member, Verdict::Kind::kBrowserReturned, "", now, out);
      } else {
        SayBrowser(worker, member, Verdict::Kind::kBrowserLost,
                   member.browser_connected ? "browser_silent" : "browser_away", now, out);
      }
    }
    Plan(worker, member);
  }
}

void Liveness::On(const FoldSays& says, LogTime now, std::vector<Verdict>*) {
  Member& member = Get(says.worker, now);
  if (member.fold_lost != says.lost) {
    member.said.reset();
    if (!says.lost) {
      // That it is called returned is a sign of life, though the beat it rests on may not have been
      // read here yet.
      member.last_sign = std::max(member.last_sign, now);
      member.browser_since = std::max(member.browser_since, now);
      member.browser_heard = std::max(member.browser_heard, now);
    }
  }
  if (member.fold_browser_lost != says.browser_lost) {
    member.browser_said.reset();
    if (!says.browser_lost) {
      member.browser_since = std::max(member.browser_since, now);
      member.browser_heard = std::max(member.browser_heard, now);
    }
  }
  member.fold_lost = says.lost;
  member.fold_browser_lost = says.browser_lost;
  member.fold_browser_judged = says.browser_judged;
  member.fold_judged = says.judged;
  member.died = says.lost ? says.died : IncarnationId();
  Plan(says.worker, member);
}

void Liveness::On(const Known& known, LogTime now, std::vector<Verdict>*) {
  Member& member = Get(known.worker, now);
  if (member.removed && !known.removed) member.last_sign = std::max(member.last_sign, now);
  member.removed = known.removed;
  Plan(known.worker, member);
}

// Its last beat shows that the fold's word, lost, is out of date.
bool Liveness::MayReturn(const Member& member) const {
  if (LANEWAY_PLANTED(kR2ReturnedNever)) return false;
  return in_touch_ && member.fold_lost && !member.removed && !member.leaving && member.polls &&
         member.judged > member.fold_judged && (member.died.empty() || member.incarnation != member.died);
}

// Silence counts only while we could hear (invariant 1).
LogTime Liveness::Heard(LogTime since) const {
  return LANEWAY_PLANTED(kReaperDeafVerdict) ? since : std::max(since, in_touch_since_);
}

std::optional<LogTime> Liveness::WorkerDue(const Member& member) const {
  const Millis timeout = limits_.heartbeat_timeout;
  if (member.removed || (!in_touch_ && !LANEWAY_PLANTED(kReaperDeafVerdict))) return std::nullopt;
  if (member.fold_lost) {
    if (!MayReturn(member)) return std::nullopt;
    const LogTime due = member.said ? *member.said + timeout : member.last_beat;
    return due < member.last_beat + timeout ? std::optional(due) : std::nullopt;
  }
  const LogTime due = Heard(member.last_sign) + timeout;
  return member.said ? std::max(due, *member.said + timeout) : due;
}

std::optional<LogTime> Liveness::BrowserDue(const Member& member) const {
  const Millis timeout = limits_.browser_timeout;
  if (!in_touch_ || member.removed || member.leaving || member.fold_lost || !member.has_browser ||
      member.browser_judged == 0) {
    return std::nullopt;
  }
  if (member.fold_browser_lost && !BrowserMayReturn(member)) return std::nullopt;  // the fold is right
  if (LANEWAY_PLANTED(kBrowserSilenceMissed) && member.browser_connected && !member.fold_browser_lost)
    return std::nullopt;
  const LogTime since = member.browser_connected ? member.browser_heard : member.browser_since;
  const LogTime due = member.fold_browser_lost ? member.browser_since : Heard(since) + timeout;
  return member.browser_said ? std::max(due, *member.browser_said + timeout) : due;
}

// What it said after the fold's word shows that its browser works.
bool Liveness::BrowserMayReturn(const Member& member) const {
  return member.browser_connected && member.browser_judged > member.fold_browser_judged;
}

// Rule R2: a verdict names what it judges.
void Liveness::SayWorker(const WorkerId& worker, Member& member, Verdict::Kind kind, std::string_view reason,
                         LogTime now, std::vector<Verdict>* out) {
  member.said = now;
  out->push_back({kind, worker, member.incarnation, member.judged, std::string(reason)});
}

void Liveness::SayBrowser(const WorkerId& worker, Member& member, Verdict::Kind kind, const char* reason,
                          LogTime now, std::vector<Verdict>* out) {
  member.browser_said = now;
  out->push_back({kind, worker, member.browser_incarnation, member.browser_judged, reason});
}

void Liveness::Plan(const WorkerId& worker, Member& member) {
  std::optional<LogTime> deadline = WorkerDue(member);
  if (const auto browser = BrowserDue(member)) deadline = deadline ? std::min(*deadline, *browser) : *browser;
  if (deadline == member.deadline) return;
  if (member.deadline) deadlines_.erase({*member.deadline, worker});
  if (deadline) deadlines_.emplace(*deadline, worker);
  member.deadline = deadline;
}

void Liveness::PlanAll() {
  for (auto& [worker, member] : members_) Plan(worker, member);
}

}  // namespace laneway
