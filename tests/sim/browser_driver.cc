#include "sim/browser_driver.h"

#include <algorithm>

namespace laneway::sim {
namespace {

constexpr int64_t kHandshakeMs = 5000;  // a port that takes a connection and says nothing
constexpr int64_t kCloseMs = 15000;     // asked to end; then it is killed

worker::GuardLimits LimitsOf(World* world) {
  Rng& rng = world->rng();
  worker::GuardLimits limits;
  if (rng.Below(2) == 0) limits.recycle_tasks = static_cast<uint32_t>(rng.Between(2, 6));
  if (rng.Below(4) == 0) limits.recycle_age = Millis(rng.Between(30000, 120000));
  limits.page_interval = Millis(rng.Between(5000, 60000));
  return limits;
}

}  // namespace

// ---- the machine's side

void SimBrowser::Tell(uint64_t what, const std::string& text) const {
  world_->Tell(HashBytes(name_) + what, [&] { return absl::StrCat("BROWSER of ", name_, " ", text); });
}

void SimBrowser::Exit(const std::string& why) {
  if (!runs_) return;
  Tell(61, absl::StrCat("ends, generation ", generation_, ": ", why));
  runs_ = false;
  hung_until_ = 0;
  if (user_ != nullptr) user_->OnExit(why);
}

void SimBrowser::Hang(int64_t ms) {
  if (!runs_) return;
  Tell(63, absl::StrCat("hangs for ", ms, " ms"));
  hung_until_ = std::max(hung_until_, world_->now() + ms);
}

void SimBrowser::Drop() {
  if (user_ != nullptr && user_->attached_ != 0)
    user_->PortSays(user_->attached_, worker::BrowserDropped{"reset"});
}

void SimBrowser::FailStarts(int64_t ms) {
  Tell(65, absl::StrCat("cannot be started for ", ms, " ms"));
  starts_fail_until_ = std::max(starts_fail_until_, world_->now() + ms);
}

void SimBrowser::HoldStarts(int64_t ms) {
  Tell(67, absl::StrCat("starts only in ", ms, " ms"));
  starts_held_until_ = std::max(starts_held_until_, world_->now() + ms);
}

void SimBrowser::LoseHealth(int64_t ms) {
  Tell(69, absl::StrCat("is not told of for ", ms, " ms"));
  health_lost_until_ = std::max(health_lost_until_, world_->now() + ms);
}

void SimBrowser::Heal() { hung_until_ = starts_fail_until_ = starts_held_until_ = health_lost_until_ = 0; }

// ---- the worker's side

BrowserDriver::BrowserDriver(World* world, ProcRef proc, const HostClock* clock, Witness* witness,
                             WorkerId worker, SimBrowser* browser, Told told)
    : world_(world),
      proc_(std::move(proc)),
      clock_(clock),
      witness_(witness),
      worker_(std::move(worker)),
      browser_(browser),
      told_(std::move(told)),
      limits_(LimitsOf(world)),
      guard_(limits_, 9222) {}

Millis BrowserDriver::Now() const {
  return Millis(1000000 + world_->now() + world_->now() * clock_->drift_ppm / 1000000);
}

void BrowserDriver::Begin() {
  browser_->user_ = this;
  guard_.Begin(Now());
  Step();
}

void BrowserDriver::OnUse(const worker::BrowserUse& use) {
  uses_.push_back(use);
  world_->Post(proc_, world_->rng().Delay(2, 50), [this] {
    const worker::BrowserUse next = uses_.front();
    uses_.pop_front();
    Take(next);
  });
}

void BrowserDriver::Close(std::function<void()> closed) {
  closed_ = std::move(closed);
  guard_.Close();
  world_->Post(proc_, kCloseMs, [this] {
    if (!closed_) return;
    guard_.Close();
    Step();
  });
  Step();
}

void BrowserDriver::Take(const worker::GuardEvent& event) {
  guard_.On(event, Now());
  Step();
}

void BrowserDriver::Step() {
  worker::GuardCommands commands;
  const Millis now = Now();
  guard_.Step(now, &commands);
  CarryOut(std::move(commands));
  // Invariant 1: what does not answer counts as connected for as long as it is given to answer.
  const bool silent =
      asked_ && now - asked_->second >=
                    (asked_->first == worker::Probe::kPage ? limits_.page_patience : limits_.probe_patience);
  if (silent && guard_.connected()) {
    world_->Fail("browser", absl::StrCat("the browser of ", worker_.name, " has not answered for ",
                                         (now - asked_->second).count(), " ms and counts as connected"));
  }
  const uint64_t timer = ++timer_;
  if (const auto due = guard_.NextDeadline()) {
    if (*due <= now) world_->Fail("browser", absl::StrCat("the guard of ", worker_.name, " never rests"));
    world_->Post(proc_, std::max<int64_t>((*due - now).count(), 1), [this, timer] {
      if (timer == timer_) Step();
    });
  }
  if (closed_ && guard_.closed()) std::exchange(closed_, nullptr)();
}

void BrowserDriver::CarryOut(worker::GuardCommands commands) {
  for (const worker::BrowserLine& line : commands.lines) {
    if (line.text.starts_with("Browser Recycled")) witness_->OnBrowserRecycled(worker_);
  }
  if (commands.state) CheckState(*commands.state);
  if (commands.state || !commands.lines.empty())
    told_({std::move(commands.state), std::move(commands.lines)});
  if (commands.detach) link_ = attached_ = 0, asked_.reset();
  if (commands.end) End(*commands.end);
  if (commands.launch) Launch();
  if (commands.attach) {
    attached_ = 0;
    Attach(link_ = next_link_++, kHandshakeMs);
  }
  if (commands.ask) {
    asked_ = {*commands.ask, Now()};
    Ask(link_, *commands.ask, browser_->generation_);
  }
}

void BrowserDriver::CheckState(const worker::BrowserState& state) {
  world_->Count("browser states told");
  if (state.connected && (answered_ != state.generation || state.generation <= state.over))
    world_->Fail("browser",
                 absl::StrCat("the browser of ", worker_.name, " is called connected in generation ",
                              state.generation, ", which is over or has never answered"));
}

// ---- the keeper

void BrowserDriver::Launch() {
  const int64_t held = browser_->starts_held_until_ - world_->now();
  world_->Post(proc_, std::max(held, world_->rng().Delay(100, 2000)), [this] { LaunchNow(); });
}

void BrowserDriver::LaunchNow() {
  Rng& rng = world_->rng();
  if (browser_->runs_) {
    world_->Count("browsers adopted");
    return KeeperSays(worker::BrowserLaunched{browser_->generation_, true}, 0);
  }
  const bool fails = world_->now() < browser_->starts_fail_until_;
  if (fails && rng.Below(2) == 0) return KeeperSays(worker::BrowserLaunchFailed{"no such luck"}, 0);
  world_->Count("browsers started");
  browser_->runs_ = true;
  browser_->generation_++;
  browser_->hung_until_ = 0;
  browser_->listens_at_ =
      world_->now() + (rng.Below(20) == 0 ? rng.Between(0, 25000) : rng.Between(50, 2000));
  browser_->Tell(71, absl::StrCat("starts, generation ", browser_->generation_));
  KeeperSays(worker::BrowserLaunched{browser_->generation_, false}, rng.Delay(5, 200));
  if (!fails) return;
  browser_->listens_at_ = INT64_MAX;
  world_->After(rng.Between(1, 3000), [browser = browser_, generation = browser_->generation_] {
    if (browser->generation_ == generation) browser->Exit("it cannot run");
  });
}

void BrowserDriver::End(worker::BrowserEnd how) {
  const bool gently = how == worker::BrowserEnd::kGently;
  world_->After(world_->rng().Delay(200, gently ? 4000 : 400), [this, gently, was = browser_->generation_] {
    if (browser_->generation_ != was || (gently && browser_->hung())) return;
    browser_->Exit(gently ? "asked to" : "killed");
  });
}

void BrowserDriver::OnExit(const std::string& why) {
  if (!proc_->alive) return;
  KeeperSays(worker::BrowserExited{why}, world_->rng().Delay(20, 500));
  if (attached_ != 0) PortSays(attached_, worker::BrowserDropped{"closed"});
}

void BrowserDriver::KeeperSays(worker::GuardEvent event, int64_t delay) {
  from_keeper_.push_back(std::move(event));
  world_->Post(proc_, delay, [this] {
    const worker::GuardEvent next = from_keeper_.front();
    from_keeper_.pop_front();
    Take(next);
  });
}

// ---- the debugging port

void BrowserDriver::Attach(Link link, int64_t patience_ms) {
  const int64_t takes = world_->rng().Delay(10, 300);
  world_->After(takes, [this, link, patience_ms] {
    if (link != link_ || !proc_->alive) return;
    if (browser_->runs_ && browser_->hung() && patience_ms > 0) return Attach(link, patience_ms - 500);
    if (!browser_->runs_ || browser_->hung() || world_->now() < browser_->listens_at_)
      return PortSays(link, worker::BrowserRefused{"nobody answers"});
    attached_ = link;
    PortSays(link, worker::BrowserAttached{absl::StrCat("browser ", browser_->generation_)});
  });
}

void BrowserDriver::Ask(Link link, worker::Probe probe, uint32_t generation) {
  Rng& rng = world_->rng();
  const int64_t takes = rng.Below(50) == 0 ? rng.Between(0, 4000) : rng.Between(1, 100);
  world_->After(takes, [this, link, probe, generation] {
    if (link != link_ || !browser_->runs_ || browser_->generation_ != generation) return;
    if (browser_->hung()) return Ask(link, probe, generation);
    answered_ = generation;
    const bool ok = !world_->faults() || probe != worker::Probe::kPage || world_->rng().Below(50) != 0;
    PortSays(link, worker::BrowserAnswered{ok, ok ? "" : "no page"});
  });
}

void BrowserDriver::PortSays(Link link, worker::GuardEvent event) {
  from_port_.emplace_back(link, std::move(event));
  world_->Post(proc_, world_->rng().Delay(3, 50), [this] {
    const auto [from, next] = from_port_.front();
    from_port_.pop_front();
    OnPort(from, next);
  });
}

void BrowserDriver::OnPort(Link link, const worker::GuardEvent& event) {
  if (link != link_) return;  // of a connection that was let go
  asked_.reset();             // answered, or it is gone
  if (std::holds_alternative<worker::BrowserDropped>(event)) attached_ = 0;
  Take(event);
}

}  // namespace laneway::sim
