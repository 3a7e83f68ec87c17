#include "api/change_feed.h"

#include <algorithm>

#include "ops/json_writer.h"
#include "ops/units.h"

namespace laneway::api {
namespace {

using Kind = Change::Kind;

// Name and resource of a change. A client that does not know a name leaves it out.
struct Words {
  std::string_view name;
  enum class About : uint8_t { kJob, kTask, kWorker, kNothing } about = About::kNothing;
};

Words WordsOf(Kind kind) {
  using About = Words::About;
  switch (kind) {
    case Kind::kJobOpened:
      return {"job_submitted", About::kJob};
    case Kind::kTaskPending:
      return {"task_pending", About::kTask};
    case Kind::kTaskAssigned:
      return {"task_assigned", About::kTask};
    case Kind::kTaskStarted:
      return {"task_started", About::kTask};
    case Kind::kTaskProgressed:
      return {"task_progressed", About::kTask};
    case Kind::kTaskSucceeded:
      return {"task_succeeded", About::kTask};
    case Kind::kTaskDead:
      return {"task_dead", About::kTask};
    case Kind::kTaskCancelled:
      return {"task_cancelled", About::kTask};
    case Kind::kJobFinished:
      return {"job_finished", About::kJob};
    case Kind::kJobReopened:
      return {"job_reopened", About::kJob};
    case Kind::kFileClaimed:
      return {"file_claimed", About::kJob};
    case Kind::kJobClosed:
      return {"job_closed", About::kJob};
    case Kind::kEpochOpened:
      return {"", About::kNothing};
    case Kind::kWorkerLost:
      return {"worker_lost", About::kWorker};
    case Kind::kWorkerReturned:
      return {"worker_returned", About::kWorker};
    case Kind::kBrowserLost:
      return {"browser_lost", About::kWorker};
    case Kind::kBrowserReturned:
      return {"browser_returned", About::kWorker};
  }
  return {};
}

}  // namespace

struct ChangeFeed::Text {
  Entry entry;
  std::string worker;
};

// Ids begin with the microsecond of the start: those of the process before are all lower, and too old.
ChangeFeed::ChangeFeed(ops::Loop* writer, LogTime started)
    : writer_(writer),
      first_id_(static_cast<uint64_t>(started.ms) * 1000),
      next_id_(first_id_),
      flushed_(first_id_),
      clients_(std::make_shared<std::vector<std::shared_ptr<EventStream>>>()) {}

ChangeFeed::Entry& ChangeFeed::Add(LogTime time) {
  Entry& entry = ring_[next_id_ % kRing];
  entry.id = next_id_++;
  entry.time = time;
  entry.alert.reset();
  if (next_id_ - first_id_ > kRing) first_id_ = next_id_ - kRing;
  return entry;
}

void ChangeFeed::OnChange(const Job* job, LogTime time, const Change& change) {
  if (!recording_ || change.kind == Kind::kEpochOpened) return;
  Entry& entry = Add(time);
  entry.change = change;
  if (job == nullptr) return;
  // Its tasks need not be looked through: what a job's own change says is known.
  entry.job = job->is_finished()                ? job->phase()
              : change.kind == Kind::kJobOpened ? JobPhase::kPending
                                                : JobPhase::kRunning;
  const Task* task = job->Find(change.task.n);
  if (task == nullptr) return;
  entry.state = task->state;
  entry.attempt = task->attempt;
  entry.percent = task->percent;
  if (entry.change.worker == kNoWorker) entry.change.worker = task->worker;
  if (entry.change.worker == kNoWorker) entry.change.worker = change.held_by;
}

void ChangeFeed::OnAlert(const v1::Alert& alert, LogTime time) {
  if (!recording_) return;
  Entry& entry = Add(time);
  entry.change = {};
  entry.alert = std::make_shared<const v1::Alert>(alert);
}

std::vector<ChangeFeed::Text> ChangeFeed::Since(const Ledger& ledger, uint64_t id) const {
  std::vector<Text> texts;
  for (uint64_t i = std::max(id, first_id_); i < next_id_; i++) {
    const Entry& entry = ring_[i % kRing];
    texts.push_back({entry, ledger.WorkerName(entry.change.worker)});
  }
  return texts;
}

std::string ChangeFeed::Format(const Text& text) {
  const Entry& entry = text.entry;
  ops::JsonWriter out;
  const Words words = entry.alert ? Words{"alert"} : WordsOf(entry.change.kind);
  out.BeginObject().Field("type", words.name).Field("time", entry.time);
  if (entry.alert) {
    out.Field("severity", v1::Severity_Name(entry.alert->severity()))
        .Field("kind", entry.alert->kind())
        .Field("subject", entry.alert->subject())
        .Field("message", entry.alert->message())
        .Field("resolved", entry.alert->resolved());
  }
  if (words.about == Words::About::kJob || words.about == Words::About::kTask) {
    out.Field("job_id", entry.change.task.job.ToString());
  }
  if (words.about == Words::About::kJob) out.Field("state", JobPhaseName(entry.job));
  if (words.about == Words::About::kTask) {
    out.Field("task_id", entry.change.task.ToString())
        .Field("state", TaskStateName(entry.state))
        .Field("attempt", entry.attempt)
        .Field("progress", entry.percent);
  }
  if (!text.worker.empty() && !entry.alert) out.Field("worker", text.worker);
  out.EndObject();
  return "id: " + std::to_string(entry.id) + "\nevent: " + std::string(words.name) + "\ndata: " + out.Take() +
         "\n\n";
}

void ChangeFeed::Flush(const Ledger& ledger, LogTime now) {
  if (!recording_) return;
  if (!clients_->empty()) {
    listened_ = now;
  } else if (now - listened_ > kRecordingKept) {  // who comes back later than this reads anew
    recording_ = false;
    first_id_ = flushed_ = ++next_id_;
    ring_ = {};
    return;
  }
  const uint64_t from = std::exchange(flushed_, next_id_);
  if (clients_->empty() || from == next_id_) return;
  // More than the ring holds came at once: what is left of it would have a gap nobody is told of.
  const bool gap = from < first_id_;
  writer_->Post(
      [texts = gap ? std::vector<Text>{} : Since(ledger, from), gap, streams = *clients_, next = next_id_] {
        std::string all;
        for (const Text& text : texts) all += Format(text);
        if (gap) all = "id: " + std::to_string(next - 1) + "\nevent: resync\ndata: {\"type\":\"resync\"}\n\n";
        for (const auto& stream : streams) (void)stream->Write(all);
      });
  // Who has gone is noticed by the next one who joins, or here, now and then.
  std::erase_if(*clients_, [](const auto& stream) { return !stream->Write(""); });
}

bool ChangeFeed::Join(const Ledger& ledger, LogTime now, const std::shared_ptr<EventStream>& stream,
                      const std::string& last_id) {
  std::erase_if(*clients_, [](const auto& one) { return !one->Write(""); });
  if (clients_->size() >= kClientsMax) return false;
  if (!recording_) ring_.resize(kRing);
  recording_ = true;
  listened_ = now;
  Flush(ledger, now);
  const auto last = ops::ParseWhole(last_id);
  const bool too_old = !last_id.empty() && (!last || *last + 1 < first_id_ || *last >= next_id_);
  std::vector<Text> missed;
  if (!last_id.empty() && !too_old) missed = Since(ledger, *last + 1);
  clients_->push_back(stream);
  writer_->Post([stream, missed = std::move(missed), too_old, id = next_id_ - 1, fresh = last_id.empty()] {
    std::string text = "retry: 2000\n\n";
    if (fresh) text += "id: " + std::to_string(id) + "\nevent: hello\ndata: {\"type\":\"hello\"}\n\n";
    if (too_old) text += "id: " + std::to_string(id) + "\nevent: resync\ndata: {\"type\":\"resync\"}\n\n";
    for (const Text& one : missed) text += Format(one);
    (void)stream->Write(std::move(text));
  });
  return true;
}

void ChangeFeed::Close() {
  for (const auto& stream : *clients_) stream->Close();
  clients_->clear();
}

}  // namespace laneway::api
