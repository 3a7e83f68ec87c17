// browsers.h: the browsers of the workers of one process.
//
// Role:       shell: steps one BrowserGuard a worker, and carries out what it says with a KeeperLink and a
//             DebugClient.
// Input:      how workers use their browsers.
// Output:     BrowserNews, on the thread of its loop: the state for the worker, lines and alerts for people.
// Promises:   Stop closes the browsers that were started, and waits; who is not stopped (a process that is
//             killed) leaves them to their keepers for the next process.
// Threads:    Start, Stop and the end: one owner. OnUse: any thread.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "fleet/ids.h"
#include "ops/clock.h"
#include "ops/loop.h"
#include "worker/browser/debug_client.h"
#include "worker/browser/guard.h"
#include "worker/browser/keeper_link.h"

namespace laneway::worker {

struct BrowserSpec {
  WorkerId worker;
  GuardLimits limits;
  KeeperPlan plan;
};

struct BrowserNews {
  std::optional<BrowserState> state;
  std::vector<BrowserLine> lines;
  std::vector<v1::Alert> alerts;
};

class Browsers {
 public:
  using Told = std::function<void(const WorkerId& worker, BrowserNews news)>;
  Browsers(const ops::Clock* clock, std::vector<BrowserSpec> specs, Told told);
  ~Browsers();
  Browsers(const Browsers&) = delete;
  Browsers& operator=(const Browsers&) = delete;

  void Start();
  void OnUse(const WorkerId& worker, const BrowserUse& use);
  // Closes all, and waits for at most `patience`; what then still runs is killed.
  void Stop(Millis patience);
  // Makes a Stop under way, or still to come, kill them at once. Any thread, while this lives.
  void Hurry();

 private:
  struct One;

  Millis Now() const;
  void Take(One& one, const GuardEvent& event);
  void Step(One& one);
  void CarryOut(One& one, GuardCommands commands);
  void End(One& one, BrowserEnd how);
  void OnDebug(DebugClient::LinkId link, const GuardEvent& event);
  bool IsOwn(const One& one, std::string* who) const;
  void CloseAll();
  void CheckClosed();

  const ops::Clock* const clock_;
  const Told told_;
  ops::Loop loop_{"browsers"};
  std::vector<std::unique_ptr<One>> ones_;
  std::unique_ptr<DebugClient> debug_;
  DebugClient::LinkId next_link_ = 1;
  bool started_ = false;
  bool hurried_ = false;          // on the loop
  std::function<void()> closed_;  // to be called when all are
};

}  // namespace laneway::worker
