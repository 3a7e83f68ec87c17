#include "api/event_stream.h"

#include <utility>

namespace laneway::api {

bool StreamQueue::Write(std::string text) {
  std::lock_guard lock(mutex_);
  if (closed_) return false;
  if (waiting_.size() + text.size() > waiting_max_) closed_ = true;
  if (!closed_) waiting_ += text;
  if (wake_) wake_();
  return !closed_;
}

void StreamQueue::Close() {
  std::lock_guard lock(mutex_);
  closed_ = true;
  if (wake_) wake_();
}

void StreamQueue::Attach(std::function<void()> wake) {
  std::lock_guard lock(mutex_);
  wake_ = std::move(wake);
}

void StreamQueue::Detach() {
  std::lock_guard lock(mutex_);
  closed_ = true;
  wake_ = nullptr;
}

std::string StreamQueue::Take(bool& closed) {
  std::lock_guard lock(mutex_);
  closed = closed_;
  return std::exchange(waiting_, {});
}

std::shared_ptr<EventStream> MakeEventStream(size_t waiting_max) {
  return std::make_shared<StreamQueue>(waiting_max);
}

}  // namespace laneway::api
