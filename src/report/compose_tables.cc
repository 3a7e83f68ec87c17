// compose_tables.cc: runs beside each other, how long things took, what went wrong and how soon it was made
// good.
#include <algorithm>

#include "report/compose.h"

namespace laneway::report {
namespace {

constexpr size_t kIncidentRowsMax = 200;

std::string SameInputs(const Subject& subject, const ComparedRun& run) {
  if (run.baseline) return "–";
  if (!subject.comparison.inputs_checked) return "not checked";
  if (run.same_inputs) return "yes, all " + Count(run.common);
  std::string text = "no: " + Count(run.common - run.other_size) + " the same";
  if (run.missing != 0) text += ", " + Count(run.missing) + " not here";
  if (run.extra != 0) text += ", " + Count(run.extra) + " only here";
  if (run.other_size != 0) text += ", " + Count(run.other_size) + " of another size";
  return text;
}

std::string ComparisonSentence(const Subject& subject) {
  if (!subject.comparison.inputs_checked)
    return "There are more files than are compared by name: whether they are the same was not checked.";
  if (subject.comparison.AllTheSame())
    return "All runs had the same " + Counted(subject.comparison.runs.front().common, subject.noun()) +
           ", by name and size.";
  return "The runs did not have the same files: their throughput is compared all the same, but says less.";
}

Chart SpeedUpChart(const Subject& subject) {
  Chart chart;
  chart.kind = Chart::Kind::kBars;
  chart.title = "Throughput by number of workers";
  chart.about =
      "A bar for each run: its throughput. A mark shows what it would be if it grew with the number of "
      "workers.";
  chart.legend = {{"throughput", Tone::kPlain}, {"if it grew with the number of workers", Tone::kWarning}};
  const Comparison& comparison = subject.comparison;
  const ComparedRun& base = comparison.runs.front();
  const auto linear = [&base](const ComparedRun& run) {
    if (!base.rate || base.workers == 0 || run.baseline) return 0.0;
    return *base.rate * static_cast<double>(run.workers) / static_cast<double>(base.workers);
  };
  double most = 0;
  for (const ComparedRun& run : comparison.runs) most = std::max({most, run.rate.value_or(0), linear(run)});
  for (const ComparedRun& run : comparison.runs) {
    std::string text = Rate(run.rate, subject.unit());
    if (run.speed_up) text += ", " + Factor(run.speed_up);
    const double scale = most > 0 ? 1 / most : 0;
    chart.bars.push_back(
        {Counted(run.workers, "worker"), text, run.rate.value_or(0) * scale, linear(run) * scale});
  }
  return chart;
}

Table QuantileTable(const Figures& figures) {
  Table table{"How long",
              {{""},
               {"Median", true},
               {"95 %", true},
               {"99 %", true},
               {"Longest", true},
               {"Mean", true},
               {"Of", true}},
              {},
              {}};
  const auto add = [&table](const std::string& name, const Histogram& all) {
    table.rows.push_back({name, Duration(all.Quantile(0.5)), Duration(all.Quantile(0.95)),
                          Duration(all.Quantile(0.99)), Duration(all.Largest()), Duration(all.Mean()),
                          Count(all.count())});
  };
  add("Duration: start to success", figures.duration);
  add("Wait: due to first start", figures.wait);
  return table;
}

std::string MedianAndMost(const Histogram& all) {
  if (all.count() == 0) return std::string(kDash);
  if (all.count() == 1) return Duration(all.Largest());
  return Duration(all.Quantile(0.5)) + " (longest " + Duration(all.Largest()) + ")";
}

Table KindTable(const Figures& figures) {
  Table table{"By kind",
              {{"What"},
               {"How often", true},
               {"Noticed within", true},
               {"Work went on after", true},
               {"Itself back after", true}},
              {},
              {}};
  for (size_t i = 0; i < kIncidentKinds; i++) {
    const KindFigures& kind = figures.kinds[i];
    if (kind.count == 0) continue;
    table.rows.push_back({std::string(IncidentText(static_cast<IncidentKind>(i))), Count(kind.count),
                          MedianAndMost(kind.silent), MedianAndMost(kind.at_work), MedianAndMost(kind.back)});
  }
  return table;
}

std::string WorkOf(const Incident& incident) {
  if (incident.waiting != 0)
    return Count(incident.waiting) + " of " + Counted(incident.tasks, "task") + " waiting";
  if (!incident.at_work) return incident.tasks == 0 ? std::string(kDash) : "ended otherwise";
  std::string text = Duration(incident.at_work);
  if (incident.tasks > 1) text += ", " + Counted(incident.tasks, "task");
  if (!incident.at_work_by.empty()) text += ", on " + incident.at_work_by;
  return text;
}

Table IncidentTable(const Figures& figures) {
  Table table{"One by one",
              {{"Time (UTC)"},
               {"What"},
               {"Worker"},
               {"Why"},
               {"Noticed within", true},
               {"Work went on after"},
               {"Itself back after", true}},
              {},
              {}};
  for (const Incident& incident : figures.incidents) {
    if (table.rows.size() >= kIncidentRowsMax) break;
    std::string why = incident.task.empty() ? incident.what : incident.task + ": " + incident.what;
    table.rows.push_back({DateAndTime(incident.at, true), std::string(IncidentText(incident.kind)),
                          incident.worker.empty() ? std::string(kDash) : incident.worker, std::move(why),
                          Duration(incident.silent), WorkOf(incident), Duration(incident.back)});
  }
  return table;
}

Table FailureTable(const Figures& figures) {
  Table table{"How attempts failed", {{"How"}, {"Attempts", true}}, {}, {}};
  std::vector<std::pair<std::string, uint64_t>> all(figures.failures.begin(), figures.failures.end());
  std::stable_sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return a.second > b.second; });
  for (const auto& [how, count] : all) {
    table.rows.push_back({how, Count(count)});
    table.bars.push_back(static_cast<double>(count) / static_cast<double>(all.front().second));
  }
  return table;
}

}  // namespace

Section ComposeComparison(const Subject& subject) {
  Section section{"Comparison", {ComparisonSentence(subject)}, {}, {}};
  Table table{"Runs",
              {{"Run"},
               {"Workers", true},
               {"Done", true},
               {"Time", true},
               {"Throughput", true},
               {"Speed-up", true},
               {"Efficiency", true},
               {"Same files"}},
              {},
              {}};
  for (const ComparedRun& run : subject.comparison.runs) {
    const Run& whole = subject.runs[run.run];
    table.rows.push_back({whole.label, Count(run.workers), Count(whole.figures.tasks.succeeded),
                          Duration(whole.figures.Steady()), Rate(run.rate, subject.unit()),
                          run.baseline ? "1.00×" : Factor(run.speed_up), Percent(run.efficiency),
                          SameInputs(subject, run)});
  }
  section.charts.push_back(SpeedUpChart(subject));
  section.tables.push_back(std::move(table));
  Table differences{"Files that differ", {{"Run"}, {"File"}}, {}, {}};
  for (const ComparedRun& run : subject.comparison.runs) {
    for (const std::string& example : run.examples)
      differences.rows.push_back({subject.runs[run.run].label, example});
  }
  if (!differences.rows.empty()) section.tables.push_back(std::move(differences));
  return section;
}

Section ComposeDurations(const Subject& subject) {
  return {"Durations and waits", {}, {}, {QuantileTable(subject.figures())}};
}

Section ComposeIncidents(const Subject& subject) {
  const Figures& figures = subject.figures();
  Section section{"Failures and recoveries", {}, {}, {}};
  if (figures.incidents.empty() && figures.incidents_not_listed == 0) {
    section.paragraphs.push_back("Nothing failed, and nobody was lost.");
    return section;
  }
  std::string sentence = Counted(figures.retries, "attempt") + " failed and " +
                         (figures.retries == 1 ? "was" : "were") + " tried again, " +
                         Counted(figures.republished, "attempt") + " of lost workers or browsers " +
                         (figures.republished == 1 ? "was" : "were") + " given to others, " +
                         Counted(figures.tasks.failed, "task") + " died";
  if (figures.redriven != 0) sentence += ", " + Counted(figures.redriven, "dead task") + " put back";
  section.paragraphs.push_back(sentence + ".");
  section.tables.push_back(KindTable(figures));
  if (!figures.failures.empty()) section.tables.push_back(FailureTable(figures));
  section.tables.push_back(IncidentTable(figures));
  const uint64_t shown = section.tables.back().rows.size();
  const uint64_t all = figures.incidents.size() + figures.incidents_not_listed;
  if (shown < all)
    section.paragraphs.push_back("The list shows the first " + Count(shown) + " of " + Count(all) + ".");
  return section;
}

}  // namespace laneway::report
