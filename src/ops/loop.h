// loop.h: one thread that runs what others hand it, timers and file descriptors, one thing at a time.
//
// Role:       shell: a state machine lives on a Loop, and needs no lock.
// Input:      Post from any thread; timers; readiness of file descriptors.
// Invariants: (1) what one thread posts runs in the order it was posted; (2) what was accepted before Stop
//             runs before the thread ends, what comes later is refused; (3) a cancelled timer and a removed
//             watch never fire; (4) timers and watches are served between batches of posts, so that no flood
//             of posts starves them for longer than one batch. Bounds:     TryPost refuses when `posts_max`
//             are waiting: that is back-pressure for new work. Post does not: it is for answers, of which
//             there are never more than questions were asked.
// Threads:    Post, TryPost, Call, Stop, Depth: any. Timers and watches: the loop's own thread, or any one
//             before Start.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <type_traits>
#include <unordered_map>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "ops/clock.h"

namespace laneway::ops {

class Loop {
 public:
  using Work = absl::AnyInvocable<void()>;
  // Names a timer; the empty one is no timer.
  struct TimerId {
    SteadyTime due{};
    uint64_t number = 0;
    bool empty() const { return number == 0; }
    friend auto operator<=>(const TimerId&, const TimerId&) = default;
  };

  // `name` is the thread's, cut to 15 characters. The thread runs from Start on.
  explicit Loop(std::string name, size_t posts_max = 1 << 20);
  ~Loop();  // Stop and Join
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  void Start();
  // Takes nothing more; runs what was accepted; forgets timers and watches. Returns at once.
  void Stop();
  // Waits until the thread has ended. Not from the loop itself.
  void Join();

  // False when the loop was stopped.
  bool Post(Work work);
  // False when the loop was stopped or `posts_max` are waiting.
  [[nodiscard]] bool TryPost(Work work);
  // How many posts wait.
  size_t Depth() const;

  // Runs `function` on the loop and waits for its result; at once when called on the loop. Nothing when the
  // loop was stopped or has not been started: nobody would ever answer (or, for a function without a result,
  // false).
  template <class Function>
  auto Call(Function function);

  bool OnLoop() const { return loop_thread_.load(std::memory_order_acquire) == std::this_thread::get_id(); }

  TimerId RunAt(SteadyTime due, Work work);
  TimerId RunAfter(std::chrono::nanoseconds delay, Work work);
  // True when it had not fired.
  bool Cancel(TimerId timer);

  // Calls `ready` with epoll's events for as long as one of `events` (EPOLLIN, …) holds. The descriptor stays
  // the caller's, who calls Unwatch before it closes it.
  void Watch(int fd, uint32_t events, absl::AnyInvocable<void(uint32_t)> ready);
  void Unwatch(int fd);

 private:
  struct Watched;

  bool PostWithin(Work work, size_t max);
  bool PostIfStarted(Work work);
  void Run();
  void RunBatch();
  bool RunTimers();
  void Poll(bool wait);
  void Wake();
  void CheckOwner() const;

  const std::string name_;
  const size_t posts_max_;
  int epoll_fd_ = -1;
  int wake_fd_ = -1;

  mutable std::mutex mutex_;
  std::vector<Work> posted_;  // guarded by mutex_
  bool sleeping_ = false;     // guarded by mutex_: the next post must wake the thread
  bool started_ = false;      // guarded by mutex_
  bool stopped_ = false;      // guarded by mutex_

  std::vector<Work> running_;  // the loop's own from here on
  std::map<TimerId, Work> timers_;
  uint64_t timers_made_ = 0;
  std::unordered_map<int, std::shared_ptr<Watched>> watched_;
  std::atomic<std::thread::id> loop_thread_{};
  std::thread thread_;
};

template <class Function>
auto Loop::Call(Function function) {
  using Result = std::invoke_result_t<Function&>;
  // A caller's frame outlives the post: an accepted post always runs, and the caller waits for it.
  struct Slot {
    std::mutex mutex;
    std::condition_variable changed;
    bool done = false;
  } slot;
  const auto wait = [&slot] {
    std::unique_lock lock(slot.mutex);
    slot.changed.wait(lock, [&slot] { return slot.done; });
  };
  const auto finish = [&slot] {
    std::lock_guard lock(slot.mutex);
    slot.done = true;
    slot.changed.notify_one();
  };
  if constexpr (std::is_void_v<Result>) {
    if (OnLoop()) return function(), true;
    if (!PostIfStarted([&] { function(), finish(); })) return false;
    wait();
    return true;
  } else {
    std::optional<Result> result;
    if (OnLoop()) {
      result.emplace(function());
    } else if (PostIfStarted([&] { result.emplace(function()), finish(); })) {
      wait();
    }
    return result;
  }
}

}  // namespace laneway::ops
