#include "worker/browser/browsers.h"

#include <future>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "worker/browser/port_owner.h"
#include "worker/executor/process_table.h"

namespace laneway::worker {
namespace {

constexpr Millis kCloseTime{5'000};  // after which it is sent a signal

// What the browser and all below it hold in memory; pages that several share are counted once.
uint64_t MemoryKib(pid_t browser) {
  const std::map<pid_t, Process> table = ReadProcesses();
  uint64_t sum = 0;
  for (const auto& [pid, process] : table) {
    if (pid != browser && !Descends(table, pid, browser)) continue;
    const std::string text = ReadSmallFile(absl::StrCat("/proc/", pid, "/smaps_rollup"));
    const size_t at = text.find("\nPss:");
    uint64_t kib = 0;
    if (at == std::string::npos) continue;
    const std::vector<std::string> words = absl::StrSplit(text.substr(at + 5, 32), ' ', absl::SkipEmpty());
    if (!words.empty() && absl::SimpleAtoi(words[0], &kib)) sum += kib;
  }
  return sum;
}

}  // namespace

struct Browsers::One {
  One(BrowserSpec spec_in) : spec(std::move(spec_in)), guard(spec.limits, spec.plan.port) {}

  BrowserSpec spec;
  BrowserGuard guard;
  std::unique_ptr<KeeperLink> keeper;
  DebugClient::LinkId link = 0;  // 0: none
  ops::Loop::TimerId timer;
};

Browsers::Browsers(const ops::Clock* clock, std::vector<BrowserSpec> specs, Told told)
    : clock_(clock), told_(std::move(told)) {
  for (BrowserSpec& spec : specs) ones_.push_back(std::make_unique<One>(std::move(spec)));
}

Browsers::~Browsers() {
  debug_.reset();
  if (!started_) return;
  loop_.Call([this] {  // what they watch is the loop's
    for (const auto& one : ones_) one->keeper.reset();
  });
  loop_.Stop();
  loop_.Join();
}

Millis Browsers::Now() const { return std::chrono::duration_cast<Millis>(clock_->Boot()); }

void Browsers::Start() {
  started_ = true;
  loop_.Start();
  debug_ = std::make_unique<DebugClient>([this](DebugClient::LinkId link, const GuardEvent& event) {
    loop_.Post([this, link, event] { OnDebug(link, event); });
  });
  loop_.Post([this] {
    for (const auto& owner : ones_) {
      One* one = owner.get();
      one->keeper = std::make_unique<KeeperLink>(
          &loop_, clock_, one->spec.plan,
          [this, one](const GuardEvent& event) { loop_.Post([this, one, event] { Take(*one, event); }); });
      one->guard.Begin(Now());
      Step(*one);
    }
  });
}

void Browsers::OnUse(const WorkerId& worker, const BrowserUse& use) {
  loop_.Post([this, worker, use] {
    for (const auto& one : ones_) {
      if (one->spec.worker == worker) Take(*one, use);
    }
  });
}

void Browsers::Take(One& one, const GuardEvent& event) {
  one.guard.On(event, Now());
  Step(one);
}

void Browsers::OnDebug(DebugClient::LinkId link, const GuardEvent& event) {
  for (const auto& one : ones_) {
    if (one->link != link) continue;  // of a connection that was let go
    std::string who;
    if (std::holds_alternative<BrowserAttached>(event) && !IsOwn(*one, &who)) {
      debug_->Detach(std::exchange(one->link, 0));
      return Take(*one,
                  BrowserRefused{absl::StrCat("port ", one->spec.plan.port, " is served by ", who), true});
    }
    return Take(*one, event);
  }
}

// What answers on the port is the browser that was started for it, not one that was quicker.
bool Browsers::IsOwn(const One& one, std::string* who) const {
  if (one.spec.limits.attach_only) return true;
  const auto owner = WhoListens(one.spec.plan.port);
  if (!owner || owner->pid == one.keeper->pid()) return true;
  if (owner->pid != 0 && Descends(ReadProcesses(), owner->pid, one.keeper->pid())) return true;
  *who = Describe(*owner);
  return false;
}

void Browsers::Step(One& one) {
  GuardCommands commands;
  one.guard.Step(Now(), &commands);
  CarryOut(one, std::move(commands));
  loop_.Cancel(one.timer);
  one.timer = {};
  if (const auto due = one.guard.NextDeadline())
    one.timer = loop_.RunAfter(std::max(*due - Now(), Millis(1)), [this, which = &one] { Step(*which); });
  CheckClosed();
}

void Browsers::CarryOut(One& one, GuardCommands commands) {
  if (commands.state || !commands.lines.empty() || !commands.alerts.empty())
    told_(one.spec.worker,
          {std::move(commands.state), std::move(commands.lines), std::move(commands.alerts)});
  if (commands.detach && one.link != 0) debug_->Detach(std::exchange(one.link, 0));
  if (commands.end) End(one, *commands.end);
  if (commands.launch) one.keeper->Launch(*commands.launch);
  if (commands.attach) {
    if (one.link != 0) debug_->Detach(one.link);
    debug_->Attach(one.link = next_link_++, one.spec.plan.port);
  }
  if (commands.ask) debug_->Ask(one.link, *commands.ask);
  if (commands.measure) {
    loop_.Post([this, which = &one] {
      if (which->keeper->pid() > 0) Take(*which, BrowserMeasured{MemoryKib(which->keeper->pid())});
    });
  }
}

// A browser that is asked over its connection writes what it still holds, such as a login; a signal does not
// wait for that.
void Browsers::End(One& one, BrowserEnd how) {
  if (how == BrowserEnd::kAtOnce || one.link == 0) return one.keeper->End(how);
  debug_->Close(one.link);
  loop_.RunAfter(kCloseTime, [which = &one, pid = one.keeper->pid()] {
    if (which->keeper->pid() == pid) which->keeper->End(BrowserEnd::kGently);
  });
}

void Browsers::CheckClosed() {
  if (!closed_) return;
  for (const auto& one : ones_) {
    if (!one->guard.closed()) return;
  }
  std::exchange(closed_, nullptr)();
}

void Browsers::CloseAll() {
  for (const auto& one : ones_) {
    one->guard.Close();
    Step(*one);
  }
}

void Browsers::Hurry() {
  loop_.Post([this] {
    hurried_ = true;
    if (closed_) CloseAll();
  });
}

void Browsers::Stop(Millis patience) {
  if (!started_) return;
  std::promise<void> closed;
  std::future<void> done = closed.get_future();
  const bool accepted = loop_.Post([this, &closed] {
    closed_ = [&closed] { closed.set_value(); };
    CloseAll();
    if (hurried_) CloseAll();
    CheckClosed();
  });
  if (!accepted) return;
  if (done.wait_for(patience) == std::future_status::ready) return;
  loop_.Call([this] { CloseAll(); });
  if (done.wait_for(Millis(5'000)) != std::future_status::ready) loop_.Call([this] { closed_ = nullptr; });
}

}  // namespace laneway::worker
