#include "worker/executor/companion_process.h"

#include <signal.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "worker/executor/orphans.h"
#include "worker/executor/process_table.h"

namespace laneway::worker {
namespace {

using std::chrono::milliseconds;

constexpr int kEventsMax = 256;

}  // namespace

CompanionProcess::CompanionProcess(int socket, std::string token)
    : socket_(socket), token_(std::move(token)), spawner_(new Spawner) {
  epoll_fd_ = epoll_create1(EPOLL_CLOEXEC);
  sigset_t children;
  sigemptyset(&children);
  sigaddset(&children, SIGCHLD);
  signal_fd_ = signalfd(-1, &children, SFD_CLOEXEC | SFD_NONBLOCK);
  Watch(socket_, kSocket);
  Watch(signal_fd_, kSignal, 0, EPOLL_CTL_ADD);
  Watch(spawner_->wake_fd(), kSpawned);
  oom_kills_ = OomKills();
}

int CompanionProcess::Run() {
  now_ = std::chrono::steady_clock::now();
  next_tick_ = now_ + kIdleTick;
  while (!Done()) {
    Poll();
    if (now_ >= next_tick_) Tick();
    RunTimers();
    if (children_changed_) SweepStrays();
    FinishEnded();
    WatchChildren();
    FlushSocket();
  }
  SweepSiblings();
  if (main_gone_) LeaveLastWords();
  pids_limit_.reset();
  if (lock_fd_ >= 0) ClearCompanionLock(lock_fd_);
  return 0;
}

void CompanionProcess::Watch(int fd, uint64_t tag, uint32_t events, int operation) {
  epoll_event event{};
  event.events = events;
  event.data.u64 = tag;
  epoll_ctl(epoll_fd_, operation, fd, &event);
}

void CompanionProcess::Watch(int fd, uint64_t tag) { Watch(fd, tag, EPOLLIN, EPOLL_CTL_ADD); }

bool CompanionProcess::Done() const {
  if (!quit_ && !main_gone_) return false;
  return (runs_.empty() && strays_.empty()) || (end_by_ && now_ >= *end_by_);
}

// ---- time ----

int CompanionProcess::PollTimeout() const {
  if (runs_.empty() && strays_.empty() && !siblings_due_) return -1;
  SteadyTime first = next_tick_;
  if (!timers_.empty()) first = std::min(first, timers_.begin()->first);
  const auto wait = std::chrono::ceil<milliseconds>(first - now_).count();
  return static_cast<int>(std::max<int64_t>(wait, 0));
}

void CompanionProcess::SetTimer(AttemptRun* run) {
  const std::optional<SteadyTime> deadline = run->Deadline();
  if (deadline == run->timer) return;
  if (run->timer) timers_.erase({*run->timer, run->run()});
  if (deadline) timers_.insert({*deadline, run->run()});
  run->timer = deadline;
}

void CompanionProcess::RunTimers() {
  while (!timers_.empty() && timers_.begin()->first <= now_) {
    const uint64_t id = timers_.begin()->second;
    timers_.erase(timers_.begin());
    const auto found = runs_.find(id);
    if (found == runs_.end()) continue;
    AttemptRun* run = found->second.get();
    run->timer.reset();
    if (run->give_up_at && *run->give_up_at <= now_) {
      run->facts.stuck = true;
      Finish(run);
      continue;
    }
    if (run->stage == RunStage::kRunning && run->timeout_at && *run->timeout_at <= now_) {
      Terminate(run, StopCause::kTimeout);
    } else if (run->stage == RunStage::kTerminating && run->kill_at && *run->kill_at <= now_) {
      KillRun(run);
    }
    TellReport(run, false);
    if (runs_.contains(id)) SetTimer(run);
  }
}

void CompanionProcess::Tick() {
  children_changed_ = true;
  oom_kills_ = std::max(oom_kills_, OomKills());
  if (counted_runs_ > 0) CountProcesses();
  SweepSiblings();
  for (auto& [id, run] : runs_) run->log.Sync();
  for (auto it = abandoned_.begin(); it != abandoned_.end();) {
    it = waitpid(*it, nullptr, WNOHANG | __WALL) != 0 ? abandoned_.erase(it) : std::next(it);
  }
  next_tick_ = now_ + kIdleTick;
  if (counted_runs_ > 0) next_tick_ = now_ + kCrowdInterval;
  if (!strays_.empty()) next_tick_ = now_ + kSweepInterval;
}

// ---- events ----

void CompanionProcess::Poll() {
  epoll_event events[kEventsMax];
  const int count = epoll_wait(epoll_fd_, events, kEventsMax, PollTimeout());
  const bool was_idle = runs_.empty();
  now_ = std::chrono::steady_clock::now();
  for (int i = 0; i < count; i++) HandleEvent(events[i].data.u64);
  if (was_idle && !runs_.empty() && next_tick_ <= now_) {
    next_tick_ = now_ + (counted_runs_ > 0 ? kCrowdInterval : milliseconds(kIdleTick));
    oom_kills_ = std::max(oom_kills_, OomKills());
  }
}

void CompanionProcess::HandleEvent(uint64_t tag) {
  switch (tag & 7) {
    case kSocket:
      out_blocked_ = false;
      ReadSocket();
      return;
    case kSignal: {
      signalfd_siginfo info;
      children_changed_ = true;
      if (read(signal_fd_, &info, sizeof info) < 0) return;
      return;
    }
    case kSpawned:
      for (SpawnDone& done : spawner_->Take()) Launched(std::move(done));
      return;
    default:
      break;
  }
  const auto found = runs_.find(tag >> 3);
  if (found == runs_.end()) return;
  AttemptRun* run = found->second.get();
  if ((tag & 7) == kPidfd) {
    LeaderDied(run);
    return;
  }
  run->ReadPipe((tag & 7) == kStdout);
  TellReport(run, false);
  SetTimer(run);
}

void CompanionProcess::ReadSocket() {
  static char bytes[256 << 10];
  const ssize_t size = recv(socket_, bytes, sizeof bytes, MSG_DONTWAIT);
  if (size < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (size <= 0) return MainGone();
  reader_.Feed({bytes, static_cast<size_t>(size)});
  while (true) {
    absl::StatusOr<std::optional<wire::Message>> message = reader_.Next();
    if (!message.ok()) return MainGone();  // it talks nonsense: as good as dead
    if (!*message) return;
    Handle(std::move(**message));
  }
}

void CompanionProcess::Handle(wire::Message message) {
  if (main_gone_ || quit_) return;
  if (auto* start = std::get_if<wire::StartRun>(&message)) {
    HandleStart(std::move(*start));
  } else if (const auto* stop = std::get_if<wire::StopRun>(&message)) {
    HandleStop(*stop);
  } else if (const auto* configure = std::get_if<wire::Configure>(&message)) {
    Handle(*configure);
  } else if (auto* worker = std::get_if<wire::AddWorker>(&message)) {
    workers_[worker->worker] = worker->incarnation;
  } else if (std::holds_alternative<wire::Quit>(message)) {
    quit_ = true;
    end_by_ = now_ + kGiveUpAfter + kIdleTick;
    for (auto& [id, run] : runs_) KillRun(run.get());
    children_changed_ = true;
  }
}

void CompanionProcess::Handle(const wire::Configure& configure) {
  wire::Configured answer;
  std::string predecessor;
  if (lock_fd_ < 0) {
    absl::StatusOr<int> lock = TakeCompanionLock(configure.dir, token_, &predecessor);
    if (lock.ok()) {
      lock_fd_ = *lock;
      dir_ = configure.dir;
      teller_ = configure.teller;
      incarnation_ = configure.incarnation;
      answer.survivors = StopByToken(predecessor);
    } else {
      answer.error = std::string(lock.status().message());
    }
  }
  Send(answer);
}

void CompanionProcess::Send(const wire::Message& message) {
  if (!main_gone_ && !quit_) wire::Append(message, &out_);
}

void CompanionProcess::FlushSocket() {
  size_t sent = 0;
  while (!out_blocked_ && sent < out_.size()) {
    const ssize_t n = send(socket_, out_.data() + sent, out_.size() - sent, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n > 0) {
      sent += static_cast<size_t>(n);
    } else if (errno != EINTR) {
      out_blocked_ = true;
      if (errno != EAGAIN) sent = out_.size();  // it is gone; the next read says so
    }
  }
  out_.erase(0, sent);
  if (main_gone_ || quit_ || out_watched_ == !out_.empty()) return;
  out_watched_ = !out_.empty();
  Watch(socket_, kSocket, out_watched_ ? EPOLLIN | EPOLLOUT : EPOLLIN, EPOLL_CTL_MOD);
}

// ---- the end ----

void CompanionProcess::MainGone() {
  if (main_gone_) return;
  main_gone_ = !quit_;
  if (!end_by_) end_by_ = now_ + kGiveUpAfter + kIdleTick;
  epoll_ctl(epoll_fd_, EPOLL_CTL_DEL, socket_, nullptr);
  out_.clear();
  std::map<std::string, v1::WorkerLost*> lost;
  const auto lost_of = [&](const std::string& worker, const IncarnationId& incarnation) {
    v1::WorkerLost*& entry = lost[worker];
    if (entry == nullptr) {
      entry = words_.add_lost();
      entry->set_worker(worker);
      entry->set_incarnation(incarnation.ToBytes());
      entry->set_reason("process_died");
    }
    return entry;
  };
  for (const auto& [worker, incarnation] : workers_) lost_of(worker, incarnation);
  for (auto& [id, run] : runs_) {
    v1::HeldAttempt* held = lost_of(run->start.worker, incarnation_)->add_held();
    held->set_job_id(run->start.task.job.ToBytes());
    held->set_task(run->start.task.n);
    held->set_attempt(run->start.attempt);
    KillRun(run.get());
  }
  children_changed_ = true;
}

void CompanionProcess::LeaveLastWords() {
  if (dir_.empty()) return;
  absl::Status status = WriteLastWords(dir_, incarnation_, words_);
  if (status.ok() && !teller_.empty()) status = StartTeller(dir_, teller_);
  if (status.ok()) return;
  const std::string text = "laneway: last words: " + std::string(status.message()) + "\n";
  if (write(2, text.data(), text.size()) < 0) return;
}

}  // namespace laneway::worker
