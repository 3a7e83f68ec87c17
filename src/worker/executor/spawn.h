// spawn.h: starts one child of the companion.
//
// Role:       interface to the kernel: clone and execve as posix_spawn does them (no copy of our memory),
//             with the settings posix_spawn lacks.
// Promises:   the child leads a session and process group of its own, is its descendants' subreaper (whoever
//             they fork away comes to it, and to us only when it is gone), dies with the thread that started
//             it, and gets argv and environment unchanged, no file but 0, 1 and 2, no blocked signal.
// Errors:     an execve that fails is told with its errno; the child is gone then.
// Threads:    any thread that lives as long as the process; all signals must be blocked in it and default in
//             the process.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

namespace laneway::worker {

struct SpawnRequest {
  const std::vector<std::string>* argv = nullptr;
  const std::vector<std::string>* environment = nullptr;
  int stdout_fd = -1;
  int stderr_fd = -1;
  int cgroup_procs_fd = -1;            // cgroup.procs to enter; -1: none
  uint64_t processes_of_user_max = 0;  // RLIMIT_NPROC; 0: as it is
};

struct SpawnResult {
  pid_t pid = 0;
  int pidfd = -1;
  uint64_t pid_start = 0;
  int error = 0;        // errno; then there is no child
  bool cloned = false;  // the error is execve's, not clone's
};

SpawnResult Spawn(const SpawnRequest& request);

// What an errno of execve means for this program, for people: "no such program: …", "… is not executable", "…
// names the interpreter …".
std::string ExplainSpawnError(const SpawnResult& result, const std::vector<std::string>& argv,
                              const std::vector<std::string>& environment);

}  // namespace laneway::worker
