#include "cli/job_wait.h"

#include <map>
#include <set>

#include "api/target.h"
#include "cli/exit_codes.h"
#include "cli/output.h"
#include "cli/progress.h"
#include "cli/read.h"

namespace laneway::cli {
namespace {

struct Figures {
  uint64_t done = 0;
  uint64_t total = 1;
};

uint64_t Number(const ops::JsonValue& job, std::string_view path) {
  const ops::JsonValue* value = At(job, path);
  return value == nullptr ? 0 : value->magnitude;
}

}  // namespace

int WaitForJobs(ApiClient& client, const std::vector<std::string>& ids) {
  ProgressBar bar(StderrIsTerminal(), ops::RealClock::Get());
  std::set<std::string> open(ids.begin(), ids.end());
  std::map<std::string, Figures> figures;
  std::vector<std::string> bad;
  while (true) {
    for (const std::string& id : std::set<std::string>(open)) {
      const ApiAnswer answer = client.Get("/api/v1/jobs/" + api::PercentEncode(id) + "?tasks=none");
      if (answer.exit_code == kNotFound) continue;
      if (answer.exit_code != kDone) return Report(answer);
      figures[id] = {Number(answer.value, "tasks.succeeded") + Number(answer.value, "tasks.dead") +
                         Number(answer.value, "tasks.cancelled"),
                     std::max<uint64_t>(1, Number(answer.value, "tasks.total"))};
      const std::string state = CellText(At(answer.value, "state"));
      if (state != "SUCCEEDED" && state != "FAILED" && state != "CANCELLED") continue;
      open.erase(id);
      if (state != "SUCCEEDED") bad.push_back(id + " " + state);
    }
    uint64_t done = 0;
    uint64_t total = 0;
    for (const std::string& id : ids) {
      done += figures[id].done;
      total += figures[id].total;
    }
    bar.Show(
        done, total,
        open.empty() ? "" : std::to_string(open.size()) + (open.size() == 1 ? " job open" : " jobs open"));
    if (open.empty()) break;
    Pause(300);
  }
  bar.End();
  for (const std::string& line : bad) Complain("job " + line + "; `laneway job show` tells why");
  return bad.empty() ? kDone : kFailed;
}

}  // namespace laneway::cli
