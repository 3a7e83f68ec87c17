// reaper.h: declares silence, and gives the tasks of silent workers to others.
//
// Role:       pure core; any number of reapers may run: the fold rejects what was said before.
// Input:      heartbeats and browser health as they are read, whether the reader is in touch, the fold's word
//             on workers, answers to its appends, the passing of time. HeldTasks: what the fold says a worker
//             has.
// Output:     events to be appended, alerts, lines. One append is in flight at the most.
// Invariants: (1) rule R1: for as long as the fold says LOST, every task ASSIGNED or RUNNING there is
//             republished, whenever it was assigned: a level, looked at again at every step and at least
//             every republish_interval; (2) rule R2: verdicts name incarnation and heartbeat; a verdict whose
//             append was not answered OK is appended again; (3) nothing is said while the reader is out of
//             touch.
// Threads:    one owner.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "fleet/ids.h"
#include "fleet/liveness.h"
#include "fleet/log_time.h"
#include "laneway/v1/event.pb.h"
#include "laneway/v1/member.pb.h"
#include "laneway/v1/report.pb.h"

namespace laneway::reaper {

// What the fold says a worker has; the lead's Ledger answers (ledger_held.h).
class HeldTasks {
 public:
  using Each = std::function<void(const TaskId& task, uint32_t attempt, bool started, bool needs_browser)>;
  virtual ~HeldTasks() = default;
  // Tasks ASSIGNED or RUNNING there, in ascending order.
  virtual void ForEach(const WorkerId& worker, const Each& each) const = 0;
};

struct ReaperOptions {
  LivenessLimits limits;
  Millis republish_interval{1000};  // how often the level is looked at
  Millis repeat_after{5000};        // an append answered OK whose effect the fold does not show yet
  uint32_t events_max = 1000;       // in one append
  // Longer without a step, or longer than a quarter of the heartbeat timeout: it was not the log that was
  // silent.
  Millis gap{5000};
  Millis retry_first{50};
  Millis retry_max{1000};
};

// `text` as people know it, without the worker's name: "Worker Lost (silent for 30 s)".
struct Line {
  WorkerId worker;
  std::string text;
  bool good = false;  // there is nothing to look after
};

struct Append {
  uint64_t token = 0;
  std::vector<v1::Event> events;  // those without a job id belong to the worker they name
};

struct Commands {
  std::vector<Append> appends;  // one at the most
  std::vector<v1::Alert> alerts;
  std::vector<Line> lines;
  void Clear();
};

class Reaper {
 public:
  Reaper(ReaperOptions options, const HeldTasks* held)
      : options_(options), held_(held), liveness_(options.limits) {}

  // `time`: when the log took the record. All times are the log's.
  void OnHeartbeat(const v1::Heartbeat& beat, Offset offset, LogTime time);
  void OnBeat(const Beat& beat, uint32_t browser_port, LogTime time);
  void OnBrowserHealth(const v1::BrowserHealth& health, Offset offset, LogTime time);
  // Heartbeats, browser health and the fold have all been read to their ends, and stay in touch.
  void OnCaughtUp(LogTime now);
  void OnLostTouch(LogTime now);
  // Before what was read is judged; Step says it itself. A process that was stopped for a while heard nothing
  // meanwhile, though no read of it failed: everyone gets a full timeout again. So it is when the clock is
  // set, as it is by the first fresh record after a start.
  void OnAwake(LogTime now);
  // After each change of it; `reason` as the accepted verdict gave it.
  void OnFoldSays(const FoldSays& says, const std::string& reason, LogTime now);
  void OnAppended(uint64_t token, const absl::Status& status, LogTime now);

  void Step(LogTime now, Commands* out);
  std::optional<LogTime> NextDeadline() const;

  uint64_t republished() const { return republished_; }

 private:
  struct Suspect {
    bool lost = false;
    bool browser_lost = false;
    uint32_t port = 0;
    std::map<TaskId, std::pair<uint32_t, LogTime>>
        out;  // republished: which attempt, and when it was answered (0: not yet)
  };

  void Judge(const Signal& signal, LogTime now);
  bool Holds(const WorkerId& worker) const;
  Millis Gap() const { return std::min(options_.gap, options_.limits.heartbeat_timeout / 4); }
  void Republish(const WorkerId& worker, Suspect& suspect, LogTime now, std::vector<v1::Event>* events);
  void Tell(const WorkerId& worker, const std::string& kind, v1::Severity severity, bool resolved,
            const std::string& text);
  std::string Reason(const std::string& reason) const;

  ReaperOptions options_;
  const HeldTasks* held_;
  Liveness liveness_;
  bool in_touch_ = false;
  std::map<WorkerId, Suspect> workers_;
  std::vector<v1::Event> verdicts_;  // wait for an append
  std::vector<v1::Event> in_flight_;
  bool verdicts_void_ = false;  // those in flight: touch was lost since
  bool waiting_ = false;        // for an answer
  uint64_t token_ = 0;
  Millis retry_delay_{0};
  LogTime retry_at_;
  std::optional<LogTime> look_at_;  // the level
  bool changed_ = false;
  LogTime awake_;  // when this last ran, while in touch
  uint64_t republished_ = 0;
  std::vector<v1::Alert> alerts_;
  std::vector<Line> lines_;
};

}  // namespace laneway::reaper
