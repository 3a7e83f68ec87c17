#include "cli/bench.h"

#include <cstdio>
#include <map>

#include "cli/command.h"
#include "cli/exit_codes.h"
#include "measure/measure.h"

namespace laneway::cli {

int RunBench(const BenchOptions& options) {
  measure::MeasureOptions wanted;
  wanted.folder = options.data;
  wanted.brokers = options.brokers;
  wanted.workers = options.workers;
  wanted.capacity = options.capacity;
  wanted.tasks_per_job = options.tasks_per_job;
  wanted.count = options.count;
  wanted.per_second = options.rate;
  wanted.warm_up = options.warm_up;
  wanted.settings = options.set;
  wanted.progress = [](const std::string& line) { std::fprintf(stderr, "%s\n", line.c_str()); };
  using Measure = absl::StatusOr<std::string> (*)(const measure::MeasureOptions&);
  const std::map<std::string, Measure> kinds = {{"tasks", measure::MeasureTasks},
                                                {"latency", measure::MeasureLatency},
                                                {"exec", measure::MeasureExec},
                                                {"files", measure::MeasureFiles},
                                                {"scale", measure::MeasureScale}};
  const auto answer = kinds.at(options.kind)(wanted);
  if (!answer.ok()) {
    Complain(std::string(answer.status().message()));
    return kFailed;
  }
  std::printf("%s\n", answer->c_str());
  return kDone;
}

}  // namespace laneway::cli
