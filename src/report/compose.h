// compose.h: figures put into sentences, tables and charts.
//
// Role:       pure core. runs[0] is what the report is about; the others it is compared with.
// Threads:    functions.
#pragma once

#include <string>
#include <vector>

#include "report/compare.h"
#include "report/document.h"
#include "report/words.h"

namespace laneway::report {

struct Subject {
  const std::vector<Run>& runs;
  const Comparison& comparison;  // without runs: nothing to compare with
  LogTime made;                  // when this report was
  std::string version;

  const Figures& figures() const { return runs.front().figures; }
  // "file" when every task is a file's, else "task".
  std::string noun() const;
  RateUnit unit() const { return UnitFor(figures().SteadyRate()); }
};

Document Compose(const Subject& subject);

// Its sections.
Section ComposeComparison(const Subject& subject);
Section ComposeThroughput(const Subject& subject);
Section ComposeWorkers(const Subject& subject);
Section ComposeDurations(const Subject& subject);
Section ComposeIncidents(const Subject& subject);

// Incidents that are no part of ordinary work: nobody failed when a task is tried again.
uint64_t Disturbances(const Figures& figures);

}  // namespace laneway::report
