// workers_routes.cc: members, what operators ask of them, and their lanes.
#include <algorithm>

#include "api/fleet_state.h"
#include "api/shapes.h"
#include "ops/text.h"
#include "ops/units.h"

namespace laneway::api {
namespace {

HttpResponse NoSuchWorker(const FleetState& state, const std::string& name) {
  std::vector<std::string> known;
  for (const auto& [id, member] : state.members().all()) {
    if (!IsPhantom(member)) known.push_back(id.name);
  }
  return ProblemResponse(404, "there is no worker \"" + ops::Printable(name, 80) + "\"" +
                                  ops::DidYouMean(name, known) + "; GET /api/v1/workers lists them");
}

const Member* FindWorker(const FleetState& state, const std::string& name) {
  const Member* member = state.members().Find(WorkerId(name));
  return member == nullptr || IsPhantom(*member) ? nullptr : member;
}

void ListWorkers(const StatePtr& state, const std::string& wanted, const Page& page,
                 const SharedReply& reply) {
  const auto& all = state->members().all();
  std::vector<WorkerView> views;
  std::string next;
  auto at = page.cursor.empty() ? all.begin() : all.upper_bound(WorkerId(page.cursor));
  for (; at != all.end(); ++at) {
    if (IsPhantom(at->second)) continue;
    const WorkerState worker = StateOf(at->second, state->ledger().Verdicts(at->first.name));
    if (!wanted.empty() && WorkerStateName(worker) != wanted) continue;
    if (views.size() == page.limit) {
      next = views.back().member.id.name;
      break;
    }
    views.push_back(ViewOf(state->ledger(), state->members(), at->second, false));
  }
  state->Answer(reply, [views = std::move(views), next, now = state->ports.fold->Now()] {
    ops::JsonWriter out;
    out.BeginObject().Key("workers").BeginArray();
    for (const WorkerView& view : views) WriteWorker(out, view, now);
    out.EndArray().Key("next_cursor");
    next.empty() ? out.Null() : out.Value(next);
    return JsonResponse(out.EndObject().Take() + "\n");
  });
}

void AnswerWorker(const FleetState& state, const std::string& name, bool with_tasks,
                  const SharedReply& reply) {
  const Member* member = FindWorker(state, name);
  if (member == nullptr) return (*reply)(NoSuchWorker(state, name));
  ops::JsonWriter out;
  WriteWorker(out, ViewOf(state.ledger(), state.members(), *member, with_tasks), state.ports.fold->Now());
  (*reply)(JsonResponse(out.Take() + "\n"));
}

// The intent goes into `control`; answered when this process's fold has read it, so that the next read shows
// it.
void Intend(const StatePtr& state, const std::string& name, v1::Intent intent, const ActionBody& action,
            const SharedReply& reply) {
  const Member* member = FindWorker(*state, name);
  if (member == nullptr) return (*reply)(NoSuchWorker(*state, name));
  if (StateOf(*member, state->ledger().Verdicts(name)) == WorkerState::kGone)
    return (*reply)(ProblemResponse(409, "worker " + name + " has left the fleet"));
  v1::ControlRecord record;
  v1::OperatorIntent& operation = *record.mutable_operator_intent();
  operation.set_worker(name);
  operation.set_intent(intent);
  operation.set_reason(action.reason);
  operation.set_by(action.by);
  std::vector<log::NewRecord> records;
  records.push_back(fold::RecordOf(record));
  state->ports.log->Append(
      std::move(records), [state, name, reply](const absl::Status& status, std::span<const Offset> offsets) {
        if (!status.ok()) return (*reply)(AppendProblem(status));
        state->ports.loop->Post([state, name, reply, at = offsets[0]] {
          const auto answer = [state, name, reply] { AnswerWorker(*state, name, false, reply); };
          if (state->controls_read > at) return answer();
          state->controls.emplace(at, answer);
        });
      });
}

Route WorkerAction(const StatePtr& state, const std::string& name, v1::Intent intent) {
  return {.method = "POST",
          .pattern = "/api/v1/workers/{id}/" + name,
          .handler = [state, intent](const HttpRequest& request, Reply reply) {
            ActionBody action = ReadAction(request);
            if (!action.error.empty()) return reply(ProblemResponse(400, action.error));
            state->OnFold(std::move(reply),
                          [state, intent, id = request.Path("id"), action = std::move(action)](
                              const SharedReply& shared) { Intend(state, id, intent, action, shared); });
          }};
}

void ListLanes(const StatePtr& state, uint64_t first, uint32_t limit, const SharedReply& reply) {
  const auto partitions = state->ports.log->Partitions(log::Topic::kLanes);
  if (!partitions.ok()) return (*reply)(ProblemResponse(partitions.status()));
  std::map<Lane, std::pair<uint64_t, uint64_t>> held;  // lane → held, of them not started
  for (const auto& [id, member] : state->members().all()) {
    for (const TaskId& one : state->ledger().HeldBy(id.name)) {
      const Job* job = state->ledger().Find(one.job);
      const Task* task = job == nullptr ? nullptr : job->Find(one.n);
      if (task == nullptr) continue;
      held[task->lane].first++;
      if (task->state == TaskState::kAssigned) held[task->lane].second++;
    }
  }
  const auto& owners = state->members().lane_owners();
  const uint64_t end = std::min<uint64_t>(*partitions, first + limit);
  ops::JsonWriter out;
  out.BeginObject().Key("lanes").BeginArray();
  for (uint64_t i = first; i < end; i++) {
    LaneView view{.lane = static_cast<Lane>(i)};
    const auto owner = owners.find(view.lane);
    const Member* member = owner == owners.end() ? nullptr : state->members().Find(owner->second);
    if (owner != owners.end()) view.worker = owner->second.name;
    if (member != nullptr && member->lanes.contains(view.lane)) view.read = member->lanes.at(view.lane);
    const auto range = state->ports.log->Range({log::Topic::kLanes, view.lane});
    if (range.ok()) view.end = range->next;
    view.backlog = held[view.lane].first;
    const Offset read = view.read ? view.read->next : 0;
    view.lag = std::min<uint64_t>(view.end > read ? view.end - read : 0, held[view.lane].second);
    WriteLane(out, view);
  }
  out.EndArray().Key("next_cursor");
  end < *partitions ? out.Value(std::to_string(end)) : out.Null();
  (*reply)(JsonResponse(out.EndObject().Take() + "\n"));
}

}  // namespace

void AddWorkerRoutes(const StatePtr& state, std::vector<Route>& routes) {
  routes.push_back(
      {.method = "GET",
       .pattern = "/api/v1/workers",
       .handler = [state](const HttpRequest& request, Reply reply) {
         const Page page = PageOf(request);
         const std::string& wanted = request.Query("state");
         static const std::vector<std::string> kStates = {"UP", "PAUSED", "DRAINING", "LOST", "GONE"};
         if (!page.error.empty()) return reply(ProblemResponse(400, page.error));
         if (!wanted.empty() && std::find(kStates.begin(), kStates.end(), wanted) == kStates.end())
           return reply(ProblemResponse(400, "state: found \"" + ops::Printable(wanted, 40) +
                                                 "\"; allowed: UP, PAUSED, DRAINING, LOST, GONE"));
         state->OnFold(std::move(reply), [state, wanted, page](const SharedReply& shared) {
           ListWorkers(state, wanted, page, shared);
         });
       }});
  routes.push_back({.method = "GET",
                    .pattern = "/api/v1/workers/{id}",
                    .handler = [state](const HttpRequest& request, Reply reply) {
                      state->OnFold(std::move(reply),
                                    [state, id = request.Path("id")](const SharedReply& shared) {
                                      AnswerWorker(*state, id, true, shared);
                                    });
                    }});
  routes.push_back(WorkerAction(state, "pause", v1::PAUSE));
  routes.push_back(WorkerAction(state, "resume", v1::RESUME));
  routes.push_back(WorkerAction(state, "drain", v1::DRAIN));
  routes.push_back({.method = "GET",
                    .pattern = "/api/v1/lanes",
                    .handler = [state](const HttpRequest& request, Reply reply) {
                      const Page page = PageOf(request);
                      const auto first =
                          page.cursor.empty() ? std::optional<uint64_t>(0) : ops::ParseWhole(page.cursor);
                      if (!page.error.empty()) return reply(ProblemResponse(400, page.error));
                      if (!first) return reply(ProblemResponse(400, "cursor: not one of this API"));
                      state->OnFold(std::move(reply),
                                    [state, first = *first, limit = page.limit](const SharedReply& shared) {
                                      ListLanes(state, first, limit, shared);
                                    });
                    }});
}

}  // namespace laneway::api
