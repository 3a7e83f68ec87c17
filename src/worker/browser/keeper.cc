#include "worker/browser/keeper.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string_view>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "worker/executor/clean_process.h"
#include "worker/executor/orphans.h"
#include "worker/executor/process_table.h"
#include "worker/executor/spawn.h"
#include "worker/executor/text.h"

extern char** environ;

namespace laneway::worker {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr off_t kOutputBytesMax = 1 << 20;
constexpr size_t kCommandBytesMax = 64;
constexpr milliseconds kSweepInterval{20};
constexpr milliseconds kSweepPatience{5'000};

class Keeper {
 public:
  Keeper(std::string folder, milliseconds adopt_within, milliseconds grace, std::string fingerprint,
         std::vector<std::string> argv)
      : folder_(std::move(folder)),
        adopt_within_(adopt_within),
        grace_(grace),
        fingerprint_(std::move(fingerprint)),
        argv_(std::move(argv)) {}

  int Run();

 private:
  bool Start();
  void NoteState();
  void OpenOutput();
  void Poll();
  void Accept();
  void ReadCommands();
  void Obey(std::string_view command);
  void ReadOutput();
  void ReapChildren();
  void KillStrays();
  void KillBrowser();
  void LoseWorker();
  void Tell(const std::string& line);
  bool SweptOrGivenUp();

  const std::string folder_;
  const milliseconds adopt_within_;
  const milliseconds grace_;
  const std::string fingerprint_;
  const std::vector<std::string> argv_;
  std::string hello_;
  std::string ended_;
  int worker_ = -1;
  std::string command_;
  int children_ = -1;  // signalfd
  int output_ = -1;    // the browser's end of it is its stdout and stderr
  int log_ = -1;
  off_t logged_ = 0;
  KeeperState state_;
  bool gone_ = false;   // the browser; what is below it may live on
  bool empty_ = false;  // no child is left
  std::optional<Clock::time_point> adopt_by_;
  std::optional<Clock::time_point> kill_at_;
  std::optional<Clock::time_point> swept_by_;
};

int Keeper::Run() {
  sigset_t children;
  sigemptyset(&children);
  sigaddset(&children, SIGCHLD);
  children_ = signalfd(-1, &children, SFD_CLOEXEC | SFD_NONBLOCK);
  adopt_by_ = Clock::now() + adopt_within_;
  const std::string pid = absl::StrCat(getpid(), "\n");  // for who must end a keeper that does not answer
  if (ftruncate(kKeeperLockFd, 0) != 0 || pwrite(kKeeperLockFd, pid.data(), pid.size(), 0) < 0) return 1;
  if (Start()) {
    while (!SweptOrGivenUp()) Poll();
    unlink((folder_ + "/state").c_str());
  }
  // Who connects now finds nobody; who is connected hears how it ended.
  close(kKeeperListenFd);
  unlink((folder_ + "/socket").c_str());
  if (worker_ < 0 && !ended_.empty()) return 0;
  Tell(ended_);
  return 0;
}

bool Keeper::Start() {
  OpenOutput();
  int pipe_ends[2];
  if (pipe2(pipe_ends, O_CLOEXEC) != 0) return false;
  output_ = pipe_ends[0];
  fcntl(output_, F_SETFL, O_NONBLOCK);
  std::vector<std::string> environment;
  for (char** variable = environ; *variable != nullptr; variable++) environment.emplace_back(*variable);
  environment.push_back(absl::StrCat(kTokenVariable, "=browser.", getpid()));
  const std::optional<KeeperState> before = ParseKeeperState(ReadSmallFile(folder_ + "/generation"));
  const SpawnResult spawned = Spawn(
      {.argv = &argv_, .environment = &environment, .stdout_fd = pipe_ends[1], .stderr_fd = pipe_ends[1]});
  close(pipe_ends[1]);
  if (spawned.pid == 0) {
    ended_ = absl::StrCat("cannot ", ExplainSpawnError(spawned, argv_, environment));
    // Its worker is about to connect, to hear it.
    pollfd wait{kKeeperListenFd, POLLIN, 0};
    if (poll(&wait, 1, 10'000) == 1) Accept();
    return false;
  }
  close(spawned.pidfd);
  state_ = {spawned.pid, spawned.pid_start, before ? before->generation + 1 : 1};
  NoteState();
  hello_ =
      absl::StrCat("runs ", state_.pid, " ", state_.pid_start, " ", state_.generation, " ", fingerprint_);
  return true;
}

// A name that is there is complete. Not synced: it says nothing after a power loss.
void Keeper::NoteState() {
  for (const char* name : {"/state", "/generation"}) {
    const std::string path = folder_ + name;
    const std::string part = path + ".part";
    const int fd = open(part.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0) continue;
    const std::string text = KeeperStateText(state_);
    const bool whole = write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size());
    close(fd);
    if (whole) rename(part.c_str(), path.c_str());
  }
}

void Keeper::OpenOutput() {
  const std::string path = folder_ + "/output.log";
  if (log_ >= 0) close(log_);
  rename(path.c_str(), (folder_ + "/output.1.log").c_str());
  log_ = open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  logged_ = 0;
}

void Keeper::Poll() {
  const auto now = Clock::now();
  int timeout = -1;
  const auto by = [&](const std::optional<Clock::time_point>& at) {
    if (!at) return;
    const auto left = std::chrono::ceil<milliseconds>(*at - now).count();
    const int wait = static_cast<int>(std::max<int64_t>(left, 0));
    timeout = timeout < 0 ? wait : std::min(timeout, wait);
  };
  by(adopt_by_);
  by(kill_at_);
  if (gone_) by(now + kSweepInterval);
  pollfd fds[] = {
      {kKeeperListenFd, POLLIN, 0}, {worker_, POLLIN, 0}, {children_, POLLIN, 0}, {output_, POLLIN, 0}};
  poll(fds, 4, timeout);
  if (fds[3].revents != 0) ReadOutput();
  if (fds[1].revents != 0) ReadCommands();
  if (fds[0].revents != 0) Accept();
  signalfd_siginfo info;
  if (fds[2].revents != 0 && read(children_, &info, sizeof info) < 0) return;
  if (fds[2].revents != 0 || gone_) ReapChildren();
  if (gone_) KillStrays();
  if (adopt_by_ && Clock::now() >= *adopt_by_) {  // nobody came
    adopt_by_.reset();
    Obey("close");
  }
  if (kill_at_ && Clock::now() >= *kill_at_) KillBrowser();
}

void Keeper::Accept() {
  const int fd = accept4(kKeeperListenFd, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (fd < 0) return;
  ucred peer{};
  socklen_t size = sizeof peer;
  const bool known = getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 && peer.uid == geteuid();
  if (!known || worker_ >= 0) {  // it has one, who lives: the kernel closes a dead one's socket
    constexpr std::string_view kBusy = "busy\n";
    if (known) (void)send(fd, kBusy.data(), kBusy.size(), MSG_NOSIGNAL);
    close(fd);
    return;
  }
  worker_ = fd;
  adopt_by_.reset();
  if (!hello_.empty()) Tell(hello_);
}

void Keeper::ReadCommands() {
  char bytes[256];
  const ssize_t size = recv(worker_, bytes, sizeof bytes, MSG_DONTWAIT);
  if (size < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (size <= 0) return LoseWorker();
  command_.append(bytes, static_cast<size_t>(size));
  for (size_t end = command_.find('\n'); end != std::string::npos; end = command_.find('\n')) {
    Obey(std::string_view(command_).substr(0, end));
    command_.erase(0, end + 1);
  }
  if (command_.size() > kCommandBytesMax) LoseWorker();
}

void Keeper::LoseWorker() {
  close(worker_);
  worker_ = -1;
  command_.clear();
  adopt_by_ = Clock::now() + adopt_within_;
}

void Keeper::Obey(std::string_view command) {
  if (gone_) return;
  if (command == "kill") return KillBrowser();
  if (command != "close" || kill_at_) return;
  kill(state_.pid, SIGTERM);
  kill(state_.pid, SIGCONT);  // one that was stopped cannot hear
  kill_at_ = Clock::now() + grace_;
}

void Keeper::KillBrowser() {
  kill_at_.reset();
  if (gone_) return;
  kill(-state_.pid, SIGKILL);
  kill(state_.pid, SIGKILL);
}

void Keeper::ReadOutput() {
  char bytes[16 << 10];
  const ssize_t size = read(output_, bytes, sizeof bytes);
  if (size < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (size <= 0) {
    close(output_);
    output_ = -1;
    return;
  }
  if (logged_ + size > kOutputBytesMax) OpenOutput();
  if (log_ >= 0 && write(log_, bytes, static_cast<size_t>(size)) > 0) logged_ += size;
}

void Keeper::ReapChildren() {
  for (;;) {
    int status = 0;
    const pid_t pid = waitpid(-1, &status, WNOHANG | __WALL);
    if (pid < 0 && errno == EINTR) continue;
    empty_ = pid < 0;
    if (pid <= 0) return;
    if (pid != state_.pid) continue;
    gone_ = true;
    kill_at_.reset();
    kill(-state_.pid, SIGKILL);  // its group is without a leader
    swept_by_ = Clock::now() + kSweepPatience;
    ended_ = WIFSIGNALED(status) ? absl::StrCat("ended ", SignalName(WTERMSIG(status)))
                                 : absl::StrCat("ended exit ", WEXITSTATUS(status));
  }
}

// What outlived the browser has come to us, and nothing else is below us.
void Keeper::KillStrays() {
  if (empty_) return;
  for (const pid_t pid : ChildrenOfThread(getpid(), getpid())) {
    const pid_t group = getpgid(pid);
    if (group > 1 && group != getpgrp()) kill(-group, SIGKILL);
    kill(pid, SIGKILL);
  }
}

bool Keeper::SweptOrGivenUp() { return gone_ && (empty_ || Clock::now() >= *swept_by_); }

void Keeper::Tell(const std::string& line) {
  const std::string text = line + "\n";
  if (worker_ >= 0 && send(worker_, text.data(), text.size(), MSG_NOSIGNAL) < 0) LoseWorker();
}

}  // namespace

std::optional<KeeperState> ParseKeeperState(const std::string& text) {
  const std::vector<std::string> words = absl::StrSplit(text, absl::ByAnyChar(" \n"), absl::SkipEmpty());
  KeeperState state;
  if (words.size() != 3 || !absl::SimpleAtoi(words[0], &state.pid) ||
      !absl::SimpleAtoi(words[1], &state.pid_start) || !absl::SimpleAtoi(words[2], &state.generation) ||
      state.pid <= 1)
    return std::nullopt;
  return state;
}

std::string KeeperStateText(const KeeperState& state) {
  return absl::StrCat(state.pid, " ", state.pid_start, " ", state.generation, "\n");
}

std::optional<int> KeeperMain(int argc, char** argv) {
  if (argc < 7 || std::strcmp(argv[1], kKeeperArgument) != 0) return std::nullopt;
  BecomeCleanProcess(kKeeperLockFd, "laneway-keeper");
  Keeper keeper(argv[2], milliseconds(std::atoll(argv[3])), milliseconds(std::atoll(argv[4])), argv[5],
                std::vector<std::string>(argv + 6, argv + argc));
  _exit(keeper.Run());
}

}  // namespace laneway::worker
