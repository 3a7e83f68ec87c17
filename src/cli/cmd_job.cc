#include <fstream>
#include <iostream>
#include <memory>
#include <sstream>

#include "api/job_definition.h"
#include "api/target.h"
#include "cli/commands.h"
#include "cli/confirm.h"
#include "cli/exit_codes.h"
#include "cli/job_files.h"
#include "cli/job_wait.h"
#include "cli/read.h"
#include "cli/settings.h"
#include "ops/clock.h"
#include "ops/text.h"
#include "ops/units.h"

namespace laneway::cli {
namespace {

struct Options {
  ReadOptions read;
  ConfirmOptions confirm;
  SettingsOptions settings;
  std::vector<std::string> words;
  std::string state;
  std::string worker;
  std::string since;
  std::string name;
  std::string zone;
  bool wait = false;
};
using Shared = std::shared_ptr<Options>;

Shape JobShape(bool list) {
  return {list ? "jobs" : "",
          "job_id",
          {{"JOB", "job_id"},
           {"NAME", "name"},
           {"STATE", "state"},
           {"SUBMITTED", "submitted_at"},
           {"TASKS", "tasks.total"},
           {"DONE", "tasks.succeeded"},
           {"DEAD", "tasks.dead"},
           {"FINISHED", "finished_at", true},
           {"SOURCE", "source", true},
           {"FILE", "file", true},
           {"RUNNING", "tasks.running", true}}};
}

std::string TargetOf(const std::string& id) { return "/api/v1/jobs/" + api::PercentEncode(id); }

int Submit(const Options& options) {
  SettingsOptions settings = options.settings;
  if (!options.zone.empty()) settings.flags.push_back({"zone.path=" + options.zone, "--zone"});
  const auto config = LoadSettings(settings, false);
  if (!config) return kUsage;
  std::vector<std::string> ids;
  int code = kDone;
  for (const std::string& file : options.words) {
    const auto id = SubmitFile(config->values.zone().path(), file);
    if (id.ok()) {
      ids.push_back(*id);
      std::cout << *id << "\n" << std::flush;
      continue;
    }
    Complain(std::string(id.status().message()));
    code = id.status().code() == absl::StatusCode::kNotFound ? kNotFound : kFailed;
  }
  if (!options.wait || ids.empty()) return code;
  const auto client = MakeApiClient(options.read.api);
  const int waited = WaitForJobs(*client, ids);
  return code == kDone ? waited : code;
}

int Start(const Options& options) {
  const std::string& path = options.words[0];
  std::stringstream text;
  if (path == "-") {
    text << std::cin.rdbuf();
  } else {
    const std::ifstream file(path, std::ios::binary);
    if (!file) {
      Complain("cannot read " + ops::Printable(path));
      return kNotFound;
    }
    text << file.rdbuf();
  }
  const auto client = MakeApiClient(options.read.api);
  const ApiAnswer answer = client->Post("/start_job", text.str());
  if (answer.exit_code != kDone) return Report(answer);
  const std::string id = CellText(answer.value.Find("job_id"));
  std::cout << id << "\n" << std::flush;
  return options.wait ? WaitForJobs(*client, {id}) : static_cast<int>(kDone);
}

int List(const Options& options) {
  std::string target = "/api/v1/jobs";
  AddQuery(target, "state", options.state);
  AddQuery(target, "worker", options.worker);
  AddQuery(target, "name", options.name);
  if (!options.since.empty()) {
    auto since = ops::ParseTime(options.since);
    if (const auto ago = ops::ParseDuration(options.since)) since = ops::RealClock::Get().Wall() - *ago;
    if (!since) {
      Complain("--since: found \"" + ops::Printable(options.since, 100) +
               "\"; allowed: a time as 2026-11-21T06:15:00Z, or how long ago, as 2h");
      return kUsage;
    }
    AddQuery(target, "since", ops::FormatTime(*since));
  }
  return Read(options.read, target, JobShape(true));
}

void PrintTimeline(const ops::JsonValue& job, const ReadOptions& options) {
  const ops::JsonValue* tasks =
      job.Find("tasks_detail") != nullptr ? job.Find("tasks_detail") : job.Find("task_list");
  if (tasks == nullptr) return;
  ops::JsonValue lines;
  lines.kind = ops::JsonKind::kObject;
  lines.members.push_back({"attempts", 0, {}});
  ops::JsonValue& attempts = lines.members[0].value;
  attempts.kind = ops::JsonKind::kArray;
  for (const ops::JsonValue& task : tasks->items) {
    const ops::JsonValue* list = task.Find("attempts");
    for (const ops::JsonValue& attempt : list == nullptr ? std::vector<ops::JsonValue>{} : list->items) {
      ops::JsonValue& line = attempts.items.emplace_back(attempt);
      if (const ops::JsonValue* id = task.Find("task_id"))
        line.members.insert(line.members.begin(), {"task_id", 0, *id});
    }
  }
  if (attempts.items.empty()) return;
  std::cout << "\n";
  const Shape shape{"attempts",
                    "task_id",
                    {{"TASK", "task_id"},
                     {"ATTEMPT", "attempt"},
                     {"WORKER", "worker"},
                     {"STARTED", "started_at"},
                     {"ENDED", "ended_at"},
                     {"OUTCOME", "outcome"},
                     {"ENDING", "ending"},
                     {"WHY", "message"}}};
  Print(lines, shape, options);
}

int Show(const Options& options) {
  const bool people = options.read.format == "table" || options.read.format == "wide";
  if (!people || options.read.watch) return Read(options.read, TargetOf(options.words[0]), JobShape(false));
  const auto client = MakeApiClient(options.read.api);
  const ApiAnswer answer = client->Get(TargetOf(options.words[0]));
  if (answer.exit_code != kDone) return Report(answer);
  Print(answer.value, JobShape(false), options.read);
  PrintTimeline(answer.value, options.read);
  return kDone;
}

int Act(const Options& options, const std::string& action) {
  if (action == "cancel") {
    std::vector<std::string> what;
    for (const std::string& id : options.words)
      what.push_back("cancel job " + id + ": what runs is stopped, its file goes to failed/");
    const Consent consent = AskConsent(what, options.confirm);
    if (consent != Consent::kGo) return ConsentExitCode(consent);
  }
  const auto client = MakeApiClient(options.read.api);
  int code = kDone;
  for (const std::string& id : options.words) {
    const ApiAnswer answer = client->Post(TargetOf(id) + "/" + action, ReasonBody(options.confirm));
    if (answer.exit_code == kDone) {
      std::cout << id << "\n";
    } else {
      code = Report(answer);
    }
  }
  return code;
}

int Watch(const Options& options) {
  const auto client = MakeApiClient(options.read.api);
  for (const std::string& id : options.words) {
    const ApiAnswer answer = client->Get(TargetOf(id));
    if (answer.exit_code != kDone) return Report(answer);
  }
  return WaitForJobs(*client, options.words);
}

void AddReads(Command& job) {
  auto list = std::make_shared<Options>();
  Command& ls = job.Add("ls", "Jobs, the newest first");
  ls.Examples(
      {"laneway job ls", "laneway job ls --state FAILED --since 24h", "laneway job ls -o name --limit 0"});
  AddReadOptions(ls, list->read);
  ls.Choice("--state", list->state, {"PENDING", "RUNNING", "SUCCEEDED", "FAILED", "CANCELLED"}, "Only these");
  ls.Option("--worker", list->worker, "Only jobs with a task on this worker");
  ls.Option("--since", list->since, "Only jobs submitted since: a time, or how long ago");
  ls.Option("--name", list->name, "Only jobs of this name or file");
  ls.Run([list] { return List(*list); });

  auto one = std::make_shared<Options>();
  one->words.resize(1);
  Command& show = job.Add("show", "One job and every attempt of its tasks");
  show.Examples({"laneway job show 01J8…", "laneway job show 01J8… -o json"});
  show.Word("JOB", one->words[0], "The job's id");
  AddReadOptions(show, one->read);
  show.Run([one] { return Show(*one); });

  auto watched = std::make_shared<Options>();
  Command& watch = job.Add("watch", "Follows jobs to their ends; exit 0 when all succeeded");
  watch.Words("JOB", watched->words, "Ids of jobs");
  AddApiOption(watch, watched->read);
  watch.Run([watched] { return Watch(*watched); });
}

void AddActs(Command& job) {
  auto cancelled = std::make_shared<Options>();
  Command& cancel = job.Add("cancel", "Stops jobs; their files go to failed/");
  cancel.Examples({"laneway job cancel 01J8… --reason \"wrong file\"",
                   "laneway job ls --name bad -o name | xargs laneway job cancel --yes"});
  cancel.Words("JOB", cancelled->words, "Ids of jobs");
  AddApiOption(cancel, cancelled->read);
  AddConfirmOptions(cancel, cancelled->confirm);
  cancel.Run([cancelled] { return Act(*cancelled, "cancel"); });

  auto retried = std::make_shared<Options>();
  Command& retry = job.Add("retry", "Puts the dead tasks of jobs back to be tried again");
  retry.Words("JOB", retried->words, "Ids of jobs");
  AddApiOption(retry, retried->read);
  retry.Option("--reason", retried->confirm.reason, "Why; kept with the event");
  retry.Run([retried] { return Act(*retried, "retry"); });
}

}  // namespace

void AddJob(Command& root) {
  Command& job = root.Add("job", "Jobs: start, look, act");
  job.Examples({"laneway job submit invoices/*.csv --wait", "laneway job ls --state FAILED",
                "laneway job show 01J8…"});
  auto submitted = std::make_shared<Options>();
  Command& submit = job.Add("submit", "Puts files into the dispatch zone; prints the ids of their jobs");
  submit.Examples({"laneway job submit a.csv b.csv", "laneway job submit --zone /srv/dispatch a.csv --wait"});
  submit.Words("FILE", submitted->words, "Files");
  submit.Option("--zone", submitted->zone, "The dispatch zone (else the configuration's)");
  submit.Flag("--wait", submitted->wait, "Until their jobs have ended; exit 1 if one failed");
  AddApiOption(submit, submitted->read);
  AddSettingsOptions(submit, submitted->settings);
  submit.Run([submitted] { return Submit(*submitted); });

  auto started = std::make_shared<Options>();
  started->words.resize(1);
  Command& start = job.Add("start", "Starts a job from its definition; prints its id");
  start.Examples(
      {"laneway job start job.json", "echo '{\"handler\":\"noop\"}' | laneway job start - --wait"});
  start.Word("JOB.JSON", started->words[0], "The definition's file; - for stdin");
  start.Flag("--wait", started->wait, "Until it has ended; exit 1 if it failed");
  AddApiOption(start, started->read);
  start.Run([started] { return Start(*started); });
  AddReads(job);
  AddActs(job);
}

}  // namespace laneway::cli
