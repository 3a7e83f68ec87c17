#include "reaper/reaper.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "fleet/planted.h"

namespace laneway::reaper {
namespace {

v1::Event ToEvent(const Verdict& verdict) {
  v1::Event event;
  const auto fill = [&verdict](auto* what) {
    what->set_worker(verdict.worker.name);
    what->set_incarnation(verdict.incarnation.ToBytes());
  };
  switch (verdict.kind) {
    case Verdict::Kind::kWorkerLost:
      fill(event.mutable_worker_lost());
      event.mutable_worker_lost()->set_heartbeat_offset(verdict.judged);
      event.mutable_worker_lost()->set_reason(verdict.reason);
      break;
    case Verdict::Kind::kWorkerReturned:
      fill(event.mutable_worker_returned());
      event.mutable_worker_returned()->set_heartbeat_offset(verdict.judged);
      break;
    case Verdict::Kind::kBrowserLost:
      fill(event.mutable_browser_lost());
      event.mutable_browser_lost()->set_health_offset(verdict.judged);
      event.mutable_browser_lost()->set_reason(verdict.reason);
      break;
    case Verdict::Kind::kBrowserReturned:
      fill(event.mutable_browser_returned());
      event.mutable_browser_returned()->set_health_offset(verdict.judged);
      break;
  }
  return event;
}

}  // namespace

void Commands::Clear() {
  appends.clear();
  alerts.clear();
  lines.clear();
}

void Reaper::Judge(const Signal& signal, LogTime now) {
  for (const Verdict& verdict : liveness_.Step(signal, now)) {
    // Who left in good order has nothing to be taken back, and nobody need hear of it.
    if (verdict.kind == Verdict::Kind::kWorkerLost && verdict.reason == kLeft && !Holds(verdict.worker))
      continue;
    verdicts_.push_back(ToEvent(verdict));
  }
}

bool Reaper::Holds(const WorkerId& worker) const {
  bool any = false;
  held_->ForEach(worker, [&any](const TaskId&, uint32_t, bool, bool) { any = true; });
  return any;
}

void Reaper::OnHeartbeat(const v1::Heartbeat& beat, Offset offset, LogTime time) {
  const auto incarnation = IncarnationId::FromBytes(beat.incarnation());
  if (!incarnation || beat.worker().empty()) return;
  Beat signal;
  signal.worker = WorkerId(beat.worker());
  signal.incarnation = *incarnation;
  signal.offset = offset;
  signal.lane_poll_age = Millis(beat.lane_poll_age_ms());
  signal.has_browser = beat.has_browser();
  signal.leaving = beat.leaving();
  OnBeat(signal, beat.browser_port(), time);
}

void Reaper::OnBeat(const Beat& beat, uint32_t browser_port, LogTime time) {
  workers_[beat.worker].port = browser_port;
  Judge(beat, time);
}

void Reaper::OnBrowserHealth(const v1::BrowserHealth& health, Offset offset, LogTime time) {
  const auto incarnation = IncarnationId::FromBytes(health.incarnation());
  if (!incarnation || health.worker().empty()) return;
  const WorkerId worker(health.worker());
  workers_[worker].port = health.port();
  Judge(BrowserBeat{worker, *incarnation, offset, health.connected()}, time);
}

void Reaper::OnCaughtUp(LogTime now) {
  in_touch_ = changed_ = true;
  awake_ = now;
  Judge(CaughtUp{}, now);
}

void Reaper::OnAwake(LogTime now) {
  if (!in_touch_) return;
  const bool gap = now - awake_ > Gap() || awake_ - now > Gap();
  awake_ = now;
  if (!gap) return;
  OnLostTouch(now);
  OnCaughtUp(now);
}

void Reaper::OnLostTouch(LogTime now) {
  in_touch_ = false;
  verdicts_.clear();  // what was decided before the outage may be wrong by its end
  verdicts_void_ = waiting_;
  Judge(LostTouch{}, now);
}

std::string Reaper::Reason(const std::string& reason) const {
  const int64_t seconds = options_.limits.heartbeat_timeout.count() / 1000;
  if (reason == "silent") return absl::StrCat("silent for ", seconds, " s");
  if (reason == kLeft) return "left before it had read what it was given";
  if (reason == "process_died") return "process died";
  if (reason == "not_reading") return absl::StrCat("beats, but has not read its lanes for ", seconds, " s");
  return reason.empty() ? "no reason given" : reason;
}

void Reaper::Tell(const WorkerId& worker, const std::string& kind, v1::Severity severity, bool resolved,
                  const std::string& text) {
  lines_.push_back({worker, text, severity == v1::INFO});
  v1::Alert& alert = alerts_.emplace_back();
  alert.set_subject(worker.name);
  alert.set_severity(severity);
  alert.set_kind(kind);
  alert.set_message(absl::StrCat(worker.name, " – ", text));
  alert.set_resolved(resolved);
}

// Only the fold's word counts, so only then people are told: once, whichever reaper said it first. What is
// read before the reader is in touch is history.
void Reaper::OnFoldSays(const FoldSays& says, const std::string& reason, LogTime now) {
  Suspect& suspect = workers_[says.worker];
  if (says.lost != suspect.lost) {
    suspect.lost = says.lost;
    if (in_touch_ && says.lost) {
      Tell(says.worker, "worker_lost", reason == kLeft ? v1::INFO : v1::CRITICAL, false,
           absl::StrCat("Worker Lost (", Reason(reason), ")"));
    } else if (in_touch_) {
      Tell(says.worker, "worker_lost", v1::INFO, true, "Worker Returned");
    }
    changed_ = true;
  }
  if (says.browser_lost != suspect.browser_lost) {
    suspect.browser_lost = says.browser_lost;
    const std::string text = says.browser_lost ? "Browser Disconnected" : "Browser Restored";
    if (in_touch_)
      Tell(says.worker, "browser_lost", says.browser_lost ? v1::WARNING : v1::INFO, !says.browser_lost,
           absl::StrCat(text, " (Browser ", suspect.port, ")"));
    changed_ = true;
  }
  Judge(says, now);
}

void Reaper::OnAppended(uint64_t token, const absl::Status& status, LogTime now) {
  if (!waiting_ || token != token_) return;
  waiting_ = false;
  if (!in_touch_) verdicts_void_ = true;
  for (const v1::Event& event : in_flight_) {
    if (!event.has_task_republished()) {
      // May have happened: said again, the fold drops the double. A verdict that was overtaken is void by
      // what it names (rule R2).
      if (!status.ok() && !verdicts_void_) verdicts_.push_back(event);
      continue;
    }
    const TaskId task{JobId::FromBytes(event.job_id()).value_or(JobId{}), event.task()};
    Suspect& suspect = workers_[WorkerId(event.task_republished().worker())];
    const auto it = suspect.out.find(task);
    if (it == suspect.out.end()) continue;
    if (status.ok()) {
      it->second.second = now;
      republished_++;
    } else {
      suspect.out.erase(it);
    }
  }
  in_flight_.clear();
  verdicts_void_ = false;
  if (status.ok()) {
    retry_delay_ = Millis(0);
    changed_ = true;
  } else {
    retry_delay_ = std::min(std::max(retry_delay_ * 2, options_.retry_first), options_.retry_max);
    retry_at_ = now + retry_delay_;
  }
}

void Reaper::Republish(const WorkerId& worker, Suspect& suspect, LogTime now,
                       std::vector<v1::Event>* events) {
  std::map<TaskId, std::pair<uint32_t, LogTime>> still;  // what is not held any more is forgotten
  held_->ForEach(worker, [&](const TaskId& task, uint32_t attempt, bool, bool needs_browser) {
    if (!suspect.lost && !needs_browser) return;
    const auto it = suspect.out.find(task);
    if (it != suspect.out.end() && it->second.first == attempt) {
      const LogTime answered = it->second.second;
      if (answered.ms == 0 || now - answered < options_.repeat_after) {
        still.emplace(task, it->second);
        return;
      }
    }
    if (events->size() >= options_.events_max) return;  // the rest at the next step
    v1::Event& event = events->emplace_back();
    event.set_job_id(task.job.ToBytes());
    event.set_task(task.n);
    event.set_attempt(attempt);
    event.mutable_task_republished()->set_worker(worker.name);
    event.mutable_task_republished()->set_reason(suspect.lost ? "worker_lost" : "browser_lost");
    // What runs goes by its job's on_browser_loss: the fold decides, as when the worker says it.
    if (!suspect.lost) event.mutable_task_republished()->set_ending(v1::BROWSER_GONE);
    still.emplace(task, std::pair(attempt, LogTime{0}));
  });
  suspect.out = std::move(still);
}

void Reaper::Step(LogTime now, Commands* out) {
  OnAwake(now);
  Judge(Tick{}, now);
  const bool ready = in_touch_ && !waiting_ && (retry_delay_.count() == 0 || now >= retry_at_);
  const bool level = changed_ || !look_at_ || now >= *look_at_;
  if (ready && (level || !verdicts_.empty())) {
    std::vector<v1::Event> events = std::exchange(verdicts_, {});
    bool any = false;
    for (auto& [worker, suspect] : workers_) {
      if (!suspect.lost && !suspect.browser_lost) {
        suspect.out.clear();
        continue;
      }
      any = true;
      // Rule R1: a level, not an instant.
      if (LANEWAY_PLANTED(kR1Instant) && !changed_) continue;
      Republish(worker, suspect, now, &events);
    }
    changed_ = false;
    look_at_ = any ? std::optional(now + options_.republish_interval) : std::nullopt;
    if (!events.empty()) {
      waiting_ = true;
      in_flight_ = events;
      out->appends.push_back({++token_, std::move(events)});
    }
  }
  std::move(alerts_.begin(), alerts_.end(), std::back_inserter(out->alerts));
  std::move(lines_.begin(), lines_.end(), std::back_inserter(out->lines));
  alerts_.clear();
  lines_.clear();
}

std::optional<LogTime> Reaper::NextDeadline() const {
  std::optional<LogTime> next = liveness_.NextDeadline();
  const auto at = [&next](LogTime time) { next = next ? std::min(*next, time) : time; };
  if (in_touch_) at(awake_ + Gap() / 2);  // who looks often enough knows a gap when there was one
  if (waiting_) return next;
  if (retry_delay_.count() > 0) at(retry_at_);
  if (look_at_) at(*look_at_);
  return next;
}

}  // namespace laneway::reaper
