// keeper_link.h: a worker's end of its browser's keeper: starts one, or adopts the one that is there.
//
// Role:       interface to the kernel, on a Loop.
// Input:      launch, end.
// Output:     GuardEvents: each Launch is answered by one BrowserLaunched or BrowserLaunchFailed; each
//             launched browser by one BrowserExited.
// Promises:   (1) a browser of an earlier process of this worker that still runs, on the same profile and
//             with the same arguments, is adopted, any other of this profile is ended first; (2) what a
//             killed keeper left is stopped, a keeper that does not answer is killed, before another browser
//             starts; (3) a profile or port that somebody else has is an error that names who.
// Threads:    the loop's.
#pragma once

#include <sys/types.h>

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "ops/clock.h"
#include "ops/loop.h"
#include "worker/browser/guard.h"
#include "worker/browser/keeper.h"

namespace laneway::worker {

struct KeeperPlan {
  std::string profile;  // absolute
  uint16_t port = 0;
  // Looked for at each start: what is missing may have been installed since.
  std::function<absl::StatusOr<std::vector<std::string>>()> argv;
  std::vector<std::string> environment;
  Millis adopt_within{60'000};
  Millis grace{5'000};
};

class KeeperLink {
 public:
  using Told = std::function<void(GuardEvent event)>;
  KeeperLink(ops::Loop* loop, const ops::Clock* clock, KeeperPlan plan, Told told);
  // Leaves the browser to its keeper, who waits for another worker.
  ~KeeperLink();
  KeeperLink(const KeeperLink&) = delete;
  KeeperLink& operator=(const KeeperLink&) = delete;

  void Launch(ProfileStep step);
  void End(BrowserEnd how);
  // Of the browser that runs; 0: none.
  int32_t pid() const { return browser_.pid; }

 private:
  void TryLaunch();
  absl::Status Prepare();
  absl::Status Spawn(int lock_fd, int listen_fd);
  bool Adopt();
  void TryAgain(std::string why);
  void Watch();
  void Reap(int pidfd);
  void ReadKeeper();
  void Hear(std::string_view line);
  void KeeperGone();
  void AwaitKeeper();
  void KillKeeper();
  void Close();
  void Failed(std::string why, bool lasting);
  void Exited(std::string why);

  ops::Loop* const loop_;
  const ops::Clock* const clock_;
  const KeeperPlan plan_;
  const std::string folder_;
  std::vector<std::string> argv_;  // of this launch
  std::string fingerprint_;
  const Told told_;
  ProfileStep step_ = ProfileStep::kKeep;
  bool launching_ = false;
  bool adopting_ = false;  // its hello will tell whether it is the one we would start
  Millis give_up_at_{0};
  ops::Loop::TimerId again_;
  ops::Loop::TimerId answer_by_;
  int socket_ = -1;
  std::string heard_;
  KeeperState browser_;
  std::map<int, pid_t> keepers_;  // started here and not waited for: pidfd, pid
};

}  // namespace laneway::worker
