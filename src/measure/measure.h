// measure.h: what `laneway bench` does: runs a real fleet in a folder of its own, and raw limits beside it in
// the same run.
//
// Role:       shell over node::Node.
// Output:     JSON, one object for each measurement.
// Promises:   every figure has the raw limit it is to be compared with, taken in the same run on the same
//             disk; nothing is left behind.
// Threads:    the caller's, which waits.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace laneway::measure {

struct MeasureOptions {
  std::string folder;   // data and zone go below it; made, and removed at the end
  std::string brokers;  // not empty: on this cluster, in topics of its own (which stay)
  uint32_t workers = 3;
  uint32_t capacity = 0;  // slots of each worker; 0: the measurement's own default
  uint64_t count = 0;     // tasks, files or children; 0: the measurement's own default
  uint32_t tasks_per_job = 1;
  uint64_t warm_up = 5000;                           // with brokers: tasks before the first that counts
  std::vector<std::string> settings;                 // SECTION.FIELD=VALUE, over the measurement's own
  double per_second = 200;                           // latency only: how fast tasks are submitted
  std::function<void(const std::string&)> progress;  // one line for people
};

// Each answers with one JSON object.
// no-op tasks, submitted and processed at the same time
absl::StatusOr<std::string> MeasureTasks(const MeasureOptions& options);
absl::StatusOr<std::string> MeasureLatency(const MeasureOptions& options);  // submit → start, paced
absl::StatusOr<std::string> MeasureExec(const MeasureOptions& options);     // children of /bin/true
absl::StatusOr<std::string> MeasureFiles(const MeasureOptions& options);    // through the zone, handler noop
// placement, memory a waiting task, start from a snapshot, idle cost
absl::StatusOr<std::string> MeasureScale(const MeasureOptions& options);

}  // namespace laneway::measure
