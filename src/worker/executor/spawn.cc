#include "worker/executor/spawn.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <string_view>

#include "worker/executor/process_table.h"

namespace laneway::worker {
namespace {

constexpr size_t kStackBytes = 64 << 10;

// Shared with the child, which runs in our memory until its execve.
struct ChildPlan {
  const char* const* programs;  // to try in this order, ends with nullptr
  char* const* argv;
  char* const* environment;
  const SpawnRequest* request;
  pid_t parent;
  volatile int error;
};

// Runs in the child, on a stack of its own but in our memory: system calls only, and none through a wrapper
// that somebody may have replaced.
__attribute__((no_sanitize("address", "thread", "undefined"))) int RunChild(void* argument) {
  auto* plan = static_cast<ChildPlan*>(argument);
  const SpawnRequest& request = *plan->request;
  syscall(SYS_setsid);
  syscall(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
  if (syscall(SYS_getppid) != plan->parent) syscall(SYS_exit_group, 127);  // it died before the line above
  syscall(SYS_prctl, PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
  if (request.cgroup_procs_fd >= 0) syscall(SYS_write, request.cgroup_procs_fd, "0", 1);
  if (request.processes_of_user_max > 0) {
    const rlimit64 limit{request.processes_of_user_max, request.processes_of_user_max};
    syscall(SYS_prlimit64, 0, RLIMIT_NPROC, &limit, nullptr);
  }
  const long oom = syscall(SYS_openat, AT_FDCWD, "/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC, 0);
  if (oom >= 0) syscall(SYS_write, oom, "500", 3);  // rather the script than the worker
  syscall(SYS_dup3, request.stdout_fd, 1, 0);
  syscall(SYS_dup3, request.stderr_fd, 2, 0);
  const uint64_t no_signals = 0;
  syscall(SYS_rt_sigprocmask, SIG_SETMASK, &no_signals, nullptr, sizeof no_signals);
  int error = ENOENT;
  for (const char* const* program = plan->programs; *program != nullptr; program++) {
    syscall(SYS_execve, *program, plan->argv, plan->environment);
    if (errno != ENOENT && errno != ENOTDIR) error = errno;
    if (errno != ENOENT && errno != ENOTDIR && errno != EACCES) break;
  }
  plan->error = error;
  syscall(SYS_exit_group, 127);
  return 127;
}

// A stack for the child, with a page below it that must not be touched. One a thread, for ever.
char* ChildStackTop() {
  thread_local char* top = [] {
    void* memory =
        mmap(nullptr, kStackBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    if (memory == MAP_FAILED) return static_cast<char*>(nullptr);
    mprotect(memory, 4096, PROT_NONE);
    return static_cast<char*>(memory) + kStackBytes;
  }();
  return top;
}

std::vector<char*> Pointers(const std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  pointers.reserve(strings.size() + 1);
  for (const std::string& text : strings) pointers.push_back(const_cast<char*>(text.c_str()));
  pointers.push_back(nullptr);
  return pointers;
}

// Where the program may be: itself when it has a slash, else in the folders of the child's own PATH.
std::vector<std::string> Candidates(const std::string& program, const std::vector<std::string>& environment) {
  if (program.find('/') != std::string::npos) return {program};
  if (program.empty()) return {};
  std::string_view path = "/usr/local/bin:/usr/bin:/bin";
  for (const std::string& variable : environment) {
    if (variable.starts_with("PATH=")) path = std::string_view(variable).substr(5);
  }
  std::vector<std::string> candidates;
  while (true) {
    const size_t colon = path.find(':');
    const std::string_view folder = path.substr(0, colon);
    candidates.push_back(folder.empty() ? "./" + program : std::string(folder) + "/" + program);
    if (colon == std::string_view::npos) return candidates;
    path.remove_prefix(colon + 1);
  }
}

// In the unit of /proc/<pid>/stat. CLOCK_BOOTTIME is the clock that the kernel stamps children with.
uint64_t BootTicks() {
  timespec now{};
  clock_gettime(CLOCK_BOOTTIME, &now);
  static const long ticks_per_second = sysconf(_SC_CLK_TCK);
  const auto rate = static_cast<uint64_t>(ticks_per_second);
  return static_cast<uint64_t>(now.tv_sec) * rate + static_cast<uint64_t>(now.tv_nsec) / (1000000000 / rate);
}

std::string Interpreter(const std::string& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return {};
  char bytes[256];
  const ssize_t size = read(fd, bytes, sizeof bytes);
  close(fd);
  std::string_view line(bytes, size > 0 ? static_cast<size_t>(size) : 0);
  if (!line.starts_with("#!")) return {};
  line = line.substr(2, line.find('\n') == std::string_view::npos ? line.npos : line.find('\n') - 2);
  while (line.starts_with(' ') || line.starts_with('\t')) line.remove_prefix(1);
  return std::string(line.substr(0, line.find_first_of(" \t")));
}

}  // namespace

SpawnResult Spawn(const SpawnRequest& request) {
  const std::vector<std::string> programs = Candidates((*request.argv)[0], *request.environment);
  const std::vector<char*> program_pointers = Pointers(programs);
  const std::vector<char*> argv = Pointers(*request.argv);
  const std::vector<char*> environment = Pointers(*request.environment);
  ChildPlan plan{program_pointers.data(), argv.data(), environment.data(), &request, getpid(), 0};
  SpawnResult result;
  char* stack = ChildStackTop();
  if (stack == nullptr) {
    result.error = ENOMEM;
    return result;
  }
  const uint64_t before = BootTicks();
  // CLONE_VFORK: this thread waits until the child has left our memory by execve or exit.
  const int pid =
      clone(RunChild, stack, CLONE_VM | CLONE_VFORK | CLONE_PIDFD | SIGCHLD, &plan, &result.pidfd);
  if (pid < 0) {
    result.error = errno;
    return result;
  }
  result.cloned = true;
  if (plan.error != 0) {
    result.error = plan.error;
    close(result.pidfd);
    result.pidfd = -1;
    waitpid(pid, nullptr, 0);
    return result;
  }
  result.pid = pid;
  // Born within one tick, as nearly always: then the tick is known without a look into /proc.
  if (BootTicks() == before) {
    result.pid_start = before;
  } else if (auto process = ReadProcess(pid)) {
    result.pid_start = process->start;
  }
  return result;
}

std::string ExplainSpawnError(const SpawnResult& result, const std::vector<std::string>& argv,
                              const std::vector<std::string>& environment) {
  const std::string& program = argv[0];
  if (!result.cloned) return std::string("no process can be started: ") + strerror(result.error);
  if (result.error == E2BIG) return "its arguments and environment are too long";
  const bool searched = program.find('/') == std::string::npos;
  for (const std::string& path : Candidates(program, environment)) {
    struct stat info {};
    if (stat(path.c_str(), &info) != 0) continue;
    if (result.error == ENOENT) {
      const std::string interpreter = Interpreter(path);
      if (!interpreter.empty())
        return path + " names the interpreter " + interpreter + ", which does not exist";
      return path + " needs a loader or library that does not exist";
    }
    if (S_ISDIR(info.st_mode)) {
      if (searched) continue;
      return path + " is a folder, not a program";
    }
    if (result.error == EACCES)
      return path + " is not executable (chmod +x it, or name its interpreter first)";
    if (result.error == ENOEXEC) return path + " is neither a program nor a script with a #! line";
    if (result.error == ETXTBSY) return path + " is being written to";
    return path + " cannot be started: " + strerror(result.error);
  }
  if (result.error == ENOENT || searched) return "no such program: " + program;
  return program + " cannot be started: " + strerror(result.error);
}

}  // namespace laneway::worker
