// debug_client.h: connections to browsers' debugging ports: a WebSocket each.
//
// Role:       shell around DebugTalk. One thread for all connections of a process.
// Input:      attach, ask, detach.
// Output:     events: each Attach is answered by one BrowserAttached or BrowserRefused; an attached
//             connection that ends by itself by one BrowserDropped; each Ask by one BrowserAnswered, unless
//             it is dropped or detached before. After Detach nothing more is told of that connection.
// Bounds:     only 127.0.0.1; messages of at most kDebugTextBytesMax; connecting takes at most kAttachTime.
// Threads:    every function from any thread; events come on its own.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>

#include "worker/browser/guard.h"

namespace laneway::worker {

class DebugClient {
 public:
  static constexpr std::chrono::milliseconds kAttachTime{2'000};
  using LinkId = uint64_t;  // a new one for each Attach
  using Told = std::function<void(LinkId link, GuardEvent event)>;

  explicit DebugClient(Told told);
  ~DebugClient();
  DebugClient(const DebugClient&) = delete;
  DebugClient& operator=(const DebugClient&) = delete;

  void Attach(LinkId link, uint16_t port);
  void Ask(LinkId link, Probe probe);
  // Asks the browser to end.
  void Close(LinkId link);
  void Detach(LinkId link);

 private:
  struct Shared;
  std::unique_ptr<Shared> shared_;
};

}  // namespace laneway::worker
