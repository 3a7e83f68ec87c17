// process_table.h: reads /proc.
//
// Role:       interface to the kernel's process table.
// Errors:     a process that cannot be read is gone: absent.
// Threads:    functions.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace laneway::worker {

struct Process {
  pid_t pid = 0;
  char state = 0;  // Z: dead, not yet waited for
  pid_t parent = 0;
  pid_t group = 0;
  pid_t session = 0;
  uint64_t start = 0;  // clock ticks after boot
};

// The text of /proc/<pid>/stat. Its second field is a name that may hold anything, also brackets and
// newlines.
std::optional<Process> ParseStat(std::string_view text);

std::optional<Process> ReadProcess(pid_t pid);
std::map<pid_t, Process> ReadProcesses();

// Of `table`: how many descend from `ancestor`, itself not counted.
size_t CountDescendants(const std::map<pid_t, Process>& table, pid_t ancestor);
bool Descends(const std::map<pid_t, Process>& table, pid_t pid, pid_t ancestor);

// The children of one thread, alive or not.
std::vector<pid_t> ChildrenOfThread(pid_t process, pid_t thread);

// Whether the environment it was started with has a variable that begins so ("NAME=prefix").
bool EnvironmentHas(pid_t pid, std::string_view variable);

// The whole of a small file; empty when it cannot be read.
std::string ReadSmallFile(const std::string& path);

// Of all processes; 0: unknown. Costs next to nothing.
uint64_t ThreadsOfMachine();

// How many processes the kernel has killed for want of memory; 0: unknown.
uint64_t OomKills();

}  // namespace laneway::worker
