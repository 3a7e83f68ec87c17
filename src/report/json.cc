#include "report/json.h"

#include "ops/json_writer.h"

namespace laneway::report {
namespace {

using ops::JsonWriter;

void Field(JsonWriter& out, std::string_view key, std::optional<double> value) {
  out.Key(key);
  value ? out.Value(*value) : out.Null();
}

void Field(JsonWriter& out, std::string_view key, std::optional<Millis> value) {
  out.Key(key);
  value ? out.Value(static_cast<int64_t>(value->count())) : out.Null();
}

void Quantiles(JsonWriter& out, std::string_view key, const Histogram& all) {
  out.Key(key).BeginObject().Field("count", all.count());
  Field(out, "p50", all.Quantile(0.5));
  Field(out, "p95", all.Quantile(0.95));
  Field(out, "p99", all.Quantile(0.99));
  Field(out, "max", all.Largest());
  Field(out, "mean", all.Mean());
  out.EndObject();
}

void Write(JsonWriter& out, std::string_view key, const Outcomes& all) {
  out.Key(key).BeginObject().Field("submitted", all.submitted).Field("succeeded", all.succeeded);
  out.Field("failed", all.failed).Field("cancelled", all.cancelled).Field("open", all.open).EndObject();
}

void Write(JsonWriter& out, const Figures& figures, const WorkerFigures& worker) {
  out.BeginObject()
      .Field("id", worker.name)
      .Field("capacity", worker.capacity)
      .Field("started", worker.started);
  out.Field("succeeded", worker.succeeded)
      .Field("failed", worker.failed)
      .Field("taken_back", worker.interrupted);
  Field(out, "busy_share", figures.BusyShare(worker));
  Field(out, "busy_ms", std::optional(worker.busy));
  out.Field("running_max", worker.running_max);
  Quantiles(out, "duration_ms", worker.duration);
  out.Field("losses", worker.losses);
  Field(out, "lost_ms", std::optional(worker.lost));
  out.Field("browser_losses", worker.browser_losses);
  Field(out, "without_browser_ms", std::optional(worker.without_browser));
  out.EndObject();
}

void WriteTimeline(JsonWriter& out, const Figures& figures) {
  out.Key("timeline").BeginObject().Field("bucket_ms", static_cast<int64_t>(figures.bucket_width.count()));
  out.Key("buckets").BeginArray();
  for (const Timeline::Bucket& bucket : figures.buckets) {
    out.BeginObject().Field("at", bucket.at).Key("done").BeginObject();
    for (const auto& [worker, count] : bucket.done) out.Field(figures.workers[worker].name, count);
    out.EndObject().Key("busy_ms").BeginObject();
    for (const auto& [worker, ms] : bucket.busy_ms) out.Field(figures.workers[worker].name, ms);
    out.EndObject().Field("failed", bucket.failed).Field("waiting", bucket.waiting);
    out.Field("running", bucket.running).EndObject();
  }
  out.EndArray().EndObject();
}

void WriteIncidents(JsonWriter& out, const Figures& figures) {
  out.Key("incidents").BeginObject().Key("by_kind").BeginObject();
  for (size_t i = 0; i < kIncidentKinds; i++) {
    const KindFigures& kind = figures.kinds[i];
    out.Key(IncidentName(static_cast<IncidentKind>(i))).BeginObject().Field("count", kind.count);
    Quantiles(out, "noticed_within_ms", kind.silent);
    Quantiles(out, "at_work_after_ms", kind.at_work);
    Quantiles(out, "back_after_ms", kind.back);
    out.EndObject();
  }
  out.EndObject().Key("list").BeginArray();
  for (const Incident& incident : figures.incidents) {
    out.BeginObject().Field("at", incident.at).Field("kind", IncidentName(incident.kind));
    out.Field("worker", incident.worker).Field("task", incident.task).Field("reason", incident.what);
    Field(out, "noticed_within_ms", incident.silent);
    Field(out, "at_work_after_ms", incident.at_work);
    out.Field("at_work_on", incident.at_work_by);
    Field(out, "back_after_ms", incident.back);
    out.Field("tasks", incident.tasks).Field("tasks_waiting", incident.waiting).EndObject();
  }
  out.EndArray().Field("not_listed", figures.incidents_not_listed).EndObject();
  out.Key("failures").BeginObject();
  for (const auto& [how, count] : figures.failures) out.Field(how, count);
  out.EndObject();
}

void WriteComparison(JsonWriter& out, const Subject& subject) {
  out.Key("comparison");
  if (subject.comparison.runs.size() < 2) {
    out.Null();
    return;
  }
  out.BeginObject().Field("same_files", subject.comparison.AllTheSame());
  out.Field("files_checked", subject.comparison.inputs_checked).Key("runs").BeginArray();
  for (const ComparedRun& run : subject.comparison.runs) {
    const Run& whole = subject.runs[run.run];
    out.BeginObject().Field("run", whole.label).Field("this", run.run == 0).Field("baseline", run.baseline);
    out.Field("workers", run.workers).Field("succeeded", whole.figures.tasks.succeeded);
    Field(out, "steady_ms", whole.figures.Steady());
    Field(out, "per_second", run.rate);
    Field(out, "speed_up", run.speed_up);
    Field(out, "efficiency", run.efficiency);
    out.Field("same_files", run.same_inputs)
        .Field("files_common", run.common)
        .Field("files_not_here", run.missing);
    out.Field("files_only_here", run.extra).Field("files_of_other_size", run.other_size).EndObject();
  }
  out.EndArray().EndObject();
}

}  // namespace

std::string ToJson(const Subject& subject) {
  const Figures& figures = subject.figures();
  JsonWriter out(2);
  out.BeginObject().Field("run", subject.runs.front().label).Field("made_at", subject.made);
  out.Field("version", subject.version).Key("period").BeginObject();
  out.Field("first_submitted", figures.first_submitted).Field("first_start", figures.first_start);
  out.Field("last_end", figures.last_end).Field("read_until", figures.read_until);
  out.Field("still_running", figures.still_running);
  Field(out, "idle_ms", std::optional(figures.idle));
  out.EndObject();
  Write(out, "files", figures.files);
  Write(out, "jobs", figures.jobs);
  Write(out, "tasks", figures.tasks);
  out.Field("retries", figures.retries)
      .Field("taken_back", figures.republished)
      .Field("redriven", figures.redriven);
  out.Field("bytes", figures.bytes).Field("records", figures.records).Key("throughput").BeginObject();
  Field(out, "overall_per_second", figures.OverallRate());
  Field(out, "steady_per_second", figures.SteadyRate());
  out.EndObject();
  Quantiles(out, "duration_ms", figures.duration);
  Quantiles(out, "wait_ms", figures.wait);
  out.Key("workers").BeginArray();
  for (const WorkerFigures& worker : figures.workers) Write(out, figures, worker);
  out.EndArray();
  WriteTimeline(out, figures);
  WriteIncidents(out, figures);
  WriteComparison(out, subject);
  out.Key("not_counted").BeginObject().Field("ignored", figures.ignored_records);
  out.Field("of_unknown_jobs", figures.unknown_records)
      .Field("unreadable", figures.unreadable_records)
      .EndObject();
  out.Field("clock_steps", figures.clock_steps).EndObject();
  return out.Take() + "\n";
}

}  // namespace laneway::report
