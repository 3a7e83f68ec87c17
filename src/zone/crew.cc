#include "zone/crew.h"

#include <algorithm>

namespace laneway::zone {

Crew::~Crew() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    stop_ = true;
  }
  wake_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void Crew::Run(size_t count, const std::function<void(size_t)>& work) {
  if (count <= 2 || threads_max_ <= 1) {
    for (size_t i = 0; i < count; i++) work(i);
    return;
  }
  const std::lock_guard<std::mutex> one_run(run_mutex_);
  std::unique_lock<std::mutex> lock(mutex_);
  // The caller works too.
  while (threads_.size() + 1 < std::min(count, threads_max_)) threads_.emplace_back([this] { Member(); });
  work_ = &work;
  next_ = 0;
  count_ = count;
  finished_ = 0;
  wake_.notify_all();
  Help(lock);
  done_.wait(lock, [this] { return finished_ == count_; });
  work_ = nullptr;
}

void Crew::Help(std::unique_lock<std::mutex>& lock) {
  while (work_ != nullptr && next_ < count_) {
    const size_t i = next_++;
    const std::function<void(size_t)>& work = *work_;
    lock.unlock();
    work(i);
    lock.lock();
    if (++finished_ == count_) done_.notify_all();
  }
}

void Crew::Member() {
  std::unique_lock<std::mutex> lock(mutex_);
  while (!stop_) {
    Help(lock);
    wake_.wait(lock, [this] { return stop_ || (work_ != nullptr && next_ < count_); });
  }
}

}  // namespace laneway::zone
