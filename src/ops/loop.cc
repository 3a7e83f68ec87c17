#include "ops/loop.h"

#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <limits>

#include "ops/check.h"

namespace laneway::ops {

struct Loop::Watched {
  absl::AnyInvocable<void(uint32_t)> ready;
  bool removed = false;
};

Loop::Loop(std::string name, size_t posts_max) : name_(std::move(name)), posts_max_(posts_max) {
  epoll_fd_ = epoll_create1(EPOLL_CLOEXEC);
  wake_fd_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  LANEWAY_CHECK(epoll_fd_ >= 0 && wake_fd_ >= 0, "no file descriptor left for an event loop");
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.fd = wake_fd_;
  LANEWAY_CHECK(epoll_ctl(epoll_fd_, EPOLL_CTL_ADD, wake_fd_, &event) == 0, "epoll refuses the eventfd");
}

Loop::~Loop() {
  Stop();
  Join();
  close(epoll_fd_);
  close(wake_fd_);
}

void Loop::Start() {
  LANEWAY_CHECK(!thread_.joinable(), "a loop starts once");
  {
    std::lock_guard lock(mutex_);
    started_ = true;
  }
  thread_ = std::thread([this] { Run(); });
  pthread_setname_np(thread_.native_handle(), name_.substr(0, 15).c_str());
}

void Loop::Stop() {
  {
    std::lock_guard lock(mutex_);
    stopped_ = true;
  }
  Wake();
}

void Loop::Join() {
  if (!thread_.joinable()) return;
  LANEWAY_CHECK(!OnLoop(), "a loop cannot wait for itself");
  thread_.join();
}

bool Loop::Post(Work work) { return PostWithin(std::move(work), std::numeric_limits<size_t>::max()); }
bool Loop::TryPost(Work work) { return PostWithin(std::move(work), posts_max_); }

bool Loop::PostIfStarted(Work work) {
  {
    std::lock_guard lock(mutex_);
    if (!started_) return false;
  }
  return Post(std::move(work));
}

bool Loop::PostWithin(Work work, size_t max) {
  bool wake = false;
  {
    std::lock_guard lock(mutex_);
    if (stopped_ || posted_.size() >= max) return false;
    posted_.push_back(std::move(work));
    wake = std::exchange(sleeping_, false);  // one wake for a burst: only the first post finds it asleep
  }
  if (wake) Wake();
  return true;
}

size_t Loop::Depth() const {
  std::lock_guard lock(mutex_);
  return posted_.size();
}

void Loop::Wake() {
  const uint64_t one = 1;
  // A full counter (EAGAIN) is a wake already given.
  [[maybe_unused]] const ssize_t written = write(wake_fd_, &one, sizeof one);
}

void Loop::CheckOwner() const {
  LANEWAY_CHECK(loop_thread_.load(std::memory_order_acquire) == std::thread::id{} || OnLoop(),
                "timers and watches belong to the loop's thread");
}

Loop::TimerId Loop::RunAt(SteadyTime due, Work work) {
  CheckOwner();
  const TimerId id{due, ++timers_made_};
  timers_.emplace(id, std::move(work));
  return id;
}

Loop::TimerId Loop::RunAfter(std::chrono::nanoseconds delay, Work work) {
  return RunAt(std::chrono::steady_clock::now() + delay, std::move(work));
}

bool Loop::Cancel(TimerId timer) {
  CheckOwner();
  return timers_.erase(timer) > 0;
}

void Loop::Watch(int fd, uint32_t events, absl::AnyInvocable<void(uint32_t)> ready) {
  CheckOwner();
  auto watched = std::make_shared<Watched>();
  watched->ready = std::move(ready);
  epoll_event event{};
  event.events = events;
  event.data.fd = fd;
  auto& slot = watched_[fd];
  const int operation = slot ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
  if (slot) slot->removed = true;
  slot = std::move(watched);
  LANEWAY_CHECK(epoll_ctl(epoll_fd_, operation, fd, &event) == 0, "epoll refuses a descriptor");
}

void Loop::Unwatch(int fd) {
  CheckOwner();
  const auto at = watched_.find(fd);
  if (at == watched_.end()) return;
  at->second->removed = true;
  watched_.erase(at);
  epoll_ctl(epoll_fd_, EPOLL_CTL_DEL, fd, nullptr);
}

void Loop::Run() {
  loop_thread_.store(std::this_thread::get_id(), std::memory_order_release);
  while (true) {
    bool wait = false;
    bool stop = false;
    {
      std::lock_guard lock(mutex_);
      running_.swap(posted_);
      stop = stopped_ && running_.empty();
      wait = running_.empty() && !stopped_;
      sleeping_ = wait;
    }
    if (stop) break;
    RunBatch();
    if (RunTimers()) wait = false;
    if (wait || !watched_.empty()) Poll(wait);
  }
  timers_.clear();
  watched_.clear();
}

void Loop::RunBatch() {
  for (Work& work : running_) {
    work();
    work = nullptr;  // what it holds is freed before the next one runs
  }
  running_.clear();
}

// Fires what is due now; a timer set by one that fires waits for the next round.
bool Loop::RunTimers() {
  if (timers_.empty()) return false;
  const SteadyTime now = std::chrono::steady_clock::now();
  const uint64_t last_number = timers_made_;
  bool fired = false;
  for (auto at = timers_.begin(); at != timers_.end() && at->first.due <= now; at = timers_.begin()) {
    if (at->first.number > last_number) break;
    auto node = timers_.extract(at);
    node.mapped()();
    fired = true;
  }
  return fired;
}

void Loop::Poll(bool wait) {
  timespec timeout{0, 0};
  timespec* limit = &timeout;
  if (wait && timers_.empty()) {
    limit = nullptr;
  } else if (wait) {
    const auto left = timers_.begin()->first.due - std::chrono::steady_clock::now();
    const auto ns = std::max<int64_t>(0, std::chrono::duration_cast<Nanos>(left).count());
    timeout.tv_sec = static_cast<time_t>(ns / 1'000'000'000);
    timeout.tv_nsec = static_cast<long>(ns % 1'000'000'000);
  }
  std::array<epoll_event, 64> events;
  const int count = epoll_pwait2(epoll_fd_, events.data(), static_cast<int>(events.size()), limit, nullptr);
  LANEWAY_CHECK(count >= 0 || errno == EINTR, "epoll_pwait2 failed (Linux 5.11 or newer is needed)");
  if (wait) {
    std::lock_guard lock(mutex_);
    sleeping_ = false;
  }
  for (int i = 0; i < count; i++) {
    const epoll_event& event = events[static_cast<size_t>(i)];
    if (event.data.fd == wake_fd_) {
      uint64_t sum = 0;
      [[maybe_unused]] const ssize_t got = read(wake_fd_, &sum, sizeof sum);
      continue;
    }
    const auto at = watched_.find(event.data.fd);
    if (at == watched_.end()) continue;                   // removed by a callback of this very round
    const std::shared_ptr<Watched> watched = at->second;  // it may remove itself
    watched->ready(event.events);
  }
}

}  // namespace laneway::ops
