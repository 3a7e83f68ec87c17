#include "worker/executor/companion.h"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "worker/executor/last_words.h"
#include "worker/executor/orphans.h"

extern char** environ;

namespace laneway::worker {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::seconds kConfigureTimeout{10};
constexpr std::chrono::seconds kQuickDeath{2};
constexpr uint32_t kQuickDeathsMax = 5;

std::string NewToken() {
  uint64_t random[2] = {};
  if (getrandom(random, sizeof random, 0) != sizeof random) random[0] = static_cast<uint64_t>(getpid());
  return IncarnationId{random[0] >> 3, random[1]}.ToString();
}

// What a loader or sanitizer needs, and no secret: scripts run as the same user and may look.
std::vector<char*> CompanionEnvironment() {
  std::vector<char*> kept;
  for (char** variable = environ; *variable != nullptr; variable++) {
    const std::string_view text = *variable;
    if (text.starts_with("LD_LIBRARY_PATH=") || text.substr(0, text.find('=')).ends_with("SAN_OPTIONS")) {
      kept.push_back(*variable);
    }
  }
  kept.push_back(nullptr);
  return kept;
}

Ended Interrupted(std::string why) {
  Ended ended;
  ended.ending = v1::INTERRUPTED;
  ended.message = std::move(why);
  return ended;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Companion>> Companion::Launch() {
  std::unique_ptr<Companion> companion(new Companion);
  companion->wake_fd_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (absl::Status status = companion->Spawn(); !status.ok()) return status;
  companion->thread_ = std::thread([self = companion.get()] { self->Loop(); });
  return companion;
}

absl::Status Companion::Spawn() {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
    return absl::UnavailableError(std::string("no socket for the companion: ") + std::strerror(errno));
  }
  token_ = NewToken();
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, ends[1], 3);  // also clears close-on-exec, when it is 3 already
  std::string program = "laneway", argument = kCompanionArgument, token = token_;
  char* argv[] = {program.data(), argument.data(), token.data(), nullptr};
  const std::vector<char*> environment = CompanionEnvironment();
  const int error = posix_spawn(&pid_, "/proc/self/exe", &actions, nullptr, argv, environment.data());
  posix_spawn_file_actions_destroy(&actions);
  close(ends[1]);
  if (error != 0) {
    close(ends[0]);
    return absl::UnavailableError(std::string("the companion cannot be started: ") + std::strerror(error));
  }
  fcntl(ends[0], F_SETFL, O_NONBLOCK);
  socket_ = ends[0];
  spawned_at_ = Clock::now();
  reader_ = {};
  out_.clear();
  return absl::OkStatus();
}

Companion::~Companion() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    SendLocked(wire::Quit{});
  }
  Wake();
  if (thread_.joinable()) thread_.join();
  if (socket_ >= 0) close(socket_);
  if (pid_ > 0) waitpid(pid_, nullptr, 0);
  close(wake_fd_);
}

absl::Status Companion::WaitForPredecessor(const std::string& dir, std::chrono::milliseconds timeout) {
  return AwaitCompanionLock(dir, timeout);
}

absl::Status Companion::Configure(const std::string& dir, const IncarnationId& incarnation,
                                  const std::string& teller) {
  std::unique_lock lock(mutex_);
  configured_.reset();
  configure_ = wire::Configure{dir, incarnation, teller};
  SendLocked(*configure_);
  if (!configured_changed_.wait_for(lock, kConfigureTimeout, [this] { return configured_.has_value(); })) {
    return absl::DeadlineExceededError("the companion does not answer");
  }
  if (configured_->empty()) return absl::OkStatus();
  configure_.reset();
  return absl::FailedPreconditionError(*configured_);
}

void Companion::AddWorker(const WorkerId& worker, const IncarnationId& incarnation) {
  const std::lock_guard lock(mutex_);
  workers_[worker.name] = incarnation;
  SendLocked(wire::AddWorker{worker.name, incarnation});
}

void Companion::Remove(CompanionClient* client) {
  const std::lock_guard calling(calling_);
  const std::lock_guard lock(mutex_);
  for (auto& [id, run] : runs_) {
    if (run.client != client) continue;
    run.client = nullptr;
    SendLocked(wire::StopRun{id, static_cast<uint32_t>(StopReason::kShutdown)});
  }
}

uint64_t Companion::NextRun() {
  const std::lock_guard lock(mutex_);
  return next_run_++;
}

void Companion::Start(CompanionClient* client, uint64_t run, RunSpec spec) {
  std::string refused;
  {
    const std::lock_guard lock(mutex_);
    if (broken_ || stopping_) {
      refused = "there is no companion process to start it";
    } else if (runs_.size() >= kRunsMax) {
      refused = "too many attempts at once";
    } else {
      runs_[run] = Run{client, 0, 0};
      wire::StartRun start{run,
                           spec.key.task,
                           spec.key.attempt,
                           std::move(spec.worker.name),
                           std::move(spec.argv),
                           std::move(spec.environment),
                           std::move(spec.log_path),
                           static_cast<uint64_t>(std::max<int64_t>(spec.timeout.count(), 0)),
                           static_cast<uint64_t>(std::max<int64_t>(spec.kill_grace.count(), 0)),
                           spec.log_bytes_max,
                           spec.processes_max};
      const size_t before = out_.size();
      if (wire::Append(std::move(start), &out_)) {
        if (before == 0) FlushLocked();
        return;
      }
      runs_.erase(run);
    }
  }
  Ended ended = Interrupted(refused);
  if (refused.empty()) {
    ended.ending = v1::CANNOT_START;
    ended.message = "its arguments and environment are too long";
  }
  client->OnEnded(run, std::move(ended));
}

void Companion::Stop(uint64_t run, StopReason reason) {
  const std::lock_guard lock(mutex_);
  if (runs_.contains(run)) SendLocked(wire::StopRun{run, static_cast<uint32_t>(reason)});
}

int32_t Companion::pid() const {
  const std::lock_guard lock(mutex_);
  return pid_;
}

uint32_t Companion::restarts() const {
  const std::lock_guard lock(mutex_);
  return restarts_;
}

void Companion::SendLocked(const wire::Message& message) {
  const size_t before = out_.size();
  wire::Append(message, &out_);
  if (before == 0) FlushLocked();
}

// What the socket does not take now, the thread sends later.
void Companion::FlushLocked() {
  size_t sent = 0;
  while (sent < out_.size()) {
    const ssize_t n = send(socket_, out_.data() + sent, out_.size() - sent, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n > 0) {
      sent += static_cast<size_t>(n);
    } else if (errno == EAGAIN) {
      break;
    } else if (errno != EINTR) {
      sent = out_.size();  // it is dead: the thread will notice
    }
  }
  out_.erase(0, sent);
  if (!out_.empty()) Wake();
}

void Companion::Wake() {
  const uint64_t one = 1;
  if (write(wake_fd_, &one, sizeof one) < 0) return;  // full: it is awake
}

void Companion::Loop() {
  while (true) {
    pollfd fds[2] = {{-1, POLLIN, 0}, {wake_fd_, POLLIN, 0}};
    {
      const std::lock_guard lock(mutex_);
      fds[0].fd = socket_;
      if (!out_.empty()) fds[0].events = POLLIN | POLLOUT;
    }
    if (poll(fds, 2, -1) < 0) continue;
    uint64_t count = 0;
    if (fds[1].revents != 0 && read(wake_fd_, &count, sizeof count) < 0) continue;
    {
      const std::lock_guard lock(mutex_);
      if (!out_.empty()) FlushLocked();
      if (broken_ && stopping_) return;
    }
    if ((fds[0].revents & ~POLLOUT) == 0) continue;
    if (ReadMessages()) continue;
    {
      const std::lock_guard lock(mutex_);
      if (stopping_) return;
    }
    CompanionDied();
  }
}

bool Companion::ReadMessages() {
  static thread_local char bytes[256 << 10];
  const ssize_t size = recv(socket_, bytes, sizeof bytes, MSG_DONTWAIT);
  if (size < 0 && (errno == EAGAIN || errno == EINTR)) return true;
  if (size <= 0) return false;
  reader_.Feed({bytes, static_cast<size_t>(size)});
  const std::lock_guard calling(calling_);
  while (true) {
    absl::StatusOr<std::optional<wire::Message>> message = reader_.Next();
    if (!message.ok()) return false;
    if (!*message) return true;
    Deliver(std::move(**message));
  }
}

CompanionClient* Companion::Find(uint64_t run, bool forget) {
  const std::lock_guard lock(mutex_);
  const auto found = runs_.find(run);
  if (found == runs_.end()) return nullptr;
  CompanionClient* client = found->second.client;
  if (forget) runs_.erase(found);
  return client;
}

void Companion::Deliver(wire::Message message) {
  if (const auto* started = std::get_if<wire::RunStarted>(&message)) {
    CompanionClient* client = nullptr;
    {
      const std::lock_guard lock(mutex_);
      const auto found = runs_.find(started->run);
      if (found == runs_.end()) return;
      found->second.pid = started->pid;
      found->second.pid_start = started->pid_start;
      client = found->second.client;
    }
    if (client != nullptr) client->OnStarted(started->run, started->pid, started->pid_start);
  } else if (auto* reported = std::get_if<wire::RunReported>(&message)) {
    CompanionClient* client = Find(reported->run, false);
    if (client != nullptr) client->OnReported(reported->run, std::move(reported->report));
  } else if (auto* ended = std::get_if<wire::RunEnded>(&message)) {
    CompanionClient* client = Find(ended->run, true);
    if (client != nullptr) client->OnEnded(ended->run, std::move(ended->ended));
  } else if (auto* configured = std::get_if<wire::Configured>(&message)) {
    const std::lock_guard lock(mutex_);
    configured_ = std::move(configured->error);
    configured_changed_.notify_all();
  }
}

// Its children have died with it (PR_SET_PDEATHSIG); theirs have not. Only when none is left may anybody hear
// of an end.
void Companion::CompanionDied() {
  std::unordered_map<uint64_t, Run> held;
  {
    const std::lock_guard lock(mutex_);
    kill(pid_,
         SIGKILL);  // when it talked nonsense it may still live; as its parent we know the number is its own
    waitpid(pid_, nullptr, 0);
    close(socket_);
    socket_ = -1;
    out_.clear();
    std::vector<Survivor> survivors;
    for (const auto& [id, run] : runs_) {
      if (run.pid > 0) survivors.push_back({run.pid, run.pid_start});
    }
    StopSurvivors(survivors);
    StopByToken(token_);
    held.swap(runs_);
    quick_deaths_ = Clock::now() - spawned_at_ < kQuickDeath ? quick_deaths_ + 1 : 0;
    restarts_++;
    broken_ = quick_deaths_ >= kQuickDeathsMax || !Spawn().ok();
    if (broken_) pid_ = 0;
    if (!broken_ && configure_) SendLocked(*configure_);
    for (const auto& [worker, incarnation] : workers_) {
      if (!broken_) SendLocked(wire::AddWorker{worker, incarnation});
    }
  }
  const std::lock_guard calling(calling_);
  for (const auto& [id, run] : held) {
    if (run.client != nullptr) run.client->OnEnded(id, Interrupted("the companion process died"));
  }
}

}  // namespace laneway::worker
