// liveness.h: who has fallen silent.
//
// Role:       pure core; every reaper runs one.
// Input:      heartbeats, browser health and last words as they are read (in log order, at the log's time),
//             whether the reader is in touch with the log, what the fold says, and the passing of time.
// Output:     verdicts, to be appended.
// Invariants: (1) silence counts only while the reaper could hear: after its own outage everyone gets a full
//             timeout again; out of touch it says nothing at all; (2) a worker that beats but has not polled
//             its lanes for a timeout is lost too, and the verdict names that signal; (3) every verdict names
//             the incarnation and the heartbeat it judges (rule R2); (4) a beat of a worker the fold calls
//             lost yields Returned, each time one is read until the fold agrees (rule R2); not one that
//             leaves, does not poll its lanes, or is of an incarnation whose death was reported; (5) a worker
//             that said it leaves is not called silent but left, after the same timeout: what it was given
//             and never read is taken back (rule R1); (6) a verdict is not said again until the fold has
//             spoken or a timeout has passed: an append may have been lost.
// Cost:       O(log workers) a signal, but for CaughtUp and LostTouch; Tick costs only when a deadline has
//             come.
// Threads:    one owner.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "fleet/ids.h"
#include "fleet/log_time.h"

namespace laneway {

inline constexpr std::string_view kLeft = "left";  // why a worker that said it leaves is called lost

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
struct CaughtUp {};   // the reader has read to the end and stays in touch
struct LostTouch {};  // reads fail
struct Tick {};
// The fold's word on a worker (after each WorkerLost, WorkerReturned, BrowserLost, BrowserReturned).
struct FoldSays {
  WorkerId worker;
  bool lost = false;
  bool browser_lost = false;
  uint64_t judged = 0;          // 1 + offset of the last heartbeat that a verdict which counts has named
  IncarnationId died;           // of last words: beats of this incarnation are older than its death
  uint64_t browser_judged = 0;  // 1 + offset of the last browser health that such a verdict has named
};
// A worker is registered, whether it has ever beaten or not: its silence counts from here. Or it was removed:
// nothing of it counts any more.
struct Known {
  WorkerId worker;
  bool removed = false;
};
using Signal = std::variant<Beat, BrowserBeat, CaughtUp, LostTouch, Tick, FoldSays, Known>;

struct Verdict {
  enum class Kind : uint8_t {
    kWorkerLost,
    kWorkerReturned,
    kBrowserLost,
    kBrowserReturned
  } kind = Kind::kWorkerLost;
  WorkerId worker;
  IncarnationId incarnation;
  uint64_t judged = 0;  // 1 + offset of the last heartbeat (or health record) it judges
  std::string reason;   // silent, left, not_reading, browser_away, browser_silent
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
    uint64_t judged = 0;  // 1 + offset of its last beat; 0: it has never beaten
    LogTime
        // of life: its last beat, or when it was first heard of, or when the fold called it returned
        last_sign;
    LogTime last_beat;
    bool polls = true;  // its lanes, as its last beat says
    bool leaving = false;
    bool removed = false;
    bool has_browser = false;
    IncarnationId browser_incarnation;
    bool browser_connected = false;
    uint64_t browser_judged = 0;  // 1 + offset; 0: nothing was ever said about its browser
    LogTime browser_since;        // how long it has been so
    LogTime browser_heard;        // its last word, whatever it said
    bool fold_lost = false;
    bool fold_browser_lost = false;
    uint64_t fold_browser_judged = 0;
    uint64_t fold_judged = 0;
    IncarnationId died;
    // What was said and not yet answered by the fold, and when.
    std::optional<LogTime> said;
    std::optional<LogTime> browser_said;
    std::optional<LogTime> deadline;  // its entry in deadlines_
  };

  void On(const Beat& beat, LogTime now, std::vector<Verdict>* out);
  void On(const BrowserBeat& beat, LogTime now, std::vector<Verdict>* out);
  void On(const CaughtUp&, LogTime now, std::vector<Verdict>* out);
  void On(const LostTouch&, LogTime now, std::vector<Verdict>* out);
  void On(const Tick&, LogTime now, std::vector<Verdict>* out);
  void On(const FoldSays& says, LogTime now, std::vector<Verdict>* out);
  void On(const Known& known, LogTime now, std::vector<Verdict>* out);

  Member& Get(const WorkerId& worker, LogTime now);
  bool MayReturn(const Member& member) const;
  LogTime Heard(LogTime since) const;
  // When the next verdict about the worker is due, or about its browser. Nothing: never, as things are.
  std::optional<LogTime> WorkerDue(const Member& member) const;
  std::optional<LogTime> BrowserDue(const Member& member) const;
  bool BrowserMayReturn(const Member& member) const;
  void SayWorker(const WorkerId& worker, Member& member, Verdict::Kind kind, std::string_view reason,
                 LogTime now, std::vector<Verdict>* out);
  void SayBrowser(const WorkerId& worker, Member& member, Verdict::Kind kind, const char* reason, LogTime now,
                  std::vector<Verdict>* out);
  void Plan(const WorkerId& worker, Member& member);
  void PlanAll();

  LivenessLimits limits_;
  std::map<WorkerId, Member> members_;
  std::set<std::pair<LogTime, WorkerId>> deadlines_;
  bool in_touch_ = false;
  LogTime in_touch_since_;
};

}  // namespace laneway
