// orphans.h: stops processes of attempts whose worker and companion were both killed.
//
// Role:       interface to the kernel's process table; used once at start, before work is taken.
// Promises:   (1) only processes that are provably of a past attempt are touched: a pid given to somebody
//             else since is told by its start time; (2) what was found is dead when the call returns, or
//             counted as left.
// Threads:    functions.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace laneway::worker {

// The variable by which a process that left its session is known. Its value is <companion's token>.<run>.
inline constexpr char kTokenVariable[] = "LANEWAY_ATTEMPT_TOKEN";

struct Survivor {
  int32_t pid = 0;
  uint64_t pid_start = 0;
};
enum class SurvivorFate {
  kGone,     // nothing of it lived
  kStopped,  // killed now
  kReused,   // the pid belongs to somebody else: left alone
  kLeft,     // could not be killed
};
struct SurvivorReport {
  Survivor survivor;
  SurvivorFate fate = SurvivorFate::kGone;
  uint32_t processes = 0;  // killed
};

// Kills the session, process group and descendants of each (pid, start time) that is still the same process;
// when the leader itself is dead, what is left
// of its session, known by LANEWAY_ATTEMPT_TOKEN.
std::vector<SurvivorReport> StopSurvivors(const std::vector<Survivor>& survivors);

// Kills every process that was started by the companion of this token. Returns how many.
uint32_t StopByToken(const std::string& token);

}  // namespace laneway::worker
