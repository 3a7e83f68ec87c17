// event_stream.h: what waits for a slow client, between the handler that writes and the session that sends.
// Internal to api.
#pragma once

#include <functional>
#include <mutex>
#include <string>

#include "api/http.h"

namespace laneway::api {

class StreamQueue : public EventStream {
 public:
  explicit StreamQueue(size_t waiting_max) : waiting_max_(waiting_max) {}

  bool Write(std::string text) override;
  void Close() override;

  // The session's side: `wake` is called whenever there is something to take.
  void Attach(std::function<void()> wake);
  void Detach();
  std::string Take(bool& closed);

 private:
  const size_t waiting_max_;
  std::mutex mutex_;
  std::string waiting_;
  std::function<void()> wake_;
  bool closed_ = false;
};

}  // namespace laneway::api
