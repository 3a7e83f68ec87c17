// debug_talk.h: what is said to a browser's debugging port, and what its answers mean.
//
// Role:       pure; both ends of it are JSON (the Chrome DevTools Protocol 1.3: Browser, Target and Runtime).
// Input:      texts of somebody else: bounded, and never trusted.
// Threads:    one owner.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "worker/browser/guard.h"

namespace laneway::worker {

inline constexpr size_t kDebugTextBytesMax = 1 << 20;
// the first with --headless=new and today's rules for its debugging port
inline constexpr int kOldestBrowser = 112;

// The answer to GET /json/version.
struct DebugVersion {
  std::string browser;  // "Chrome/156.0.8078.108"
  int major = 0;        // 0: unknown
  std::string path;     // "/devtools/browser/<id>": another one for each start
};
// INVALID_ARGUMENT: it is not a browser's answer.
absl::StatusOr<DebugVersion> ParseDebugVersion(std::string_view text);

// One question after the other. A question may take several messages.
class DebugTalk {
 public:
  struct Step {
    std::string send;                     // the next message; may be empty
    std::optional<BrowserAnswered> done;  // the question is answered
  };
  // The first message of a question. What was under way is forgotten.
  std::string Ask(Probe probe);
  // To end in good order: what it has not written yet, such as a login, is kept.
  std::string Close() { return Call(Waits::kNothing, "Browser.close", "{}"); }
  // A message of the browser. Those that answer nothing of ours are ignored.
  Step Take(std::string_view text);

 private:
  enum class Waits : uint8_t { kNothing, kVersion, kTarget, kSession, kValue, kClosed };
  std::string Call(Waits next, std::string_view method, std::string_view parameters, bool in_session = false);

  uint64_t id_ = 0;
  Waits waits_ = Waits::kNothing;
  std::string target_;
  std::string session_;
  BrowserAnswered answer_;
};

}  // namespace laneway::worker
