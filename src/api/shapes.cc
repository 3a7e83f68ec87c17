#include "api/shapes.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "ops/strict_json.h"

namespace laneway::api {
namespace {

constexpr std::string_view kCountNames[kTaskStates] = {"pending",   "assigned", "running",
                                                       "succeeded", "dead",     "cancelled"};

void WriteTextOrNull(ops::JsonWriter& out, std::string_view key, std::string_view text) {
  out.Key(key);
  text.empty() ? out.Null() : out.Value(text);
}

void WriteCounts(ops::JsonWriter& out, const TaskCounts& counts) {
  uint64_t total = 0;
  for (const uint64_t count : counts) total += count;
  out.BeginObject().Field("total", total);
  for (size_t i = 0; i < kTaskStates; i++) out.Field(kCountNames[i], counts[i]);
  out.EndObject();
}

// What a script printed as JSON is shown as JSON; anything else as text.
void WriteOutput(ops::JsonWriter& out, const std::string& output) {
  out.Key("output");
  if (output.empty()) {
    out.Null();
  } else if (const auto json = ops::ParseStrictJson(output); json.readable && json.problems.empty()) {
    out.Raw(output);
  } else {
    out.Value(output);
  }
}

void WriteAttempt(ops::JsonWriter& out, const v1::AttemptState& attempt) {
  out.BeginObject().Field("attempt", attempt.attempt());
  WriteTextOrNull(out, "worker", attempt.worker());
  out.Field("assigned_at", LogTime{attempt.assigned_ms()}).Field("started_at", LogTime{attempt.started_ms()});
  out.Field("ended_at", LogTime{attempt.ended_ms()}).Field("outcome", attempt.outcome());
  WriteTextOrNull(out, "ending", EndingName(attempt.ending()));
  out.Key("exit_code");
  attempt.ending() == v1::EXIT_CODE || attempt.ending() == v1::BAD_INPUT || attempt.ending() == v1::TRY_AGAIN
      ? out.Value(attempt.exit_code())
      : out.Null();
  WriteTextOrNull(out, "message", attempt.message());
  out.EndObject();
}

void WriteTask(ops::JsonWriter& out, const JobView& job, const std::string& job_id, const TaskView& task) {
  const v1::TaskState& state = task.state;
  const auto kind = static_cast<TaskState>(state.kind());
  const uint32_t phase = state.spec().phase();
  const std::string phase_name =
      job.head.phases().empty() ? "main" : job.head.phases(static_cast<int>(phase));
  out.BeginObject()
      .Field("task_id", job_id + "/" + std::to_string(task.n))
      .Field("phase", phase_name)
      .Field("state", TaskStateName(kind))
      .Field("attempt", state.attempt())
      .Field("failures", state.failures())
      .Field("losses", state.losses());
  WriteTextOrNull(out, "worker", state.worker());
  out.Field("progress", state.percent());
  WriteTextOrNull(out, "message", state.message().empty() ? state.last_message() : state.message());
  if (kind == TaskState::kPending) {
    out.Field("due_at", LogTime{state.due_ms()});
    WriteTextOrNull(out, "waits_for", task.waits_for);
  }
  WriteTextOrNull(out, "data_source", state.spec().data_source());
  out.Field("records", state.records());
  WriteOutput(out, state.output());
  out.Key("attempts").BeginArray();
  for (const v1::AttemptState& attempt : state.attempts()) WriteAttempt(out, attempt);
  if (IsHeld(kind)) {  // the one under way
    v1::AttemptState now;
    now.set_attempt(state.attempt());
    now.set_worker(state.worker());
    now.set_assigned_ms(state.assigned_ms());
    now.set_started_ms(state.started_ms());
    now.set_outcome(kind == TaskState::kRunning ? "running" : "assigned");
    WriteAttempt(out, now);
  }
  out.EndArray().EndObject();
}

// A phase has the state a job of its tasks alone would have.
std::string_view PhaseState(const TaskCounts& counts) {
  const auto of = [&](TaskState state) { return counts[static_cast<size_t>(state)]; };
  const uint64_t open = of(TaskState::kPending) + of(TaskState::kAssigned) + of(TaskState::kRunning);
  const uint64_t ended = of(TaskState::kSucceeded) + of(TaskState::kDead) + of(TaskState::kCancelled);
  if (open == of(TaskState::kPending) && open != 0 && ended == 0) return "PENDING";
  if (open != 0) return "RUNNING";
  if (of(TaskState::kDead) != 0) return "FAILED";
  return of(TaskState::kCancelled) != 0 ? "CANCELLED" : "SUCCEEDED";
}

JobPhase PhaseFrom(const v1::JobState& head, const TaskCounts& counts, bool tried) {
  if (head.cancelled()) return JobPhase::kCancelled;
  const uint64_t dead = counts[static_cast<size_t>(TaskState::kDead)];
  if (head.finished_ms() != 0) return dead == 0 ? JobPhase::kSucceeded : JobPhase::kFailed;
  uint64_t total = 0;
  for (const uint64_t count : counts) total += count;
  return tried || counts[0] != total ? JobPhase::kRunning : JobPhase::kPending;
}

// `each(n)` gives state, phase and whether it was tried; `full(n)` the whole task.
template <class Each, class Full>
void Fill(JobView& view, uint32_t tasks, TaskPage page, const Each& each, const Full& full) {
  view.phases.resize(static_cast<size_t>(std::max(1, view.head.phases_size())));
  bool tried = false;
  for (uint32_t n = 1; n <= tasks; n++) {
    const auto [state, phase, again] = each(n);
    view.counts[static_cast<size_t>(state)]++;
    if (phase < view.phases.size()) view.phases[phase][static_cast<size_t>(state)]++;
    tried |= again;
  }
  view.state = PhaseFrom(view.head, view.counts, tried);
  view.with_tasks = page.limit != 0;
  const uint64_t end = std::min<uint64_t>(uint64_t{tasks} + 1, uint64_t{page.first} + page.limit);
  for (uint32_t n = page.first; n < end; n++) view.tasks.push_back({n, full(n), ""});
  if (page.limit != 0 && end <= tasks) view.next = static_cast<uint32_t>(end);
}

struct Glance {
  TaskState state;
  uint32_t phase;
  bool again;
};

}  // namespace

JobView ViewOf(const Ledger& ledger, const Job& job, TaskPage page) {
  JobView view;
  view.head = ledger.ToStateWithoutTasks(job);
  const auto glance = [&](uint32_t n) {
    const Task& task = job.tasks[n - 1];
    return Glance{task.state, task.phase, task.attempt > 1};
  };
  Fill(view, static_cast<uint32_t>(job.tasks.size()), page, glance,
       [&](uint32_t n) { return ledger.ToState(job.tasks[n - 1]); });
  return view;
}

JobView ViewOf(v1::JobState state, TaskPage page) {
  JobView view;
  google::protobuf::RepeatedPtrField<v1::TaskState> tasks;
  tasks.Swap(state.mutable_tasks());
  view.head = std::move(state);
  const auto glance = [&](uint32_t n) {
    const v1::TaskState& task = tasks[static_cast<int>(n) - 1];
    return Glance{static_cast<TaskState>(task.kind()), task.spec().phase(), task.attempt() > 1};
  };
  Fill(view, static_cast<uint32_t>(tasks.size()), page, glance,
       [&](uint32_t n) { return std::move(tasks[static_cast<int>(n) - 1]); });
  return view;
}

JobPhase PhaseOf(const v1::JobState& state) {
  TaskCounts counts{};
  bool tried = false;
  for (const v1::TaskState& task : state.tasks()) {
    counts[static_cast<size_t>(task.kind())]++;
    tried |= task.attempt() > 1;
  }
  return PhaseFrom(state, counts, tried);
}

bool WasOn(const Ledger& ledger, const Job& job, WorkerIndex worker) {
  const std::string& name = ledger.WorkerName(worker);
  return std::any_of(job.tasks.begin(), job.tasks.end(), [&](const Task& task) {
    if (task.worker == worker) return true;
    return task.detail && std::any_of(task.detail->attempts.begin(), task.detail->attempts.end(),
                                      [&](const v1::AttemptState& one) { return one.worker() == name; });
  });
}

bool WasOn(const v1::JobState& state, const std::string& worker) {
  return std::any_of(state.tasks().begin(), state.tasks().end(), [&](const v1::TaskState& task) {
    return task.worker() == worker ||
           std::any_of(task.attempts().begin(), task.attempts().end(),
                       [&](const v1::AttemptState& one) { return one.worker() == worker; });
  });
}

std::string_view SourceName(v1::JobSource source) {
  if (source == v1::FILE) return "file";
  return source == v1::PIPELINE ? "pipeline" : "api";
}

std::string EndingName(v1::Ending ending) {
  if (ending == v1::ENDING_UNSPECIFIED) return "";
  return absl::AsciiStrToLower(v1::Ending_Name(ending));
}

void WriteJob(ops::JsonWriter& out, const JobView& job) {
  const v1::JobState& head = job.head;
  const std::string id = JobId::FromBytes(head.job_id()).value_or(JobId{}).ToString();
  out.BeginObject()
      .Field("job_id", id)
      .Field("name", head.name())
      .Field("state", JobPhaseName(job.state))
      .Field("submitted_at", LogTime{head.submitted_ms()})
      .Field("not_before", LogTime{head.not_before_ms() > head.submitted_ms() ? head.not_before_ms() : 0})
      .Field("finished_at", LogTime{head.finished_ms()})
      .Field("source", SourceName(head.source()));
  WriteTextOrNull(out, "file", head.file().path());
  WriteTextOrNull(out, "final_path", head.final_path());
  WriteTextOrNull(out, "reason", head.reason());
  out.Key("tasks");
  WriteCounts(out, job.counts);
  out.Key("phases").BeginArray();
  for (size_t i = 0; i < job.phases.size(); i++) {
    const std::string name = head.phases().empty() ? "main" : head.phases(static_cast<int>(i));
    out.BeginObject().Field("name", name).Field("state", PhaseState(job.phases[i])).Key("tasks");
    WriteCounts(out, job.phases[i]);
    out.EndObject();
  }
  out.EndArray();
  if (job.with_tasks) {
    out.Key("task_list").BeginArray();
    for (const TaskView& task : job.tasks) WriteTask(out, job, id, task);
    out.EndArray().Key("next_cursor");
    job.next == 0 ? out.Null() : out.Value(std::to_string(job.next));
  }
  out.EndObject();
}

std::string_view WorkerStateName(WorkerState state) {
  constexpr std::string_view kNames[] = {"UP", "PAUSED", "DRAINING", "LOST", "GONE"};
  return kNames[static_cast<size_t>(state)];
}

WorkerState StateOf(const Member& member, const WorkerVerdicts* verdicts) {
  if (member.removed || member.leaving) return WorkerState::kGone;
  if (verdicts != nullptr && verdicts->lost) return WorkerState::kLost;
  if (member.intent == v1::DRAIN || member.stopping) return WorkerState::kDraining;
  if (member.intent == v1::PAUSE || member.paused_by_itself) return WorkerState::kPaused;
  return WorkerState::kUp;
}

bool IsPhantom(const Member& member) { return !member.registered && !member.removed && !member.beats; }

WorkerView ViewOf(const Ledger& ledger, const Members& members, const Member& member, bool with_tasks) {
  const WorkerVerdicts* verdicts = ledger.Verdicts(member.id.name);
  WorkerView view;
  view.member = member;
  view.state = StateOf(member, verdicts);
  view.with_tasks = with_tasks;
  if (view.state == WorkerState::kLost) view.reason = verdicts->reason;
  if (view.state == WorkerState::kPaused && member.paused_by_itself) view.reason = member.note;
  if (view.reason.empty() && member.intent != v1::INTENT_NONE) view.reason = member.intent_reason;
  std::vector<TaskId> held = ledger.HeldBy(member.id.name);
  for (const TaskId& id : held) {
    const Job* job = ledger.Find(id.job);
    const Task* task = job == nullptr ? nullptr : job->Find(id.n);
    if (task != nullptr) (task->state == TaskState::kRunning ? view.running : view.queued)++;
  }
  if (with_tasks) view.tasks = std::move(held);
  for (const auto& [lane, owner] : members.lane_owners()) {
    if (owner == member.id) view.lanes.push_back(lane);
  }
  return view;
}

void WriteWorker(ops::JsonWriter& out, const WorkerView& worker, LogTime now) {
  const Member& member = worker.member;
  out.BeginObject()
      .Field("id", member.id.name)
      .Field("state", WorkerStateName(worker.state))
      .Field("capacity", member.capacity)
      .Field("running", worker.running)
      .Field("queued", worker.queued);
  out.Key("lanes").BeginArray();
  for (const Lane lane : worker.lanes) out.Value(lane);
  out.EndArray().Key("labels").BeginArray();
  for (const std::string& label : member.labels) out.Value(label);
  out.EndArray().Key("browser_connected");
  member.has_browser ? out.Value(member.browser_connected) : out.Null();
  out.Key("browser_port");
  member.has_browser&& member.browser_port != 0 ? out.Value(member.browser_port) : out.Null();
  out.Key("browser_generation");
  member.has_browser ? out.Value(member.browser_generation) : out.Null();
  WriteTextOrNull(out, "browser_note", member.browser_note);
  out.Key("heartbeat_age_seconds");
  member.beats ? out.Value(static_cast<double>(std::max<int64_t>(0, (now - member.last_beat).count())) / 1000)
               : out.Null();
  out.Field("incarnation", member.incarnation.ToString());
  WriteTextOrNull(out, "reason", worker.reason);
  WriteTextOrNull(out, "by", member.intent == v1::INTENT_NONE ? "" : member.intent_by);
  WriteTextOrNull(out, "note", member.note);
  WriteTextOrNull(out, "host", member.host);
  WriteTextOrNull(out, "version", member.version);
  if (worker.with_tasks) {
    constexpr size_t kTasksShown = 1000;
    out.Field("drained", member.draining_done).Key("tasks").BeginArray();
    for (size_t i = 0; i < std::min(kTasksShown, worker.tasks.size()); i++)
      out.Value(worker.tasks[i].ToString());
    out.EndArray();
  }
  out.EndObject();
}

void WriteLane(ops::JsonWriter& out, const LaneView& lane) {
  out.BeginObject().Field("lane", lane.lane);
  WriteTextOrNull(out, "worker", lane.worker);
  out.Field("backlog", lane.backlog).Field("lag", lane.lag).Field("end_offset", lane.end);
  out.Key("next_offset");
  lane.read ? out.Value(lane.read->next) : out.Null();
  out.Key("finished_below");
  lane.read ? out.Value(lane.read->finished_below) : out.Null();
  out.EndObject();
}

void WriteDead(ops::JsonWriter& out, const DeadView& dead) {
  const v1::DeadLetter& letter = dead.letter;
  const JobId job = JobId::FromBytes(letter.job_id()).value_or(JobId{});
  out.BeginObject()
      .Field("task_id", TaskId{job, letter.task()}.ToString())
      .Field("job_id", job.ToString())
      .Field("name", letter.job_name())
      .Key("state");
  dead.known ? out.Value(TaskStateName(dead.state)) : out.Null();
  out.Field("died_at", dead.died).Field("attempt", letter.attempt());
  const std::string ending = EndingName(letter.ending());
  WriteTextOrNull(out, "ending", ending);
  WriteTextOrNull(out, "reason",
                  letter.reason().empty() ? ending : letter.reason().substr(0, letter.reason().find('\n')));
  WriteTextOrNull(out, "message", letter.reason());
  WriteTextOrNull(out, "worker", letter.worker());
  WriteTextOrNull(out, "file", letter.file());
  WriteTextOrNull(out, "data_source", letter.data_source());
  out.Key("evidence").BeginArray();
  for (const std::string& line : letter.evidence()) out.Value(line);
  out.EndArray().EndObject();
}

void WriteAlert(ops::JsonWriter& out, const v1::Alert& alert, LogTime time) {
  out.BeginObject()
      .Field("time", time)
      .Field("severity", v1::Severity_Name(alert.severity()))
      .Field("kind", alert.kind())
      .Field("subject", alert.subject())
      .Field("message", alert.message())
      .Field("resolved", alert.resolved())
      .EndObject();
}

}  // namespace laneway::api
