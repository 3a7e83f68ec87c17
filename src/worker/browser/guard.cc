#include "worker/browser/guard.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "fleet/members.h"
#include "fleet/planted.h"

namespace laneway::worker {

void BrowserGuard::Begin(Millis now) {
  stage_ = Stage::kWaiting;
  launch_at_ = now;
}

void BrowserGuard::On(const GuardEvent& event, Millis now) {
  std::visit([this, now](const auto& what) { Took(what, now); }, event);
}

void BrowserGuard::Close() {
  const bool again = std::exchange(closing_, true);
  closing_at_once_ = again;
  give_up_ = "closed";
  switch (stage_) {
    case Stage::kOff:
    case Stage::kWaiting:
      stage_ = Stage::kOff;
      return;
    case Stage::kLaunching:
      return;  // ended as soon as it runs
    case Stage::kAttaching:
    case Stage::kUp:
    case Stage::kEnding:
      out_.end = again ? BrowserEnd::kAtOnce : BrowserEnd::kGently;
      if (limits_.attach_only || again) out_.detach = true;  // else it is asked over the connection
      Unconnected(kWorkerStops);
      stage_ = limits_.attach_only ? Stage::kOff : Stage::kEnding;
      if (limits_.attach_only) out_.end.reset();
      return;
  }
}

// ---- what is told ----

std::string BrowserGuard::Name() const { return absl::StrCat("(Browser ", port_, ")"); }

void BrowserGuard::Alert(v1::Severity severity, std::string text, bool resolved) {
  v1::Alert alert;
  alert.set_severity(severity);
  alert.set_kind("browser");
  alert.set_message(std::move(text));
  alert.set_resolved(resolved);
  out_.alerts.push_back(std::move(alert));
}

void BrowserGuard::Unconnected(std::string note) {
  note_ = std::move(note);
  resting_ = connected_ = false;
  state_changed_ = true;
}

void BrowserGuard::Connected(Millis now) {
  connected_ = true;
  resting_ = lost_said_ = false;
  note_.clear();
  state_changed_ = true;
  SayGood(absl::StrCat(std::exchange(restored_due_, true) ? "Browser Restored " : "Browser Ready ", Name()));
  if (proven()) return;
  up_since_ = now;
  measure_at_ = now + limits_.measure_interval;
  failed_starts_ = 0;
  failure_said_.clear();
  fresh_profile_ = profile_cleared_ = false;
}

// This generation is gone: whatever was open in it is lost.
void BrowserGuard::Over(const std::string& why, Millis now) {
  if (!std::exchange(lost_said_, true)) Say(absl::StrCat("Browser Disconnected ", Name()));
  over_ = generation_;
  Unconnected(why);
  if (up_since_ && now - *up_since_ >= limits_.steady) backoff_ = Millis(0);
  up_since_.reset();
}

void BrowserGuard::TellState() {
  if (!std::exchange(state_changed_, false)) return;
  BrowserState& state = out_.state.emplace();
  state.connected = connected_;
  state.resting = resting_;
  state.port = port_;
  state.generation = generation_;
  state.over = over_;
  state.seq = ++seq_;
  state.note = note_;
}

// ---- starting again ----

void BrowserGuard::Restart(Millis now) {
  stage_ = Stage::kWaiting;
  launch_at_ = now + backoff_;
  backoff_ = std::min(std::max(backoff_ * 2, limits_.backoff_first), limits_.backoff_max);
  restarts_.push_back(now);
  while (now - restarts_.front() > limits_.restarts_window) restarts_.pop_front();
  if (restarts_.size() <= limits_.restarts_max) {
    if (std::exchange(unstable_, false)) Alert(v1::INFO, "Browser Stable Again", true);
    return;
  }
  if (restarts_.size() > 1000) restarts_.pop_front();
  if (std::exchange(unstable_, true)) return;
  Alert(v1::CRITICAL,
        absl::StrCat("Browser Unstable (", restarts_.size(), " restarts within ",
                     limits_.restarts_window.count() / 60'000, " minutes, the last: ", note_, ")"));
  Say(absl::StrCat("Browser Unstable (", restarts_.size(), " restarts)"));
}

// Whether the profile is to blame is found out by trying without it: it is put back when that is of no use.
void BrowserGuard::FailedStart(const std::string& why, bool lasting, Millis now) {
  Unconnected(why);
  if (failure_said_ != why) {
    Say(absl::StrCat("Browser Not Started (", why, ")"));
    Alert(v1::CRITICAL, absl::StrCat("Browser Not Started (", why, ")"));
    failure_said_ = why;
  }
  failed_starts_++;
  if (!lasting && !profile_cleared_ && failed_starts_ >= limits_.failed_starts_max) {
    failed_starts_ = 0;
    profile_ = fresh_profile_ ? ProfileStep::kPutBack : ProfileStep::kSetAside;
    profile_cleared_ = fresh_profile_;
    fresh_profile_ = !fresh_profile_;
    if (fresh_profile_) {
      Say("Browser Profile Set Aside (it may be damaged)");
      Alert(v1::CRITICAL, "Browser Profile Set Aside (it may be damaged): logins are to be made again");
    } else {
      Say("Browser Profile Put Back (it was not the cause)");
    }
  }
  stage_ = Stage::kWaiting;
  backoff_ = std::min(std::max(backoff_ * 2, limits_.backoff_first), limits_.backoff_max);
  launch_at_ = now + backoff_;
}

void BrowserGuard::End(BrowserEnd how, Millis now) {
  asked_.reset();
  silent_ = false;
  out_.detach = how == BrowserEnd::kAtOnce;  // else it is asked over the connection
  out_.end = how;
  stage_ = Stage::kEnding;
  end_by_ = now + limits_.end_patience;
}

// What does not answer is replaced; where it is not ours to replace, it is looked for anew.
void BrowserGuard::GiveUp(const std::string& why, Millis now) {
  give_up_ = why;
  if (!limits_.attach_only) return End(BrowserEnd::kAtOnce, now);
  asked_.reset();
  silent_ = false;
  out_.detach = true;
  if (generation_ != over_) Over(why, now);
  identity_.clear();
  reattaching_ = false;
  Search(now + limits_.search_interval, Millis(0));
}

// ---- events ----

void BrowserGuard::Search(Millis now, Millis patience) {
  stage_ = Stage::kAttaching;
  attach_out_ = false;
  attach_at_ = now;
  attach_by_.reset();
  if (patience > Millis(0)) attach_by_ = now + patience;
}

void BrowserGuard::Took(const BrowserLaunched& event, Millis now) {
  if (stage_ != Stage::kLaunching) return;
  generation_ = event.generation;
  tasks_before_ = used_.tasks;
  identity_.clear();
  reattaching_ = false;
  if (closing_) return End(closing_at_once_ ? BrowserEnd::kAtOnce : BrowserEnd::kGently, now);
  Search(now, limits_.start_timeout);
}

void BrowserGuard::Took(const BrowserLaunchFailed& event, Millis now) {
  if (stage_ != Stage::kLaunching) return;
  if (closing_) {
    stage_ = Stage::kOff;
    return;
  }
  FailedStart(event.why, event.lasting, now);
}

void BrowserGuard::Took(const BrowserExited& event, Millis now) {
  if (stage_ == Stage::kOff || stage_ == Stage::kWaiting || stage_ == Stage::kLaunching) return;
  const bool planned = stage_ == Stage::kEnding;
  const std::string recycled = std::exchange(recycle_, "");
  const std::string why = planned && !give_up_.empty() ? give_up_ : event.why;
  give_up_.clear();
  asked_.reset();
  silent_ = false;
  out_.detach = true;
  if (closing_) {
    over_ = generation_;
    Unconnected(kWorkerStops);
    stage_ = Stage::kOff;
    return;
  }
  if (!proven() && !reattaching_) {
    over_ = generation_;
    return FailedStart(why, false, now);
  }
  if (planned && !recycled.empty()) {
    lost_said_ = true;  // nobody lost anything
    Over(absl::StrCat(kRecycled, recycled), now);
    stage_ = Stage::kWaiting;
    launch_at_ = now;
    return;
  }
  Over(why, now);
  Restart(now);
}

void BrowserGuard::Took(const BrowserAttached& event, Millis now) {
  if (stage_ != Stage::kAttaching) return;
  if (limits_.attach_only && event.identity != identity_) {  // another start of it
    if (reattaching_ && generation_ != over_) Over("replaced by another", now);
    generation_++;
    reattaching_ = false;
    up_since_.reset();
    tasks_before_ = used_.tasks;
  }
  identity_ = event.identity;
  stage_ = Stage::kUp;
  probe_at_ = now;
  if (!reattaching_) page_at_ = now;
}

void BrowserGuard::Took(const BrowserRefused& event, Millis now) {
  if (stage_ != Stage::kAttaching) return;
  attach_out_ = false;
  const bool starting = attach_by_ && !reattaching_;
  attach_at_ = now + (starting || reattaching_ ? limits_.attach_interval : limits_.search_interval);
  if (event.lasting && starting) return GiveUp(event.why, now);
  if (limits_.attach_only && !reattaching_ && failure_said_ != event.why) {
    failure_said_ = event.why;
    Say(absl::StrCat("Browser Not Found (", event.why, ")"));
    Unconnected(event.why);
  }
}

void BrowserGuard::Took(const BrowserDropped& event, Millis now) {
  if (stage_ != Stage::kUp) return;
  asked_.reset();
  silent_ = false;
  if (connected_ && !std::exchange(lost_said_, true)) Say(absl::StrCat("Browser Disconnected ", Name()));
  if (connected_ || resting_) Unconnected(event.why);
  recycle_.clear();
  reattaching_ = proven();
  Search(now, reattaching_ || limits_.attach_only ? limits_.drop_patience : limits_.start_timeout);
}

void BrowserGuard::Took(const BrowserAnswered& event, Millis now) {
  if (stage_ != Stage::kUp || !asked_) return;
  const bool page = asked_->probe == Probe::kPage;
  asked_.reset();
  probe_at_ = now + limits_.probe_interval;
  if (!event.ok) return GiveUp(absl::StrCat("no page can be opened: ", event.why), now);
  if (page) page_at_ = now + limits_.page_interval;
  silent_ = false;
  if (!connected_ && recycle_.empty()) Connected(now);
}

void BrowserGuard::Took(const BrowserUse& event, Millis) { used_ = event; }

void BrowserGuard::Took(const BrowserMeasured& event, Millis) { memory_kib_ = event.memory_kib; }

// ---- decisions ----

Millis BrowserGuard::Patience() const {
  return asked_->probe == Probe::kPage ? limits_.page_patience : limits_.probe_patience;
}

void BrowserGuard::StepAttaching(Millis now) {
  if (attach_by_ && now >= *attach_by_) {
    if (limits_.attach_only) {
      if (generation_ != over_) Over("it did not come back", now);
      reattaching_ = false;
      identity_.clear();
      attach_by_.reset();
    } else {
      return GiveUp(reattaching_ ? "its debugging port does not answer"
                                 : absl::StrCat("it did not answer within ",
                                                limits_.start_timeout.count() / 1000, " s"),
                    now);
    }
  }
  if (attach_out_ || now < attach_at_) return;
  attach_out_ = out_.attach = true;
}

// A browser that has only just started may take a question and never answer it: it is asked again over
// another connection, until the time for its start is over.
void BrowserGuard::AskAnew(Millis now) {
  asked_.reset();
  out_.detach = true;
  const std::optional<Millis> by = attach_by_;
  Search(now, Millis(0));
  attach_by_ = by;
  StepAttaching(now);
}

void BrowserGuard::StepUp(Millis now) {
  if (asked_) {
    if (LANEWAY_PLANTED(kBrowserHangMissed)) return;
    const Millis waited = now - asked_->at;
    if (!proven() && waited >= Patience()) return AskAnew(now);
    if (waited >= Patience() + limits_.hang_patience) return GiveUp("it does not answer", now);
    if (waited < Patience() || std::exchange(silent_, true)) return;
    if (connected_ || resting_) Unconnected("it does not answer");
    recycle_.clear();
    Say("Browser Session Timeout");
    return;
  }
  if (now >= measure_at_ && proven() && limits_.recycle_memory_kib > 0) {
    measure_at_ = now + limits_.measure_interval;
    out_.measure = true;
  }
  StepRecycle(now);
  if (stage_ != Stage::kUp || now < probe_at_) return;
  const Probe probe = now >= page_at_ && used_.users == 0 ? Probe::kPage : Probe::kVersion;
  asked_ = Question{probe, now};
  out_.ask = probe;
}

std::string BrowserGuard::RecycleReason(Millis now) const {
  const uint64_t tasks = used_.tasks - tasks_before_;
  if (limits_.recycle_tasks > 0 && tasks >= limits_.recycle_tasks) return absl::StrCat(tasks, " tasks");
  if (limits_.recycle_age > Millis(0) && now - *up_since_ >= limits_.recycle_age)
    return absl::StrCat(limits_.recycle_age.count() / 60'000, " minutes old");
  if (limits_.recycle_memory_kib > 0 && memory_kib_ >= limits_.recycle_memory_kib)
    return absl::StrCat(memory_kib_ / 1024, " MiB");
  return "";
}

// The worker is told to start nothing more with it, and has said that nothing runs.
void BrowserGuard::StepRecycle(Millis now) {
  if (limits_.attach_only || !connected_ || closing_) return;
  if (recycle_.empty()) {
    recycle_ = RecycleReason(now);
    if (recycle_.empty()) return;
    resting_ = true;
    note_ = absl::StrCat("to be recycled: ", recycle_);
    state_changed_ = true;
    return;
  }
  const bool in_use = used_.users > 0 || used_.seen != seq_ || state_changed_;
  if (in_use && !LANEWAY_PLANTED(kBrowserRecycledInUse)) return;
  SayGood(absl::StrCat("Browser Recycled ", Name(), " (", recycle_, ")"));
  memory_kib_ = 0;
  Unconnected(absl::StrCat(kRecycled, recycle_));
  End(BrowserEnd::kGently, now);
}

void BrowserGuard::Step(Millis now, GuardCommands* out) {
  switch (stage_) {
    case Stage::kOff:
    case Stage::kLaunching:
      break;
    case Stage::kWaiting:
      if (now < launch_at_) break;
      if (limits_.attach_only) {
        Search(now, Millis(0));
        StepAttaching(now);
        break;
      }
      stage_ = Stage::kLaunching;
      out_.launch = std::exchange(profile_, ProfileStep::kKeep);
      break;
    case Stage::kAttaching:
      StepAttaching(now);
      break;
    case Stage::kUp:
      StepUp(now);
      break;
    case Stage::kEnding:
      if (now < end_by_ || closing_) break;
      end_by_ = now + limits_.end_patience;
      out_.end = BrowserEnd::kAtOnce;
      break;
  }
  TellState();
  *out = std::exchange(out_, {});
}

std::optional<Millis> BrowserGuard::NextDeadline() const {
  switch (stage_) {
    case Stage::kOff:
    case Stage::kLaunching:
      return std::nullopt;
    case Stage::kWaiting:
      return launch_at_;
    case Stage::kEnding:
      if (closing_) return std::nullopt;  // whoever closes it decides for how long
      return end_by_;
    case Stage::kAttaching:
      if (attach_out_) return attach_by_;
      return attach_by_ ? std::min(attach_at_, *attach_by_) : attach_at_;
    case Stage::kUp:
      if (!asked_)
        return limits_.recycle_memory_kib > 0 && proven() ? std::min(probe_at_, measure_at_) : probe_at_;
      return asked_->at + Patience() + (silent_ ? limits_.hang_patience : Millis(0));
  }
  return std::nullopt;
}

}  // namespace laneway::worker
