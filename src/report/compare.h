// compare.h: runs of the same files beside each other: are they the same, and how much faster is the larger
// fleet?
//
// Role:       pure core.
// Output:     the runs by the number of workers that ran something, each against the one with the fewest.
//             Speed-up is the ratio of steady throughput; efficiency is speed-up by the ratio of workers.
// Threads:    functions.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "report/figures.h"

namespace laneway::report {

struct Run {
  std::string label;  // where its log is
  Figures figures;
};

struct ComparedRun {
  size_t run = 0;  // its place in what was handed in
  size_t workers = 0;
  std::optional<double> rate;      // successes a second, steady
  std::optional<double> speed_up;  // nothing for the one they are compared with
  std::optional<double> efficiency;
  bool baseline = false;

  // as the baseline's, by name and size; also when that could not be checked: see below
  bool same_inputs = false;
  uint64_t common = 0;                // by name
  uint64_t other_size = 0;            // of these
  uint64_t missing = 0;               // which only the baseline had
  uint64_t extra = 0;                 // which only this one had
  std::vector<std::string> examples;  // of missing, extra and other size; a few
};

struct Comparison {
  std::vector<ComparedRun> runs;
  bool inputs_checked = true;  // false: more files than are kept
  bool AllTheSame() const;
};

Comparison Compare(const std::vector<Run>& runs);

}  // namespace laneway::report
