// liveness.h: who has fallen silent.
//
// Role:       pure core; every reaper runs one.
// Input:      heartbeats, browser health and last words as they are read (in log order, at the log's time), whether the reader is in touch with the log,
//             what the fold says, and the passing of time. Output: verdicts, to be appended.
// Invariants: (1) silence counts only while the reaper could hear: after its own outage everyone gets a full timeout again;
//             (2) a worker that beats but has not polled its lanes for a timeout is lost too, and the verdict names that signal;
//             (3) every verdict names the incarnation and the heartbeat it judges (rule R2);
//             (4) a beat of a worker the fold calls lost yields Returned, each time one is read until the fold agrees (rule R2);
//             (5) a worker that said it leaves is not called silent.
// Threads:    one owner.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "fleet/ids.h"
#include "fleet/log_time.h"

namespace laneway {

struct LivenessLimits {
  Millis heartbeat_timeout{30000};
  Millis browser_timeout{60000};
};

struct Beat {
  WorkerId worker;
  IncarnationId incarnation;
  Offset offset = 0;
  Millis lane_poll_age{0};
  bool has_browser = false;
  bool leaving = false;
};
struct BrowserBeat {
  WorkerId worker;
  IncarnationId incarnation;
  Offset offset = 0;
  bool connected = false;
};
struct CaughtUp {};     // the reader has read to the end and stays in touch
struct LostTouch {};    // reads fail
struct Tick {};
// The fold's word on a worker (after each WorkerLost, WorkerReturned, BrowserLost, BrowserReturned).
struct FoldSays {
  WorkerId worker;
  bool lost = false;
  bool browser_lost = false;
};
using Signal = std::variant<Beat, BrowserBeat, CaughtUp, LostTouch, Tick, FoldSays>;

struct Verdict {
  enum class Kind : uint8_t { kWorkerLost, kWorkerReturned, kBrowserLost, kBrowserReturned } kind = Kind::kWorkerLost;
  WorkerId worker;
  IncarnationId incarnation;
  uint64_t judged = 0;   // 1 + offset of the last heartbeat (or health record) it judges
  std::string reason;    // silent, not_reading, browser_away
  friend bool operator==(const Verdict&, const Verdict&) = default;
};

class Liveness {
 public:
  explicit Liveness(LivenessLimits limits) : limits_(limits) {}
  std::vector<Verdict> Step(const Signal& signal, LogTime now);
  // Before it, Tick does nothing.
  std::optional<LogTime> NextDeadline() const;

 private:
  struct Member {
    IncarnationId incarnation;
    uint64_t judged = 0;
    LogTime last_beat;
    Millis lane_poll_age{0};
    bool has_browser = false;
    bool browser_connected = false;
    uint64_t browser_judged = 0;
    LogTime browser_since;
    bool leaving = false;
    bool fold_lost = false;
    bool fold_browser_lost = false;
    bool verdict_out = false;
    bool browser_verdict_out = false;
  };
  LivenessLimits limits_;
  std::map<WorkerId, Member> members_;
  bool in_touch_ = false;
  LogTime in_touch_since_;
};

}  // namespace laneway
