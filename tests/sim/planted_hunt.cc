#include "sim/planted_hunt.h"

#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <set>
#include <utility>
#include <vector>

#include "fleet/planted.h"
#include "sim/fleet.h"

namespace laneway::sim {

#if LANEWAY_PLANTED_BUGS
namespace {

using planted::kBugCount;
using Clock = std::chrono::steady_clock;

// Where those are usually noticed that few fleets meet: an order to look in, nothing more. All others show
// within the first fleets of all profiles.
constexpr std::pair<planted::Bug, Profile> kUsually[] = {
    {planted::kL4LateResultAfterRedrive, Profile::kLate},
    {planted::kL5CarriedReplaces, Profile::kRetention},
    {planted::kL6GoneAnyEpoch, Profile::kGone},
    {planted::kI1CountAfterLook, Profile::kGone},
    {planted::kP1NeverResend, Profile::kLanes},
    {planted::kP2HandoverInFlight, Profile::kAbsent},
    {planted::kW2NotHeldIgnored, Profile::kWorkers},
    {planted::kW3HigherFirst, Profile::kLate},
    {planted::kZ1BackwardMove, Profile::kZone},
    {planted::kZ4TakeAgain, Profile::kMixed},
    {planted::kCancelIgnored, Profile::kPauses},
    {planted::kW3ReleaseUnnoted, Profile::kLanes},
    {planted::kR1Instant, Profile::kAbsent},
    {planted::kBrowserHoldsAll, Profile::kBrowsers},
    {planted::kBrowserLossIgnored, Profile::kBrowsers},
    {planted::kBrowserFailRetried, Profile::kBrowsers},
    {planted::kBrowserSilenceMissed, Profile::kBrowsers},
};

// Written by the processes that hunt, read by the first.
struct Catch {
  bool caught = false;
  uint64_t seeds = 0;  // run so far
  uint64_t seed = 0;   // the last
  double seconds = 0;
  char by[256] = {};
};
struct Shared {
  std::atomic<size_t> next{0};
  Catch bugs[kBugCount];
};

double Since(Clock::time_point begun) { return std::chrono::duration<double>(Clock::now() - begun).count(); }

// A process of its own: a bug may end it.
void Hunt(const HuntOptions& options, size_t bug, Catch* found) {
  planted::switched_on[bug] = true;
  const auto begun = Clock::now();
  const auto usual = std::find_if(std::begin(kUsually), std::end(kUsually),
                                  [bug](const auto& entry) { return entry.first == bug; });
  for (uint64_t number = 1; Since(begun) < options.bug_seconds; number++) {
    const bool first = usual != std::end(kUsually) && Since(begun) < options.bug_seconds / 2;
    found->seed = first ? SeedOf(usual->second, number) : number;
    alarm(60);
    const Outcome outcome = RunSeed(found->seed, false);
    found->seeds++;
    found->seconds = Since(begun);
    if (outcome.violation.empty()) continue;
    std::snprintf(found->by, sizeof found->by, "%s", outcome.violation.c_str());
    found->caught = true;
    return;
  }
}

void HuntInTurn(const HuntOptions& options, Shared* shared) {
  for (size_t bug; (bug = shared->next++) < kBugCount;) {
    if (!options.bug.empty() && options.bug != planted::kBugs[bug].name) continue;
    Catch& found = shared->bugs[bug];
    const pid_t pid = fork();
    if (pid < 0) std::abort();
    if (pid == 0) {
      Hunt(options, bug, &found);
      _exit(0);
    }
    int status = 0;
    waitpid(pid, &status, 0);
    if (!WIFSIGNALED(status)) continue;
    found.caught = true;
    std::snprintf(found.by, sizeof found.by, "the process stopped: %s", strsignal(WTERMSIG(status)));
  }
}

// The rule a bug breaks, "" when it breaks none of those with a name.
std::string RuleOf(const planted::BugInfo& bug) {
  const std::string_view rule = bug.text.substr(0, std::min(bug.text.find(':'), bug.text.size()));
  return rule.size() == 2 ? std::string(rule) : std::string();
}

// Prints the table; how many were not noticed, rules included.
size_t Report(const HuntOptions& options, const Shared& shared) {
  // Those that break a property when they are left out (docs/rules.md).
  std::set<std::string> rules = {"L1", "L2", "L3", "L4", "L5", "L6", "L7", "I1", "E1", "P1", "P2",
                                 "W1", "W2", "W3", "R1", "R2", "Z1", "Z2", "Z3", "Z4", "Z5"};
  size_t missed = 0, caught = 0;
  for (size_t bug = 0; bug < kBugCount; bug++) {
    const planted::BugInfo& info = planted::kBugs[bug];
    if (!options.bug.empty() && options.bug != info.name) continue;
    const Catch& found = shared.bugs[bug];
    found.caught ? caught++ : missed++;
    if (found.caught) rules.erase(RuleOf(info));
    std::printf("%-26s %-10s %5llu seeds %5.1f s  %-10s %s\n", std::string(info.name).c_str(),
                found.caught ? "caught" : "NOT CAUGHT", static_cast<unsigned long long>(found.seeds),
                found.seconds, std::string(ProfileName(MakePlan(found.seed).profile)).c_str(),
                found.caught ? std::string(found.by).substr(0, 110).c_str() : std::string(info.text).c_str());
    if (found.caught) continue;
    std::printf("  again: sim --planted --bug %s --bug-seconds 120\n", std::string(info.name).c_str());
  }
  std::printf("%zu planted bugs caught, %zu not\n", caught, missed);
  if (!options.bug.empty()) return missed;
  for (const std::string& rule : rules) std::printf("rule %s: none of its bugs was caught\n", rule.c_str());
  return missed + rules.size();
}

}  // namespace

int HuntPlanted(const HuntOptions& options) {
  void* room = mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (room == MAP_FAILED) std::abort();
  auto* shared = new (room) Shared();
  std::vector<pid_t> hunters;
  for (unsigned i = 0; i < options.jobs; i++) {
    const pid_t pid = fork();
    if (pid < 0) std::abort();
    if (pid == 0) {
      HuntInTurn(options, shared);
      _exit(0);
    }
    hunters.push_back(pid);
  }
  for (const pid_t pid : hunters) waitpid(pid, nullptr, 0);
  const size_t missed = Report(options, *shared);
  munmap(room, sizeof(Shared));
  return missed == 0 ? 0 : 1;
}
#else
int HuntPlanted(const HuntOptions&) {
  std::printf("this build has no planted bugs (LANEWAY_PLANTED_BUGS)\n");
  return 2;
}
#endif

}  // namespace laneway::sim
