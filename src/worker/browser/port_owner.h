// port_owner.h: who listens on a port of this machine.
//
// Role:       interface to /proc.
// Threads:    functions.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>

namespace laneway::worker {

struct PortOwner {
  pid_t pid = 0;     // 0: not ours to see
  std::string name;  // of its program
};

// Nothing: nobody does. Any address counts: a browser listens on the loopback, and so would the other.
std::optional<PortOwner> WhoListens(uint16_t port);

// "process 4711 (chromium)", "a process of another user".
std::string Describe(const PortOwner& owner);

}  // namespace laneway::worker
