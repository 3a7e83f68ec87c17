// A run's way through the companion, from its start to its end, and what becomes of the processes it leaves.
#include <signal.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "worker/executor/companion_process.h"
#include "worker/executor/orphans.h"
#include "worker/executor/process_table.h"

namespace laneway::worker {

namespace {

using std::chrono::milliseconds;

constexpr milliseconds kStrayWindow{1000};  // an adopted process may be of any run that ended since
constexpr size_t kOutBytesMax = 1 << 20;    // reports wait while the main process does not read
// Of all threads of the machine, beyond those there are: so that a bomb cannot fill the process table between
// two looks.
constexpr uint64_t kProcessesSlack = 1024;

}  // namespace

// ---- a run's way ----

void CompanionProcess::HandleStart(wire::StartRun start) {
  const uint64_t id = start.run;
  auto [it, fresh] = runs_.try_emplace(id, std::make_unique<AttemptRun>(std::move(start), epoll_fd_, now_));
  if (fresh) Launch(it->second.get());
}

uint64_t CompanionProcess::ProcessesOfUserMax(const AttemptRun& run) const {
  if (run.start.processes_max == 0 || run.cgroup || geteuid() == 0) return 0;
  const uint64_t threads = ThreadsOfMachine();
  return threads == 0 ? 0 : threads + run.start.processes_max + kProcessesSlack;
}

void CompanionProcess::Launch(AttemptRun* run) {
  SpawnJob job;
  job.run = run->run();
  if (const int error = run->MakePipes(&job.stdout_fd, &job.stderr_fd); error != 0) {
    return CannotStart(run, std::string("no pipe can be made: ") + std::strerror(error));
  }
  if (run->start.processes_max > 0) {
    if (!pids_limit_) pids_limit_ = std::make_unique<PidsLimit>();
    run->cgroup = pids_limit_->Make(run->run(), run->start.processes_max);
    if (run->cgroup) job.cgroup_procs_fd = run->cgroup->procs_fd;
    if (!run->cgroup) CountRuns(+1);
  }
  job.processes_of_user_max = ProcessesOfUserMax(*run);
  job.argv = std::move(run->start.argv);
  job.environment = std::move(run->start.environment);
  job.environment.push_back(std::string(kTokenVariable) + "=" + token_ + "." + std::to_string(run->run()));
  spawner_->Submit(std::move(job));
}

void CompanionProcess::Launched(SpawnDone done) {
  const auto found = runs_.find(done.run);
  if (found == runs_.end()) return;  // cannot be: a run that is being started is not finished
  AttemptRun* run = found->second.get();
  if (!done.error.empty()) return CannotStart(run, std::move(done.error));
  run->pid = done.result.pid;
  run->pidfd = done.result.pidfd;
  run->stage = RunStage::kRunning;
  run->started_at = now_;
  if (run->start.timeout_ms > 0) run->timeout_at = now_ + milliseconds(run->start.timeout_ms);
  Watch(run->pidfd, TagOf(kPidfd, run->run()));
  Watch(run->stdout_fd, TagOf(kStdout, run->run()));
  Watch(run->stderr_fd, TagOf(kStderr, run->run()));
  Send(wire::RunStarted{run->run(), run->pid, done.result.pid_start});
  if (main_gone_ || quit_) {
    KillRun(run);
  } else if (run->facts.cause != StopCause::kNone) {
    Terminate(run, run->facts.cause);
  }
  SetTimer(run);
}

void CompanionProcess::CannotStart(AttemptRun* run, std::string why) {
  wire::RunEnded message{run->run(), {}};
  message.ended.ending = v1::CANNOT_START;
  if (run->facts.cause == StopCause::kStop) message.ended.ending = v1::STOPPED;
  message.ended.message = std::move(why);
  Send(message);
  if (run->cgroup) pids_limit_->Remove(&*run->cgroup);
  if (run->start.processes_max > 0 && !run->cgroup) CountRuns(-1);
  runs_.erase(run->run());
}

bool CompanionProcess::IsDead(const AttemptRun& run) const {
  siginfo_t info{};
  return waitid(P_PID, static_cast<id_t>(run.pid), &info, WEXITED | WNOHANG | WNOWAIT | __WALL) == 0 &&
         info.si_pid != 0;
}

void CompanionProcess::HandleStop(const wire::StopRun& stop) {
  const auto found = runs_.find(stop.run);
  if (found == runs_.end()) return;
  AttemptRun* run = found->second.get();
  run->facts.stop_reason =
      static_cast<StopReason>(std::min(stop.reason, static_cast<uint32_t>(StopReason::kBrowserGone)));
  Terminate(run, StopCause::kStop);
  SetTimer(run);
}

void CompanionProcess::Terminate(AttemptRun* run, StopCause cause) {
  if (run->stage == RunStage::kSpawning) {
    run->facts.cause = cause;
    return;
  }
  if (run->stage != RunStage::kRunning || run->leader_gone()) return;
  if (IsDead(*run)) return LeaderDied(run);  // it was done before
  run->facts.cause = cause;
  run->stage = RunStage::kTerminating;
  run->kill_at = now_ + milliseconds(run->start.kill_grace_ms);
  kill(-run->pid, SIGTERM);
  kill(-run->pid, SIGCONT);  // a stopped process would not hear it
}

void CompanionProcess::KillRun(AttemptRun* run) {
  if (run->stage == RunStage::kSpawning) return;  // see Launched
  run->stage = RunStage::kKilled;
  if (!run->give_up_at) run->give_up_at = now_ + kGiveUpAfter;
  // While the leader has not been waited for its number is its own, dead or alive. What is left after that is
  // swept.
  if (!run->leader_gone()) kill(-run->pid, SIGKILL);
  children_changed_ = true;
  SetTimer(run);
}

void CompanionProcess::LeaderDied(AttemptRun* run) {
  if (run->leader_gone()) return;
  // The script is over when its leader is; only one that was asked to stop may have helpers that still tidy
  // up.
  const bool grace = run->stage == RunStage::kTerminating;
  if (!grace) kill(-run->pid, SIGKILL);
  if (wait4(run->pid, &run->wait_status, WNOHANG | __WALL, &run->usage) != run->pid) return;
  run->ClosePidfd();
  if (!grace) run->stage = RunStage::kKilled;
  run->leader_gone_at = now_;
  run->give_up_at = now_ + kGiveUpAfter + (grace ? milliseconds(run->start.kill_grace_ms) : milliseconds(0));
  const bool sigkill = WIFSIGNALED(run->wait_status) && WTERMSIG(run->wait_status) == SIGKILL;
  if (sigkill && run->facts.cause == StopCause::kNone && !main_gone_ && !quit_) {
    const uint64_t kills = OomKills();
    run->facts.out_of_memory = kills > oom_kills_;
    oom_kills_ = std::min(kills, oom_kills_ + 1);  // each kill explains one death
  }
  ended_.insert(run->run());
  children_changed_ = true;
}

void CompanionProcess::TellReport(AttemptRun* run, bool at_once) {
  if (!at_once && out_.size() > kOutBytesMax) return;
  if (std::optional<Reported> report = run->TakeReport(now_, at_once)) {
    Send(wire::RunReported{run->run(), std::move(*report)});
  }
}

void CompanionProcess::Finish(AttemptRun* run) {
  if (!run->leader_gone()) abandoned_.insert(run->pid);
  run->Drain();
  TellReport(run, true);
  run->log.Close();
  Send(wire::RunEnded{run->run(), run->MakeEnded()});
  if (run->cgroup) {
    pids_limit_->Remove(&*run->cgroup);
  } else if (run->start.processes_max > 0) {
    CountRuns(-1);
  }
  if (run->timer) timers_.erase({*run->timer, run->run()});
  ended_.erase(run->run());
  siblings_due_ = true;
  runs_.erase(run->run());
}

// ---- children ----

bool CompanionProcess::IsSpared(int32_t stray) const {
  if (main_gone_ || quit_) return false;
  const pid_t session = getsid(stray);
  for (const uint64_t id : ended_) {
    const AttemptRun& run = *runs_.at(id);
    if (run.pid == session && run.stage == RunStage::kTerminating) return true;
  }
  return false;
}

void CompanionProcess::SweepStrays() {
  children_changed_ = false;
  while (true) {
    const pid_t dead = wait4(-1, nullptr, WNOHANG | __WNOTHREAD | __WALL, nullptr);
    if (dead > 0) {
      strays_.erase(dead);
      continue;
    }
    if (dead < 0 && errno != EINTR) {  // ECHILD: there is none at all
      strays_.clear();
      return;
    }
    if (dead == 0) break;
  }
  std::map<int32_t, SteadyTime> found;
  std::set<pid_t> running{getpgrp()};
  for (const auto& [id, run] : runs_) {
    if (!run->leader_gone()) running.insert(run->pid);
  }
  for (const pid_t pid : ChildrenOfThread(getpid(), getpid())) {
    const auto known = strays_.find(pid);
    found.emplace(pid, known == strays_.end() ? now_ : known->second);
    if (IsSpared(pid)) continue;
    // Its group first, in one step: a bomb within a group cannot outrun that.
    const pid_t group = getpgid(pid);
    if (group > 1 && !running.contains(group)) kill(-group, SIGKILL);
    kill(pid, SIGKILL);
  }
  strays_ = std::move(found);
  if (!strays_.empty()) next_tick_ = std::min(next_tick_, now_ + kSweepInterval);
}

void CompanionProcess::SweepSiblings() {
  if (spawner_->in_flight() > 0) return;  // a leader we have not heard of looks the same
  siblings_due_ = false;
  std::set<int32_t> leaders(abandoned_);
  for (const auto& [id, run] : runs_) leaders.insert(run->pid);
  for (const pid_t thread : spawner_->threads()) {
    for (const pid_t pid : ChildrenOfThread(getpid(), thread)) {
      if (leaders.contains(pid)) continue;
      kill(pid, SIGKILL);
      waitpid(pid, nullptr, WNOHANG | __WALL);
    }
  }
}

void CompanionProcess::FinishEnded() {
  if (ended_.empty()) return;
  // Sweep once more when somebody died after the last sweep began: his children are ours since.
  if (children_changed_) SweepStrays();
  for (auto it = ended_.begin(); it != ended_.end();) {
    AttemptRun* run = runs_.at(*it++).get();
    bool alone = true;
    for (const auto& [pid, since] : strays_) alone &= since + kStrayWindow < *run->leader_gone_at;
    if (alone) Finish(run);
    if (!alone) SetTimer(run);
  }
}

// Deaths of adopted processes matter only while somebody waits for them; else each child would wake us twice.
void CompanionProcess::WatchChildren() {
  const bool wanted = !strays_.empty();
  if (wanted == watching_children_) return;
  watching_children_ = wanted;
  Watch(signal_fd_, kSignal, wanted ? EPOLLIN : 0u, EPOLL_CTL_MOD);
}

void CompanionProcess::CountRuns(int more) {
  if (counted_runs_ == 0) calm_threads_ = ThreadsOfMachine();
  counted_runs_ += more;
}

bool CompanionProcess::IsCounted(const AttemptRun& run) {
  return run.start.processes_max > 0 && !run.cgroup && run.stage != RunStage::kSpawning && !run.leader_gone();
}

// A bomb makes processes faster than they can be looked at: it is held still meanwhile.
void CompanionProcess::CountProcesses() {
  const uint64_t threads = ThreadsOfMachine();
  const bool crowd = threads > calm_threads_ + kProcessesSlack;
  if (!crowd && now_ < count_at_) return;
  count_at_ = now_ + kCountInterval;
  calm_threads_ = threads;
  for (auto& [id, run] : runs_) {
    if (crowd && IsCounted(*run)) kill(-run->pid, SIGSTOP);
  }
  const std::map<pid_t, Process> table = ReadProcesses();
  for (auto& [id, run] : runs_) {
    if (!IsCounted(*run)) continue;
    if (CountDescendants(table, run->pid) + 1 <= run->start.processes_max) {
      if (crowd) kill(-run->pid, SIGCONT);
      continue;
    }
    if (run->facts.cause == StopCause::kNone) run->facts.cause = StopCause::kTooManyProcesses;
    KillRun(run.get());
  }
}

}  // namespace laneway::worker
