// node_workers.cc: the workers of a process: their stores, their membership, and what an earlier process left
// of them.
#include <algorithm>
#include <future>

#include "absl/strings/str_cat.h"
#include "node/browser_plan.h"
#include "node/node.h"
#include "ops/config.h"
#include "ops/random_ids.h"
#include "worker/executor/companion.h"
#include "worker/executor/last_words.h"
#include "worker/executor/make_executor.h"
#include "worker/executor/orphans.h"

namespace laneway::node {
namespace {

std::vector<std::string> Environment() {
  std::vector<std::string> environment;
  for (const auto& [name, value] : ops::ProcessEnvironment())
    environment.push_back(absl::StrCat(name, "=", value));
  return environment;
}

log::NewRecord RecordOf(const v1::WorkerRegistered& registered) {
  v1::ControlRecord control;
  *control.mutable_worker_registered() = registered;
  return fold::RecordOf(control);
}

}  // namespace

// Waits for an append, before any loop runs. What is said at a start may be said twice: the fold, or the last
// record of a key, makes one of it. So what may have happened is appended again as well.
absl::Status Node::AppendAndWait(const std::vector<log::NewRecord>& records) {
  if (records.empty()) return absl::OkStatus();
  const auto append = [&] {
    std::promise<absl::Status> done;
    backend_->LogAs("laneway").Append(
        records, [&](const absl::Status& status, std::span<const Offset>) { done.set_value(status); });
    return done.get_future().get();
  };
  if (!backend_->shared()) return append();
  return patience_.Asked([&] {
    const absl::Status status = append();
    return absl::IsUnknown(status) ? absl::UnavailableError(status.message()) : status;
  });
}

absl::Status Node::OpenWorkers() {
  if (!options_.roles.workers) return absl::OkStatus();
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

absl::Status Node::RegisterWorkers() {
  if (!options_.roles.workers) return absl::OkStatus();
  std::vector<log::NewRecord> records;
  for (size_t i = 0; i < options_.workers.size(); i++) {
    v1::WorkerRegistered registered;
    registered.set_worker(options_.workers[i].name);
    registered.set_incarnation(incarnation_.ToBytes());
    registered.set_store(opened_[i].store.ToBytes());
    registered.set_capacity(options_.config.worker().capacity());
    for (const std::string& label : options_.config.worker().labels()) registered.add_labels(label);
    records.push_back(RecordOf(registered));
  }
  if (!backend_->shared()) {
    if (absl::Status status = RetireOthers(&records); !status.ok()) return status;
  }
  return AppendAndWait(records);
}

// One process is the whole fleet: who was here before and is not named any more has left for good.
absl::Status Node::RetireOthers(std::vector<log::NewRecord>* records) {
  log::Log& log = backend_->LogAs("laneway");
  Members before;
  const auto range = log.Range({log::Topic::kControl, 0});
  if (!range.ok()) return range.status();
  for (Offset next = range->first; next < range->next;) {
    auto batch = log.Read({log::Topic::kControl, 0}, next, 1 << 20);
    if (!batch.ok()) return batch.status();
    for (const log::RecordView& record : batch->records) {
      v1::ControlRecord control;
      if (control.ParseFromArray(record.value.data(), static_cast<int>(record.value.size())))
        before.OnControl(control, record.offset);
    }
    next = batch->next_offset;
  }
  const auto beats = log.Range({log::Topic::kHeartbeats, 0});
  if (!beats.ok()) return beats.status();
  for (const auto& [id, member] : before.all()) {
    const bool named =
        std::find(options_.workers.begin(), options_.workers.end(), id) != options_.workers.end();
    if (!member.registered || named) continue;
    v1::WorkerRegistered gone;
    gone.set_worker(id.name);
    gone.set_removed(true);
    records->push_back(RecordOf(gone));
    v1::Event lost;
    lost.mutable_worker_lost()->set_worker(id.name);
    // Judges what it has said so far, and nothing that it says when it is named again.
    lost.mutable_worker_lost()->set_heartbeat_offset(beats->next);
    lost.mutable_worker_lost()->set_reason("removed");
    records->push_back(
        fold::RecordOf(lost, fold::PartitionOf(lost, options_.config.log().event_partitions())));
  }
  return absl::OkStatus();
}

// What the companion of a process that died saw and stopped (rule R2: appended after the scripts were
// stopped).
absl::Status Node::TellLastWords() {
  if (!options_.roles.workers) return absl::OkStatus();
  for (const worker::LastWordsFile& file : worker::ReadLastWords(data_)) {
    std::vector<log::NewRecord> records;
    for (const v1::WorkerLost& lost : file.words.lost()) {
      const auto own = std::find(options_.workers.begin(), options_.workers.end(), WorkerId(lost.worker()));
      if (own != options_.workers.end()) {
        // A worker that starts again on its own store reports itself what was interrupted. Not called lost,
        // it goes on with what it had queued; called lost, that runs elsewhere, and it hands its queue back.
        if (!backend_->shared()) continue;
        opened_[static_cast<size_t>(own - options_.workers.begin())].restored.away.reset();
      }
      v1::Event event;
      *event.mutable_worker_lost() = lost;
      records.push_back(
          fold::RecordOf(event, fold::PartitionOf(event, options_.config.log().event_partitions())));
    }
    if (!file.told) {
      if (absl::Status status = AppendAndWait(records); !status.ok()) return status;
    }
    if (absl::Status status = worker::ForgetLastWords(file); !status.ok()) return status;
  }
  return absl::OkStatus();
}

// What the workers have finished goes to the brokers as the offsets of a group, so that ordinary tools show
// the lag of each lane. Nothing here reads them back.
void Node::ShowLag() {
  constexpr std::chrono::seconds kEvery{5};
  if (!workers_) return;
  std::vector<std::pair<log::TopicPartition, Offset>> finished;
  for (const auto& [lane, below] : workers_->Finished()) {
    Offset& shown = lag_shown_[lane];
    if (shown != below) finished.push_back({{log::Topic::kLanes, lane}, below});
    shown = below;
  }
  const auto committed = [this](const absl::Status& status) {
    if (!status.ok()) worker_loop_.Post([this] { lag_shown_.clear(); });  // all is told again
  };
  if (!finished.empty()) backend_->kafka()->CommitOffsets("workers", finished, committed);
  worker_loop_.RunAfter(kEvery, [this] { ShowLag(); });
}

// What a browser's guard says goes to the worker and to people, and how the worker uses it to the guard.
absl::Status Node::OpenBrowsers() {
  if (!options_.roles.workers || !options_.config.browser().enabled()) return absl::OkStatus();
  std::vector<worker::BrowserSpec> specs;
  for (const WorkerId& id : options_.workers)
    specs.push_back(
        BrowserSpecOf(options_.config, id, static_cast<uint32_t>(specs.size() + 1), Environment()));
  browsers_ = std::make_unique<worker::Browsers>(clock_, std::move(specs),
                                                 [this](const WorkerId& worker, worker::BrowserNews news) {
                                                   for (const worker::BrowserLine& line : news.lines) {
                                                     if (options_.on_line)
                                                       options_.on_line(worker, line.text, line.good);
                                                   }
                                                   workers_->OnBrowser(worker, std::move(news));
                                                 });
  workers_->OnBrowserUse([this](const WorkerId& worker, const worker::BrowserUse& use) {
    if (browsers_) browsers_->OnUse(worker, use);
  });
  return absl::OkStatus();
}

absl::Status Node::AddWorkers() {
  if (!options_.roles.workers) return absl::OkStatus();
  const v1::Config& config = options_.config;
  const std::vector<std::string> environment = Environment();
  for (size_t i = 0; i < options_.workers.size(); i++) {
    worker::RunnerWorker one;
    one.options.id = options_.workers[i];
    one.options.store = opened_[i].store;
    one.options.incarnation = incarnation_;
    one.options.capacity = config.worker().capacity();
    one.options.labels.assign(config.worker().labels().begin(), config.worker().labels().end());
    one.options.heartbeat_interval = Millis(config.health().heartbeat_interval_ms());
    one.options.heartbeat_timeout = Millis(config.health().heartbeat_timeout_ms());
    one.options.has_browser = config.browser().enabled();
    // So often that silence for the timeout means something.
    one.options.browser_health_interval =
        std::min(one.options.heartbeat_interval, Millis(config.health().browser_timeout_ms()) / 3);
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
  return absl::OkStatus();
}

}  // namespace laneway::node
