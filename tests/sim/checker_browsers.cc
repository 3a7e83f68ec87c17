// checker_browsers.cc: who may use a browser, what becomes of whom when it is gone, and when it is called
// lost.
#include <algorithm>

#include "sim/checker.h"

namespace laneway::sim {
namespace {

constexpr int64_t kBrowserTimeoutMs = 60000;  // LivenessLimits

worker::AttemptKey KeyOf(const v1::WorkPacket& packet) {
  return {{JobId::FromBytes(packet.job_id()).value_or(JobId{}), packet.task()}, packet.attempt()};
}

std::string TextOf(const worker::AttemptKey& key) {
  return absl::StrCat(key.task.ToString(), " attempt ", key.attempt);
}

}  // namespace

bool Checker::NeedsBrowser(const JobId& id) {
  const ModelJob* job = model_.Find(id);
  return job != nullptr && job->spec.needs_browser();
}

void Checker::OnBrowserScript(const WorkerId& worker, const v1::WorkPacket& packet,
                              const worker::BrowserState& told) {
  world_->Count("scripts run with a browser");
  const worker::AttemptKey key = KeyOf(packet);
  Check(told.connected && told.generation > told.over, "browser",
        absl::StrCat("the script of ", TextOf(key), " starts on ", worker.name,
                     " with a browser that is not connected: ", told.note));
  Check(begun_with_[{worker.name, key}] == told.generation, "browser",
        absl::StrCat("the script of ", TextOf(key), " starts on ", worker.name,
                     " with its browser's generation ", told.generation, ", its record says ",
                     begun_with_[{worker.name, key}]));
}

void Checker::OnBrowserOver(const WorkerId& worker, const worker::AttemptKey& key, bool stopped) {
  world_->Count("scripts that lost their browser");
  Check(stopped, "browser",
        absl::StrCat("the script of ", TextOf(key), " goes on on ", worker.name,
                     ", which knows that its browser is gone"));
}

void Checker::OnBrowserRecycled(const WorkerId& worker) {
  world_->Count("browsers recycled");
  for (const Run& run : running_) {
    Check(run.worker != worker || !NeedsBrowser(run.key.task.job), "browser",
          absl::StrCat("the browser of ", worker.name, " is recycled while the script of ", TextOf(run.key),
                       " uses it"));
  }
}

void Checker::Look(uint32_t, const v1::BrowserHealth& health, Offset offset) {
  auto& said = health_[health.worker()];
  const bool changed = said.empty() || said.rbegin()->second.connected != health.connected();
  const int64_t since = changed ? world_->now() : said.rbegin()->second.since;
  said[offset] = {health.connected(), world_->now(), since};
}

void Checker::LookAtBrowser(const v1::Heartbeat& beat) {
  Beating& beating = beating_[beat.worker()];
  if (beating.incarnation != beat.incarnation()) beating.since = world_->now();
  beating.incarnation = beat.incarnation();
  beating.at = world_->now();
  beating.browser = beat.has_browser() && !beat.leaving();
}

// What it judges is old enough, and it has been able to hear for so long.
void Checker::OnBrowserLostSaid(const v1::BrowserLost& lost, int64_t in_touch_for_ms) {
  constexpr int64_t kAtLeast = kBrowserTimeoutMs * 9 / 10;
  const auto& said = health_[lost.worker()];
  const auto judged = said.find(lost.health_offset() - 1);
  const bool silent = lost.reason() == "browser_silent";
  world_->Count(silent ? "browsers called silent" : "browsers called away");
  Check(judged != said.end() && judged->second.connected == silent, "browser",
        absl::StrCat("the browser of ", lost.worker(), " is called lost (", lost.reason(),
                     ") by a record that does not say so"));
  if (world_->failed()) return;
  const int64_t for_ms = world_->now() - (silent ? judged->second.at : judged->second.since);
  Check(std::min(for_ms, in_touch_for_ms) >= kAtLeast, "browser",
        absl::StrCat("the browser of ", lost.worker(), " is called lost (", lost.reason(), ") after ", for_ms,
                     " ms, by a reaper that was in touch for ", in_touch_for_ms, " ms"));
}

// A browser that is away, or not spoken of, is called lost; once reads are sure to succeed where they may
// not.
void Checker::CheckBrowsers(int64_t watched_since, int64_t healed_for_ms) {
  constexpr int64_t kCalledLostMax = kBrowserTimeoutMs + 90000;  // an append may be slow or lost
  for (const auto& [worker, said] : health_) {
    const Beating& beating = beating_[worker];
    if (!beating.browser || world_->now() - beating.at > 20000 || model_.lost(worker) ||
        model_.browser_lost(worker))
      continue;
    const Health& last = said.rbegin()->second;
    const int64_t since = std::max({last.connected ? last.at : last.since, watched_since, beating.since,
                                    lost_until_[worker], browser_lost_until_[worker]});
    const bool unsure = world_->plan().rates.leaders_away != 0;
    const int64_t for_ms = std::min(world_->now() - since, unsure ? healed_for_ms : INT64_MAX);
    Check(for_ms < kCalledLostMax, "browser",
          absl::StrCat("the browser of ", worker, last.connected ? " has not been spoken of" : " is away",
                       " for ", for_ms / 1000, " s, and nobody calls it lost"));
  }
}

// Whoever can be heard starts what it holds, or hands it back: also when its browser is away.
void Checker::CheckWaiting(const std::string& worker, int64_t in_touch_for_ms) {
  constexpr int64_t kWaitsMax = 120000;
  std::map<worker::AttemptKey, int64_t>& waits = waiting_[worker];
  std::map<worker::AttemptKey, int64_t> still;
  for (const worker::AttemptKey& key : held_[worker]) {
    ModelJob* job = model_.Find(key.task.job);
    if (job == nullptr || job->finished || key.task.n > job->tasks.size()) continue;
    ModelTask& task = job->tasks[key.task.n - 1];
    if (task.state != TaskState::kAssigned || task.attempt != key.attempt ||
        task.attempts[task.attempt].worker != worker)
      continue;
    const auto known = waits.find(key);
    const int64_t since = known == waits.end() ? world_->now() : known->second;
    still[key] = since;
    const int64_t for_ms = std::min(world_->now() - since, in_touch_for_ms);
    Check(for_ms < kWaitsMax, "(g)",
          absl::StrCat(TextOf(key), " waits on ", worker, " for ", for_ms / 1000,
                       " s: neither started nor handed back"));
  }
  waits = std::move(still);
}

bool Checker::WithoutItsBrowser(const ModelJob& job, const ModelTask& task, const std::string& worker) const {
  const bool goes_on = task.state == TaskState::kRunning && job.spec.on_browser_loss() == v1::CONTINUE_TASK;
  return job.spec.needs_browser() && !goes_on && model_.browser_lost(worker);
}

}  // namespace laneway::sim
