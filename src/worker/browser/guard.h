// guard.h: keeps one worker's browser usable: when to start it, ask it, give it up, and what to say of it.
//
// Role:       pure core of one browser; its shell (browsers.h) or the simulator carries out what it says.
// Input:      what became of its process and of the connection to its debugging port, its answers, and who
//             uses it. Inputs only change its state; Step() decides.
// Output:     GuardCommands: start, connect, ask, end; the worker's BrowserState; lines and alerts for
//             people.
// Invariants: (1) connected is told only of a browser that has answered, and until it fails to; (2) a
//             generation is over once its process is gone or given up, and never comes back; (3) one question
//             at a time; (4) it is recycled only while nobody uses it; (5) starts that fail, and browsers
//             that do not last, are tried again ever more slowly, never given up.
// Threads:    one owner. No clock, no I/O: times are handed in (the boot clock's).
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "fleet/log_time.h"
#include "laneway/v1/report.pb.h"
#include "worker/browser_state.h"

namespace laneway::worker {

struct GuardLimits {
  bool attach_only = false;       // somebody else starts and ends it
  Millis start_timeout{20'000};   // from its start to its first answer
  Millis attach_interval{100};    // between tries to connect while it starts
  Millis search_interval{1'000};  // the same while nobody knows whether it is there
  Millis probe_interval{2'000};   // from an answer to the next question
  Millis probe_patience{2'500};   // unanswered for so long: it does not count as connected
  Millis page_interval{60'000};   // a page that evaluates an expression; only while nobody uses it
  Millis page_patience{5'000};
  Millis hang_patience{3'000};  // unanswered for so much longer: it is replaced
  Millis drop_patience{2'000};  // a connection that dropped is tried again for so long
  Millis end_patience{15'000};  // asked to end: after that it is told again, and harder
  Millis backoff_first{1'000};
  Millis backoff_max{60'000};
  Millis steady{10'000};           // connected for so long: the next one is started at once
  uint32_t failed_starts_max = 3;  // in a row: a profile that is damaged?
  uint32_t restarts_max = 5;       // more of them within the window are told as an alert
  Millis restarts_window{600'000};
  uint32_t recycle_tasks = 200;  // 0: never
  Millis recycle_age{12LL * 3'600'000};
  uint64_t recycle_memory_kib = 0;
  Millis measure_interval{30'000};
};

enum class Probe : uint8_t { kVersion, kPage };

// Its process runs. `adopted`: it was started by an earlier process of this worker.
struct BrowserLaunched {
  uint32_t generation = 0;
  bool adopted = false;
};
// `lasting`: trying again soon is of no use (no such program, a port that somebody holds).
struct BrowserLaunchFailed {
  std::string why;
  bool lasting = false;
};
struct BrowserExited {
  std::string why;
};
// The connection is up. `identity` is another one for another start of the browser.
struct BrowserAttached {
  std::string identity;
};
struct BrowserRefused {
  std::string why;
  bool lasting = false;  // it is there, and not what it must be
};
struct BrowserDropped {
  std::string why;
};
// To the question under way. Not ok: it answered that it cannot.
struct BrowserAnswered {
  bool ok = true;
  std::string why;
};
struct BrowserMeasured {
  uint64_t memory_kib = 0;
};
using GuardEvent = std::variant<BrowserLaunched, BrowserLaunchFailed, BrowserExited, BrowserAttached,
                                BrowserRefused, BrowserDropped, BrowserAnswered, BrowserUse, BrowserMeasured>;

enum class ProfileStep : uint8_t { kKeep, kSetAside, kPutBack };
enum class BrowserEnd : uint8_t { kGently, kAtOnce };

struct GuardCommands {
  std::optional<ProfileStep> launch;  // after what it says of the profile
  bool attach = false;
  bool detach = false;
  std::optional<Probe> ask;
  std::optional<BrowserEnd> end;
  bool measure = false;
  std::optional<BrowserState> state;
  std::vector<BrowserLine> lines;
  std::vector<v1::Alert> alerts;  // without a subject
};

class BrowserGuard {
 public:
  BrowserGuard(GuardLimits limits, uint32_t port) : limits_(limits), port_(port) {}

  void Begin(Millis now);
  void On(const GuardEvent& event, Millis now);
  // Ends it, and starts it no more. A second call ends it at once, also one that only just starts.
  void Close();
  void Step(Millis now, GuardCommands* out);
  // Before it, Step does nothing unless an event came.
  std::optional<Millis> NextDeadline() const;

  bool closed() const { return closing_ && stage_ == Stage::kOff; }
  uint32_t generation() const { return generation_; }
  bool connected() const { return connected_; }

 private:
  enum class Stage : uint8_t { kOff, kWaiting, kLaunching, kAttaching, kUp, kEnding };
  struct Question {
    Probe probe = Probe::kVersion;
    Millis at{0};
  };

  void Took(const BrowserLaunched& event, Millis now);
  void Took(const BrowserLaunchFailed& event, Millis now);
  void Took(const BrowserExited& event, Millis now);
  void Took(const BrowserAttached& event, Millis now);
  void Took(const BrowserRefused& event, Millis now);
  void Took(const BrowserDropped& event, Millis now);
  void Took(const BrowserAnswered& event, Millis now);
  void Took(const BrowserUse& event, Millis now);
  void Took(const BrowserMeasured& event, Millis now);

  bool proven() const { return up_since_.has_value(); }
  Millis Patience() const;
  void Search(Millis now, Millis patience);
  void Unconnected(std::string note);
  void Connected(Millis now);
  void Over(const std::string& why, Millis now);
  void FailedStart(const std::string& why, bool lasting, Millis now);
  void Restart(Millis now);
  void End(BrowserEnd how, Millis now);
  void GiveUp(const std::string& why, Millis now);
  void StepAttaching(Millis now);
  void AskAnew(Millis now);
  void StepUp(Millis now);
  void StepRecycle(Millis now);
  std::string RecycleReason(Millis now) const;
  void Say(std::string text) { out_.lines.push_back({std::move(text), false}); }
  void SayGood(std::string text) { out_.lines.push_back({std::move(text), true}); }
  void Alert(v1::Severity severity, std::string text, bool resolved = false);
  std::string Name() const;
  void TellState();

  const GuardLimits limits_;
  const uint32_t port_;
  GuardCommands out_;  // since the last Step
  Stage stage_ = Stage::kOff;
  bool closing_ = false;
  bool closing_at_once_ = false;

  // What the worker was told.
  bool connected_ = false;
  bool resting_ = false;
  uint64_t seq_ = 0;
  bool state_changed_ = false;
  std::string note_;

  uint32_t generation_ = 0;
  uint32_t over_ = 0;
  std::string identity_;
  bool reattaching_ = false;  // this generation was connected before
  bool attach_out_ = false;
  Millis attach_at_{0};
  std::optional<Millis> attach_by_;
  std::optional<Question> asked_;
  bool silent_ = false;  // the question under way has waited too long
  Millis probe_at_{0};
  Millis page_at_{0};
  std::optional<Millis> up_since_;  // its first answer
  Millis measure_at_{0};
  uint64_t memory_kib_ = 0;
  std::string give_up_;  // why it is being ended
  Millis end_by_{0};

  Millis launch_at_{0};
  Millis backoff_{0};
  std::deque<Millis> restarts_;
  bool unstable_ = false;
  uint32_t failed_starts_ = 0;
  bool fresh_profile_ = false;    // the worker's own is set aside
  bool profile_cleared_ = false;  // it was not the profile's fault
  ProfileStep profile_ = ProfileStep::kKeep;

  std::string recycle_;  // why
  BrowserUse used_;
  uint64_t tasks_before_ = 0;  // of earlier generations
  bool lost_said_ = false;
  bool restored_due_ = false;  // it was connected before: what comes next is a return
  std::string failure_said_;
};

}  // namespace laneway::worker
