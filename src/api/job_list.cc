// job_list.cc: GET /api/v1/jobs. Open jobs, the newest first; then closed ones, the last closed first. A page
// is gathered in slices, so that a filter that fits few of a million jobs does not hold the fold's loop.
#include <fnmatch.h>

#include <algorithm>
#include <set>

#include "api/fleet_state.h"
#include "api/shapes.h"
#include "ops/text.h"
#include "ops/units.h"

namespace laneway::api {
namespace {

constexpr std::chrono::milliseconds kSlice{2};
constexpr Millis kGathering{10'000};  // then the page is shorter than it was wanted

struct Filter {
  std::optional<JobPhase> state;
  std::string worker;
  std::string name;
  LogTime since;
};

// Where the list goes on: "o<ms>-<id>" among the open ones, "c<list>-<below>" among the closed ones.
struct ListCursor {
  bool closed = false;
  std::optional<OpenJobs::Key> open;
  fold::FinishedStore::Cursor below;

  std::string ToString() const {
    if (closed) return "c" + std::to_string(below.list) + "-" + std::to_string(below.below);
    return "o" + std::to_string(open->submitted.ms) + "-" + open->job.ToString();
  }
};

std::optional<ListCursor> ParseCursor(std::string_view text) {
  ListCursor cursor;
  if (text.empty()) return cursor;
  const size_t dash = text.find('-');
  if (dash == std::string_view::npos) return std::nullopt;
  const auto number = ops::ParseWhole(text.substr(1, dash - 1));
  const std::string_view rest = text.substr(dash + 1);
  if (!number) return std::nullopt;
  if (text[0] == 'o') {
    const auto id = JobId::Parse(rest);
    if (!id) return std::nullopt;
    cursor.open = OpenJobs::Key{LogTime{static_cast<int64_t>(*number)}, *id};
    return cursor;
  }
  const auto below = ops::ParseWhole(rest);
  if (text[0] != 'c' || !below) return std::nullopt;
  cursor.closed = true;
  cursor.below = {*number, static_cast<uint32_t>(std::min<uint64_t>(*below, ~0U))};
  return cursor;
}

std::string BaseName(const std::string& path) { return path.substr(path.rfind('/') + 1); }

bool NameFits(const std::string& wanted, const std::string& name, const std::string& file) {
  if (wanted.empty()) return true;
  for (const std::string& candidate : {name, file, BaseName(file)}) {
    if (!candidate.empty() && fnmatch(wanted.c_str(), candidate.c_str(), 0) == 0) return true;
    if (candidate == wanted) return true;
  }
  return false;
}

class Lister : public std::enable_shared_from_this<Lister> {
 public:
  Lister(StatePtr state, Filter filter, ListCursor cursor, uint32_t limit, SharedReply reply)
      : state_(std::move(state)),
        filter_(std::move(filter)),
        cursor_(cursor),
        limit_(limit),
        reply_(std::move(reply)),
        deadline_(state_->ports.clock->Steady() + kGathering) {}

  // One slice; the next one is posted behind what waits for the loop.
  void Step() {
    slice_end_ = state_->ports.clock->Steady() + kSlice;
    taken_ = 0;
    if (!cursor_.closed) StepOpen();
    if (cursor_.closed && !full_ && !done_) StepClosed();
    if (full_ || done_ || state_->ports.clock->Steady() >= deadline_) return Answer();
    state_->ports.loop->Post([self = shared_from_this()] { self->Step(); });
  }

 private:
  // Whether this slice must end before the next job. One job is always taken.
  bool Over() { return taken_++ > 0 && state_->ports.clock->Steady() >= slice_end_; }

  bool Full() {
    full_ = jobs_.size() >= limit_;
    return full_;
  }

  void StepOpen() {
    const Ledger& ledger = state_->ledger();
    const WorkerIndex worker = filter_.worker.empty() ? kNoWorker : ledger.FindWorker(filter_.worker);
    const bool nowhere = !filter_.worker.empty() && worker == kNoWorker;
    const auto each = [&](const OpenJobs::Key& key) {
      if (key.submitted < filter_.since || nowhere) {  // all others are older
        past_ = true;
        return false;
      }
      if (Full() || Over()) return false;
      const Job* job = ledger.Find(key.job);
      cursor_.open = key;
      if (job != nullptr && Fits(*job, worker)) Add(ViewOf(ledger, *job, {}));
      return true;
    };
    if (const auto stopped = state_->open_jobs.ForEach(cursor_.open, each); !stopped || past_) {
      cursor_ = {.closed = true};
    }
  }

  bool Fits(const Job& job, WorkerIndex worker) const {
    const std::string file = job.file ? job.file->identity.path() : "";
    if (!NameFits(filter_.name, job.name, file)) return false;
    if (worker != kNoWorker && !WasOn(state_->ledger(), job, worker)) return false;
    if (!filter_.state) return true;
    const JobPhase phase = job.phase();
    return JobPhaseName(phase) == JobPhaseName(*filter_.state);
  }

  void StepClosed() {
    const Ledger& ledger = state_->ledger();
    const bool ended = !filter_.state || *filter_.state >= JobPhase::kSucceeded;
    if (!ended) {  // no closed job is PENDING or RUNNING
      done_ = true;
      return;
    }
    const auto as_of = [&](const JobId& id) {
      return ledger.next_offset(EventPartition(id, ledger.partitions()));
    };
    bool old = false;
    const auto each = [&](const JobId& id, const std::string& bytes) {
      if (Full() || Over()) return false;
      v1::JobState closed;
      if (!closed.ParseFromString(bytes)) return true;
      if (closed.finished_ms() < filter_.since.ms) {  // closed in this order: all others ended before it
        old = true;
        return false;
      }
      if (shown_.contains(id) || !Fits(closed)) return true;
      Add(ViewOf(std::move(closed), {}));
      return true;
    };
    const auto stopped = state_->ports.fold->finished().ForEachRecent(cursor_.below, as_of, each);
    if (!stopped || old) {
      done_ = true;
    } else {
      cursor_.below = *stopped;
    }
  }

  bool Fits(const v1::JobState& closed) const {
    if (closed.submitted_ms() < filter_.since.ms) return false;
    if (!NameFits(filter_.name, closed.name(), closed.file().path())) return false;
    if (!filter_.worker.empty() && !WasOn(closed, filter_.worker)) return false;
    return !filter_.state || PhaseOf(closed) == *filter_.state;
  }

  void Add(JobView view) {
    shown_.insert(*JobId::FromBytes(view.head.job_id()));
    jobs_.push_back(std::move(view));
  }

  void Answer() {
    const std::string next = done_ ? "" : cursor_.ToString();
    state_->Answer(reply_, [jobs = std::move(jobs_), next] {
      ops::JsonWriter out;
      out.BeginObject().Key("jobs").BeginArray();
      for (const JobView& job : jobs) WriteJob(out, job);
      out.EndArray().Key("next_cursor");
      next.empty() ? out.Null() : out.Value(next);
      return JsonResponse(out.EndObject().Take() + "\n");
    });
  }

  const StatePtr state_;
  const Filter filter_;
  ListCursor cursor_;
  const uint32_t limit_;
  const SharedReply reply_;
  const ops::SteadyTime deadline_;
  ops::SteadyTime slice_end_{};
  size_t taken_ = 0;
  std::vector<JobView> jobs_;
  std::set<JobId> shown_;  // a job may close while the page is gathered
  bool past_ = false;
  bool full_ = false;
  bool done_ = false;
};

// The filters, or what is wrong with them.
std::optional<Filter> FilterOf(const HttpRequest& request, std::vector<std::string>& errors) {
  Filter filter;
  filter.worker = request.Query("worker");
  filter.name = request.Query("name");
  if (const std::string& wanted = request.Query("state"); !wanted.empty()) {
    for (const JobPhase phase : {JobPhase::kPending, JobPhase::kRunning, JobPhase::kSucceeded,
                                 JobPhase::kFailed, JobPhase::kCancelled}) {
      if (JobPhaseName(phase) == wanted) filter.state = phase;
    }
    if (!filter.state)
      errors.push_back("state: found \"" + ops::Printable(wanted, 40) +
                       "\"; allowed: PENDING, RUNNING, SUCCEEDED, FAILED, CANCELLED");
  }
  if (const std::string& since = request.Query("since"); !since.empty()) {
    const auto time = ops::ParseTime(since);
    if (!time)
      errors.push_back("since: found \"" + ops::Printable(since, 40) +
                       "\"; allowed: a time, as 2026-11-21T06:15:00Z");
    filter.since = time.value_or(LogTime{});
  }
  for (const auto& [name, value] : request.query) {
    static const std::vector<std::string> known = {"state", "worker", "name", "since", "limit", "cursor"};
    if (std::find(known.begin(), known.end(), name) == known.end())
      errors.push_back(ops::Printable(name, 40) + ": an unknown filter" + ops::DidYouMean(name, known));
  }
  if (!errors.empty()) return std::nullopt;
  return filter;
}

}  // namespace

void AddJobListRoute(const StatePtr& state, std::vector<Route>& routes) {
  routes.push_back({.method = "GET",
                    .pattern = "/api/v1/jobs",
                    .handler = [state](const HttpRequest& request, Reply reply) {
                      std::vector<std::string> errors;
                      const auto filter = FilterOf(request, errors);
                      const Page page = PageOf(request);
                      const auto cursor = ParseCursor(page.cursor);
                      if (!page.error.empty()) errors.push_back(page.error);
                      if (!cursor) errors.push_back("cursor: not one of this API");
                      if (!errors.empty())
                        return reply(ProblemResponse(400, "the request has mistakes", errors));
                      state->OnFold(std::move(reply), [state, filter = *filter, cursor = *cursor,
                                                       limit = page.limit](const SharedReply& shared) {
                        std::make_shared<Lister>(state, filter, cursor, limit, shared)->Step();
                      });
                    }});
}

}  // namespace laneway::api
