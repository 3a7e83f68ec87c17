// chrome.h: which browser is started, with which arguments, and what it means when it does not start.
//
// Role:       nearly pure: FindBrowser looks for files.
// Threads:    functions.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace laneway::worker {

// The programs that are looked for, in this order, in the folders of `path` (as in PATH).
// NOT_FOUND says what to install or to set.
absl::StatusOr<std::string> FindBrowser(const std::string& command, std::string_view path);

struct ChromeFacts {
  std::string program;
  std::string profile;  // absolute
  uint16_t port = 0;
  std::vector<std::string> more;   // browser.args
  bool display = false;            // there is one
  uint64_t shared_memory_kib = 0;  // of /dev/shm
};

// What a browser needs on a server, then `more`; later arguments win.
std::vector<std::string> ChromeArguments(const ChromeFacts& facts);

// Chrome runs as root only without its sandbox, which only the operator may decide. OK, or what to do.
absl::Status CheckSandbox(bool root, const std::vector<std::string>& more);

// Of our environment, NAME=value: what a browser needs, and no secret. `allowed` as for scripts.
std::vector<std::string> BrowserEnvironment(const std::vector<std::string>& own,
                                            const std::vector<std::string>& allowed);

// Why it ended, for people: `how` is "exit 1" or a signal, `output` what it printed. Known causes are told
// with their remedy.
std::string ExplainEnd(std::string_view how, std::string_view output);

uint64_t SharedMemoryKib();

}  // namespace laneway::worker
