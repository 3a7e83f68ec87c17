#include "worker/browser/keeper_link.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "worker/browser/chrome.h"
#include "worker/browser/port_owner.h"
#include "worker/browser/profile.h"
#include "worker/executor/orphans.h"
#include "worker/executor/process_table.h"

namespace laneway::worker {
namespace {

constexpr Millis kFormerPatience{10'000};  // a browser or keeper of before may take so long to end
constexpr Millis kTryAgain{100};
constexpr Millis kAnswerTime{8'000};  // of a keeper: it does nothing that takes long
constexpr size_t kHeardBytesMax = 4096;

// FNV-1a: tells arguments apart, nothing more.
std::string Fingerprint(const std::vector<std::string>& argv) {
  uint64_t hash = 0xcbf29ce484222325;
  for (const std::string& argument : argv) {
    for (const char c : argument + '\n') hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  }
  return absl::StrCat(absl::Hex(hash, absl::kZeroPad16));
}

// The name of a socket has 108 bytes, a folder's any number: so it is named through the folder's descriptor.
class SocketName {
 public:
  explicit SocketName(const std::string& folder)
      : folder_(open(folder.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC)) {
    address_.sun_family = AF_UNIX;
    const std::string path = absl::StrCat("/proc/self/fd/", folder_, "/socket");
    std::memcpy(address_.sun_path, path.c_str(), path.size() + 1);
  }
  ~SocketName() { close(folder_); }
  SocketName(const SocketName&) = delete;
  SocketName& operator=(const SocketName&) = delete;
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&address_); }
  static constexpr socklen_t kSize = sizeof(sockaddr_un);

 private:
  const int folder_;
  sockaddr_un address_{};
};

int Connected(const std::string& folder) {
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  const SocketName name(folder);
  if (fd >= 0 && connect(fd, name.get(), SocketName::kSize) == 0) return fd;
  if (fd >= 0) close(fd);
  return -1;
}

int Listening(const std::string& folder) {
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const SocketName name(folder);
  unlink((folder + "/socket").c_str());
  if (fd >= 0 && bind(fd, name.get(), SocketName::kSize) == 0 && listen(fd, 4) == 0) return fd;
  if (fd >= 0) close(fd);
  return -1;
}

}  // namespace

KeeperLink::KeeperLink(ops::Loop* loop, const ops::Clock* clock, KeeperPlan plan, Told told)
    : loop_(loop),
      clock_(clock),
      plan_(std::move(plan)),
      folder_(KeeperFolder(plan_.profile)),
      told_(std::move(told)) {}

KeeperLink::~KeeperLink() {
  loop_->Cancel(again_);
  loop_->Cancel(answer_by_);
  Close();
  while (!keepers_.empty()) Reap(keepers_.begin()->first);
}

void KeeperLink::Close() {
  loop_->Cancel(answer_by_);
  if (socket_ < 0) return;
  loop_->Unwatch(socket_);
  close(std::exchange(socket_, -1));
  heard_.clear();
}

void KeeperLink::Failed(std::string why, bool lasting) {
  launching_ = adopting_ = false;
  Close();
  told_(BrowserLaunchFailed{std::move(why), lasting});
}

void KeeperLink::Exited(std::string why) {
  Close();
  browser_ = {};
  told_(BrowserExited{std::move(why)});
}

void KeeperLink::Launch(ProfileStep step) {
  step_ = step;
  launching_ = true;
  auto argv = plan_.argv();
  if (!argv.ok()) return Failed(std::string(argv.status().message()), true);
  argv_ = std::move(*argv);
  fingerprint_ = Fingerprint(argv_);
  adopting_ = false;
  give_up_at_ = std::chrono::duration_cast<Millis>(clock_->Boot()) + kFormerPatience;
  TryLaunch();
}

void KeeperLink::TryAgain(std::string why) {
  if (std::chrono::duration_cast<Millis>(clock_->Boot()) >= give_up_at_) return Failed(std::move(why), true);
  again_ = loop_->RunAfter(kTryAgain, [this] { TryLaunch(); });
}

void KeeperLink::TryLaunch() {
  const auto lock = LockProfile(plan_.profile);
  if (!lock.ok()) {
    if (lock.status().code() != absl::StatusCode::kFailedPrecondition)
      return Failed(std::string(lock.status().message()), true);
    if (!Adopt()) TryAgain(std::string(lock.status().message()));
    return;
  }
  absl::Status status = Prepare();
  const int listening = status.ok() ? Listening(folder_) : -1;
  if (status.ok() && listening < 0)
    status = absl::UnavailableError(absl::StrCat("no socket in ", folder_, ": ", std::strerror(errno)));
  if (status.ok()) status = Spawn(*lock, listening);
  if (listening >= 0) close(listening);
  close(*lock);  // the keeper has its own
  if (!status.ok()) Failed(std::string(status.message()), true);
}

absl::Status KeeperLink::Prepare() {
  if (const auto left = ParseKeeperState(ReadSmallFile(folder_ + "/state")))
    StopSurvivors({{left->pid, left->pid_start}});
  unlink((folder_ + "/state").c_str());
  if (absl::Status status = ClearSingleton(plan_.profile); !status.ok()) return status;
  if (absl::Status status = Apply(step_, plan_.profile, clock_->Wall()); !status.ok()) return status;
  step_ = ProfileStep::kKeep;
  if (const auto owner = WhoListens(plan_.port))
    return absl::FailedPreconditionError(absl::StrCat("port ", plan_.port, " is taken by ", Describe(*owner),
                                                      ": end it, or set another browser.port_base"));
  return absl::OkStatus();
}

absl::Status KeeperLink::Spawn(int lock_fd, int listen_fd) {
  std::vector<std::string> words = {"laneway",
                                    kKeeperArgument,
                                    folder_,
                                    absl::StrCat(plan_.adopt_within.count()),
                                    absl::StrCat(plan_.grace.count()),
                                    fingerprint_};
  words.insert(words.end(), argv_.begin(), argv_.end());
  const auto pointers = [](const std::vector<std::string>& strings) {
    std::vector<char*> result;
    for (const std::string& text : strings) result.push_back(const_cast<char*>(text.c_str()));
    result.push_back(nullptr);
    return result;
  };
  // First both out of the way of 3 and 4: one of them may be the other's place.
  const int high_lock = fcntl(lock_fd, F_DUPFD_CLOEXEC, 10);
  const int high_listen = fcntl(listen_fd, F_DUPFD_CLOEXEC, 10);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, high_listen, kKeeperListenFd);
  posix_spawn_file_actions_adddup2(&actions, high_lock, kKeeperLockFd);
  pid_t keeper = 0;
  const int error = posix_spawn(&keeper, "/proc/self/exe", &actions, nullptr, pointers(words).data(),
                                pointers(plan_.environment).data());
  posix_spawn_file_actions_destroy(&actions);
  close(high_lock);
  close(high_listen);
  if (error != 0)
    return absl::UnavailableError(absl::StrCat("its keeper cannot be started: ", std::strerror(error)));
  const int pidfd = static_cast<int>(syscall(SYS_pidfd_open, keeper, 0));
  if (pidfd >= 0) {
    keepers_.emplace(pidfd, keeper);
    loop_->Watch(pidfd, EPOLLIN, [this, pidfd](uint32_t) { Reap(pidfd); });
  }
  socket_ = Connected(folder_);
  if (socket_ < 0) return absl::UnavailableError("its keeper cannot be reached");
  Watch();
  return absl::OkStatus();
}

void KeeperLink::Reap(int pidfd) {
  loop_->Unwatch(pidfd);
  waitpid(keepers_.at(pidfd), nullptr, WNOHANG);
  keepers_.erase(pidfd);
  close(pidfd);
}

bool KeeperLink::Adopt() {
  socket_ = Connected(folder_);
  if (socket_ < 0) return false;
  adopting_ = true;
  Watch();
  return true;
}

void KeeperLink::Watch() {
  loop_->Watch(socket_, EPOLLIN, [this](uint32_t) { ReadKeeper(); });
  AwaitKeeper();
}

void KeeperLink::AwaitKeeper() {
  loop_->Cancel(answer_by_);
  answer_by_ = loop_->RunAfter(kAnswerTime, [this] { KillKeeper(); });
}

// It is stopped, or hangs: its lock names it. With it goes its browser.
void KeeperLink::KillKeeper() {
  pid_t keeper = 0;
  std::string text = ReadSmallFile(folder_ + "/lock");
  while (text.ends_with('\n')) text.pop_back();
  if (!absl::SimpleAtoi(text, &keeper) || keeper <= 1) return;
  const std::string command = ReadSmallFile(absl::StrCat("/proc/", keeper, "/cmdline"));
  if (command.find(kKeeperArgument) != std::string::npos && command.find(folder_) != std::string::npos)
    kill(keeper, SIGKILL);
}

void KeeperLink::End(BrowserEnd how) {
  const std::string_view word = how == BrowserEnd::kGently ? "close\n" : "kill\n";
  if (socket_ < 0) return;
  (void)send(socket_, word.data(), word.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  if (how == BrowserEnd::kAtOnce) AwaitKeeper();
}

void KeeperLink::ReadKeeper() {
  char bytes[1024];
  const ssize_t size = recv(socket_, bytes, sizeof bytes, MSG_DONTWAIT);
  if (size < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (size <= 0 || heard_.size() > kHeardBytesMax) return KeeperGone();
  heard_.append(bytes, static_cast<size_t>(size));
  for (size_t end = heard_.find('\n'); end != std::string::npos && socket_ >= 0; end = heard_.find('\n')) {
    const std::string line = heard_.substr(0, end);
    heard_.erase(0, end + 1);
    Hear(line);
  }
}

void KeeperLink::Hear(std::string_view line) {
  const std::vector<std::string> words = absl::StrSplit(std::string(line), ' ');
  if (words[0] == "runs" && words.size() == 5 && launching_) {
    const auto state = ParseKeeperState(absl::StrCat(words[1], " ", words[2], " ", words[3]));
    if (!state) return KeeperGone();
    if (adopting_ && words[4] != fingerprint_) return End(BrowserEnd::kGently);  // ours, with other arguments
    browser_ = *state;
    launching_ = false;
    loop_->Cancel(answer_by_);
    told_(BrowserLaunched{state->generation, adopting_});
    return;
  }
  if (words[0] == "busy") {
    Failed(absl::StrCat("the profile ", plan_.profile,
                        " is in use by another worker: give this one another "
                        "browser.profile_dir"),
           true);
    return;
  }
  if (words[0] == "cannot" && launching_)
    return Failed(std::string(line.substr(std::min<size_t>(7, line.size()))), true);
  if (words[0] != "ended") return;
  if (launching_) {  // a former one is gone now
    Close();
    adopting_ = false;
    return TryAgain("its former browser has only just ended");
  }
  Exited(ExplainEnd(line.substr(std::min<size_t>(6, line.size())), ReadSmallFile(folder_ + "/output.log")));
}

// Its browser was killed by the kernel with it; what is left below that is stopped here.
void KeeperLink::KeeperGone() {
  Close();
  if (launching_) {
    adopting_ = false;
    return TryAgain("its keeper died at once");
  }
  if (browser_.pid > 1) StopSurvivors({{browser_.pid, browser_.pid_start}});
  Exited("its keeper died");
}

}  // namespace laneway::worker
