#include "report/compare.h"

#include <algorithm>

namespace laneway::report {
namespace {

constexpr size_t kExamplesMax = 5;

std::optional<double> Ratio(std::optional<double> a, std::optional<double> b) {
  if (!a || !b || *b <= 0) return std::nullopt;
  return *a / *b;
}

void Example(ComparedRun& run, const std::string& what, const std::string& name) {
  if (run.examples.size() < kExamplesMax) run.examples.push_back(what + name);
}

// Both are sorted by name.
void CompareInputs(const std::vector<Input>& base, const std::vector<Input>& mine, ComparedRun& run) {
  auto a = base.begin();
  auto b = mine.begin();
  while (a != base.end() || b != mine.end()) {
    if (b == mine.end() || (a != base.end() && a->name < b->name)) {
      run.missing++;
      Example(run, "not here: ", (a++)->name);
    } else if (a == base.end() || b->name < a->name) {
      run.extra++;
      Example(run, "only here: ", (b++)->name);
    } else {
      run.common++;
      if (a->size != b->size) {
        run.other_size++;
        Example(run, "other size: ", a->name);
      }
      a++;
      b++;
    }
  }
  run.same_inputs = run.missing == 0 && run.extra == 0 && run.other_size == 0;
}

}  // namespace

bool Comparison::AllTheSame() const {
  return inputs_checked &&
         std::all_of(runs.begin(), runs.end(), [](const ComparedRun& run) { return run.same_inputs; });
}

Comparison Compare(const std::vector<Run>& runs) {
  Comparison comparison;
  for (size_t i = 0; i < runs.size(); i++) {
    const Figures& figures = runs[i].figures;
    comparison.runs.push_back({.run = i, .workers = figures.WorkersThatRan(), .rate = figures.SteadyRate()});
    if (!figures.inputs_complete) comparison.inputs_checked = false;
  }
  if (comparison.runs.empty()) return comparison;
  std::stable_sort(comparison.runs.begin(), comparison.runs.end(),
                   [](const ComparedRun& a, const ComparedRun& b) { return a.workers < b.workers; });
  ComparedRun& base = comparison.runs.front();
  base.baseline = true;
  for (ComparedRun& run : comparison.runs) {
    CompareInputs(runs[base.run].figures.inputs, runs[run.run].figures.inputs, run);
    if (run.baseline) continue;
    run.speed_up = Ratio(run.rate, base.rate);
    if (run.speed_up && base.workers != 0)
      run.efficiency =
          Ratio(*run.speed_up * static_cast<double>(base.workers), static_cast<double>(run.workers));
  }
  return comparison;
}

}  // namespace laneway::report
