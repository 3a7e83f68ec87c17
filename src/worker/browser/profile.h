// profile.h: a browser's profile folder, and the folder of its keeper beside it.
//
// Role:       interface to the file system.
// Promises:   a profile is used only by who holds its lock; Chrome's own lock is cleared only when its owner
//             is provably gone; a profile is never deleted, only set aside.
// Threads:    functions.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "worker/browser/guard.h"

namespace laneway::worker {

// <profile>.keeper: lock, socket, state, output.log.
std::string KeeperFolder(const std::string& profile);

// Makes the folders and takes the lock: a file descriptor. FAILED_PRECONDITION: somebody has it.
absl::StatusOr<int> LockProfile(const std::string& profile);

// Lock held: Chrome's SingletonLock of a browser that is gone goes. FAILED_PRECONDITION names who is not
// gone.
absl::Status ClearSingleton(const std::string& profile);

// Lock held, no browser: <profile> ↔ <profile>.aside-<time>. `now` names the new one.
absl::Status Apply(ProfileStep step, const std::string& profile, LogTime now);

}  // namespace laneway::worker
