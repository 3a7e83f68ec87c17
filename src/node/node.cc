#include "node/node.h"

#include <algorithm>
#include <filesystem>
#include <future>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "api/job_definition.h"
#include "node/last_words_teller.h"
#include "ops/config.h"
#include "ops/random_ids.h"
#include "ops/units.h"
#include "reaper/reaper_runner.h"
#include "worker/browser/browsers.h"
#include "worker/executor/companion.h"
#include "worker/executor/last_words.h"
#include "worker/executor/make_executor.h"
#include "worker/executor/orphans.h"

namespace laneway::node {
namespace {

constexpr Millis kPredecessorTimeout{15000};
constexpr Millis kBrowserPatience{15000};  // to close, before they are killed

std::string Absolute(const std::string& path) {
  return std::filesystem::absolute(path).lexically_normal().string();
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

}  // namespace

PlacementLimits LimitsOf(const v1::PlacementConfig& config) {
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

Node::Node(NodeOptions options)
    : options_(std::move(options)),
      incarnation_(ops::NewIncarnationId()),
      clock_(&ops::RealClock::Get()),
      patience_({[clock = clock_] { return std::chrono::duration_cast<Millis>(clock->Boot()); },
                 options_.give_up, options_.on_note}) {
  data_ = Absolute(options_.config.log().data());
  zone_root_ = Absolute(options_.config.zone().path());
}

absl::StatusOr<std::unique_ptr<Node>> Node::Start(NodeOptions options) {
  std::unique_ptr<Node> fleet(new Node(std::move(options)));
  using Step = absl::Status (Node::*)();
  for (const Step step : {&Node::OpenData, &Node::OpenCompanion, &Node::OpenLog, &Node::OpenZone,
                          &Node::OpenWorkers, &Node::RegisterWorkers, &Node::TellLastWords, &Node::AddWorkers,
                          &Node::OpenBrowsers, &Node::OpenFold}) {
    if (absl::Status status = (fleet.get()->*step)(); !status.ok()) return status;
  }
  fleet->backend_->Settle();
  fleet->Run();
  if (absl::Status status = fleet->StandForElection(); !status.ok()) return status;
  if (absl::Status status = fleet->Serve(); !status.ok()) return status;  // its destructor stops what runs
  return fleet;
}

Node::~Node() { Stop(Millis(0)); }

absl::Status Node::OpenData() {
  std::error_code error;
  std::filesystem::create_directories(data_, error);
  if (error)
    return absl::FailedPreconditionError(
        absl::StrCat("cannot make the data folder ", data_, ": ", error.message()));
  return absl::OkStatus();
}

// First, while this process is small and has no threads: the parent of all scripts.
absl::Status Node::OpenCompanion() {
  if (!options_.roles.workers) return absl::OkStatus();
  if (absl::Status status = worker::Companion::WaitForPredecessor(data_, kPredecessorTimeout); !status.ok())
    return status;
  auto companion = worker::Companion::Launch();
  if (!companion.ok()) return companion.status();
  companion_ = std::move(*companion);
  return absl::OkStatus();
}

absl::Status Node::OpenLog() {
  BackendOptions backend;
  backend.log = Resolved(options_.config.log(), options_.kafka);
  backend.data = data_;
  backend.name = options_.name;
  backend.workers = static_cast<uint32_t>(options_.workers.size());
  backend.heartbeat_timeout = Millis(options_.config.health().heartbeat_timeout_ms());
  backend.on_append = [this](double seconds) {
    api::FleetMetrics* metrics = append_times_.load(std::memory_order_acquire);
    if (metrics != nullptr) metrics->OnAppend(seconds);
  };
  backend.on_health = options_.on_log_health;
  backend.on_note = options_.on_note;
  backend.give_up = options_.give_up;
  backend.patience = &patience_;
  auto opened = OpenBackend(backend);
  if (!opened.ok()) return opened.status();
  backend_ = std::move(*opened);
  if (!companion_) return absl::OkStatus();
  return companion_->Configure(data_, incarnation_, backend_->shared() ? TellerInput(backend.log) : "");
}

absl::Status Node::OpenZone() {
  if (!options_.roles.dispatcher && !options_.roles.workers) return absl::OkStatus();
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

absl::Status Node::OpenFold() {
  if (!options_.roles.folds()) {
    worker_metrics_ = std::make_unique<WorkerMetrics>(&worker_loop_, [this] { return workers_->Views(); });
    return absl::OkStatus();
  }
  fold::FoldOptions folding;
  folding.event_partitions = options_.config.log().event_partitions();
  folding.on_fatal = options_.on_fatal;
  fold_ = std::make_unique<fold::FleetFold>(folding, &fold_loop_, &backend_->LogAs("dispatcher"),
                                            &backend_->store(), clock_);
  if (options_.roles.dispatcher) {
    if (absl::Status status = OpenDispatcher(); !status.ok()) return status;
    fold_->AddListener(dispatcher_.get());
  }
  if (options_.roles.reaper) {
    OpenReaper();
    fold_->AddListener(reaper_.get());
  }
  tally_ = std::make_unique<Tally>(fold_.get());
  OpenApi();
  fold_->AddListener(tally_.get());
  fold_->AddListener(metrics_.get());
  fold_->AddListener(api_.get());
  return fold_->Open();
}

absl::Status Node::OpenDispatcher() {
  const v1::Config& config = options_.config;
  dispatcher::RunnerOptions dispatching;
  dispatching.dispatcher.incarnation = incarnation_;
  dispatching.dispatcher.placement = LimitsOf(config.placement());
  dispatching.dispatcher.file_spec = api::SpecFromConfig(config.job());
  const auto lanes = backend_->LogAs("dispatcher").Partitions(log::Topic::kLanes);
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
  return absl::OkStatus();
}

void Node::OpenReaper() {
  const v1::HealthConfig& health = options_.config.health();
  reaper::ReaperOptions reaping;
  reaping.limits.heartbeat_timeout = Millis(health.heartbeat_timeout_ms());
  reaping.limits.browser_timeout = Millis(health.browser_timeout_ms());
  reaper_ = std::make_unique<reaper::ReaperRunner>(
      reaper::ReaperPorts{&fold_loop_, &backend_->LogAs("reaper"), fold_.get()}, reaping, 1,
      [this](const reaper::Line& line) {
        if (options_.on_line) options_.on_line(line.worker, line.text, line.good);
      });
}

void Node::Run() {
  running_ = true;
  fold_loop_.Start();
  worker_loop_.Start();
  if (fold_) fold_loop_.Call([this] { RunFold(); });
  if (workers_) {
    worker_loop_.Call([this] {
      workers_->Start();
      if (backend_->kafka() != nullptr) ShowLag();
    });
  }
  if (browsers_) browsers_->Start();
}

void Node::RunFold() {
  tally_->Begin();
  metrics_->Begin();
  api_->Begin();
  fold_->Follow();
  if (dispatcher_) {
    (void)dispatcher_->Start();
    if (!backend_->shared()) dispatcher_->SetOwner(true);
  }
  if (!backend_->shared()) TrimOld();
}

// Who owns the only partition of `control` may be the active dispatcher (rule E1).
absl::Status Node::StandForElection() {
  if (!dispatcher_ || !backend_->shared()) return absl::OkStatus();
  log::KafkaOptions kafka = KafkaOptionsOf(Resolved(options_.config.log(), options_.kafka), options_.name);
  kafka.on_note = [this](log::KafkaNote, std::string_view text) {
    if (options_.on_note) options_.on_note(std::string(text));
  };
  auto ownership = log::KafkaOwnership::Stand(kafka, log::Topic::kControl, "dispatchers", [this](bool owner) {
    fold_loop_.Post([this, owner] { dispatcher_->SetOwner(owner); });
  });
  if (!ownership.ok()) return ownership.status();
  ownership_ = std::move(*ownership);
  return absl::OkStatus();
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
  if (!dispatcher_) return {};
  return fold_loop_.Call([this] { return dispatcher_->zone_view(); }).value_or(dispatcher::ZoneView{});
}

bool Node::Idle() {
  const auto idle = [this] {
    if (fold_->ledger().open_jobs() != 0 || fold_->Lag() != 0) return false;
    return !dispatcher_ || !options_.serve_zone || dispatcher_->quiet();
  };
  return fold_ == nullptr || fold_loop_.Call(idle).value_or(false);
}

void Node::Hurry() {
  if (!options_.roles.workers) return;
  worker_loop_.Post([this] {
    if (workers_) workers_->BeginShutdown(worker::Shutdown::kAtOnce, Millis(0), [] {});
    if (!browsers_gone_ && browsers_) browsers_->Hurry();
  });
}

void Node::Stop(Millis drain_timeout) {
  if (!std::exchange(running_, false)) return;
  StopServing();
  if (dispatcher_) fold_loop_.Call([this] { dispatcher_->Stop(); });  // places nothing more
  ownership_.reset();
  StopWorkers(drain_timeout);
  StopFold();
  append_times_ = nullptr;
  fold_.reset();
  api_.reset();
  backend_.reset();
  companion_.reset();
}

void Node::StopWorkers(Millis drain_timeout) {
  if (workers_) {
    std::promise<void> done;
    worker_loop_.Post([&] {
      const auto mode = drain_timeout.count() > 0 ? worker::Shutdown::kDrain : worker::Shutdown::kAtOnce;
      workers_->BeginShutdown(mode, drain_timeout, [&] { done.set_value(); });
    });
    done.get_future().wait();
    if (browsers_) browsers_->Stop(kBrowserPatience);
    // Each tells the other: first the workers tell nothing more, then the browsers are gone, then the
    // workers.
    worker_loop_.Call([this] {
      workers_->OnBrowserUse(nullptr);
      browsers_gone_ = true;
    });
    browsers_.reset();
    worker_loop_.Call([this] { workers_.reset(); });
  }
  worker_loop_.Stop();
  worker_loop_.Join();
  executor_.reset();
}

void Node::StopFold() {
  if (fold_) {
    std::promise<void> folded;
    fold_loop_.Call([&] { fold_->Close([&] { folded.set_value(); }); });
    folded.get_future().wait();
    fold_loop_.Call([this] {  // their timers are the loop's
      reaper_.reset();
      dispatcher_.reset();
    });
  }
  fold_loop_.Stop();
  fold_loop_.Join();
}

}  // namespace laneway::node
