#include "worker/executor/clean_process.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdint>
#include <initializer_list>

namespace laneway::worker {
namespace {

// Blocked, not ignored: an ignored signal would stay so in children.
void PrepareSignals() {
  for (int signal = 1; signal < NSIG; signal++) {
    struct sigaction action {};
    action.sa_handler = SIG_DFL;
    if (signal == SIGCHLD) action.sa_flags = SA_NOCLDSTOP;
    const bool fault =
        signal == SIGSEGV || signal == SIGBUS || signal == SIGFPE || signal == SIGILL || signal == SIGABRT;
    if (!fault) sigaction(signal, &action, nullptr);
  }
  // The library keeps 32 and 33 for itself and does not touch them; whoever started us may have ignored them.
  const uint64_t default_action[4] = {};
  for (int signal : {32, 33}) syscall(SYS_rt_sigaction, signal, default_action, nullptr, sizeof(uint64_t));
  sigset_t all;
  sigfillset(&all);
  for (int signal : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP}) sigdelset(&all, signal);
  sigprocmask(SIG_SETMASK, &all, nullptr);
}

void PrepareFiles(int last_fd) {
  const int null = open("/dev/null", O_RDWR);
  dup2(null, 0);
  dup2(null, 1);
  if (fcntl(2, F_GETFD) < 0) dup2(null, 2);
  syscall(SYS_close_range, last_fd + 1, ~0U, 0U);
  for (int fd = 3; fd <= last_fd; fd++) fcntl(fd, F_SETFD, FD_CLOEXEC);
}

}  // namespace

void BecomeCleanProcess(int last_fd, const char* name) {
  PrepareSignals();
  PrepareFiles(last_fd);
  setsid();
  prctl(PR_SET_NAME, name);
  prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
  const rlimit no_core{0, 0};
  setrlimit(RLIMIT_CORE, &no_core);
}

}  // namespace laneway::worker
