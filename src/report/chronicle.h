// chronicle.h: the records of a fleet, folded into the figures of one run.
//
// Role:       pure core. The Ledger judges every event, and only what it accepts counts: the report and the
//             fleet cannot disagree on what succeeded. Finished jobs are counted when they end, since the
//             Ledger forgets them.
// Input:      records of `events`, in the order of each partition from the oldest one kept; heartbeats and
//             browser health beside them, all about in the order of time.
// Output:     Finish(): figures of what lies in [since, until).
// Invariants: memory is bounded by open tasks, dead jobs, workers, buckets, listed incidents, and a few bytes
//             for the id of each closed job.
// Threads:    one owner.
#pragma once

#include <cstdint>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "fleet/ledger.h"
#include "laneway/v1/member.pb.h"
#include "report/figures.h"

namespace laneway::report {

struct ChronicleOptions {
  uint32_t partitions = 8;
  LogTime since{std::numeric_limits<int64_t>::min()};
  LogTime until{std::numeric_limits<int64_t>::max()};
  bool keep_inputs = false;  // names of files, to compare runs
  size_t inputs_max = 1'000'000;
  size_t incidents_max = 1000;
  size_t spans_max = 1000;    // of each worker and kind
  size_t failures_max = 200;  // different endings
};

class Chronicle {
 public:
  explicit Chronicle(ChronicleOptions options);

  void StartAt(uint32_t partition, Offset first) { ledger_.StartAt(partition, first); }
  void OnEvent(uint32_t partition, Offset offset, LogTime time, const v1::Event& event);
  void OnUnreadable(uint32_t partition, Offset offset, LogTime time);
  void OnHeartbeat(const v1::Heartbeat& beat, LogTime time);
  void OnBrowserHealth(const v1::BrowserHealth& health, LogTime time);

  Figures Finish();

 private:
  // Ids of closed jobs; the state only of those that may be redriven.
  class ClosedJobs : public FinishedJobs {
   public:
    void Put(const JobId& job, Offset at, std::string state, bool was_reopened) override;
    std::optional<std::string> Get(const JobId& job, Offset as_of) override;
    bool Contains(const JobId& job, Offset as_of) override;
    void Reopen(const JobId& job, Offset at) override;
    void DropState(const JobId& job) { states_.erase(job); }

   private:
    std::unordered_set<JobId> ids_;
    std::unordered_map<JobId, std::string> states_;
  };
  struct Worker {
    WorkerFigures figures;
    uint32_t running = 0;
    LogTime busy_since;
    LogTime lost_since;     // 0: it is not
    LogTime browser_since;  // without it; 0: it has one, or never had
    bool had_browser = false;
    bool browser_rests = false;
    uint32_t generation = 0;
    std::string browser_incarnation;
  };

  bool Inside(LogTime at) const { return at >= options_.since && at < options_.until; }
  Millis Clip(LogTime from, LogTime to) const;
  Worker& Of(const std::string& name);
  void Begin();
  void Levels(LogTime now);
  void OnChange(const Change& change, const v1::Event& event, LogTime now);
  void OnVerdict(const Change& change, const v1::Event& event, LogTime now);
  void JobOpened(const Job& job, const v1::Event& event, LogTime now);
  void JobFinished(const Job& job);
  void JobReopened(const Job& job);
  void Started(const Job& job, TaskId id, LogTime now);
  void Ended(const Change& change, LogTime now);
  void Busy(const std::string& name, Worker& worker, LogTime now);
  Incidents::SetBack Describe(const Job& job, const Change& change, std::string why) const;
  void SetBack(const Job& job, const Change& change, const v1::Event& event, LogTime now);
  void CountFailure(const v1::Event& event, LogTime now);
  void Succeeded(const Change& change, const v1::Event& event, LogTime now);
  void Epoch(uint64_t epoch, LogTime now);
  void BrowserFrom(const std::string& name, std::string_view why, LogTime now);
  void BrowserTo(const std::string& name, LogTime now);
  void AddSpan(std::vector<Span>& spans, Millis& total, LogTime from, LogTime to);
  void WorkersByName();

  const ChronicleOptions options_;
  ClosedJobs closed_;
  Ledger ledger_;
  Incidents incidents_;
  Timeline timeline_;
  Figures figures_;
  std::map<std::string, uint32_t> worker_index_;
  std::vector<Worker> workers_;
  std::vector<Change> changes_;
  uint64_t epoch_ = 0;
  bool begun_ = false;   // a record of the window was read
  uint64_t open_ = 0;    // tasks
  LogTime quiet_since_;  // nothing is open
  LogTime now_;
};

}  // namespace laneway::report
