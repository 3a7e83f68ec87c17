// cmd_report.cc: the performance report: one run, or the same files with other numbers of workers beside it.
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <fstream>
#include <iostream>
#include <memory>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "cli/brokers.h"
#include "cli/commands.h"
#include "cli/exit_codes.h"
#include "cli/up.h"
#include "log/embedded.h"
#include "node/backend.h"
#include "ops/clock.h"
#include "ops/text.h"
#include "ops/units.h"
#include "ops/version.h"
#include "report/html.h"
#include "report/json.h"
#include "report/markdown.h"
#include "report/read_log.h"

namespace laneway::cli {
namespace {

struct Period {
  std::string since;
  std::string until;
};

struct Options {
  UpOptions fleet;  // --data, --brokers, --config, --set
  std::string prefix;
  Period period;
  std::vector<std::string> against;
  std::vector<std::string> against_prefixes;
  Period against_period;
  std::string format;
  std::string to;
};

// Where a run is recorded: one of both.
struct Place {
  std::string data;
  std::string prefix;  // on the brokers of the configuration
  bool kafka = false;
};

int Fail(int code, const std::string& text) {
  Complain(text);
  return code;
}

bool ParseMoment(const std::string& flag, const std::string& text, LogTime* at) {
  if (text.empty()) return true;
  auto moment = ops::ParseTime(text);
  if (const auto ago = ops::ParseDuration(text)) moment = ops::RealClock::Get().Wall() - *ago;
  if (moment) {
    *at = *moment;
    return true;
  }
  Complain(flag + ": found \"" + ops::Printable(text, 100) +
           "\"; give a time such as 2026-11-21T06:00:00Z, or " + "how long ago, as 24h");
  return false;
}

bool ParsePeriod(const std::string& prefix, const Period& period, report::ChronicleOptions* options) {
  return ParseMoment(prefix + "since", period.since, &options->since) &&
         ParseMoment(prefix + "until", period.until, &options->until);
}

bool IsFolder(const std::string& path) {
  struct stat info {};
  return stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode);
}

// The records of an embedded log; also beside the fleet that writes it, as of now.
std::unique_ptr<log::Log> OpenFolder(const std::string& data, int* code) {
  const std::string name = ops::Printable(data, 300);
  if (!IsFolder(data + "/log/db")) {
    *code = kNotFound;
    if (IsFolder(data + "/store")) {
      Complain(name +
               " belongs to a role of a fleet on Kafka: its records are there; give --brokers HOST:PORT,…");
    } else {
      Complain("there is no record of a fleet in " + name +
               ": give --data FOLDER, the data folder of `laneway up`");
    }
    return nullptr;
  }
  auto log = log::EmbeddedEngine::OpenReadOnly(data + "/log");
  if (log.ok()) return *std::move(log);
  *code = kFailed;
  Complain(absl::StrCat(
      std::string(log.status().message()),
      "\n  if a fleet is using the folder, try again; if not, `laneway up` says what is damaged"));
  return nullptr;
}

class Runs {
 public:
  Runs(const v1::LogConfig& config, bool keep_inputs) : config_(config), keep_inputs_(keep_inputs) {}

  // What is wrong goes to stderr; gives the exit code.
  int Add(const Place& place, const Period& period, const std::string& flags) {
    report::ChronicleOptions options;
    options.keep_inputs = keep_inputs_;
    if (!ParsePeriod(flags, period, &options)) return kUsage;
    v1::LogConfig config = config_;
    if (place.kafka) config.set_prefix(place.prefix);
    int code = kDone;
    const std::unique_ptr<log::Log> log =
        place.kafka ? ReachBrokers(config, "report", &code) : OpenFolder(place.data, &code);
    if (!log) return code;
    const std::string where = place.kafka ? absl::StrCat("Kafka, topics ", place.prefix, "*") : place.data;
    auto figures = report::ReadLog(*log, options);
    if (!figures.ok())
      return Fail(place.kafka && !absl::IsInvalidArgument(figures.status()) ? kUnreachable : kFailed,
                  absl::StrCat("cannot read ", ops::Printable(where, 300), ": ",
                               std::string(figures.status().message())));
    if (figures->tasks.submitted + figures->tasks.succeeded + figures->tasks.open == 0) {
      const bool cut = !period.since.empty() || !period.until.empty();
      return Fail(
          kFailed,
          absl::StrCat("nothing to report: no job is recorded in ", ops::Printable(where, 300),
                       cut ? absl::StrCat(" in the time of ", flags, "since and ", flags, "until") : ""));
    }
    all.push_back({where, *std::move(figures)});
    return kDone;
  }

  std::vector<report::Run> all;

 private:
  const v1::LogConfig config_;
  const bool keep_inputs_;
};

std::string FormatOf(const Options& options) {
  if (!options.format.empty()) return options.format;
  for (const char* format : {"html", "json"}) {
    if (absl::EndsWith(options.to, absl::StrCat(".", format))) return format;
  }
  return "md";
}

// A report is there whole, or not at all.
int Write(const std::string& to, const std::string& text) {
  if (to.empty()) {
    std::cout << text;
    return kDone;
  }
  const std::string beside = to + ".tmp";
  std::ofstream file(beside, std::ios::binary | std::ios::trunc);
  file << text;
  file.close();
  if (file && std::rename(beside.c_str(), to.c_str()) == 0) return kDone;
  const std::string why = std::strerror(errno);
  unlink(beside.c_str());
  return Fail(kFailed, "cannot write " + ops::Printable(to, 300) + ": " + why + "; give another --to FILE");
}

std::string Render(const Options& options, const report::Subject& subject) {
  const std::string format = FormatOf(options);
  if (format == "json") return report::ToJson(subject);
  const report::Document document = report::Compose(subject);
  return format == "html" ? report::ToHtml(document) : report::ToMarkdown(document);
}

// Runs to compare with: other folders, other topics, or another time of the same log.
std::vector<Place> Others(const Options& options, const Place& own) {
  std::vector<Place> others;
  for (const std::string& data : options.against) others.push_back({.data = data});
  for (const std::string& prefix : options.against_prefixes)
    others.push_back({.prefix = prefix, .kafka = true});
  const bool other_time = !options.against_period.since.empty() || !options.against_period.until.empty();
  if (others.empty() && other_time) others.push_back(own);
  return others;
}

int RunReport(Options& options) {
  if (!options.prefix.empty())
    options.fleet.settings.flags.push_back({"log.prefix=" + options.prefix, "--prefix"});
  Translate(options.fleet);
  const auto loaded = LoadSettings(options.fleet.settings, false);
  if (!loaded) return kUsage;
  const v1::LogConfig config = node::Resolved(loaded->values.log(), loaded->kafka);
  // A folder that is named is meant, whatever the configuration says of the log.
  const bool kafka =
      config.backend() == "kafka" && (options.fleet.data.empty() || !options.fleet.brokers.empty());
  const Place own{config.data(), config.prefix(), kafka};
  const std::vector<Place> others = Others(options, own);
  Runs runs(config, !others.empty());
  if (const int code = runs.Add(own, options.period, "--"); code != kDone) return code;
  for (const Place& other : others) {
    if (const int code = runs.Add(other, options.against_period, "--against-"); code != kDone) return code;
  }
  const report::Comparison comparison = others.empty() ? report::Comparison{} : report::Compare(runs.all);
  if (!comparison.AllTheSame())
    Complain("warning: the runs did not have the same files; the report says which differ");
  const report::Subject subject{runs.all, comparison, ops::RealClock::Get().Wall(),
                                std::string(ops::Version())};
  const int code = Write(options.to, Render(options, subject));
  if (code == kDone && !options.to.empty())
    std::cerr << report::Compose(subject).verdict << "\nThe report is in " << ops::Printable(options.to, 300)
              << "\n";
  return code;
}

}  // namespace

void AddReport(Command& root) {
  auto options = std::make_shared<Options>();
  Command& report =
      root.Add("report", "The performance report: throughput, workers, failures and recoveries; speed-up");
  report.Examples(
      {"laneway report --data data --to report.html            also beside the running fleet, as of now",
       "laneway report --data three/data --against one/data    speed-up over one worker on the same files",
       "laneway report --brokers kafka1:9092 --since 24h --format json",
       "laneway report --since 2026-11-21T06:00:00Z --against-until 2026-11-21T06:00:00Z"});
  report.Option("--data", options->fleet.data, "Data folder of `laneway up` (else log.data)");
  report.Option("--brokers", options->fleet.brokers, "A fleet on Kafka instead: its brokers, HOST:PORT,…");
  report.Option("--prefix", options->prefix, "Prefix of its topics (else log.prefix)");
  report.Option("--since", options->period.since, "Only from this time on: a time, or how long ago");
  report.Option("--until", options->period.until, "Only before this time: a time, or how long ago");
  report.Repeated("--against", options->against, "Data folder of a run to compare with; may be repeated");
  report.Repeated("--against-prefix", options->against_prefixes,
                  "The same on Kafka: the prefix of its topics; may be repeated");
  report.Option("--against-since", options->against_period.since,
                "Of the runs to compare with (alone: of the same log)");
  report.Option("--against-until", options->against_period.until,
                "Of the runs to compare with (alone: of the same log)");
  report.Choice("--format", options->format, {"md", "html", "json"},
                "Markdown, one HTML file with charts, or JSON (else by the name of --to; else md)");
  report.Option("--to", options->to, "File to write (else stdout)");
  AddSettingsOptions(report, options->fleet.settings);
  report.Run([options] { return RunReport(*options); });
}

}  // namespace laneway::cli
