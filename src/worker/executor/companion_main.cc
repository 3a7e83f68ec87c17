// The companion's entry: makes a clean process of a fresh copy of the program, then runs the loop.
#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdint>
#include <cstring>

#include "worker/executor/companion.h"
#include "worker/executor/companion_process.h"

namespace laneway::worker {
namespace {

constexpr int kSocket = 3;  // as Companion::Spawn gives it

// Blocked, not ignored: children are to find every signal at its default. Ctrl-C at the terminal is for the
// main process, which stops us.
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

void PrepareFiles() {
  const int null = open("/dev/null", O_RDWR);
  dup2(null, 0);
  dup2(null, 1);
  if (fcntl(2, F_GETFD) < 0) dup2(null, 2);
  syscall(SYS_close_range, kSocket + 1, ~0U, 0U);
  fcntl(kSocket, F_SETFD, FD_CLOEXEC);
}

}  // namespace

std::optional<int> CompanionMain(int argc, char** argv) {
  if (argc != 3 || std::strcmp(argv[1], kCompanionArgument) != 0) return std::nullopt;
  PrepareSignals();
  PrepareFiles();
  setsid();
  prctl(PR_SET_NAME, "laneway-compan");
  prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);  // children inherit these two
  const rlimit no_core{0, 0};
  setrlimit(RLIMIT_CORE, &no_core);
  CompanionProcess companion(kSocket, argv[2]);
  _exit(companion.Run());
}

}  // namespace laneway::worker
