// http_fuzz.cc: no bytes of a request may hurt the parsers of targets, hosts and job definitions.
//
// The first byte chooses the parser, the rest is its input.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "api/http_guard.h"
#include "api/job_definition.h"
#include "api/target.h"
#include "ops/strict_json.h"
#include "ops/text.h"

namespace {

using namespace laneway;

void CheckTarget(const std::string& text) {
  const auto target = api::ParseTarget(text);
  if (!target) return;
  std::string again;
  for (const std::string& segment : target->segments) again += "/" + api::PercentEncode(segment);
  const auto second = api::ParseTarget(again.empty() ? "/" : again);
  if (again.size() <= 8192 && (!second || second->segments != target->segments)) std::abort();
  api::PathPattern("/api/v1/jobs/{id}").Match(*target);
}

void CheckJob(const std::string& text) {
  const auto result = api::ParseJobDefinition(text, {});
  for (const std::string& error : result.errors) {
    if (!ops::IsUtf8(error) || error.find('\n') != std::string::npos) std::abort();
  }
  if (!result.definition) return;
  const auto& job = result.definition->job;
  int tasks = 0;
  for (const auto& part : api::SplitSubmission(job)) tasks += part.tasks_size();
  if (tasks != job.tasks_size() || static_cast<uint32_t>(tasks) != job.task_count()) std::abort();
}

void CheckJson(const std::string& text) {
  const ops::ParsedJson parsed =
      ops::ParseStrictJson(text, {.bytes_max = 1 << 20, .values_max = 10'000, .depth_max = 32});
  if (!parsed.readable && parsed.problems.size() != 1) std::abort();
  if (parsed.readable && (parsed.root.end > text.size() || parsed.root.begin > parsed.root.end)) std::abort();
  std::string quoted;
  ops::AppendJsonString(quoted, text);
  if (!ops::ParseStrictJson(quoted).readable || !ops::IsUtf8(ops::Printable(text))) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string text(reinterpret_cast<const char*>(data) + 1, size - 1);
  switch (data[0] % 4) {
    case 0:
      CheckTarget(text);
      break;
    case 1:
      CheckJob(text);
      break;
    case 2:
      CheckJson(text);
      break;
    default:
      api::HostOf(text);
      break;
  }
  return 0;
}
