// crew.h: a few threads that wait for the disk together.
//
// Role:       helper of PosixFs. One sync of a folder is mostly waiting for the device's cache to be flushed
//             (105 µs); the kernel merges flushes that are asked for at the same time, so 64 folders cost 25
//             µs each on 16 threads.
// Bound:      as many threads as the constructor says; made when first needed, kept.
// Threads:    Run from any; runs are one after the other.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace laneway::zone {

class Crew {
 public:
  explicit Crew(size_t threads_max) : threads_max_(threads_max) {}
  ~Crew();
  Crew(const Crew&) = delete;
  Crew& operator=(const Crew&) = delete;

  // Calls work(0) … work(count - 1), each once, in any order; returns when all have returned.
  void Run(size_t count, const std::function<void(size_t)>& work);

 private:
  void Member();
  void Help(std::unique_lock<std::mutex>& lock);

  const size_t threads_max_;
  std::mutex run_mutex_;  // one Run at a time
  std::mutex mutex_;      // guards what follows
  std::condition_variable wake_;
  std::condition_variable done_;
  const std::function<void(size_t)>* work_ = nullptr;
  size_t next_ = 0;
  size_t count_ = 0;
  size_t finished_ = 0;
  bool stop_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace laneway::zone
