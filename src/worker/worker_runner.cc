#include "worker/worker_runner.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <map>
#include <mutex>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "worker/attempt_folders.h"

namespace laneway::worker {
namespace {

constexpr size_t kLaneReadBytes = 256 << 10;
constexpr Millis kReadAgain{100};  // after a failed read

uint64_t ResidentKib() {
  std::FILE* file = std::fopen("/proc/self/statm", "re");
  if (file == nullptr) return 0;
  unsigned long long size = 0, resident = 0;
  const int got = std::fscanf(file, "%llu %llu", &size, &resident);
  std::fclose(file);
  return got == 2 ? resident * static_cast<uint64_t>(sysconf(_SC_PAGESIZE)) / 1024 : 0;
}

uint64_t CpuMicros() {
  rusage usage{};
  if (getrusage(RUSAGE_SELF, &usage) != 0) return 0;
  const auto micros = [](const timeval& time) {
    return static_cast<uint64_t>(time.tv_sec) * 1000000 + static_cast<uint64_t>(time.tv_usec);
  };
  return micros(usage.ru_utime) + micros(usage.ru_stime);
}

absl::Status MakeFolders(zone::Fs& fs, const std::string& path) {
  for (size_t slash = path.find('/');; slash = path.find('/', slash + 1)) {
    const absl::Status status = fs.MakeFolder(path.substr(0, slash));
    if (!status.ok() && status.code() != absl::StatusCode::kAlreadyExists) return status;
    if (slash == std::string::npos) return absl::OkStatus();
  }
}

}  // namespace

// What other threads have to say, until the next wake. Outlives the runner: an answer may come when it is
// gone.
struct WorkerRunner::Inbox {
  struct Answer {
    One* one = nullptr;
    uint64_t token = 0;
    enum class To : uint8_t { kCommit, kHeartbeat, kBrowserHealth } to = To::kCommit;
    absl::Status status;
  };
  std::mutex mutex;
  WorkerRunner* owner = nullptr;  // guarded by mutex; null when it is gone
  ops::Loop* loop = nullptr;
  bool woken = false;
  bool control = false;
  std::vector<Answer> answers;
  std::vector<ExecutorEvent> events;
  std::vector<std::pair<WorkerId, BrowserNews>> browsers;
  std::set<One*> lanes;  // workers whose lanes have something

  template <class Put>
  static void Tell(const std::shared_ptr<Inbox>& inbox, Put put) {
    std::lock_guard lock(inbox->mutex);
    if (inbox->owner == nullptr) return;
    put(*inbox);
    if (std::exchange(inbox->woken, true)) return;
    inbox->loop->Post([inbox] {
      WorkerRunner* runner = nullptr;
      {
        std::lock_guard again(inbox->mutex);
        runner = inbox->owner;
      }
      if (runner != nullptr) runner->Pass();  // the runner lives and dies on the loop
    });
  }
};

struct WorkerRunner::One {
  One(WorkerOptions options, Restored restored, RunContext run, std::string log_folder, zone::Fs* fs)
      : core(std::move(options), std::move(restored)),
        context(std::move(run)),
        log(std::move(log_folder), core.options().id),
        folders(fs, core.options().id) {}

  Worker core;
  RunContext context;
  WorkerLog log;
  Commands out;
  std::vector<Lane> owned;
  std::vector<Lane> watched;
  std::unique_ptr<log::Watch> watch;
  bool read = true;  // its lanes are to be read
  std::optional<Millis> read_again;
  AttemptFolders folders;
  BrowserUse use_told;
  bool fatal_told = false;
  uint64_t bad_records = 0;
};

WorkerRunner::WorkerRunner(RunnerPorts ports, RunnerOptions options)
    : ports_(ports), options_(std::move(options)), inbox_(std::make_shared<Inbox>()) {
  inbox_->owner = this;
  inbox_->loop = ports_.loop;
}

WorkerRunner::~WorkerRunner() {
  {
    std::lock_guard lock(inbox_->mutex);
    inbox_->owner = nullptr;
  }
  ports_.loop->Cancel(timer_);
}

Now WorkerRunner::Time() const {
  return {ports_.clock->Wall(), std::chrono::duration_cast<Millis>(ports_.clock->Boot())};
}

absl::Status WorkerRunner::Add(RunnerWorker worker) {
  const std::string& name = worker.options.id.name;
  std::string log_folder;
  if (ports_.fs != nullptr) {
    for (const char* place : {"logs/", "processing/"}) {
      const absl::Status status = MakeFolders(*ports_.fs, place + name);
      if (!status.ok())
        return absl::Status(status.code(), absl::StrCat(place, name, ": ", std::string(status.message())));
    }
    if (options_.worker_log) log_folder = absl::StrCat(worker.context.zone_root, "/logs/", name);
  }
  worker.options.store = worker.opened.store;
  worker.context.worker = worker.options.id;
  workers_.push_back(std::make_unique<One>(std::move(worker.options), std::move(worker.opened.restored),
                                           std::move(worker.context), std::move(log_folder), ports_.fs));
  return absl::OkStatus();
}

void WorkerRunner::Start() {
  control_watch_ = ports_.log->WatchPartitions({{log::Topic::kControl, 0}}, [inbox = inbox_] {
    Inbox::Tell(inbox, [](Inbox& box) { box.control = true; });
  });
  Inbox::Tell(inbox_, [](Inbox& box) { box.control = true; });
}

void WorkerRunner::OnExecutorEvent(const ExecutorEvent& event) {
  Inbox::Tell(inbox_, [&event](Inbox& box) { box.events.push_back(event); });
}

void WorkerRunner::OnBrowser(const WorkerId& worker, BrowserNews news) {
  Inbox::Tell(inbox_, [&](Inbox& box) { box.browsers.emplace_back(worker, std::move(news)); });
}

void WorkerRunner::TakeBrowserNews(One& one, BrowserNews news, Now now) {
  for (BrowserLine& line : news.lines) one.log.Add(now.wall, {std::move(line.text), std::nullopt, {}});
  const std::string& name = one.core.options().id.name;
  for (v1::Alert& alert : news.alerts) {
    alert.set_subject(name);
    alert.set_message(absl::StrCat(name, " – ", alert.message()));
  }
  SendAlerts(std::move(news.alerts));
  if (!news.state) return;
  one.context.browser_port = news.state->port;
  one.core.OnBrowser(*news.state);
}

// One wake: everything that is there goes in, then every worker decides once.
void WorkerRunner::Pass() {
  TakeInbox();
  const Now now = Time();
  bool all_done = true;
  for (const auto& one : workers_) {
    const auto due = one->core.NextDeadline();  // a heartbeat tells how long ago lanes were read: not long
    one->read |= (due && now.boot >= *due) || (one->read_again && now.boot >= *one->read_again);
    if (one->read) WatchLanes(*one);
  }
  for (const auto& one : workers_) {
    if (one->read) ReadLanes(*one, now);
    StepOne(*one, now);
    one->log.Flush();
    if (!one->core.fatal().ok() && !std::exchange(one->fatal_told, true) && on_fatal_) {
      on_fatal_(one->core.options().id, one->core.fatal());
    }
    all_done = all_done && (one->core.finished() || one->fatal_told);
  }
  Arm();
  if (all_done && shutdown_done_) std::exchange(shutdown_done_, nullptr)();  // may destroy us
}

void WorkerRunner::TakeInbox() {
  std::vector<Inbox::Answer> answers;
  std::vector<ExecutorEvent> events;
  std::vector<std::pair<WorkerId, BrowserNews>> browsers;
  std::set<One*> lanes;
  bool control = false;
  {
    std::lock_guard lock(inbox_->mutex);
    inbox_->woken = false;
    answers.swap(inbox_->answers);
    events.swap(inbox_->events);
    browsers.swap(inbox_->browsers);
    lanes.swap(inbox_->lanes);
    control = std::exchange(inbox_->control, false);
  }
  const Now now = Time();
  if (control) control_due_ = now.boot;
  if (control_due_ && now.boot >= *control_due_) ReadControl(now);
  for (One* one : lanes) one->read = true;
  for (const Inbox::Answer& answer : answers) {
    if (answer.to == Inbox::Answer::To::kCommit) {
      answer.one->core.OnCommitted(answer.token, answer.status, now);
      continue;
    }
    if (answer.to == Inbox::Answer::To::kBrowserHealth) {
      answer.one->core.OnBrowserHealthAnswered(answer.status, now);
      continue;
    }
    answer.one->core.OnHeartbeatAnswered(answer.status, now);
    if (answer.status.ok()) {
      ports_.store->Commit({SeenOp(answer.one->core.options().id, now.wall)}, log::Durability::kBuffered,
                           [](const absl::Status&) {});
    }
  }
  for (auto& [id, news] : browsers) {
    if (One* one = FindWorker(id.name); one != nullptr) TakeBrowserNews(*one, std::move(news), now);
  }
  for (const ExecutorEvent& event : events) {
    const AttemptKey key = std::visit([](const auto& what) { return what.key; }, event);
    const auto it = running_.find(key.task);
    if (it == running_.end()) continue;
    const auto at = std::find_if(it->second.begin(), it->second.end(),
                                 [&](const auto& entry) { return entry.first == key.attempt; });
    if (at == it->second.end()) continue;
    One* one = at->second;
    if (std::holds_alternative<Ended>(event)) {
      it->second.erase(at);
      if (it->second.empty()) running_.erase(it);
      one->folders.Release(key);
    }
    one->core.OnExecutor(event, now);
  }
}

WorkerRunner::One* WorkerRunner::FindWorker(const std::string& name) {
  for (const auto& one : workers_) {
    if (one->core.options().id.name == name) return one.get();
  }
  return nullptr;
}

// Lane tables as active dispatchers told them, one after the other, and operators' words.
void WorkerRunner::ReadControl(Now now) {
  control_due_.reset();
  bool at_end = false;
  while (!at_end) {
    auto batch = ports_.log->Read({log::Topic::kControl, 0}, control_next_, kLaneReadBytes);
    if (!batch.ok() && batch.status().code() == absl::StatusCode::kOutOfRange) {
      const auto range = ports_.log->Range({log::Topic::kControl, 0});
      if (range.ok() && range->first != control_next_) {
        control_next_ = range->first;
        continue;
      }
    }
    if (!batch.ok()) {
      control_due_ = now.boot + kReadAgain;  // nobody wakes us again for what is there
      break;
    }
    control_next_ = batch->next_offset;
    at_end = batch->records.empty();
    for (const log::RecordView& record : batch->records) {
      if (const auto table = control_.Take(record.offset, record.value)) SetLanes(*table);
    }
  }
  const ControlWords::News news = control_.AfterRead(at_end);
  for (const auto& [name, said] : news.intents) {
    One* one = said.intent == v1::RESUME ? FindWorker(name) : nullptr;
    if (one != nullptr) one->core.OnResume(said.at);
  }
  if (news.table) SetLanes(*news.table);
}

void WorkerRunner::SetLanes(const v1::LaneTableSnapshot& table) {
  for (const auto& one : workers_) {
    one->owned.clear();
    for (const v1::LaneOwner& owner : table.lanes()) {
      if (owner.worker() == one->core.options().id.name) one->owned.push_back(owner.lane());
    }
    one->core.SetLanes(one->owned);
    one->read = true;
  }
}

void WorkerRunner::WatchLanes(One& one) {
  std::vector<Lane> wanted;
  one.core.ForEachLane([&](Lane lane, Offset) { wanted.push_back(lane); });
  if (wanted == one.watched) return;
  one.watched = std::move(wanted);
  one.watch.reset();
  if (one.watched.empty()) return;
  std::vector<log::TopicPartition> partitions;
  std::vector<std::pair<log::TopicPartition, Offset>> from;
  one.core.ForEachLane([&](Lane lane, Offset next) {
    partitions.push_back({log::Topic::kLanes, lane});
    from.emplace_back(partitions.back(), next);
  });
  ports_.log->ReadSoon(from);  // those of all workers together: one after the other, each waits for a fetch
  one.watch = ports_.log->WatchPartitions(std::move(partitions), [inbox = inbox_, which = &one] {
    Inbox::Tell(inbox, [which](Inbox& box) { box.lanes.insert(which); });
  });
  // What was appended between the last read and the watch wakes nobody.
  Inbox::Tell(inbox_, [which = &one](Inbox& box) { box.lanes.insert(which); });
}

void WorkerRunner::ReadLanes(One& one, Now now) {
  one.read = false;
  one.read_again.reset();
  std::vector<std::pair<Lane, Offset>> wanted;
  one.core.ForEachLane([&](Lane lane, Offset from) { wanted.emplace_back(lane, from); });
  size_t room = options_.lane_bytes_per_wake;
  for (const auto& [lane, from] : wanted) ReadLane(one, lane, from, &room, now);
  if (room == 0)
    Inbox::Tell(inbox_, [which = &one](Inbox& box) { box.lanes.insert(which); });  // others first
}

void WorkerRunner::ReadLane(One& one, Lane lane, Offset from, size_t* room, Now now) {
  while (*room > 0) {
    auto batch = ports_.log->Read({log::Topic::kLanes, lane}, from, kLaneReadBytes);
    if (!batch.ok()) {
      const auto range = ports_.log->Range({log::Topic::kLanes, lane});
      if (batch.status().code() == absl::StatusCode::kOutOfRange && range.ok() && range->first > from) {
        from = range->first;  // trimmed: all of it was read or is not ours (rule P2)
        one.core.OnLaneRead(lane, from, false, now);
        continue;
      }
      one.read_again = now.boot + kReadAgain;
      return;
    }
    if (batch->records.empty()) return one.core.OnLaneRead(lane, from, true, now);
    size_t bytes = 0;
    for (const log::RecordView& record : batch->records) {
      bytes += record.value.size() + 64;
      v1::LaneRecord parsed;
      if (record.type == log::RecordType::kLaneRecord &&
          parsed.ParseFromArray(record.value.data(), static_cast<int>(record.value.size()))) {
        one.core.OnLaneRecord(lane, record.offset, std::move(parsed));
      } else {
        one.core.OnBadRecord(lane, record.offset);
        one.bad_records++;
      }
    }
    from = batch->next_offset;
    one.core.OnLaneRead(lane, from, false, now);
    *room -= std::min(*room, bytes);
  }
}

void WorkerRunner::StepOne(One& one, Now now) {
  // What cannot be started is told to the core at once; it may then start another. Each attempt is tried
  // once, so this ends.
  do {
    one.out.Clear();
    one.core.Step(now, &one.out);
  } while (CarryOut(one, now));
  if (!on_use_ || one.core.browser_use() == one.use_told) return;
  one.use_told = one.core.browser_use();
  on_use_(one.core.options().id, one.use_told);
}

// True when an attempt could not be started and the core was told.
bool WorkerRunner::CarryOut(One& one, Now now) {
  for (const Commit& commit : one.out.commits) SendCommit(one, commit);
  for (const ChildNote& child : one.out.children) {
    ports_.store->Commit({ChildOp(one.core.options().id, child)}, log::Durability::kBuffered,
                         [](const absl::Status&) {});
  }
  for (const Stop& stop : one.out.stops) {
    ports_.executor->Stop(stop.key, stop.reason);  // unknown keys are ignored
    if (ports_.builtin != nullptr) ports_.builtin->Stop(stop.key, stop.reason);
  }
  const size_t before = one.out.runs.size();
  for (const Run& run : one.out.runs) StartAttempt(one, run, now);
  for (v1::Heartbeat& beat : one.out.heartbeats) SendHeartbeat(one, std::move(beat));
  for (const Line& line : one.out.lines) one.log.Add(now.wall, line);
  for (const v1::BrowserHealth& health : one.out.browser_health) SendBrowserHealth(one, health);
  SendAlerts(std::move(one.out.alerts));
  return before > 0 && std::exchange(start_failed_, false);
}

void WorkerRunner::SendCommit(One& one, const Commit& commit) {
  ports_.journal->Commit(NoteOps(one.core.options().id, *commit.batch),
                         EventRecords(*commit.batch, options_.event_partitions),
                         [inbox = inbox_, which = &one, token = commit.token](const absl::Status& status,
                                                                              std::span<const Offset>) {
                           Inbox::Tell(inbox, [&](Inbox& box) {
                             box.answers.push_back({which, token, Inbox::Answer::To::kCommit, status});
                           });
                         });
}

void WorkerRunner::SendHeartbeat(One& one, v1::Heartbeat beat) {
  if (one.core.idle()) one.folders.RemoveSpares();
  beat.set_host(options_.host);
  beat.set_version(options_.version);
  beat.set_memory_kib(ResidentKib());
  beat.set_cpu_us(CpuMicros());
  std::vector<log::NewRecord> records;
  records.push_back(HeartbeatRecord(beat, options_.heartbeat_partitions));
  ports_.log->Append(std::move(records),
                     [inbox = inbox_, which = &one](const absl::Status& status, std::span<const Offset>) {
                       Inbox::Tell(inbox, [&](Inbox& box) {
                         box.answers.push_back({which, 0, Inbox::Answer::To::kHeartbeat, status});
                       });
                     });
}

void WorkerRunner::SendBrowserHealth(One& one, const v1::BrowserHealth& health) {
  std::vector<log::NewRecord> records;
  records.push_back(BrowserHealthRecord(health, 1));
  ports_.log->Append(std::move(records),
                     [inbox = inbox_, which = &one](const absl::Status& status, std::span<const Offset>) {
                       Inbox::Tell(inbox, [&](Inbox& box) {
                         box.answers.push_back({which, 0, Inbox::Answer::To::kBrowserHealth, status});
                       });
                     });
}

void WorkerRunner::SendAlerts(std::vector<v1::Alert> alerts) {
  if (alerts.empty()) return;
  std::vector<log::NewRecord> records;
  for (const v1::Alert& alert : alerts) records.push_back(AlertRecord(alert, options_.alert_partitions));
  ports_.log->Append(std::move(records), [](const absl::Status&, std::span<const Offset>) {});
}

void WorkerRunner::StartAttempt(One& one, const Run& run, Now now) {
  const Prepared prepared = one.folders.Prepare(run);
  absl::StatusOr<RunSpec> spec =
      prepared.status.ok() ? MakeRunSpec(one.context, run.key, *run.packet) : prepared.status;
  if (!spec.ok()) {
    one.folders.Release(run.key);
    Ended ended;
    ended.key = run.key;
    ended.ending = prepared.ending;
    ended.message = std::string(spec.status().message());
    one.core.OnExecutor(ended, now);
    start_failed_ = true;
    return;
  }
  running_[run.key.task].emplace_back(run.key.attempt, &one);
  Executor* builtin = ports_.builtin != nullptr ? ports_.builtin : ports_.executor;
  (spec->handler.empty() ? ports_.executor : builtin)->Start(std::move(*spec));
}

void WorkerRunner::Arm() {
  std::optional<Millis> next = control_due_;
  for (const auto& one : workers_) {
    for (const auto& at : {one->core.NextDeadline(), one->read_again}) {
      if (at && (!next || *at < *next)) next = at;
    }
  }
  ports_.loop->Cancel(timer_);
  timer_ = {};
  if (!next) return;
  const Millis now = Time().boot;
  timer_ = ports_.loop->RunAfter(std::max(*next - now, Millis(1)), [this] { Pass(); });
}

void WorkerRunner::BeginShutdown(Shutdown mode, Millis drain_timeout, std::function<void()> done) {
  if (!shutdown_done_) shutdown_done_ = std::move(done);
  const Now now = Time();
  for (const auto& one : workers_) one->core.BeginShutdown(mode, drain_timeout, now);
  Inbox::Tell(inbox_, [](Inbox&) {});
}

std::vector<std::pair<Lane, Offset>> WorkerRunner::Finished() const {
  std::vector<std::pair<Lane, Offset>> finished;
  for (const auto& one : workers_) {
    const auto own = one->core.FinishedInOwn();
    finished.insert(finished.end(), own.begin(), own.end());
  }
  return finished;
}

std::vector<WorkerRunner::View> WorkerRunner::Views() const {
  std::vector<View> views;
  for (const auto& one : workers_) {
    const Worker& core = one->core;
    views.push_back({core.options().id, core.options().capacity, core.running(), core.queued(), core.idle(),
                     core.paused_by_itself(), core.options().has_browser, core.browser().connected,
                     one->log.lost(), one->bad_records, core.counters()});
  }
  return views;
}

}  // namespace laneway::worker
