#include "report/figures.h"

#include <algorithm>

namespace laneway::report {
namespace {

std::optional<Millis> Between(LogTime from, LogTime to) {
  if (from.ms == 0 || to <= from) return std::nullopt;
  return to - from;
}

std::optional<double> Rate(uint64_t count, std::optional<Millis> during) {
  if (!during) return std::nullopt;
  return static_cast<double>(count) * 1000.0 / static_cast<double>(during->count());
}

}  // namespace

size_t Figures::WorkersThatRan() const {
  return static_cast<size_t>(std::count_if(workers.begin(), workers.end(),
                                           [](const WorkerFigures& worker) { return worker.started != 0; }));
}

std::optional<Millis> Figures::Period() const { return Between(first_submitted, last_end); }

std::optional<Millis> Figures::Steady() const { return Between(first_start, last_end); }

std::optional<double> Figures::OverallRate() const { return Rate(tasks.succeeded, Period()); }

std::optional<double> Figures::SteadyRate() const { return Rate(tasks.succeeded, Steady()); }

std::optional<double> Figures::BusyShare(const WorkerFigures& worker) const {
  const auto steady = Steady();
  if (!steady) return std::nullopt;
  return std::min(1.0, static_cast<double>(worker.busy.count()) / static_cast<double>(steady->count()));
}

}  // namespace laneway::report
