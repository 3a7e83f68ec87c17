// incidents.h: failures and recoveries a fleet met: what, when, how soon it was noticed and made good.
//
// Role:       pure core. It is told what the fold accepted and pairs each loss with what ended it.
// Input:      signs of life, verdicts, tasks set back and started again, in about the order of time.
// Output:     a row for each of the first `rows_max` incidents, and figures of each kind over all of them.
// Invariants: memory is bounded by the rows, the workers, the dead, and what is set back and has not started
//             again.
// Threads:    one owner.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "fleet/ids.h"
#include "fleet/log_time.h"
#include "report/histogram.h"

namespace laneway::report {

enum class IncidentKind : uint8_t {
  kWorkerLost,
  kBrowserLost,
  kTakeover,     // a dispatcher began while another had been active before
  kInterrupted,  // an attempt ended by no fault of its task: its process or browser went away beneath it
  kTakenBack,    // an attempt was given to others, though nobody said its worker was lost
  kRetry,        // an attempt failed, and the task is tried again
  kDead,         // a task used up its attempts
};
inline constexpr size_t kIncidentKinds = 7;
std::string_view IncidentName(IncidentKind kind);  // "worker_lost", … for programs
std::string_view IncidentText(IncidentKind kind);  // "Worker lost", … for people

struct Incident {
  IncidentKind kind = IncidentKind::kRetry;
  LogTime at;
  std::string worker;             // who it happened to
  std::string what;               // why, as the records say it
  std::string task;               // which one, of those about one task
  std::optional<Millis> silent;   // since the last record that showed it alive: it was noticed within this
  std::optional<Millis> at_work;  // until all the work it held had started again
  std::string at_work_by;         // who started the last of it
  std::optional<Millis> back;     // until the worker or browser itself was back; a dead task put back
  uint32_t tasks = 0;             // set back by it
  uint32_t waiting = 0;           // of these, not started again yet
};

struct KindFigures {
  uint64_t count = 0;
  Histogram silent;
  Histogram at_work;
  Histogram back;
};

class Incidents {
 public:
  explicit Incidents(size_t rows_max) : rows_max_(rows_max) {}

  // What happens outside of the window is followed, so that what is inside can be paired, and not listed.
  void Listen(bool inside) { inside_ = inside; }

  void OnWorkerSign(const std::string& worker, LogTime at) { signs_[worker].worker = at; }
  void OnBrowserSign(const std::string& worker, LogTime at) { signs_[worker].browser = at; }
  void OnDispatcherSign(LogTime at) { dispatcher_sign_ = at; }

  void OnWorkerLost(const std::string& worker, std::string_view reason, LogTime at);
  void OnWorkerReturned(const std::string& worker, LogTime at);
  void OnBrowserLost(const std::string& worker, std::string_view reason, LogTime at);
  void OnBrowserReturned(const std::string& worker, LogTime at);
  // `open`: tasks that were not finished then.
  void OnTakeover(Epoch epoch, uint64_t open, LogTime at);
  void OnAssigned(Epoch epoch, LogTime at);

  struct SetBack {
    TaskId task;
    std::string label;   // the file, or the job's name
    std::string worker;  // who held it
    std::string why;
  };
  void OnRetry(const SetBack& what, LogTime at) { Single(IncidentKind::kRetry, what, at); }
  void OnInterrupted(const SetBack& what, LogTime at) { Single(IncidentKind::kInterrupted, what, at); }
  void OnDead(const SetBack& what, LogTime at) { Single(IncidentKind::kDead, what, at); }
  void OnRedriven(TaskId task, LogTime at);
  // `reason` as in TaskRepublished: worker_lost, browser_lost, not_held.
  void OnRepublished(const SetBack& what, std::string_view reason, LogTime at);
  void OnStarted(TaskId task, const std::string& worker, LogTime at);
  // It needs no start any more: it succeeded late, or was cancelled.
  void OnEnded(TaskId task);

  const std::array<KindFigures, kIncidentKinds>& kinds() const { return kinds_; }
  std::vector<Incident> Rows() const;  // oldest first
  uint64_t not_listed() const { return not_listed_; }

 private:
  struct Signs {
    LogTime worker;
    LogTime browser;
  };
  // One that is under way. Its row may be missing, when there are too many.
  struct Open {
    Incident incident;
    std::optional<size_t> row;
    bool counted = false;  // it lies inside the window
    // the verdict itself was read: what it led to may come first from another partition
    bool declared = true;
    bool timed = false;  // its `at_work` is part of the figures
  };
  using OpenId = uint64_t;

  OpenId Begin(Incident incident);
  void Hold(OpenId id, TaskId task);
  void Save(const Open& open);
  void MaybeForget(OpenId id);
  void Single(IncidentKind kind, const SetBack& what, LogTime at);
  void LostOf(std::map<std::string, OpenId>& current, IncidentKind kind, const std::string& worker,
              std::string_view reason, LogTime last_sign, LogTime at);
  void ReturnedOf(std::map<std::string, OpenId>& current, const std::string& worker, LogTime at);
  KindFigures& Of(const Incident& incident) { return kinds_[static_cast<size_t>(incident.kind)]; }

  const size_t rows_max_;
  bool inside_ = true;
  std::map<std::string, Signs> signs_;
  LogTime dispatcher_sign_;
  OpenId next_open_ = 1;
  std::unordered_map<OpenId, Open> open_;
  std::unordered_map<TaskId, std::vector<OpenId>> awaited_;  // set back by these, and not started again
  std::map<std::string, OpenId> lost_;                       // workers
  std::map<std::string, OpenId> browsers_;
  std::unordered_map<TaskId, OpenId> dead_;
  OpenId takeover_ = 0;
  Epoch takeover_epoch_ = 0;
  std::array<KindFigures, kIncidentKinds> kinds_;
  std::vector<Incident> rows_;
  uint64_t not_listed_ = 0;
};

}  // namespace laneway::report
