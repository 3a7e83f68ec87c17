#include "report/compose.h"

#include <algorithm>

#include "ops/text.h"

namespace laneway::report {
namespace {

const ComparedRun* Own(const Comparison& comparison) {
  for (const ComparedRun& run : comparison.runs) {
    if (run.run == 0) return &run;
  }
  return nullptr;
}

std::string Verdict(const Subject& subject) {
  const Figures& figures = subject.figures();
  const std::string noun = subject.noun();
  std::string text = Counted(figures.WorkersThatRan(), "worker") + " finished " +
                     Count(figures.tasks.succeeded) + " of " +
                     Counted(std::max(figures.tasks.submitted, figures.tasks.succeeded), noun);
  if (const auto period = figures.Period()) text += " in " + Duration(period);
  if (const auto rate = figures.SteadyRate()) text += ", " + Rate(rate, subject.unit());
  const ComparedRun* own = Own(subject.comparison);
  if (own != nullptr && own->speed_up) {
    const ComparedRun& base = subject.comparison.runs.front();
    text += ": " + Factor(own->speed_up) + " the throughput of " + Counted(base.workers, "worker");
    if (!own->same_inputs || !subject.comparison.inputs_checked) text += ", but not on the same files";
  }
  text += ".";
  if (figures.still_running || figures.tasks.open != 0)
    text += " " + Counted(figures.tasks.open, noun) + (figures.tasks.open == 1 ? " was" : " were") +
            " still open.";
  return text;
}

Tile DoneTile(const Subject& subject) {
  const Outcomes& tasks = subject.figures().tasks;
  std::string note;
  const auto add = [&note](uint64_t count, const std::string& what) {
    if (count != 0) note += (note.empty() ? "" : ", ") + Count(count) + " " + what;
  };
  add(tasks.failed, "failed");
  add(tasks.cancelled, "cancelled");
  add(tasks.open, "open");
  const bool all = note.empty();
  if (all) note = "none failed";
  return {Capital(subject.noun() + "s done"),
          Count(tasks.succeeded) + " / " + Count(std::max(tasks.submitted, tasks.succeeded)), note,
          all                 ? Tone::kGood
          : tasks.failed != 0 ? Tone::kBad
                              : Tone::kWarning};
}

Tile RecoveryTile(const Subject& subject) {
  const Figures& figures = subject.figures();
  const uint64_t met = Disturbances(figures);
  if (met == 0) return {"Disturbances", "0", "no worker, browser or dispatcher lost", Tone::kGood};
  const auto waiting = std::count_if(figures.incidents.begin(), figures.incidents.end(),
                                     [](const Incident& incident) { return incident.waiting != 0; });
  if (waiting == 0) return {"Disturbances", Count(met), "all their work went on"};
  return {"Disturbances", Count(met), Count(static_cast<uint64_t>(waiting)) + " with work that waits",
          Tone::kWarning};
}

std::vector<Tile> Tiles(const Subject& subject) {
  const Figures& figures = subject.figures();
  std::vector<Tile> tiles = {DoneTile(subject)};
  tiles.push_back({"Throughput", Rate(figures.SteadyRate(), subject.unit()), "first start to last end"});
  if (const ComparedRun* own = Own(subject.comparison); own != nullptr && own->speed_up) {
    tiles.push_back({"Speed-up", Factor(own->speed_up),
                     "efficiency " + Percent(own->efficiency) + " with " + Counted(own->workers, "worker"),
                     *own->speed_up > 1 ? Tone::kGood : Tone::kWarning});
  }
  tiles.push_back({"Duration, median", Duration(figures.duration.Quantile(0.5)),
                   "95 % within " + Duration(figures.duration.Quantile(0.95))});
  tiles.push_back({"Wait, median", Duration(figures.wait.Quantile(0.5)),
                   "95 % within " + Duration(figures.wait.Quantile(0.95))});
  tiles.push_back(RecoveryTile(subject));
  return tiles;
}

Table OutcomeTable(const Figures& figures) {
  Table table{
      "Outcomes",
      {{""}, {"Submitted", true}, {"Succeeded", true}, {"Failed", true}, {"Cancelled", true}, {"Open", true}},
      {},
      {}};
  const auto add = [&table](const std::string& name, const Outcomes& all) {
    table.rows.push_back({name, Count(all.submitted), Count(all.succeeded), Count(all.failed),
                          Count(all.cancelled), Count(all.open)});
  };
  if (figures.files.submitted + figures.files.succeeded + figures.files.open != 0)
    add("Files", figures.files);
  if (figures.jobs.submitted != figures.files.submitted) add("Jobs", figures.jobs);
  add("Tasks", figures.tasks);
  return table;
}

Section ComposeOverview(const Subject& subject) {
  const Figures& figures = subject.figures();
  Section section{"Overview", {}, {}, {OutcomeTable(figures)}};
  Table facts{"Period and throughput", {{""}, {"", true}}, {}, {}};
  const auto add = [&facts](const std::string& name, const std::string& value) {
    facts.rows.push_back({name, value});
  };
  add("First submitted", DateAndTime(figures.first_submitted, true));
  add("First start", DateAndTime(figures.first_start, true));
  add(figures.still_running ? "Until (still running)" : "Last end", DateAndTime(figures.last_end, true));
  add("Throughput, first submission to last end", Rate(figures.OverallRate(), subject.unit()));
  add("Throughput, first start to last end", Rate(figures.SteadyRate(), subject.unit()));
  if (figures.bytes != 0) add("Bytes of the files that succeeded", Bytes(figures.bytes));
  if (figures.records != 0) add("Records, as the scripts counted them", Count(figures.records));
  if (figures.idle > Millis(0)) add("Of this, nothing was open", Duration(figures.idle));
  section.tables.push_back(std::move(facts));
  return section;
}

std::vector<std::string> Notes(const Figures& figures) {
  std::vector<std::string> notes = {
      "Only what the fleet's own judge of events accepts is counted: late, doubled and void results are in "
      "no figure.",
      "Times are those of the log, in UTC. Throughput is successes by time from the first start to the last "
      "end. "
      "Duration is from start to success, wait from when a task was due to its first start. Quantiles are "
      "within 1 %.",
      "“Noticed within” is the time since the last record that showed the lost one alive: the loss lies in "
      "between. "
      "Heartbeats and browser health are kept for a day; of older runs only verdicts are known.",
  };
  const auto period = figures.Period();
  if (period && figures.idle * 5 > *period)
    notes.push_back("For " + Duration(figures.idle) +
                    " nothing was open: --since and --until cut the report to one run.");
  if (figures.unknown_records != 0)
    notes.push_back(Counted(figures.unknown_records, "record") +
                    " of jobs whose beginning is no longer in the log " + "could not be counted.");
  if (figures.ignored_records != 0)
    notes.push_back(
        Counted(figures.ignored_records, "record") +
        " did not count, as the rules of the fleet say: late, doubled, or of an attempt that was void.");
  if (figures.unreadable_records != 0)
    notes.push_back(Counted(figures.unreadable_records, "record") + " could not be read.");
  if (figures.clock_steps != 0)
    notes.push_back("The log's clock went back " + Counted(figures.clock_steps, "time") +
                    ": what lies there is taken to have happened at the later time.");
  return notes;
}

}  // namespace

std::string Subject::noun() const {
  const Figures& own = figures();
  return own.files.submitted != 0 && own.files.submitted == own.tasks.submitted ? "file" : "task";
}

uint64_t Disturbances(const Figures& figures) {
  uint64_t met = 0;
  for (const IncidentKind kind :
       {IncidentKind::kWorkerLost, IncidentKind::kBrowserLost, IncidentKind::kTakeover,
        IncidentKind::kInterrupted, IncidentKind::kTakenBack})
    met += figures.kinds[static_cast<size_t>(kind)].count;
  return met;
}

Document Compose(const Subject& subject) {
  const Figures& figures = subject.figures();
  Document document;
  document.title = "Performance report";
  document.subtitle = subject.runs.front().label + " · " + DateAndTime(figures.first_submitted) + " to " +
                      DateAndTime(std::max(figures.last_end, figures.first_submitted)) + " UTC";
  document.verdict = Verdict(subject);
  document.tiles = Tiles(subject);
  document.sections.push_back(ComposeOverview(subject));
  if (subject.comparison.runs.size() > 1) document.sections.push_back(ComposeComparison(subject));
  if (!figures.buckets.empty()) document.sections.push_back(ComposeThroughput(subject));
  if (!figures.workers.empty()) document.sections.push_back(ComposeWorkers(subject));
  document.sections.push_back(ComposeDurations(subject));
  document.sections.push_back(ComposeIncidents(subject));
  document.notes = Notes(figures);
  document.footer = "Made " + DateAndTime(subject.made) + " UTC by laneway " + subject.version + ".";
  return document;
}

}  // namespace laneway::report
