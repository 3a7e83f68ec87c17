// keeper.h: the small process that is the parent of one browser.
//
// Role:       one loop over a socket, a pipe and the kernel's news of children; a fresh copy of this program,
//             started by KeeperLink.
// Input:      its worker's words over <folder>/socket: `close`, `kill`.
// Output:     `runs PID START GENERATION FINGERPRINT`, then `ended HOW` or `cannot WHY`; the browser's output
//             in <folder>/output.log; <folder>/state, by which a later worker finds what a killed keeper
//             left.
// Promises:   (1) it lives as long as its browser, and holds <folder>/lock for as long; (2) when its worker
//             is gone it waits for the next one, who adopts the browser; if none comes in time, the browser
//             is closed; (3) no process below the browser lives when `ended` was told; (4) when the keeper is
//             killed, the kernel kills the browser.
// Threads:    one.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace laneway::worker {

inline constexpr char kKeeperArgument[] = "__browser_keeper";
inline constexpr int kKeeperListenFd = 3;
inline constexpr int kKeeperLockFd = 4;

// argv: <program> __browser_keeper FOLDER ADOPT_WITHIN_MS GRACE_MS FINGERPRINT BROWSER-ARGV…
// Runs the keeper and gives its exit code; nothing when this process is not to be one.
std::optional<int> KeeperMain(int argc, char** argv);

// What a keeper notes of its browser.
struct KeeperState {
  int32_t pid = 0;
  uint64_t pid_start = 0;
  uint32_t generation = 0;
};
// Nothing: there is none, or it cannot be read.
std::optional<KeeperState> ParseKeeperState(const std::string& text);
std::string KeeperStateText(const KeeperState& state);

}  // namespace laneway::worker
