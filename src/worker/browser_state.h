// browser_state.h: what a worker knows of its browser.
//
// Role:       vocabulary between the guard of a browser and the worker that uses it.
#pragma once

#include <cstdint>
#include <string>

namespace laneway::worker {

// A generation is one start of the browser. Those up to `over` are gone: whatever a script had open in them
// is lost.
struct BrowserState {
  bool connected = false;
  bool resting = false;  // it works, and is to be left alone: it will be recycled
  uint32_t port = 0;
  uint32_t generation = 0;
  uint32_t over = 0;
  uint64_t seq = 0;  // counts the changes
  std::string note;  // for people: why it is not connected

  bool usable() const { return connected && !resting; }
};

// What people are told of it. `good`: there is nothing to look after.
struct BrowserLine {
  std::string text;
  bool good = false;
};

// The worker's word to the guard of its browser.
struct BrowserUse {
  uint32_t users = 0;  // tasks that run with it, or are about to
  uint64_t tasks = 0;  // all that ever started with it
  uint64_t seen = 0;   // BrowserState::seq
  friend bool operator==(const BrowserUse&, const BrowserUse&) = default;
};

}  // namespace laneway::worker
