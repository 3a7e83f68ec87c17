// jobs_routes.cc: starting a job and showing one.
#include "api/fleet_state.h"
#include "api/job_definition.h"
#include "api/shapes.h"
#include "ops/random_ids.h"
#include "ops/text.h"
#include "ops/units.h"

namespace laneway::api {
namespace {

// Room for a definition until its job is acknowledged.
struct Admission {
  Admission(StatePtr s, uint64_t b) : state(std::move(s)), bytes(b) {
    state->submission_bytes += bytes;
    state->submissions++;
  }
  ~Admission() {
    state->submission_bytes -= bytes;
    state->submissions--;
  }
  Admission(const Admission&) = delete;
  Admission& operator=(const Admission&) = delete;
  StatePtr state;
  uint64_t bytes;
};

HttpResponse Started(const JobId& id) {
  return JsonResponse(
      ops::JsonWriter().BeginObject().Field("job_id", id.ToString()).EndObject().Take() + "\n", 202);
}

// The verdicts on a submission's parts. Said before is as good as accepted: the key names one job.
HttpResponse SubmissionAnswer(const JobId& id, const absl::Status& status,
                              std::span<const FoldVerdict> verdicts) {
  if (!status.ok()) return AppendProblem(status);
  for (const FoldVerdict verdict : verdicts) {
    if (verdict != FoldVerdict::kAccepted && verdict != FoldVerdict::kDuplicate)
      return ProblemResponse(409, "the job was not accepted: " + std::string(VerdictText(verdict)));
  }
  return Started(id);
}

void Submit(const StatePtr& state, const SharedReply& reply, const JobId& id, std::vector<v1::Event> events,
            const std::shared_ptr<Admission>& admission) {
  const Ledger& ledger = state->ledger();
  const Job* known = ledger.Find(id);
  if ((known != nullptr && known->submitted_whole()) || ledger.IsClosed(id)) return (*reply)(Started(id));
  state->ports.fold->AppendAndAwait(
      std::move(events),
      [reply, id, admission](const absl::Status& status, std::span<const FoldVerdict> verdicts) {
        (*reply)(SubmissionAnswer(id, status, verdicts));
      });
}

void StartJob(const StatePtr& state, const HttpRequest& request, Reply reply) {
  if (state->submissions >= kSubmissionsMax ||
      state->submission_bytes + request.body.size() > kSubmissionBytesMax)
    return reply(BusyResponse());
  auto admission = std::make_shared<Admission>(state, request.body.size());
  auto shared = std::make_shared<Reply>(std::move(reply));
  // Large definitions take their time: not on the server's thread.
  state->work.Post([state, shared, admission, body = request.body] {
    JobDefinitionResult result = ParseJobDefinition(body, state->options.job);
    if (!result.definition)
      return (*shared)(ProblemResponse(400, "the job definition has mistakes", result.errors));
    JobDefinition& definition = *result.definition;
    const JobId id = definition.idempotency_key.empty()
                         ? ops::NewJobId()
                         : ops::JobIdFromKey("api", definition.idempotency_key);
    std::vector<v1::Event> events;
    for (v1::JobSubmitted& part : SplitSubmission(definition.job)) {
      v1::Event& event = events.emplace_back();
      event.set_job_id(id.ToBytes());
      *event.mutable_job_submitted() = std::move(part);
    }
    state->ports.loop->Post([state, shared, id, events = std::move(events), admission]() mutable {
      Submit(state, shared, id, std::move(events), admission);
    });
  });
}

HttpResponse JobResponse(const JobView& view) {
  ops::JsonWriter out;
  WriteJob(out, view);
  return JsonResponse(out.Take() + "\n");
}

void Explain(const FleetState& state, const Job& job, JobView* view) {
  constexpr size_t kExplainedMax = 20;  // the first ones that wait: the others wait for the same
  size_t explained = 0;
  std::vector<uint32_t> waiting;
  for (TaskView& task : view->tasks) {
    if (static_cast<TaskState>(task.state.kind()) != TaskState::kPending || explained == kExplainedMax)
      continue;
    explained++;
    if (task.state.spec().phase() > job.open_phase) {
      task.waits_for = "the phase before it";
    } else {
      waiting.push_back(task.n);
    }
  }
  if (waiting.empty() || !state.views.why_waiting) return;
  const auto reasons = state.views.why_waiting(job, waiting, state.ports.fold->Now());
  size_t next = 0;
  for (TaskView& task : view->tasks) {
    if (next < waiting.size() && task.n == waiting[next]) task.waits_for = reasons[next++];
  }
}

void ShowJob(const StatePtr& state, const std::string& text, const HttpRequest& request, Reply reply) {
  const auto id = JobId::Parse(text);
  if (!id) return reply(NoSuchJob(text));
  const Page wanted = PageOf(request);
  const auto first = wanted.cursor.empty() ? std::optional<uint64_t>(1) : ops::ParseWhole(wanted.cursor);
  if (!wanted.error.empty()) return reply(ProblemResponse(400, wanted.error));
  if (!first || *first == 0 || *first > kTasksMax)
    return reply(ProblemResponse(400, "cursor: not one of this API"));
  TaskPage page{static_cast<uint32_t>(*first), request.Query("limit").empty() ? kPageMax : wanted.limit};
  if (request.Query("tasks") == "none") page.limit = 0;
  state->OnFold(std::move(reply), [state, id = *id, page](const SharedReply& shared) {
    const Ledger& ledger = state->ledger();
    const Job* job = ledger.Find(id);
    if (job == nullptr) {
      std::optional<v1::JobState> closed = ledger.Load(id);
      if (!closed) return (*shared)(NoSuchJob(id.ToString()));
      return state->Answer(shared, [closed = std::move(*closed), page]() mutable {
        return JobResponse(ViewOf(std::move(closed), page));
      });
    }
    JobView view = ViewOf(ledger, *job, page);
    Explain(*state, *job, &view);
    state->Answer(shared, [view = std::move(view)] { return JobResponse(view); });
  });
}

}  // namespace

void AddJobRoutes(const StatePtr& state, std::vector<Route>& routes) {
  routes.push_back({.method = "POST",
                    .pattern = "/start_job",
                    .handler = [state](const HttpRequest& request,
                                       Reply reply) { StartJob(state, request, std::move(reply)); },
                    .body_max = kJobBodyMax});
  routes.push_back({.method = "GET",
                    .pattern = "/get_job_status",
                    .handler = [state](const HttpRequest& request, Reply reply) {
                      const std::string& id = request.Query("job_id");
                      if (id.empty())
                        return reply(
                            ProblemResponse(400, "job_id: which job? As /get_job_status?job_id=01J…"));
                      ShowJob(state, id, request, std::move(reply));
                    }});
  routes.push_back({.method = "GET",
                    .pattern = "/api/v1/jobs/{id}",
                    .handler = [state](const HttpRequest& request, Reply reply) {
                      ShowJob(state, request.Path("id"), request, std::move(reply));
                    }});
}

}  // namespace laneway::api
