// last_words.h: the folder in which a companion leaves word of a main process that died, and the lock that
// says it is done.
//
// Role:       interface to the file system.
// Output:     <dir>/companion.lock, held for as long as a companion lives; <dir>/last-words/<incarnation>.pb,
//             a v1::LastWords, written and synced before the lock is given up, after the scripts were stopped
//             (rule R2).
// Threads:    functions.
#pragma once

#include <chrono>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "fleet/ids.h"
#include "laneway/v1/store.pb.h"

namespace laneway::worker {

// Makes the folders and takes the lock. `token` goes into the lock file; *predecessor gets the token of a
// companion that ended without clearing it, or
// nothing. FAILED_PRECONDITION: another companion lives. The lock is held until the file descriptor is
// closed.
absl::StatusOr<int> TakeCompanionLock(const std::string& dir, const std::string& token,
                                      std::string* predecessor);
// All processes of this companion are gone: nobody needs to look for them.
void ClearCompanionLock(int fd);

// Waits until no companion holds the lock. DEADLINE_EXCEEDED when one still does.
absl::Status AwaitCompanionLock(const std::string& dir, std::chrono::milliseconds timeout);

absl::Status WriteLastWords(const std::string& dir, const IncarnationId& incarnation,
                            const v1::LastWords& words);

// Starts this very program as who tells them to the log (companion.h: kTellerArgument). It outlives its
// parent.
absl::Status StartTeller(const std::string& dir, const std::string& input);

struct LastWordsFile {
  std::string path;
  v1::LastWords words;
  bool told = false;  // it is in the log already
};
// What companions have left, oldest name first. A file that cannot be read is left where it is and not told.
std::vector<LastWordsFile> ReadLastWords(const std::string& dir);
// What it says is in the log; kept for the worker's next start.
absl::Status MarkTold(const LastWordsFile& file);
// What it says is in the log, and nobody needs to know any more.
absl::Status ForgetLastWords(const LastWordsFile& file);

}  // namespace laneway::worker
