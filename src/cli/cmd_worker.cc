#include <iostream>
#include <memory>

#include "absl/strings/str_cat.h"
#include "api/target.h"
#include "cli/commands.h"
#include "cli/confirm.h"
#include "cli/exit_codes.h"
#include "cli/read.h"
#include "ops/clock.h"
#include "ops/units.h"

namespace laneway::cli {
namespace {

struct Options {
  ReadOptions read;
  ConfirmOptions confirm;
  std::vector<std::string> ids;
  std::string state;
  bool wait = false;
  std::string timeout = "10m";
};

const Shape& WorkerShape(bool list) {
  static const std::vector<Column> columns = {{"ID", "id"},
                                              {"STATE", "state"},
                                              {"CAPACITY", "capacity"},
                                              {"RUNNING", "running"},
                                              {"QUEUED", "queued"},
                                              {"BROWSER", "browser_connected"},
                                              {"HEARTBEAT", "heartbeat_age_seconds"},
                                              {"LANES", "lanes", true},
                                              {"LABELS", "labels", true},
                                              {"PORT", "browser_port", true},
                                              {"STARTS", "browser_generation", true},
                                              {"BROWSER NOTE", "browser_note", true},
                                              {"INCARNATION", "incarnation", true}};
  static const Shape many{"workers", "id", columns};
  static const Shape one{"", "id", columns};
  return list ? many : one;
}

std::string TargetOf(const std::string& id) { return "/api/v1/workers/" + api::PercentEncode(id); }

// Between two tasks nothing runs either: a drain is over when the worker says so, a pause when nothing waits
// there any more.
bool IsIdle(const ops::JsonValue& worker, const std::string& action) {
  const auto is = [&worker](const char* field, std::string_view text) {
    return CellText(At(worker, field)) == text;
  };
  if (is("state", "GONE") || is("state", "LOST")) return true;
  return action == "drain" ? is("drained", "true") : is("running", "0") && is("queued", "0");
}

int WaitUntilIdle(ApiClient& client, const Options& options, const std::string& action) {
  const auto limit = ops::ParseDuration(options.timeout);
  if (!limit) {
    Complain("--timeout: allowed: " + std::string(ops::kDurationForm));
    return kUsage;
  }
  const auto& clock = ops::RealClock::Get();
  const auto end = clock.Steady() + *limit;
  for (const std::string& id : options.ids) {
    while (true) {
      const ApiAnswer answer = client.Get(TargetOf(id));
      if (answer.exit_code != kDone) return Report(answer);
      if (IsIdle(answer.value, action)) break;
      if (clock.Steady() >= end) {
        Complain(absl::StrCat(id, " still runs ", CellText(At(answer.value, "running")), " and holds ",
                              CellText(At(answer.value, "queued")), " more after ", options.timeout));
        return kFailed;
      }
      Pause(500);
    }
  }
  return kDone;
}

int Act(const Options& options, const std::string& action) {
  if (action == "drain") {
    std::vector<std::string> what;
    for (const std::string& id : options.ids)
      what.push_back("drain " + id + ": it finishes what it runs, gives back the rest and takes nothing new");
    const Consent consent = AskConsent(what, options.confirm);
    if (consent != Consent::kGo) return ConsentExitCode(consent);
  }
  const auto client = MakeApiClient(options.read.api);
  for (const std::string& id : options.ids) {
    const ApiAnswer answer = client->Post(TargetOf(id) + "/" + action, ReasonBody(options.confirm));
    if (answer.exit_code != kDone) return Report(answer);
    std::cout << id << "\n";
  }
  return options.wait ? WaitUntilIdle(*client, options, action) : static_cast<int>(kDone);
}

void AddAction(Command& worker, const std::string& action, const std::string& about) {
  auto options = std::make_shared<Options>();
  Command& command = worker.Add(action, about);
  command.Examples({"laneway worker " + action + " DTF-03 --reason \"new image\"" +
                    (action == "resume" ? "" : " --wait")});
  command.Words("ID", options->ids, "Workers");
  AddApiOption(command, options->read);
  if (action == "drain") {
    AddConfirmOptions(command, options->confirm);
  } else {
    command.Option("--reason", options->confirm.reason, "Why; kept with the event");
  }
  if (action != "resume") {
    command.Flag("--wait", options->wait, "Until it runs nothing any more");
    command.Option("--timeout", options->timeout, "How long to wait");
  }
  command.Run([options, action] { return Act(*options, action); });
}

}  // namespace

void AddWorker(Command& root) {
  Command& worker = root.Add("worker", "Workers: who is in the fleet, and what they may do");
  auto list = std::make_shared<Options>();
  Command& ls = worker.Add("ls", "All workers");
  ls.Examples(
      {"laneway worker ls", "laneway worker ls -o wide --watch", "laneway worker ls -o name --state LOST"});
  AddReadOptions(ls, list->read);
  ls.Choice("--state", list->state, {"UP", "PAUSED", "DRAINING", "LOST", "GONE"}, "Only these");
  ls.Run([list] {
    std::string target = "/api/v1/workers";
    AddQuery(target, "state", list->state);
    return Read(list->read, target, WorkerShape(true));
  });
  auto one = std::make_shared<Options>();
  one->ids.resize(1);
  Command& show = worker.Add("show", "One worker");
  show.Examples({"laneway worker show DTF-03 -o json"});
  show.Word("ID", one->ids[0], "The worker");
  AddReadOptions(show, one->read);
  show.Run([one] { return Read(one->read, TargetOf(one->ids[0]), WorkerShape(false)); });
  AddAction(worker, "pause", "Takes nothing new, keeps what it has");
  AddAction(worker, "resume", "Takes work again");
  AddAction(worker, "drain", "Finishes, gives back the rest, takes nothing new");
}

}  // namespace laneway::cli
