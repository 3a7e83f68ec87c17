// actions.cc: what people do to jobs: cancel, retry, redrive. Each is an event, and the fold is its only
// judge.
#include "api/actions.h"

#include <algorithm>

#include "api/shapes.h"
#include "ops/text.h"

namespace laneway::api {
namespace {

constexpr size_t kBatch =
    1000;  // redrives of one append: their verdicts are remembered long enough to be answered

v1::Event About(const JobId& job) {
  v1::Event event;
  event.set_job_id(job.ToBytes());
  return event;
}

HttpResponse Refusal(FoldVerdict verdict) {
  if (verdict == FoldVerdict::kUnknownJob) return ProblemResponse(404, VerdictText(verdict));
  return ProblemResponse(409, "refused: " + std::string(VerdictText(verdict)));
}

HttpResponse StateAnswer(const FleetState& state, const JobId& id) {
  ops::JsonWriter out;
  const auto job = state.ledger().Load(id);
  out.BeginObject().Field("job_id", id.ToString()).Key("state");
  job ? out.Value(JobPhaseName(PhaseOf(*job))) : out.Null();
  return JsonResponse(out.EndObject().Take() + "\n");
}

void Cancel(const StatePtr& state, const JobId& id, const ActionBody& action, const SharedReply& reply) {
  v1::Event event = About(id);
  event.mutable_job_cancelled()->set_reason(action.reason);
  event.mutable_job_cancelled()->set_by(action.by);
  if (state->ledger().Find(id) == nullptr && !state->ledger().IsClosed(id))
    return (*reply)(NoSuchJob(id.ToString()));
  state->ports.fold->AppendAndAwait(
      {std::move(event)},
      [state, id, reply](const absl::Status& status, std::span<const FoldVerdict> verdicts) {
        if (!status.ok()) return (*reply)(AppendProblem(status));
        (*reply)(verdicts[0] == FoldVerdict::kAccepted ? StateAnswer(*state, id) : Refusal(verdicts[0]));
      });
}

// Rule L4: a redrive names the attempt that died.
void Retry(const StatePtr& state, const JobId& id, const ActionBody& action, const SharedReply& reply) {
  std::vector<DeadTask> dead;
  if (const Job* job = state->ledger().Find(id)) {
    for (uint32_t n = 1; n <= job->tasks.size(); n++) {
      if (job->tasks[n - 1].state == TaskState::kDead) dead.push_back({{id, n}, job->tasks[n - 1].attempt});
    }
  } else if (const auto closed = state->ledger().Load(id)) {
    for (int i = 0; i < closed->tasks_size(); i++) {
      if (closed->tasks(i).kind() == v1::DEAD)
        dead.push_back({{id, static_cast<uint32_t>(i) + 1}, closed->tasks(i).attempt()});
    }
  } else {
    return (*reply)(NoSuchJob(id.ToString()));
  }
  if (dead.empty())
    return (*reply)(ProblemResponse(409, "none of the job's tasks is dead: there is nothing to retry"));
  Redrive(state, std::move(dead), action, [id, reply](const RedriveResult& result) {
    if (!result.status.ok() && result.redriven == 0) return (*reply)(AppendProblem(result.status));
    if (result.redriven == 0) return (*reply)(Refusal(result.refusal));
    (*reply)(JsonResponse(ops::JsonWriter()
                              .BeginObject()
                              .Field("job_id", id.ToString())
                              .Field("redriven", result.redriven)
                              .Field("refused", result.refused)
                              .EndObject()
                              .Take() +
                          "\n"));
  });
}

struct Redriving {
  std::vector<DeadTask> tasks;
  ActionBody action;
  RedriveDone done;
  RedriveResult result;
  size_t next = 0;
};

void Step(const StatePtr& state, const std::shared_ptr<Redriving>& work) {
  if (work->next == work->tasks.size() || !work->result.status.ok()) return work->done(work->result);
  std::vector<v1::Event> events;
  for (; work->next < work->tasks.size() && events.size() < kBatch; work->next++) {
    const DeadTask& dead = work->tasks[work->next];
    v1::Event& event = events.emplace_back(About(dead.task.job));
    event.set_task(dead.task.n);
    event.set_attempt(dead.attempt);
    event.mutable_task_redriven()->set_reason(work->action.reason);
    event.mutable_task_redriven()->set_by(work->action.by);
  }
  state->ports.fold->AppendAndAwait(
      std::move(events), [state, work](const absl::Status& status, std::span<const FoldVerdict> verdicts) {
        work->result.status = status;
        for (const FoldVerdict verdict : verdicts) {
          if (verdict == FoldVerdict::kAccepted) {
            work->result.redriven++;
          } else {
            work->result.refused++;
            work->result.refusal = verdict;
          }
        }
        state->ports.loop->Post([state, work] { Step(state, work); });
      });
}

using Act = void (*)(const StatePtr&, const JobId&, const ActionBody&, const SharedReply&);

Route JobAction(const StatePtr& state, const std::string& name, Act act) {
  return {.method = "POST",
          .pattern = "/api/v1/jobs/{id}/" + name,
          .handler = [state, act](const HttpRequest& request, Reply reply) {
            const auto id = JobId::Parse(request.Path("id"));
            if (!id) return reply(NoSuchJob(request.Path("id")));
            ActionBody action = ReadAction(request);
            if (!action.error.empty()) return reply(ProblemResponse(400, action.error));
            state->OnFold(std::move(reply),
                          [state, act, id = *id, action = std::move(action)](const SharedReply& shared) {
                            act(state, id, action, shared);
                          });
          }};
}

}  // namespace

void Redrive(const StatePtr& state, std::vector<DeadTask> tasks, const ActionBody& action, RedriveDone done) {
  auto work = std::make_shared<Redriving>();
  work->tasks = std::move(tasks);
  work->action.reason = action.reason;
  work->action.by = action.by;
  work->done = std::move(done);
  Step(state, work);
}

void AddActionRoutes(const StatePtr& state, std::vector<Route>& routes) {
  routes.push_back(JobAction(state, "cancel", Cancel));
  routes.push_back(JobAction(state, "retry", Retry));
}

}  // namespace laneway::api
