// pids_limit.h: a cgroup for each attempt that limits its number of processes, where cgroups can be written.
//
// Role:       interface to the kernel's cgroups, v1 and v2.
// Errors:     where nothing can be made, Make answers nothing and the companion counts descendants instead.
// Threads:    one owner.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace laneway::worker {

class PidsLimit {
 public:
  // Looks where our cgroup with the pids controller is, once.
  PidsLimit();
  ~PidsLimit();
  PidsLimit(const PidsLimit&) = delete;
  PidsLimit& operator=(const PidsLimit&) = delete;

  struct Group {
    std::string path;
    int procs_fd = -1;
  };
  std::optional<Group> Make(uint64_t run, uint32_t processes_max);
  // Its processes are gone.
  void Remove(Group* group);

 private:
  std::string base_;  // empty: not available
};

// Where the pids controller of a process is mounted, of the texts of /proc/<pid>/cgroup and
// /proc/<pid>/mountinfo; empty: nowhere.
std::string FindPidsCgroup(std::string_view cgroup, std::string_view mountinfo);

}  // namespace laneway::worker
