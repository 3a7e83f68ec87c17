// bench.h: what `laneway bench` was asked for, and the function that does it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace laneway::cli {

struct BenchOptions {
  std::string kind;    // tasks, latency, exec, files, scale
  uint32_t count = 0;  // 0: the kind's own
  uint32_t workers = 3;
  uint32_t capacity = 0;         // slots of each worker; 0: the kind's own
  uint32_t tasks_per_job = 1;    // tasks
  uint32_t rate = 200;           // latency: submissions a second
  uint32_t warm_up = 5000;       // with brokers: tasks before the first that counts
  std::vector<std::string> set;  // SECTION.FIELD=VALUE
  std::string data;
  std::string brokers;  // empty: a temporary folder
};

// Prints JSON; gives the exit code.
int RunBench(const BenchOptions& options);

}  // namespace laneway::cli
