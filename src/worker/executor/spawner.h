// spawner.h: the companion's threads that start children.
//
// Role:       keeps execve, which may wait for a slow disk or a dead network share, away from the companion's
//             loop, and starts a few at a time. A child belongs to the thread that started it, what is
//             adopted belongs to the companion's first thread: so the first thread's own children are exactly
//             the processes that have outlived their attempt.
// Input:      what to start.
// Output:     what became of it, through Take() when wake_fd() is readable.
// Threads:    Submit and Take from one; it has its own four.
#pragma once

#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#include <vector>

#include "worker/executor/spawn.h"

namespace laneway::worker {

struct SpawnJob {
  uint64_t run = 0;
  std::vector<std::string> argv;
  std::vector<std::string> environment;
  int stdout_fd = -1;  // closed by the spawner
  int stderr_fd = -1;
  int cgroup_procs_fd = -1;
  uint64_t processes_of_user_max = 0;
};

struct SpawnDone {
  uint64_t run = 0;
  SpawnResult result;
  std::string error;  // empty: it runs
};

class Spawner {
 public:
  Spawner();
  // Never destroyed: children die with the threads that started them.
  Spawner(const Spawner&) = delete;
  Spawner& operator=(const Spawner&) = delete;

  void Submit(SpawnJob job);
  std::vector<SpawnDone> Take();
  int wake_fd() const { return wake_fd_; }
  // Submitted and not yet taken.
  size_t in_flight() const { return in_flight_; }
  const std::vector<pid_t>& threads() const { return threads_; }

 private:
  void Run();

  int wake_fd_ = -1;
  size_t in_flight_ = 0;
  std::vector<pid_t> threads_;
  std::mutex mutex_;
  std::condition_variable wanted_;
  std::deque<SpawnJob> jobs_;
  std::vector<SpawnDone> done_;
};

}  // namespace laneway::worker
