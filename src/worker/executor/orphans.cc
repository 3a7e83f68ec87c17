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

// A handle of that very process, not of another one that was given its number; -1: it is gone.
int Hold(const Process& process) {
  const int fd = static_cast<int>(syscall(SYS_pidfd_open, process.pid, 0));
  if (fd < 0) return -1;
  const auto now = ReadProcess(process.pid);
  if (now && now->start == process.start && now->state != 'Z') return fd;
  close(fd);
  return -1;
}

void Signal(int pidfd, int signal) { syscall(SYS_pidfd_send_signal, pidfd, signal, nullptr, 0); }

struct Killed {
  uint32_t count = 0;
  bool all = true;
};

// Kills what `wanted` names until nothing of it is left.
Killed KillAll(const std::function<bool(const std::map<pid_t, Process>&, const Process&)>& wanted) {
  Killed killed;
  for (int round = 0; round < kRoundsMax; round++) {
    const std::map<pid_t, Process> table = ReadProcesses();
    std::vector<int> victims;
    for (const auto& [pid, process] : table) {
      if (process.state == 'Z' || pid == getpid() || !wanted(table, process)) continue;
      if (const int fd = Hold(process); fd >= 0) victims.push_back(fd);
    }
    if (victims.empty()) return killed;
    for (const int victim : victims) Signal(victim, SIGSTOP);  // so that none can fork away from us meanwhile
    for (const int victim : victims) Signal(victim, SIGKILL);
    for (const int victim : victims) {
      pollfd wait{victim, POLLIN, 0};
      if (poll(&wait, 1, kDeathWaitMs) == 1) {
        killed.count++;
      } else {
        killed.all = false;
      }
      close(victim);
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
