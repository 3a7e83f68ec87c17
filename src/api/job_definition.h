// job_definition.h: the body of POST /start_job, checked strictly, as the records that submit the job.
//
// Role:       pure; the API and `laneway job start` use it.
// Input:      JSON: name, idempotency_key, data_sources, exec or handler, phases, priority, not_before,
//             labels, needs_browser, resources, ordering_key, timeout, max_attempts, payload.
// Output:     a v1::JobSubmitted with all tasks: for each phase in order, one task for each data source in
//             order (without data sources: one a phase).
// Errors:     every mistake at once, each one line: path, what was found, what is allowed, what was probably
//             meant.
// Threads:    functions.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "laneway/v1/config.pb.h"
#include "laneway/v1/event.pb.h"

namespace laneway::api {

inline constexpr size_t kTasksMax = 100'000;
inline constexpr size_t kPhasesMax = 100;
inline constexpr size_t kJobBodyMax = 16 << 20;

struct JobDefinition {
  v1::JobSubmitted job;         // one record, however large: who appends it splits it (SplitSubmission)
  std::string idempotency_key;  // empty: none was given
};

struct JobDefinitionResult {
  std::optional<JobDefinition> definition;
  std::vector<std::string> errors;
};

// What the definition leaves out comes from `defaults` (the configuration's `job`).
JobDefinitionResult ParseJobDefinition(std::string_view json, const v1::JobConfig& defaults);

// The job's spec as the configuration gives it: also for jobs of files.
v1::JobSpec SpecFromConfig(const v1::JobConfig& config);

// The same job in records of at most about `bytes_max`: part 0 holds name, spec and phases; the tasks are
// dealt out in order.
std::vector<v1::JobSubmitted> SplitSubmission(const v1::JobSubmitted& job, size_t bytes_max = 256 << 10);

}  // namespace laneway::api
