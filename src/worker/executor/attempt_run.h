// attempt_run.h: one attempt as the companion holds it: its process, its pipes, what it printed and reported,
// its deadlines.
//
// Role:       passive part of the companion.
// Threads:    the companion's.
#pragma once

#include <sys/resource.h>

#include <chrono>
#include <optional>

#include "worker/executor/attempt_log.h"
#include "worker/executor/directives.h"
#include "worker/executor/ending.h"
#include "worker/executor/messages.h"
#include "worker/executor/pids_limit.h"

namespace laneway::worker {

using SteadyTime = std::chrono::steady_clock::time_point;

enum class RunStage {
  kSpawning,
  kRunning,
  kTerminating,  // SIGTERM was sent; the grace runs
  kKilled,       // SIGKILL was sent
};

inline constexpr std::chrono::milliseconds kReportInterval{100};

class AttemptRun {
 public:
  // `epoll_fd` is where its pipes and its pidfd are watched.
  AttemptRun(wire::StartRun start, int epoll_fd, SteadyTime now);
  ~AttemptRun();
  AttemptRun(const AttemptRun&) = delete;
  AttemptRun& operator=(const AttemptRun&) = delete;

  uint64_t run() const { return start.run; }

  // Makes the pipes; the writing ends are for the child. An errno, or 0.
  int MakePipes(int* stdout_write, int* stderr_write);
  // Reads what one pipe holds, at most a bounded piece. False: nobody writes to it any more, and it is
  // closed.
  bool ReadPipe(bool is_stdout);
  // Takes what is left in both pipes once all processes are gone, and closes them.
  void Drain();

  // What is to be told, if it is time (at most one event each kReportInterval) or `now` does not matter.
  std::optional<Reported> TakeReport(SteadyTime now, bool at_once);
  // The next moment at which something is to be done; nothing: never.
  std::optional<SteadyTime> Deadline() const;
  // The leader is dead and waited for.
  bool leader_gone() const { return leader_gone_at.has_value(); }
  Ended MakeEnded();

  void ClosePidfd();

  wire::StartRun start;
  int epoll_fd;
  RunStage stage = RunStage::kSpawning;
  int32_t pid = 0;
  int pidfd = -1;
  int stdout_fd = -1;
  int stderr_fd = -1;
  std::optional<PidsLimit::Group> cgroup;
  SteadyTime started_at;
  std::optional<SteadyTime> timeout_at;
  std::optional<SteadyTime> kill_at;
  std::optional<SteadyTime> give_up_at;  // when what cannot be killed is left behind
  std::optional<SteadyTime> leader_gone_at;
  int wait_status = 0;
  rusage usage{};
  ExitFacts facts;
  std::optional<SteadyTime> timer;  // as it is in the companion's queue
  AttemptLog log;

 private:
  DirectiveScanner scanner_;
  Reported report_;
  bool report_waits_ = false;
  SteadyTime report_not_before_;
};

}  // namespace laneway::worker
