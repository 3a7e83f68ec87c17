#include <iostream>
#include <memory>

#include "cli/commands.h"
#include "cli/confirm.h"
#include "cli/exit_codes.h"
#include "cli/read.h"
#include "ops/json_writer.h"

namespace laneway::cli {
namespace {

struct Options {
  ReadOptions read;
  ConfirmOptions confirm;
  std::vector<std::string> ids;
  std::string reason;
  bool all = false;
};

Shape DeadShape() {
  return {"dead",
          "task_id",
          {{"TASK", "task_id"},
           {"STATE", "state"},
           {"DIED", "died_at"},
           {"ATTEMPTS", "attempt"},
           {"REASON", "reason"},
           {"FILE", "file"},
           {"WORKER", "worker", true},
           {"MESSAGE", "message", true}}};
}

// There is no read of a single dead letter: its list is short, and the task's own job shows all attempts.
int Show(const Options& options) {
  const auto client = MakeApiClient(options.read.api);
  ReadOptions all = options.read;
  all.limit = 0;
  const ApiAnswer answer = GetList(*client, all, "/api/v1/dead", DeadShape());
  if (answer.exit_code != kDone) return Report(answer);
  const ops::JsonValue* list = answer.value.Find("dead");
  for (const ops::JsonValue& item : list == nullptr ? std::vector<ops::JsonValue>{} : list->items) {
    if (CellText(At(item, "task_id")) != options.ids[0]) continue;
    Shape one = DeadShape();
    one.list.clear();
    for (Column& column : one.columns) column.wide = false;
    Print(item, one, options.read);
    return kDone;
  }
  Complain("there is no dead letter " + options.ids[0] + "; `laneway dead ls` lists them");
  return kNotFound;
}

int Redrive(const Options& options) {
  if (options.ids.empty() == !options.all) {
    Complain("give the tasks to put back, or --all");
    return kUsage;
  }
  std::vector<std::string> what;
  for (const std::string& id : options.ids) what.push_back("put " + id + " back to be tried again");
  if (options.all) what.push_back("put every dead task back to be tried again");
  const Consent consent = AskConsent(what, options.confirm);
  if (consent != Consent::kGo) return ConsentExitCode(consent);
  ops::JsonWriter ids;
  ids.BeginArray();
  for (const std::string& id : options.ids) ids.Value(id);
  ids.EndArray();
  const auto client = MakeApiClient(options.read.api);
  const std::string more = options.all ? "\"all\":true" : "\"ids\":" + ids.Take();
  const ApiAnswer answer = client->Post("/api/v1/dead/redrive", ReasonBody(options.confirm, more));
  if (answer.exit_code != kDone) return Report(answer);
  std::cout << ToJson(answer.value, 2) << "\n";
  return kDone;
}

}  // namespace

void AddDead(Command& root) {
  Command& dead = root.Add("dead", "Dead letters: tasks that used up their attempts");
  auto list = std::make_shared<Options>();
  Command& ls = dead.Add("ls", "All dead letters, with their reasons");
  ls.Examples({"laneway dead ls", "laneway dead ls -o jsonl"});
  AddReadOptions(ls, list->read);
  ls.Run([list] { return Read(list->read, "/api/v1/dead", DeadShape()); });
  auto one = std::make_shared<Options>();
  one->ids.resize(1);
  Command& show = dead.Add("show", "One dead letter with its evidence");
  show.Word("TASK", one->ids[0], "The task, as JOB/1");
  AddReadOptions(show, one->read);
  show.Run([one] { return Show(*one); });
  auto redrive = std::make_shared<Options>();
  Command& back = dead.Add("redrive", "Puts dead tasks back to be tried again");
  back.Examples(
      {"laneway dead redrive 01J8…/1 --reason \"script fixed\"", "laneway dead redrive --all --yes"});
  back.Words("TASK", redrive->ids, "Tasks, as JOB/1", false);
  back.Flag("--all", redrive->all, "Every dead task");
  AddApiOption(back, redrive->read);
  AddConfirmOptions(back, redrive->confirm);
  back.Run([redrive] { return Redrive(*redrive); });
}

}  // namespace laneway::cli
