// timeline.cc: GET /api/v1/jobs/{id}/events: everything the log holds about one job, with its times, in
// order. The log is kept by partition, not by job: the part of it between the job's submission and its end is
// read through.
#include "api/event_text.h"
#include "api/fleet_state.h"
#include "api/shapes.h"
#include "ops/units.h"

namespace laneway::api {
namespace {

constexpr uint64_t kRecordsMax = 500'000;  // looked at in one call
constexpr size_t kReadBytes = 1 << 20;
constexpr int64_t kAfterEndMs = 60'000;  // FileMoved and late results come after the end

struct Span {
  JobId job;
  log::TopicPartition partition;
  int64_t begin_ms = 0;
  int64_t end_ms = 0;  // 0: the job is open
  bool file = false;
};

// The first record not before `ms`: times never run backwards within a partition.
absl::StatusOr<Offset> FirstAt(log::Log& log, log::TopicPartition partition, int64_t ms) {
  const auto range = log.Range(partition);
  if (!range.ok()) return range.status();
  Offset low = range->first;
  Offset high = range->next;
  while (low < high) {
    const Offset middle = low + (high - low) / 2;
    const auto batch = log.Read(partition, middle, 1);
    if (!batch.ok()) return batch.status();
    if (batch->records.empty()) break;
    batch->records.front().time.ms < ms ? low = middle + 1 : high = middle;
  }
  return low;
}

class Timeline {
 public:
  Timeline(const Span& span, uint32_t limit) : span_(span), key_(span.job.ToBytes()), limit_(limit) {}

  absl::StatusOr<std::string> Read(log::Log& log, std::optional<Offset> from) {
    if (!from) {
      const auto first = FirstAt(log, span_.partition, span_.begin_ms);
      if (!first.ok()) return first.status();
      from = *first;
    }
    out_.BeginObject().Field("job_id", span_.job.ToString()).Key("events").BeginArray();
    Offset next = *from;
    while (!done_ && looked_ < kRecordsMax && written_ < limit_) {
      const auto batch = log.Read(span_.partition, next, kReadBytes);
      if (!batch.ok()) return batch.status();
      if (batch->records.empty()) done_ = true;
      for (const log::RecordView& record : batch->records) {
        if (done_ || written_ >= limit_) break;
        Take(record);
        next = record.offset + 1;
      }
    }
    out_.EndArray().Key("next_cursor");
    done_ ? out_.Null() : out_.Value(std::to_string(next));
    out_.Field("cut", !done_);
    if (!done_ && written_ < limit_)
      out_.Field("detail", "looked at " + std::to_string(looked_) + " records; `cursor` goes on from there");
    return out_.EndObject().Take() + "\n";
  }

 private:
  void Take(const log::RecordView& record) {
    looked_++;
    if (span_.end_ms != 0 && record.time.ms > span_.end_ms + kAfterEndMs) {
      done_ = true;
      return;
    }
    if (record.key != key_ || record.type != log::RecordType::kEvent) return;
    v1::Event event;
    if (!event.ParseFromArray(record.value.data(), static_cast<int>(record.value.size()))) return;
    const EventText text = TextOf(event);
    written_++;
    out_.BeginObject().Field("time", record.time).Field("type", text.type).Key("task_id");
    event.task() == 0 ? out_.Null() : out_.Value(TaskId{span_.job, event.task()}.ToString());
    out_.Key("attempt");
    event.attempt() == 0 ? out_.Null() : out_.Value(event.attempt());
    out_.Key("worker");
    text.worker.empty() ? out_.Null() : out_.Value(text.worker);
    out_.Field("text", text.sentence)
        .Field("offset", record.offset)
        .Field("writer", std::string(record.writer))
        .EndObject();
    // A file's job has nothing more to say when its file has arrived and it is known to have ended.
    if (span_.end_ms != 0 && span_.file && event.has_file_moved() && record.time.ms >= span_.end_ms)
      done_ = true;
    if (span_.end_ms != 0 && event.has_file_gone()) done_ = true;
  }

  const Span span_;
  const std::string key_;
  const uint32_t limit_;
  ops::JsonWriter out_;
  uint64_t looked_ = 0;
  uint32_t written_ = 0;
  bool done_ = false;
};

void ShowTimeline(const StatePtr& state, const HttpRequest& request, Reply reply) {
  const auto id = JobId::Parse(request.Path("id"));
  if (!id) return reply(NoSuchJob(request.Path("id")));
  const Page page = PageOf(request);
  const auto from = ops::ParseWhole(page.cursor);
  if (!page.error.empty()) return reply(ProblemResponse(400, page.error));
  if (!page.cursor.empty() && !from) return reply(ProblemResponse(400, "cursor: not one of this API"));
  const uint32_t limit = request.Query("limit").empty() ? kPageMax : page.limit;
  state->OnFold(std::move(reply), [state, id = *id, from, limit](const SharedReply& shared) {
    const Ledger& ledger = state->ledger();
    Span span{.job = id, .partition = {log::Topic::kEvents, EventPartition(id, ledger.partitions())}};
    if (const Job* job = ledger.Find(id)) {
      span.begin_ms = job->submitted.ms;
      span.file = job->file != nullptr;
    } else if (const auto closed = ledger.Load(id)) {
      span.begin_ms = closed->submitted_ms();
      span.end_ms = closed->finished_ms();
      span.file = closed->has_file();
    } else {
      return (*shared)(NoSuchJob(id.ToString()));
    }
    state->Answer(shared, [state, span, from, limit] {
      auto text = Timeline(span, limit).Read(*state->ports.log, from);
      if (!text.ok())
        return absl::IsOutOfRange(text.status())
                   ? ProblemResponse(400, "cursor: outside of what the log keeps")
                   : ProblemResponse(text.status());
      return JsonResponse(std::move(*text));
    });
  });
}

}  // namespace

void AddTimelineRoute(const StatePtr& state, std::vector<Route>& routes) {
  routes.push_back({.method = "GET",
                    .pattern = "/api/v1/jobs/{id}/events",
                    .handler = [state](const HttpRequest& request, Reply reply) {
                      ShowTimeline(state, request, std::move(reply));
                    }});
}

}  // namespace laneway::api
