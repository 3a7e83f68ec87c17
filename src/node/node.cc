#include "node/node.h"

#include <algorithm>
#include <filesystem>
#include <future>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "ops/config.h"
#include "ops/random_ids.h"
#include "ops/units.h"
#include "reaper/reaper_runner.h"
#include "worker/executor/companion.h"
#include "worker/executor/last_words.h"
#include "worker/executor/make_executor.h"
#include "worker/executor/orphans.h"

namespace laneway::node {
namespace {

constexpr Millis kPredecessorTimeout{15000};

std::string Absolute(const std::string& path) {
  return std::filesystem::absolute(path).lexically_normal().string();
}

// Waits for an append, before any loop runs.
absl::Status AppendAndWait(log::Log& log, std::vector<log::NewRecord> records) {
  if (records.empty()) return absl::OkStatus();
  std::promise<absl::Status> done;
  log.Append(std::move(records),
             [&](const absl::Status& status, std::span<const Offset>) { done.set_value(status); });
  return done.get_future().get();
}

// What a user can mend: where it is, and how.
absl::Status ZoneError(const std::string& zone, const absl::Status& status) {
  if (status.ok()) return status;
  std::string text = absl::StrCat("the dispatch zone ", zone, " cannot be used: ", status.message());
  if (absl::IsPermissionDenied(status))
    absl::StrAppend(&text, ": let the user who runs laneway read, write and enter it and its folders");
  if (absl::StrContains(status.message(), "cross-device")) {
    absl::StrAppend(&text,
                    ": all its folders must be on one file system, since files are renamed and never copied");
  }
  return absl::Status(status.code(), text);
}

PlacementLimits Limits(const v1::PlacementConfig& config) {
  PlacementLimits limits;
  limits.policy =
      config.policy() == "round-robin" ? PlacementPolicy::kRoundRobin : PlacementPolicy::kLeastLoaded;
  limits.prefetch_max = config.prefetch_max();
  for (const auto& [name, resource] : config.resources()) {
    ResourceLimit& limit = limits.resources[name];
    limit.concurrent_max = resource.max_concurrent();
    if (const auto rate = ops::ParseRate(resource.rate())) {
      limit.rate_count = static_cast<uint32_t>(rate->count);
      limit.rate_window = rate->per;
    }
  }
  return limits;
}

}  // namespace

v1::JobSpec FileSpec(const v1::JobConfig& job) {
  v1::JobSpec spec;
  for (const std::string& argument : job.exec()) spec.add_exec(argument);
  spec.set_handler(job.handler());
  spec.set_timeout_ms(job.timeout_ms());
  spec.set_max_attempts(job.max_attempts());
  spec.set_max_losses(job.max_losses());
  spec.mutable_backoff()->set_initial_ms(static_cast<uint32_t>(job.backoff().initial_ms()));
  spec.mutable_backoff()->set_factor(job.backoff().factor());
  spec.mutable_backoff()->set_max_ms(static_cast<uint32_t>(job.backoff().max_ms()));
  spec.set_needs_browser(job.needs_browser());
  return spec;
}

Node::Node(NodeOptions options)
    : options_(std::move(options)), incarnation_(ops::NewIncarnationId()), clock_(&ops::RealClock::Get()) {
  data_ = Absolute(options_.config.log().data());
  zone_root_ = Absolute(options_.config.zone().path());
}

absl::StatusOr<std::unique_ptr<Node>> Node::Start(NodeOptions options) {
  std::unique_ptr<Node> fleet(new Node(std::move(options)));
  using Step = absl::Status (Node::*)();
  for (const Step step : {&Node::OpenCompanion, &Node::OpenLog, &Node::OpenZone, &Node::OpenWorkers,
                          &Node::RegisterWorkers, &Node::TellLastWords, &Node::OpenFold}) {
    if (absl::Status status = (fleet.get()->*step)(); !status.ok()) return status;
  }
  fleet->Run();
  if (absl::Status status = fleet->Serve(); !status.ok()) return status;  // its destructor stops what runs
  return fleet;
}

Node::~Node() { Stop(Millis(0)); }

// First, while this process is small and has no threads: the parent of all scripts.
absl::Status Node::OpenCompanion() {
  std::error_code error;
  std::filesystem::create_directories(data_, error);
  if (error)
    return absl::FailedPreconditionError(
        absl::StrCat("cannot make the data folder ", data_, ": ", error.message()));
  if (absl::Status status = worker::Companion::WaitForPredecessor(data_, kPredecessorTimeout); !status.ok())
    return status;
  auto companion = worker::Companion::Launch();
  if (!companion.ok()) return companion.status();
  companion_ = std::move(*companion);
  return absl::OkStatus();
}

absl::Status Node::OpenLog() {
  BackendHooks hooks;
  hooks.on_append = [this](double seconds) {
    api::FleetMetrics* metrics = append_times_.load(std::memory_order_acquire);
    if (metrics != nullptr) metrics->OnAppend(seconds);
  };
  hooks.on_health = options_.on_log_health;
  auto backend = OpenBackend(options_.config.log(), data_, static_cast<uint32_t>(options_.workers.size()),
                             std::move(hooks));
  if (!backend.ok()) return backend.status();
  backend_ = std::move(*backend);
  return companion_->Configure(data_, incarnation_);
}

absl::Status Node::OpenZone() {
  std::error_code error;
  std::filesystem::create_directories(zone_root_, error);
  if (error)
    return absl::FailedPreconditionError(
        absl::StrCat("cannot make the dispatch zone ", zone_root_, ": ", error.message()));
  auto fs = zone::PosixFs::Open(zone_root_);
  if (!fs.ok()) return ZoneError(zone_root_, fs.status());
  fs_ = std::move(*fs);
  return ZoneError(zone_root_, zone::Zone(fs_.get(), incarnation_).Prepare());
}

absl::Status Node::OpenWorkers() {
  executor_ = worker::MakeExecutor(companion_,
                                   [this](worker::ExecutorEvent event) { workers_->OnExecutorEvent(event); });
  worker::RunnerPorts ports{.loop = &worker_loop_,
                            .clock = clock_,
                            .log = &backend_->LogAs("worker"),
                            .journal = &backend_->JournalAs("worker"),
                            .store = &backend_->store(),
                            .executor = executor_.get(),
                            .fs = fs_.get()};
  worker::RunnerOptions runner;
  runner.event_partitions = options_.config.log().event_partitions();
  runner.version = options_.version;
  runner.worker_log = options_.serve_zone;
  workers_ = std::make_unique<worker::WorkerRunner>(ports, runner);
  workers_->OnFatal([this](const WorkerId& worker, const absl::Status& status) {
    if (options_.on_fatal)
      options_.on_fatal(absl::Status(status.code(), absl::StrCat(worker.name, ": ", status.message())));
  });
  for (const WorkerId& id : options_.workers) {
    auto opened = worker::OpenWorkerStore(backend_->store(), id, ops::NewStoreId(), clock_->Wall());
    if (!opened.ok()) return opened.status();
    std::vector<worker::Survivor> survivors;
    for (const worker::ChildNote& child : opened->children) survivors.push_back({child.pid, child.pid_start});
    worker::StopSurvivors(survivors);
    if (!survivors.empty())
      backend_->store().Commit({worker::ForgetChildrenOp(id)}, log::Durability::kBuffered,
                               [](const absl::Status&) {});
    opened_.push_back(std::move(*opened));
    companion_->AddWorker(id, incarnation_);
  }
  return absl::OkStatus();
}

// The members of this fleet: those the configuration names; who was here before and is not named any more has
// left for good.
absl::Status Node::RegisterWorkers() {
  std::vector<log::NewRecord> records;
  const auto add = [&](const v1::WorkerRegistered& registered) {
    v1::ControlRecord control;
    *control.mutable_worker_registered() = registered;
    records.push_back({.to = {log::Topic::kControl, 0},
                       .type = log::RecordType::kControlRecord,
                       .key = registered.worker(),
                       .value = control.SerializeAsString()});
  };
  std::set<std::string> named;
  for (size_t i = 0; i < options_.workers.size(); i++) {
    named.insert(options_.workers[i].name);
    v1::WorkerRegistered registered;
    registered.set_worker(options_.workers[i].name);
    registered.set_incarnation(incarnation_.ToBytes());
    registered.set_store(opened_[i].store.ToBytes());
    registered.set_capacity(options_.config.worker().capacity());
    for (const std::string& label : options_.config.worker().labels()) registered.add_labels(label);
    add(registered);
  }
  Members before;
  const auto range = backend_->LogAs("laneway").Range({log::Topic::kControl, 0});
  if (!range.ok()) return range.status();
  for (Offset next = range->first; next < range->next;) {
    auto batch = backend_->LogAs("laneway").Read({log::Topic::kControl, 0}, next, 1 << 20);
    if (!batch.ok()) return batch.status();
    for (const log::RecordView& record : batch->records) {
      v1::ControlRecord control;
      if (control.ParseFromArray(record.value.data(), static_cast<int>(record.value.size())))
        before.OnControl(control, record.offset);
    }
    next = batch->next_offset;
  }
  const auto beats = backend_->LogAs("laneway").Range({log::Topic::kHeartbeats, 0});
  if (!beats.ok()) return beats.status();
  for (const auto& [id, member] : before.all()) {
    if (!member.registered || named.contains(id.name)) continue;
    v1::WorkerRegistered gone;
    gone.set_worker(id.name);
    gone.set_removed(true);
    add(gone);
    v1::Event lost;
    lost.mutable_worker_lost()->set_worker(id.name);
    // Judges what it has said so far, and nothing that it says when it is named again.
    lost.mutable_worker_lost()->set_heartbeat_offset(beats->next);
    lost.mutable_worker_lost()->set_reason("removed");
    records.push_back(
        fold::RecordOf(lost, fold::PartitionOf(lost, options_.config.log().event_partitions())));
  }
  return AppendAndWait(backend_->LogAs("laneway"), std::move(records));
}

// What the companion of a process that died saw and stopped (rule R2: appended after the scripts were
// stopped).
absl::Status Node::TellLastWords() {
  for (const worker::LastWordsFile& file : worker::ReadLastWords(data_)) {
    std::vector<log::NewRecord> records;
    for (const v1::WorkerLost& lost : file.words.lost()) {
      // A worker that starts again on its own store reports itself what was interrupted, and goes on with
      // what it had queued: called lost as well, its queue would run here and, republished, elsewhere.
      if (std::find(options_.workers.begin(), options_.workers.end(), WorkerId(lost.worker())) !=
          options_.workers.end())
        continue;
      v1::Event event;
      *event.mutable_worker_lost() = lost;
      records.push_back(
          fold::RecordOf(event, fold::PartitionOf(event, options_.config.log().event_partitions())));
    }
    if (absl::Status status = AppendAndWait(backend_->LogAs("laneway"), std::move(records)); !status.ok())
      return status;
    if (absl::Status status = worker::ForgetLastWords(file); !status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status Node::OpenFold() {
  const v1::Config& config = options_.config;
  std::vector<std::string> environment;
  for (const auto& [name, value] : ops::ProcessEnvironment())
    environment.push_back(absl::StrCat(name, "=", value));
  for (size_t i = 0; i < options_.workers.size(); i++) {
    worker::RunnerWorker one;
    one.options.id = options_.workers[i];
    one.options.store = opened_[i].store;
    one.options.incarnation = incarnation_;
    one.options.capacity = config.worker().capacity();
    one.options.labels.assign(config.worker().labels().begin(), config.worker().labels().end());
    one.options.heartbeat_interval = Millis(config.health().heartbeat_interval_ms());
    one.options.heartbeat_timeout = Millis(config.health().heartbeat_timeout_ms());
    one.context.worker = options_.workers[i];
    one.context.zone_root = zone_root_;
    one.context.environment = environment;
    one.context.environment_allowed.assign(config.worker().environment().begin(),
                                           config.worker().environment().end());
    one.context.kill_grace = Millis(config.worker().kill_grace_ms());
    one.context.log_bytes_max = config.worker().log_size_max();
    one.context.processes_max = config.worker().processes_max();
    one.opened = std::move(opened_[i]);
    if (absl::Status status = workers_->Add(std::move(one)); !status.ok()) return status;
  }
  fold::FoldOptions folding;
  folding.event_partitions = config.log().event_partitions();
  folding.on_fatal = options_.on_fatal;
  fold_ = std::make_unique<fold::FleetFold>(folding, &fold_loop_, &backend_->LogAs("dispatcher"),
                                            &backend_->store(), clock_);

  dispatcher::RunnerOptions dispatching;
  dispatching.dispatcher.incarnation = incarnation_;
  dispatching.dispatcher.placement = Limits(config.placement());
  dispatching.dispatcher.file_spec = FileSpec(config.job());
  const auto lanes = backend_->LogAs("laneway").Partitions(log::Topic::kLanes);
  if (!lanes.ok()) return lanes.status();
  dispatching.dispatcher.lanes = *lanes;
  dispatching.dispatcher.retention = Millis(config.log().retention_ms());
  dispatching.zone_root = zone_root_;
  dispatching.settle = Millis(config.zone().settle_ms());
  dispatching.rescan = Millis(config.zone().rescan_ms());
  dispatching.watch_zone = options_.serve_zone;
  dispatching.on_alert = options_.on_alert;
  dispatcher_ = std::make_unique<dispatcher::DispatcherRunner>(
      dispatching, &fold_loop_, fold_.get(), &backend_->LogAs("dispatcher"), fs_.get(), clock_);
  reaper::ReaperOptions reaping;
  reaping.limits.heartbeat_timeout = Millis(config.health().heartbeat_timeout_ms());
  reaping.limits.browser_timeout = Millis(config.health().browser_timeout_ms());
  reaper_ = std::make_unique<reaper::ReaperRunner>(
      reaper::ReaperPorts{&fold_loop_, &backend_->LogAs("reaper"), fold_.get()}, reaping, 1,
      [this](const reaper::Line& line) {
        if (options_.on_line) options_.on_line(line.worker, line.text);
      });
  tally_ = std::make_unique<Tally>(fold_.get());
  OpenApi();
  fold_->AddListener(dispatcher_.get());
  fold_->AddListener(reaper_.get());
  fold_->AddListener(tally_.get());
  fold_->AddListener(metrics_.get());
  fold_->AddListener(api_.get());
  return fold_->Open();
}

void Node::Run() {
  running_ = true;
  fold_loop_.Start();
  worker_loop_.Start();
  fold_loop_.Call([this] {
    tally_->Begin();
    metrics_->Begin();
    api_->Begin();
    fold_->Follow();
    (void)dispatcher_->Start();
    TrimOld();
  });
  worker_loop_.Call([this] { workers_->Start(); });
}

// What is older than the retention goes, record batch by record batch. Events a snapshot does not cover yet
// stay.
void Node::TrimOld() {
  const std::pair<log::Topic, Millis> topics[] = {
      {log::Topic::kEvents, Millis(options_.config.log().retention_ms())},
      {log::Topic::kDeadLetter, Millis(options_.config.log().retention_ms())},
      {log::Topic::kAlerts, Millis(30LL * 24 * 3600 * 1000)},
      {log::Topic::kHeartbeats, Millis(24LL * 3600 * 1000)},
      {log::Topic::kBrowserHealth, Millis(24LL * 3600 * 1000)}};
  log::Log& log = backend_->LogAs("laneway");
  for (const auto& [topic, retention] : topics) {
    for (uint32_t partition = 0; partition < log.Partitions(topic).value_or(0); partition++) {
      const auto range = log.Range({topic, partition});
      Offset below = range.ok() ? range->first : 0;
      while (range.ok() && below < range->next) {
        const auto batch = log.Read({topic, partition}, below, 1 << 20);
        if (!batch.ok() || batch->records.empty() || clock_->Wall() - batch->records.back().time < retention)
          break;
        below = batch->next_offset;
      }
      if (topic == log::Topic::kEvents) below = std::min(below, fold_->SnapshotCovers(partition));
      // tried again in an hour
      if (range.ok() && below > range->first) (void)log.Trim({topic, partition}, below);
    }
  }
  fold_loop_.RunAfter(std::chrono::hours(1), [this] { TrimOld(); });
}

dispatcher::ZoneView Node::Zone() {
  return fold_loop_.Call([this] { return dispatcher_->zone_view(); }).value_or(dispatcher::ZoneView{});
}

bool Node::Idle() {
  return fold_loop_
      .Call([this] {
        return fold_->ledger().open_jobs() == 0 && fold_->Lag() == 0 &&
               (!options_.serve_zone || dispatcher_->quiet());
      })
      .value_or(false);
}

void Node::Hurry() {
  worker_loop_.Post([this] { workers_->BeginShutdown(worker::Shutdown::kAtOnce, Millis(0), [] {}); });
}

void Node::Stop(Millis drain_timeout) {
  if (!std::exchange(running_, false)) return;
  StopServing();
  fold_loop_.Call([this] { dispatcher_->Stop(); });  // places nothing more
  std::promise<void> workers_done;
  worker_loop_.Post([&] {
    workers_->BeginShutdown(drain_timeout.count() > 0 ? worker::Shutdown::kDrain : worker::Shutdown::kAtOnce,
                            drain_timeout, [&] { workers_done.set_value(); });
  });
  workers_done.get_future().wait();
  worker_loop_.Call([this] { workers_.reset(); });
  worker_loop_.Stop();
  worker_loop_.Join();
  executor_.reset();
  std::promise<void> folded;
  fold_loop_.Call([&] { fold_->Close([&] { folded.set_value(); }); });
  folded.get_future().wait();
  fold_loop_.Call([this] {  // their timers are the loop's
    reaper_.reset();
    dispatcher_.reset();
  });
  fold_loop_.Stop();
  fold_loop_.Join();
  append_times_ = nullptr;
  fold_.reset();
  api_.reset();
  backend_.reset();
  companion_.reset();
}

}  // namespace laneway::node
