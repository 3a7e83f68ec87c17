// figures.h: the figures of one run of a fleet, as the report shows them.
//
// Role:       pure data: made by Chronicle, read by whoever compares, composes and writes.
// Shapes:     times are the log's. What is not known, or would be a division by nothing, is absent.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "fleet/log_time.h"
#include "report/histogram.h"
#include "report/incidents.h"
#include "report/timeline.h"

namespace laneway::report {

struct Span {
  LogTime from;
  LogTime to;
};

struct Outcomes {
  uint64_t submitted = 0;
  uint64_t succeeded = 0;
  uint64_t failed = 0;  // dead, or of files and jobs: with a dead task
  uint64_t cancelled = 0;
  uint64_t open = 0;  // at the end
};

struct WorkerFigures {
  std::string name;
  uint32_t capacity = 0;  // as its heartbeats say; 0: none was read
  uint64_t started = 0;
  uint64_t succeeded = 0;
  uint64_t failed = 0;       // attempts that failed there
  uint64_t interrupted = 0;  // ended by no fault of their task, or were taken back
  Histogram duration;        // of its successes
  Millis busy{0};            // while it ran at least one task
  uint32_t running_max = 0;  // at once
  uint64_t losses = 0;
  uint64_t browser_losses = 0;
  Millis lost{0};             // declared lost and not back
  Millis without_browser{0};  // after it had had one
  std::vector<Span> lost_spans;
  std::vector<Span> browser_spans;
};

// A file, or a job that was started without one.
struct Input {
  std::string name;
  uint64_t size = 0;
  friend auto operator<=>(const Input&, const Input&) = default;
};

struct Figures {
  LogTime first_submitted;  // 0: nothing was submitted
  LogTime first_start;      // 0: nothing started
  LogTime last_end;         // of an attempt; while something still ran: of the log
  LogTime read_until;       // the newest record
  bool still_running = false;

  Outcomes tasks;
  Outcomes files;
  Outcomes jobs;
  uint64_t redriven = 0;
  uint64_t retries = 0;      // attempts that failed and were followed by another
  uint64_t republished = 0;  // attempts taken back, or interrupted
  uint64_t records = 0;      // as scripts counted them
  uint64_t bytes = 0;        // of the files that succeeded
  Histogram duration;        // start to success
  Histogram wait;            // from when it was due to its first start
  Millis idle{0};            // between submission and end, nothing was open

  std::vector<WorkerFigures> workers;  // by name
  Millis bucket_width{0};
  std::vector<Timeline::Bucket> buckets;  // its workers are places in `workers`

  std::array<KindFigures, kIncidentKinds> kinds;
  std::vector<Incident> incidents;
  uint64_t incidents_not_listed = 0;
  std::map<std::string, uint64_t> failures;  // attempts by how they ended: "exit 3", "timeout"

  std::vector<Input> inputs;  // sorted; only when asked for
  bool inputs_complete = true;

  uint64_t unknown_records = 0;  // about jobs whose beginning is no longer in the log
  uint64_t ignored_records = 0;  // the fold did not count them
  uint64_t unreadable_records = 0;
  uint64_t clock_steps = 0;  // the clock behind a partition went back

  size_t WorkersThatRan() const;
  std::optional<Millis> Period() const;       // first submission to last end
  std::optional<Millis> Steady() const;       // first start to last end
  std::optional<double> OverallRate() const;  // successes a second
  std::optional<double> SteadyRate() const;
  std::optional<double> BusyShare(const WorkerFigures& worker) const;
};

}  // namespace laneway::report
