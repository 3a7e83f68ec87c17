// read_log.h: reads the records of a fleet, oldest first, into the figures of a run.
//
// Role:       shell around Chronicle: merges the partitions of events, heartbeats and browser health by time.
// Output:     figures of what is in the log now: what a running fleet adds meanwhile is not waited for.
// Errors:     those of the log. UNAVAILABLE: the brokers did not answer for long.
// Threads:    one, as long as it takes.
#pragma once

#include "absl/status/statusor.h"
#include "log/log.h"
#include "report/chronicle.h"

namespace laneway::report {

// `options.partitions` is taken from the log.
absl::StatusOr<Figures> ReadLog(log::Log& log, ChronicleOptions options);

}  // namespace laneway::report
