#include "worker/executor/orphans.h"

#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <functional>
#include <map>

#include "worker/executor/process_table.h"

namespace laneway::worker {
namespace {

constexpr int kRoundsMax = 50;      // against processes that fork while they are killed
constexpr int kDeathWaitMs = 1000;  // for each process that was sent SIGKILL

// Kills that very process, not another one of the same pid, and waits for its death.
bool Kill(const Process& process) {
  const int fd = static_cast<int>(syscall(SYS_pidfd_open, process.pid, 0));
  if (fd < 0) return true;
  bool dead = true;
  const auto now = ReadProcess(process.pid);
  if (now && now->start == process.start && now->state != 'Z') {
    syscall(SYS_pidfd_send_signal, fd, SIGKILL, nullptr, 0);
    pollfd wait{fd, POLLIN, 0};
    dead = poll(&wait, 1, kDeathWaitMs) == 1;
  }
  close(fd);
  return dead;
}

struct Killed {
  uint32_t count = 0;
  bool all = true;
};

// Kills what `wanted` names until nothing of it is left.
Killed KillAll(const std::function<bool(const std::map<pid_t, Process>&, const Process&)>& wanted) {
  Killed killed;
  for (int round = 0; round < kRoundsMax; round++) {
    const std::map<pid_t, Process> table = ReadProcesses();
    std::vector<Process> victims;
    for (const auto& [pid, process] : table) {
      if (process.state != 'Z' && pid != getpid() && wanted(table, process)) victims.push_back(process);
    }
    if (victims.empty()) return killed;
    for (const Process& victim : victims) kill(victim.pid, SIGSTOP);  // so that it cannot fork away from us
    for (const Process& victim : victims) {
      if (Kill(victim)) {
        killed.count++;
      } else {
        killed.all = false;
      }
    }
    if (!killed.all) return killed;
  }
  killed.all = false;
  return killed;
}

SurvivorReport StopSurvivor(const Survivor& survivor) {
  SurvivorReport report{survivor};
  if (survivor.pid <= 1) return report;
  const auto leader = ReadProcess(survivor.pid);
  const bool same = leader && leader->start == survivor.pid_start;
  if (leader && !same) {
    report.fate = SurvivorFate::kReused;
    return report;
  }
  const std::string token = std::string(kTokenVariable) + "=";
  const Killed killed = KillAll([&](const std::map<pid_t, Process>& table, const Process& process) {
    if (process.start < survivor.pid_start) return false;
    if (process.pid == survivor.pid) return process.start == survivor.pid_start;
    const bool member = process.session == survivor.pid || process.group == survivor.pid;
    if (same && table.contains(survivor.pid)) return member || Descends(table, process.pid, survivor.pid);
    return member && EnvironmentHas(process.pid, token);
  });
  report.processes = killed.count;
  if (killed.count > 0) report.fate = SurvivorFate::kStopped;
  if (!killed.all) report.fate = SurvivorFate::kLeft;
  return report;
}

}  // namespace

std::vector<SurvivorReport> StopSurvivors(const std::vector<Survivor>& survivors) {
  std::vector<SurvivorReport> reports;
  reports.reserve(survivors.size());
  for (const Survivor& survivor : survivors) reports.push_back(StopSurvivor(survivor));
  return reports;
}

uint32_t StopByToken(const std::string& token) {
  if (token.empty()) return 0;
  const std::string variable = std::string(kTokenVariable) + "=" + token + ".";
  return KillAll([&variable](const std::map<pid_t, Process>&, const Process& process) {
           return EnvironmentHas(process.pid, variable);
         })
      .count;
}

}  // namespace laneway::worker
