// dead_routes.cc: dead letters, the newest first, and putting dead tasks back.
#include <algorithm>
#include <set>

#include "api/actions.h"
#include "api/shapes.h"
#include "ops/text.h"
#include "ops/units.h"

namespace laneway::api {
namespace {

constexpr Offset kChunk = 500;  // letters read at a time, backwards
constexpr size_t kReadBytes = 1 << 20;
constexpr size_t kIdsMax = 100'000;

// Letters in [low, high), newest first. On the loop that reads the log.
absl::StatusOr<std::vector<DeadView>> ReadLetters(log::Log& log, Offset low, Offset high) {
  std::vector<DeadView> letters;
  while (low < high) {
    const auto batch = log.Read({log::Topic::kDeadLetter, 0}, low, kReadBytes);
    if (!batch.ok()) return batch.status();
    if (batch->records.empty()) break;
    for (const log::RecordView& record : batch->records) {
      if (record.offset >= high) break;
      DeadView& view = letters.emplace_back();
      view.died = record.time;
      if (!view.letter.ParseFromArray(record.value.data(), static_cast<int>(record.value.size())))
        letters.pop_back();
    }
    low = batch->next_offset;
  }
  std::reverse(letters.begin(), letters.end());
  return letters;
}

// What became of the task. On the fold's loop.
struct Fate {
  TaskState state = TaskState::kDead;
  uint32_t attempt = 0;
  uint32_t floor = 0;
};

// Jobs that are closed are read from the memory of finished jobs: each once.
class Fates {
 public:
  explicit Fates(const Ledger& ledger) : ledger_(ledger) {}

  std::optional<Fate> Of(const TaskId& id) {
    if (const Job* job = ledger_.Find(id.job)) {
      const Task* task = job->Find(id.n);
      if (task == nullptr) return std::nullopt;
      return Fate{task->state, task->attempt, task->floor};
    }
    if (!known_ || known_id_ != id.job) {
      known_ = ledger_.Load(id.job);
      known_id_ = id.job;
    }
    if (!known_ || id.n < 1 || id.n > static_cast<uint32_t>(known_->tasks_size())) return std::nullopt;
    const v1::TaskState& task = known_->tasks(static_cast<int>(id.n) - 1);
    return Fate{static_cast<TaskState>(task.kind()), task.attempt(), task.floor()};
  }

 private:
  const Ledger& ledger_;
  JobId known_id_;
  std::optional<v1::JobState> known_;
};

// Whether this letter is the task's last one: of a dead task the one of its attempt, of one that was redriven
// the one of the attempt before its floor (rule L4).
bool IsLast(const v1::DeadLetter& letter, const Fate& fate) {
  return letter.attempt() == (fate.state == TaskState::kDead ? fate.attempt : fate.floor - 1);
}

// Goes backwards through the topic, chunk by chunk: the log is read on one loop, the fold asked on the other.
class DeadReader : public std::enable_shared_from_this<DeadReader> {
 public:
  using Take = std::function<bool(const DeadView&, const Fate*)>;      // false: enough; it was not taken
  using Done = std::function<void(const absl::Status&, Offset next)>;  // below it the rest; 0: the end

  DeadReader(StatePtr state, std::optional<Offset> below, Take take, Done done)
      : state_(std::move(state)), below_(below), take_(std::move(take)), done_(std::move(done)) {}

  // Older letters of a task stand for it as well.
  void TakeEvery() { every_ = true; }

  // On any thread.
  void Step() {
    state_->work.Post([self = shared_from_this()] {
      const auto range = self->state_->ports.log->Range({log::Topic::kDeadLetter, 0});
      if (!range.ok()) return self->Finish(range.status());
      const Offset high = std::min(self->below_.value_or(range->next), range->next);
      const Offset low = high > range->first + kChunk ? high - kChunk : range->first;
      if (high <= range->first) return self->Finish(absl::OkStatus());
      auto letters = ReadLetters(*self->state_->ports.log, low, high);
      if (!letters.ok()) return self->Finish(letters.status());
      self->state_->ports.loop->Post(
          [self, letters = std::move(*letters), low, high] { self->Judge(letters, low, high); });
    });
  }

 private:
  void Finish(const absl::Status& status) {
    state_->ports.loop->Post([self = shared_from_this(), status] { self->done_(status, 0); });
  }

  void Judge(const std::vector<DeadView>& letters, Offset low, Offset high) {
    Fates fates(state_->ledger());
    Offset at = high;
    for (DeadView view : letters) {
      const auto job = JobId::FromBytes(view.letter.job_id());
      const TaskId id{job.value_or(JobId{}), view.letter.task()};
      const auto fate = fates.Of(id);
      view.known = fate.has_value();
      if (fate) view.state = fate->state;
      // A task that died a moment ago has no letter of this death yet; who redrives all means it, too.
      const bool last = !fate || every_ || IsLast(view.letter, *fate);
      if (last && !seen_.contains(id)) {
        if (!take_(view, fate ? &*fate : nullptr)) return done_(absl::OkStatus(), at);
        seen_.insert(id);
      }
      at--;
    }
    below_ = low;
    Step();
  }

  const StatePtr state_;
  std::optional<Offset> below_;
  const Take take_;
  const Done done_;
  std::set<TaskId> seen_;
  bool every_ = false;
};

void ListDead(const StatePtr& state, std::optional<Offset> below, uint32_t limit,
              std::optional<TaskState> wanted, Reply reply) {
  auto shared = std::make_shared<Reply>(std::move(reply));
  auto views = std::make_shared<std::vector<DeadView>>();
  const auto take = [views, limit, wanted](const DeadView& view, const Fate*) {
    if (wanted && (!view.known || view.state != *wanted)) return true;
    if (views->size() >= limit) return false;
    views->push_back(view);
    return true;
  };
  const auto done = [state, shared, views](const absl::Status& status, Offset next) {
    if (!status.ok()) return (*shared)(ProblemResponse(status));
    state->Answer(shared, [views, next] {
      ops::JsonWriter out;
      out.BeginObject().Key("dead").BeginArray();
      for (const DeadView& view : *views) WriteDead(out, view);
      out.EndArray().Key("next_cursor");
      next == 0 ? out.Null() : out.Value(std::to_string(next));
      return JsonResponse(out.EndObject().Take() + "\n");
    });
  };
  std::make_shared<DeadReader>(state, below, take, done)->Step();
}

void RedriveThese(const StatePtr& state, std::vector<DeadTask> tasks, std::vector<std::string> refused,
                  const ActionBody& action, const SharedReply& reply) {
  Redrive(state, std::move(tasks), action,
          [reply, refused = std::move(refused)](const RedriveResult& result) {
            if (!result.status.ok() && result.redriven == 0) return (*reply)(AppendProblem(result.status));
            ops::JsonWriter out;
            out.BeginObject()
                .Field("redriven", result.redriven)
                .Field("refused", result.refused + refused.size())
                .Key("errors")
                .BeginArray();
            for (const std::string& line : refused) out.Value(line);
            if (result.refused != 0) out.Value(std::string(VerdictText(result.refusal)));
            out.EndArray().EndObject();
            const bool nothing = result.redriven == 0 && result.refused + refused.size() != 0;
            if (nothing)
              return (*reply)(ProblemResponse(
                  409, "none of these tasks was put back",
                  refused.empty() ? std::vector<std::string>{std::string(VerdictText(result.refusal))}
                                  : refused));
            (*reply)(JsonResponse(out.Take() + "\n"));
          });
}

void RedriveAll(const StatePtr& state, const ActionBody& action, Reply reply) {
  auto shared = std::make_shared<Reply>(std::move(reply));
  auto tasks = std::make_shared<std::vector<DeadTask>>();
  const auto take = [tasks](const DeadView& view, const Fate* fate) {
    if (fate == nullptr || fate->state != TaskState::kDead) return true;
    tasks->push_back({{*JobId::FromBytes(view.letter.job_id()), view.letter.task()}, fate->attempt});
    return tasks->size() < kIdsMax;
  };
  auto reader = std::make_shared<DeadReader>(
      state, std::nullopt, take, [state, shared, tasks, action](const absl::Status& status, Offset) {
        if (!status.ok()) return (*shared)(ProblemResponse(status));
        RedriveThese(state, std::move(*tasks), {}, action, shared);
      });
  reader->TakeEvery();
  reader->Step();
}

void RedriveSome(const StatePtr& state, const std::vector<TaskId>& ids, const ActionBody& action,
                 const SharedReply& reply) {
  Fates fates(state->ledger());
  std::vector<DeadTask> tasks;
  std::vector<std::string> refused;
  constexpr size_t kRefusedShown = 20;
  for (const TaskId& id : ids) {
    const auto fate = fates.Of(id);
    if (fate && fate->state == TaskState::kDead) {
      tasks.push_back({id, fate->attempt});
    } else if (refused.size() < kRefusedShown) {
      refused.push_back(
          id.ToString() + ": " +
          (fate ? "it is " + std::string(TaskStateName(fate->state)) + ", not DEAD" : "no such task"));
    }
  }
  RedriveThese(state, std::move(tasks), std::move(refused), action, reply);
}

void HandleRedrive(const StatePtr& state, const HttpRequest& request, Reply reply) {
  ActionBody action = ReadAction(request, {"ids", "all"});
  const ops::JsonValue* ids = action.root.Find("ids");
  const ops::JsonValue* all = action.root.Find("all");
  const bool wants_all = all != nullptr && all->kind == ops::JsonKind::kBool && all->boolean;
  if (!action.error.empty()) return reply(ProblemResponse(400, action.error));
  if (wants_all == (ids != nullptr))
    return reply(ProblemResponse(400, "give {\"ids\": [\"01J…/1\"]} or {\"all\": true}"));
  if (wants_all) return RedriveAll(state, action, std::move(reply));
  std::vector<TaskId> tasks;
  std::vector<std::string> errors;
  if (ids->kind != ops::JsonKind::kArray || ids->items.empty() || ids->items.size() > kIdsMax)
    return reply(ProblemResponse(400, "ids: an array of 1 to 100000 ids of tasks, as \"01J…/1\""));
  for (const ops::JsonValue& item : ids->items) {
    const auto id = item.kind == ops::JsonKind::kString ? TaskId::Parse(item.text) : std::nullopt;
    if (id) tasks.push_back(*id);
    if (!id && errors.size() < 20) errors.push_back("not a task's id: " + ops::Printable(item.text, 60));
  }
  if (!errors.empty()) return reply(ProblemResponse(400, "ids: as \"01J…/1\"", errors));
  state->OnFold(std::move(reply),
                [state, tasks = std::move(tasks), action = std::move(action)](const SharedReply& shared) {
                  RedriveSome(state, tasks, action, shared);
                });
}

}  // namespace

void AddDeadRoutes(const StatePtr& state, std::vector<Route>& routes) {
  routes.push_back({.method = "GET",
                    .pattern = "/api/v1/dead",
                    .handler = [state](const HttpRequest& request, Reply reply) {
                      const Page page = PageOf(request);
                      const auto below = ops::ParseWhole(page.cursor);
                      std::optional<TaskState> wanted;
                      const std::string& text = request.Query("state");
                      for (size_t i = 0; i < kTaskStates; i++) {
                        if (TaskStateName(static_cast<TaskState>(i)) == text)
                          wanted = static_cast<TaskState>(i);
                      }
                      if (!page.error.empty()) return reply(ProblemResponse(400, page.error));
                      if (!page.cursor.empty() && !below)
                        return reply(ProblemResponse(400, "cursor: not one of this API"));
                      if (!text.empty() && !wanted)
                        return reply(ProblemResponse(400, "state: found \"" + ops::Printable(text, 40) +
                                                              "\"; allowed: a task's state, as DEAD"));
                      ListDead(state, below, page.limit, wanted, std::move(reply));
                    }});
  routes.push_back({.method = "POST",
                    .pattern = "/api/v1/dead/redrive",
                    .handler = [state](const HttpRequest& request,
                                       Reply reply) { HandleRedrive(state, request, std::move(reply)); },
                    .body_max = 8 << 20});
}

}  // namespace laneway::api
