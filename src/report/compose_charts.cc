// compose_charts.cc: what happened over time: throughput by worker, what waited, what each worker did.
#include <algorithm>

#include "report/compose.h"

namespace laneway::report {
namespace {

constexpr size_t kSeriesMax = 8;   // workers with a colour of their own
constexpr size_t kRowsMax = 30;    // of a table over time
constexpr size_t kMarksMax = 60;   // in a chart
constexpr size_t kStripsMax = 40;  // workers in a chart

struct Axis {
  LogTime from;
  Millis range{1};

  explicit Axis(const Figures& figures) {
    if (figures.buckets.empty()) return;
    from = figures.buckets.front().at;
    range = figures.bucket_width * static_cast<int64_t>(figures.buckets.size());
  }
  double Place(LogTime at) const {
    return std::clamp(static_cast<double>((at - from).count()) / static_cast<double>(range.count()), 0.0,
                      1.0);
  }
  bool Holds(LogTime at) const { return at >= from && at < from + range; }
  std::vector<std::string> Ticks() const {
    std::vector<std::string> ticks;
    for (int i = 0; i <= 4; i++) ticks.push_back(Tick(from + range * i / 4, range));
    return ticks;
  }
};

std::vector<std::string> Slots(const Figures& figures, const Axis& axis) {
  std::vector<std::string> slots;
  for (const Timeline::Bucket& bucket : figures.buckets) slots.push_back(Tick(bucket.at, axis.range));
  return slots;
}

std::vector<Chart::Mark> Marks(const Figures& figures, const Axis& axis) {
  std::vector<Chart::Mark> marks;
  for (const Incident& incident : figures.incidents) {
    const bool shown = incident.kind <= IncidentKind::kTakeover || incident.kind == IncidentKind::kDead;
    if (!shown || !axis.Holds(incident.at) || marks.size() >= kMarksMax) continue;
    const bool bad = incident.kind == IncidentKind::kWorkerLost || incident.kind == IncidentKind::kDead;
    std::string text = std::string(IncidentText(incident.kind));
    if (!incident.worker.empty()) text += ": " + incident.worker;
    marks.push_back({axis.Place(incident.at), text + ", " + Tick(incident.at, axis.range),
                     bad ? Tone::kBad : Tone::kWarning});
  }
  return marks;
}

// The workers that did most, in the order of their names; all others are one series.
std::vector<uint32_t> Foremost(const Figures& figures) {
  std::vector<uint32_t> all;
  for (uint32_t i = 0; i < figures.workers.size(); i++) {
    if (figures.workers[i].succeeded != 0) all.push_back(i);
  }
  std::stable_sort(all.begin(), all.end(), [&](uint32_t a, uint32_t b) {
    return figures.workers[a].succeeded > figures.workers[b].succeeded;
  });
  if (all.size() > kSeriesMax) all.resize(kSeriesMax);
  std::sort(all.begin(), all.end());
  return all;
}

std::vector<Chart::Series> DoneSeries(const Figures& figures) {
  const std::vector<uint32_t> foremost = Foremost(figures);
  std::vector<Chart::Series> series;
  for (const uint32_t worker : foremost) series.push_back({figures.workers[worker].name, {}});
  Chart::Series others{"others", {}};
  double left = 0;
  for (const Timeline::Bucket& bucket : figures.buckets) {
    double rest = 0;
    for (const auto& [worker, count] : bucket.done) rest += count;
    for (size_t i = 0; i < foremost.size(); i++) {
      const auto found = bucket.done.find(foremost[i]);
      const double count = found == bucket.done.end() ? 0 : found->second;
      series[i].values.push_back(count);
      rest -= count;
    }
    others.values.push_back(rest);
    left += rest;
  }
  if (left > 0) series.push_back(std::move(others));
  return series;
}

size_t RowsEach(size_t buckets) { return std::max<size_t>(1, (buckets + kRowsMax - 1) / kRowsMax); }

Table DoneTable(const Figures& figures, const std::vector<Chart::Series>& series, const std::string& noun) {
  Table table{"", {{"From"}, {"All", true}}, {}, {}};
  table.columns[1].header = Capital(noun + "s done");
  for (const Chart::Series& one : series) table.columns.push_back({one.name, true});
  table.columns.push_back({"Failed", true});
  const size_t each = RowsEach(figures.buckets.size());
  double most = 0;
  for (size_t begin = 0; begin < figures.buckets.size(); begin += each) {
    const size_t end = std::min(begin + each, figures.buckets.size());
    std::vector<std::string> row = {
        DateAndTime(figures.buckets[begin].at, figures.bucket_width < Millis(1000))};
    double all = 0;
    uint64_t failed = 0;
    row.emplace_back();
    for (const Chart::Series& one : series) {
      double sum = 0;
      for (size_t i = begin; i < end; i++) sum += one.values[i];
      row.push_back(Count(static_cast<uint64_t>(sum)));
      all += sum;
    }
    for (size_t i = begin; i < end; i++) failed += figures.buckets[i].failed;
    row[1] = Count(static_cast<uint64_t>(all));
    row.push_back(Count(failed));
    table.rows.push_back(std::move(row));
    table.bars.push_back(all);
    most = std::max(most, all);
  }
  for (double& bar : table.bars) bar = most > 0 ? bar / most : 0;
  return table;
}

Chart DoneChart(const Subject& subject, const Axis& axis) {
  const Figures& figures = subject.figures();
  Chart chart;
  chart.kind = Chart::Kind::kColumns;
  chart.title = Capital(subject.noun() + "s done per " + Width(figures.bucket_width) + ", by worker");
  chart.about =
      "Stacked columns, one for each " + Width(figures.bucket_width) +
      ": how many were done by each worker. Marks show where a worker, a browser or a dispatcher was lost.";
  chart.slots = Slots(figures, axis);
  chart.ticks = axis.Ticks();
  chart.series = DoneSeries(figures);
  chart.marks = Marks(figures, axis);
  chart.figures = DoneTable(figures, chart.series, subject.noun());
  return chart;
}

Chart BacklogChart(const Subject& subject, const Axis& axis) {
  const Figures& figures = subject.figures();
  Chart chart;
  chart.kind = Chart::Kind::kLines;
  chart.title = "Waiting and running";
  chart.about = "Two lines over the same time: how many tasks waited for a worker, and how many ran.";
  chart.slots = Slots(figures, axis);
  chart.ticks = axis.Ticks();
  chart.series = {{"waiting", {}}, {"running", {}}};
  Table table{"", {{"At the end of the time from"}, {"Waiting", true}, {"Running", true}}, {}, {}};
  const size_t each = RowsEach(figures.buckets.size());
  for (size_t i = 0; i < figures.buckets.size(); i++) {
    const Timeline::Bucket& bucket = figures.buckets[i];
    chart.series[0].values.push_back(static_cast<double>(bucket.waiting));
    chart.series[1].values.push_back(static_cast<double>(bucket.running));
    if (i % each != each - 1 && i + 1 != figures.buckets.size()) continue;
    table.rows.push_back({DateAndTime(bucket.at, figures.bucket_width < Millis(1000)),
                          Count(static_cast<uint64_t>(bucket.waiting)),
                          Count(static_cast<uint64_t>(bucket.running))});
  }
  chart.figures = std::move(table);
  return chart;
}

Chart::Strip StripOf(const Figures& figures, uint32_t index, const Axis& axis) {
  const WorkerFigures& worker = figures.workers[index];
  Chart::Strip strip{worker.name, {}, {}};
  const auto width = static_cast<double>(figures.bucket_width.count());
  for (const Timeline::Bucket& bucket : figures.buckets) {
    const auto found = bucket.busy_ms.find(index);
    strip.shades.push_back(
        found == bucket.busy_ms.end() ? 0 : std::min(1.0, static_cast<double>(found->second) / width));
  }
  const auto add = [&](const std::vector<Span>& spans, const std::string& what, Tone tone) {
    for (const Span& span : spans) {
      if (span.to < axis.from || span.from >= axis.from + axis.range) continue;
      strip.bands.push_back(
          {axis.Place(span.from), axis.Place(span.to), what + " for " + Duration(span.to - span.from), tone});
    }
  };
  add(worker.lost_spans, "lost", Tone::kBad);
  add(worker.browser_spans, "without browser", Tone::kWarning);
  return strip;
}

Table WorkerTable(const Subject& subject) {
  const Figures& figures = subject.figures();
  Table table{"Workers",
              {{"Worker"},
               {"Done", true},
               {"Busy", true},
               {"Mean", true},
               {"95 %", true},
               {"Failed", true},
               {"Taken back", true},
               {"Lost", true},
               {"Lost for", true},
               {"Browser lost", true},
               {"Without browser", true}},
              {},
              {}};
  uint64_t most = 0;
  for (const WorkerFigures& worker : figures.workers) most = std::max(most, worker.succeeded);
  for (const WorkerFigures& worker : figures.workers) {
    table.rows.push_back(
        {worker.name, Count(worker.succeeded), Percent(figures.BusyShare(worker)),
         Duration(worker.duration.Mean()), Duration(worker.duration.Quantile(0.95)), Count(worker.failed),
         Count(worker.interrupted), Count(worker.losses),
         worker.lost == Millis(0) ? std::string(kDash) : Duration(worker.lost), Count(worker.browser_losses),
         worker.without_browser == Millis(0) ? std::string(kDash) : Duration(worker.without_browser)});
    table.bars.push_back(most == 0 ? 0 : static_cast<double>(worker.succeeded) / static_cast<double>(most));
  }
  return table;
}

}  // namespace

Section ComposeThroughput(const Subject& subject) {
  const Axis axis(subject.figures());
  Section section{"Over time", {}, {}, {}};
  section.charts.push_back(DoneChart(subject, axis));
  section.charts.push_back(BacklogChart(subject, axis));
  return section;
}

Section ComposeWorkers(const Subject& subject) {
  const Figures& figures = subject.figures();
  Section section{
      "Workers",
      {"Busy is the share of the time from the first start to the last end in which the worker ran "
       "at least one " +
       subject.noun() + "."},
      {},
      {}};
  if (!figures.buckets.empty()) {
    const Axis axis(figures);
    Chart chart;
    chart.kind = Chart::Kind::kStrips;
    chart.title = "What each worker did";
    chart.about =
        "A strip for each worker over the same time: darker where it was busy, marked where it was lost or "
        "had no browser.";
    chart.ticks = axis.Ticks();
    chart.slots = Slots(figures, axis);
    chart.legend = {{"busy", Tone::kPlain}, {"lost", Tone::kBad}, {"without browser", Tone::kWarning}};
    for (uint32_t i = 0; i < figures.workers.size() && i < kStripsMax; i++)
      chart.strips.push_back(StripOf(figures, i, axis));
    section.charts.push_back(std::move(chart));
    if (figures.workers.size() > kStripsMax)
      section.paragraphs.push_back("The chart shows the first " + Count(kStripsMax) + " of " +
                                   Counted(figures.workers.size(), "worker") + ".");
  }
  section.tables.push_back(WorkerTable(subject));
  return section;
}

}  // namespace laneway::report
