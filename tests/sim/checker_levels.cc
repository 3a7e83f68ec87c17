// checker_levels.cc: what is true for a while only: who holds what, and for how long nobody does.
#include <algorithm>

#include "sim/checker.h"

namespace laneway::sim {

// Rule P1 rests on it: a packet that was read is held until its attempt is over, whatever else the worker has
// to do.
void Checker::CheckHeld(const v1::Heartbeat& beat) {
  std::set<worker::AttemptKey>& held = held_[beat.worker()];
  held.clear();
  for (const v1::RunningTask& task : beat.held())
    held.insert({{JobId::FromBytes(task.job_id()).value_or(JobId{}), task.task()}, task.attempt()});
  std::map<Lane, Offset> read;
  for (const v1::LanePosition& lane : beat.lanes()) read[lane.lane()] = lane.next_offset();
  for (auto& [id, job] : model_.jobs()) {
    if (job.finished) continue;
    for (uint32_t n = 1; n <= job.tasks.size(); n++) {
      ModelTask& task = job.tasks[n - 1];
      if (task.state != TaskState::kAssigned) continue;
      const ModelAttempt& attempt = task.attempts[task.attempt];
      const worker::AttemptKey key{{id, n}, task.attempt};
      if (attempt.worker != beat.worker() || attempt.store != beat.store() || held.contains(key)) continue;
      const std::vector<Packet>& packets = packets_[key];
      const auto taken = std::find_if(packets.begin(), packets.end(), [&](const Packet& packet) {
        return packet.worker == beat.worker() && !packet.is_void && read[packet.lane] > packet.offset;
      });
      Check(taken == packets.end(), "(g)",
            absl::StrCat(beat.worker(), " has read the packet of ", key.task.ToString(), " attempt ",
                         key.attempt, " in lane ", taken == packets.end() ? 0 : taken->lane,
                         " and does not hold it, though nobody has taken it away"));
    }
  }
}

std::optional<ModelAttempt> Checker::AssignedAttempt(const v1::Event& event) {
  const auto id = JobId::FromBytes(event.job_id());
  ModelJob* job = id ? model_.Find(*id) : nullptr;
  if (job == nullptr || event.task() < 1 || event.task() > job->tasks.size()) return std::nullopt;
  ModelTask& task = job->tasks[event.task() - 1];
  if (task.state != TaskState::kAssigned || task.attempt != event.attempt()) return std::nullopt;
  return task.attempts[task.attempt];
}

// Its worker is lost (or was, as far as the reaper had read), has another store, or has no lane to be reached
// through. That it does not hold the packet is no reason: it may not have read it yet.
void Checker::CheckRepublished(const v1::Event& event, const ModelAttempt& attempt) {
  constexpr int64_t kReadingTakes = 10000;  // from one partition to the next
  const auto lost = lost_until_.find(attempt.worker);
  const bool was_lost = model_.lost(attempt.worker) ||
                        (lost != lost_until_.end() && lost->second + kReadingTakes >= attempt.assigned_at);
  const auto& stores = stores_[attempt.worker];
  const bool other_store = std::any_of(stores.begin(), stores.end(), [&](const auto& store) {
    return store.first != attempt.store && store.second >= attempt.assigned_at;
  });
  const bool no_lane = event.task_republished().reason() == "no_lane";
  const auto returned = browser_lost_until_.find(attempt.worker);
  const bool browserless =
      NeedsBrowser(JobId::FromBytes(event.job_id()).value_or(JobId{})) &&
      (model_.browser_lost(attempt.worker) ||
       (returned != browser_lost_until_.end() && returned->second + kReadingTakes >= attempt.assigned_at));
  Check(was_lost || browserless || other_store || no_lane, "(c)",
        absl::StrCat("task ", JobId::FromBytes(event.job_id()).value_or(JobId{}).ToString(), "/",
                     event.task(), " attempt ", event.attempt(), " was only assigned to ", attempt.worker,
                     ", which is not lost, and is taken away: ", event.task_republished().reason(),
                     " (rule W2)"));
}

void Checker::CheckLevels(int64_t watched_since, int64_t healed_for_ms) {
  constexpr int64_t kWithLostMax = 90000;  // an append may be slow or lost, and is said again
  constexpr int64_t kUnheldMax = 600000;
  constexpr int64_t kTableLateMax = 60000;
  CheckBrowsers(watched_since, healed_for_ms);
  for (const BehindMark& packet : behind_mark_) {
    Check(world_->now() - packet.since < kTableLateMax, "(g)",
          absl::StrCat("the packet of ", packet.key.task.ToString(), " attempt ", packet.key.attempt, " for ",
                       packet.worker, " stands in lane ", packet.lane,
                       " behind the mark that handed the lane over (rule P2)"));
  }
  for (auto* stuck : {&with_lost_, &unheld_}) {
    for (auto& [key, how] : *stuck) how.seen = false;
  }
  const auto since = [&](std::map<worker::AttemptKey, Stuck>& stuck, const worker::AttemptKey& key) {
    Stuck& how = stuck.try_emplace(key, Stuck{true, world_->now()}).first->second;
    how.seen = true;
    return how.since;
  };
  for (auto& [id, job] : model_.jobs()) {
    if (job.finished) continue;
    for (uint32_t n = 1; n <= job.tasks.size(); n++) {
      ModelTask& task = job.tasks[n - 1];
      if (!task.held()) continue;
      const std::string& worker = task.attempts[task.attempt].worker;
      const worker::AttemptKey key{{id, n}, task.attempt};
      if (model_.lost(worker) || WithoutItsBrowser(job, task, worker)) {
        const int64_t for_ms = world_->now() - std::max(since(with_lost_, key), watched_since);
        Check(for_ms < kWithLostMax, "(g)",
              absl::StrCat(key.task.ToString(), " attempt ", key.attempt, " is ",
                           std::string(TaskStateName(task.state)), " on ", worker,
                           ", which is lost or has lost its browser, for ", for_ms / 1000,
                           " s, and nobody takes it back (rule R1)"));
      }
      if (healed_for_ms == 0 || task.state != TaskState::kAssigned || held_[worker].contains(key)) continue;
      const int64_t for_ms = std::min(world_->now() - since(unheld_, key), healed_for_ms);
      Check(for_ms < kUnheldMax, "(g)",
            absl::StrCat(key.task.ToString(), " attempt ", key.attempt, " is assigned to ", worker,
                         ", which has not held it for ", for_ms / 1000, " s (rule P1)"));
    }
  }
  for (auto* stuck : {&with_lost_, &unheld_})
    std::erase_if(*stuck, [](const auto& entry) { return !entry.second.seen; });
}

}  // namespace laneway::sim
