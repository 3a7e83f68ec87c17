// companion_process.h: the companion: a small process beside the main one, the parent of all scripts.
//
// Role:       one loop over a socket, pipes, pidfds and timers.
// Input:      messages of the main process; the kernel's news of children.
// Output:     messages to the main process; when that has died, last words.
// Promises:   (1) every StartRun is answered by one RunEnded; (2) no process of a run lives when its RunEnded
//             is told; (3) a run's time, stop and output need nothing from the main process; (4) when the
//             main process is gone, so is all of this, within moments. How (2):    a script is its
//             descendants' subreaper, so all of them are below it for as long as it lives; when it has died,
//             those that are left are our first thread's own children. wait4(__WNOTHREAD) answers ECHILD when
//             there are none: the proof costs one system call a run.
// Threads:    its loop is the first thread; Spawner has four.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>

#include "worker/executor/attempt_run.h"
#include "worker/executor/last_words.h"
#include "worker/executor/messages.h"
#include "worker/executor/spawner.h"

namespace laneway::worker {

class CompanionProcess {
 public:
  // `token` tells this companion's processes from all others (orphans.h).
  CompanionProcess(int socket, std::string token);
  // Until the main process quits or dies. The exit code.
  int Run();

 private:
  static constexpr std::chrono::seconds kGiveUpAfter{30};  // on what SIGKILL does not end
  static constexpr std::chrono::milliseconds kSweepInterval{20};
  static constexpr std::chrono::milliseconds kCountInterval{200};
  static constexpr std::chrono::milliseconds kCrowdInterval{20};  // of looks whether there are many more
  static constexpr std::chrono::seconds kIdleTick{1};

  // What an event of the poll is about: the run in the upper bits.
  enum Tag : uint64_t { kSocket = 0, kSignal = 1, kSpawned = 2, kPidfd = 3, kStdout = 4, kStderr = 5 };
  static constexpr uint64_t TagOf(Tag tag, uint64_t run) { return run << 3 | tag; }
  void Watch(int fd, uint64_t tag, uint32_t events, int operation);
  void Watch(int fd, uint64_t tag);

  // Messages.
  void ReadSocket();
  void Handle(wire::Message message);
  void Handle(const wire::Configure& configure);
  void HandleStart(wire::StartRun start);
  void HandleEvent(uint64_t tag);
  void HandleStop(const wire::StopRun& stop);
  void Send(const wire::Message& message);
  void FlushSocket();

  // A run's way.
  void Launch(AttemptRun* run);
  void Launched(SpawnDone done);
  void Terminate(AttemptRun* run, StopCause cause);
  void KillRun(AttemptRun* run);
  void LeaderDied(AttemptRun* run);
  void Finish(AttemptRun* run);
  void CannotStart(AttemptRun* run, std::string why);
  void TellReport(AttemptRun* run, bool at_once);

  // Children.
  // Waits for dead adopted processes and kills living ones. Keeps strays_ true.
  void SweepStrays();
  // Those that were forked with CLONE_PARENT, and so lie beside their script instead of below it.
  void SweepSiblings();
  void FinishEnded();
  bool IsSpared(int32_t stray) const;
  void WatchChildren();
  bool IsDead(const AttemptRun& run) const;
  void CountRuns(int more);
  void CountProcesses();
  static bool IsCounted(const AttemptRun& run);
  uint64_t ProcessesOfUserMax(const AttemptRun& run) const;

  // Time.
  void SetTimer(AttemptRun* run);
  void RunTimers();
  void Tick();
  int PollTimeout() const;

  bool Done() const;
  void Poll();
  void MainGone();
  void LeaveLastWords();

  int socket_;
  std::string token_;
  int epoll_fd_ = -1;
  int signal_fd_ = -1;
  int lock_fd_ = -1;
  v1::LastWords words_;
  std::string dir_;
  std::string teller_;  // its input; empty: there is none
  IncarnationId incarnation_;
  std::map<std::string, IncarnationId> workers_;
  wire::FrameReader reader_;
  std::string out_;
  bool out_blocked_ = false;
  bool out_watched_ = false;
  bool main_gone_ = false;
  bool quit_ = false;
  bool children_changed_ = false;
  SteadyTime now_;
  std::optional<SteadyTime> end_by_;  // although something cannot be killed

  std::unique_ptr<PidsLimit> pids_limit_;
  Spawner* spawner_;
  std::unordered_map<uint64_t, std::unique_ptr<AttemptRun>> runs_;
  std::set<uint64_t> ended_;  // their leader is gone, what it left is not yet
  std::set<std::pair<SteadyTime, uint64_t>> timers_;
  std::map<int32_t, SteadyTime> strays_;  // adopted process → when it was found
  std::set<int32_t> abandoned_;           // leaders that would not die
  bool watching_children_ = false;
  int counted_runs_ = 0;  // limited, and without a cgroup
  SteadyTime count_at_;
  uint64_t calm_threads_ = 0;  // of the machine, when they were counted
  uint64_t oom_kills_ = 0;
  bool siblings_due_ = false;  // a run has ended since they were looked for
  SteadyTime next_tick_;
};

}  // namespace laneway::worker
