#include "measure/measure.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <thread>
#include <unordered_map>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "measure/raw.h"
#include "node/node.h"
#include "ops/config.h"
#include "ops/random_ids.h"

namespace laneway::measure {
namespace {

using Steady = std::chrono::steady_clock;
double Since(Steady::time_point begun) {
  return std::chrono::duration<double>(Steady::now() - begun).count();
}

// A folder of ours, gone when this is.
class Room {
 public:
  explicit Room(const std::string& below)
      : path_((below.empty() ? std::filesystem::temp_directory_path().string() : below) + "/laneway-bench-" +
              std::to_string(getpid())) {
    std::filesystem::create_directories(path_);
  }
  ~Room() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

// `capacity`: slots of each worker when nobody asked for a number. A slot waits for the syncs of its task:
// many slots share them.
absl::StatusOr<node::NodeOptions> FleetIn(const std::string& folder, const MeasureOptions& options, bool zone,
                                          uint32_t capacity = 1) {
  if (options.capacity != 0) capacity = options.capacity;
  ops::ConfigSources sources;
  sources.flags = {{"log.data=" + folder + "/data", "--data"},
                   {"worker.in_process_thread_count=" + std::to_string(options.workers), "--workers"},
                   {"worker.capacity=" + std::to_string(capacity), "--capacity"},
                   {"zone.path=" + folder + "/zone", "--zone"},
                   {"job.handler=noop", "--handler"}};
  if (!options.brokers.empty()) {
    sources.flags.push_back({"log.backend=kafka", "--brokers"});
    sources.flags.push_back({"log.brokers=" + options.brokers, "--brokers"});
    sources.flags.push_back({"log.prefix=laneway-bench-" + std::to_string(getpid()) + ".", "--brokers"});
  }
  for (const std::string& setting : options.settings) sources.flags.push_back({setting, "--set"});
  const ops::ConfigResult loaded = ops::LoadConfig(sources);
  if (!loaded.config)
    return absl::InvalidArgumentError(loaded.problems.empty() ? "no configuration"
                                                              : loaded.problems[0].ToString());
  node::NodeOptions fleet;
  fleet.config = loaded.config->values;
  for (const std::string& name : ops::WorkerNames(fleet.config.worker())) fleet.workers.emplace_back(name);
  fleet.serve_zone = zone;
  return fleet;
}

// A fleet that is ready: topics made, dispatcher active.
absl::StatusOr<std::unique_ptr<node::Node>> StartFleet(node::NodeOptions options) {
  const v1::LogConfig& config = options.config.log();
  if (config.backend() == "kafka") {
    auto log = log::KafkaLog::Open(node::KafkaOptionsOf(config, "bench"));
    if (!log.ok()) return log.status();
    if (absl::Status status = (*log)->Reach(std::chrono::seconds(15)); !status.ok()) return status;
    const auto workers = static_cast<uint32_t>(options.workers.size());
    if (absl::Status status = node::EnsureTopics(**log, config, workers); !status.ok()) return status;
  }
  auto fleet = node::Node::Start(std::move(options));
  if (!fleet.ok()) return fleet.status();
  const auto active = [&] { return (*fleet)->dispatcher().dispatcher()->active(); };
  for (int i = 0; i < 3000 && !(*fleet)->fold_loop().Call(active).value_or(false); i++)
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  return fleet;
}

v1::Event Job(const JobId& id, const std::string& handler, uint32_t tasks) {
  v1::Event event;
  event.set_job_id(id.ToBytes());
  v1::JobSubmitted& job = *event.mutable_job_submitted();
  job.set_name("bench");
  job.set_source(v1::API);
  job.mutable_spec()->set_handler(handler);
  if (handler.empty()) job.mutable_spec()->add_exec("/bin/true");
  for (uint32_t i = 0; tasks > 1 && i < tasks; i++) job.add_tasks();
  return event;
}

void Tell(const MeasureOptions& options, const std::string& line) {
  if (options.progress) options.progress(line);
}

// Keeps the fleet busy: submits until `count` tasks are in, never more than `window` ahead of what has ended.
class Feeder {
 public:
  Feeder(node::Node& fleet, std::string handler, uint64_t count, uint32_t tasks_per_job)
      : fleet_(fleet),
        handler_(std::move(handler)),
        count_(count),
        tasks_per_job_(tasks_per_job),
        before_(AllEnded()) {}

  absl::Status Run(uint64_t window, const std::function<void(uint64_t)>& progress) {
    const uint32_t partitions = fleet_.fold().ledger().partitions();
    log::Log& log = fleet_.backend().LogAs("bench");
    uint64_t submitted = 0;
    for (;;) {
      const uint64_t ended = Ended();
      if (ended >= count_) return absl::OkStatus();
      if (progress) progress(ended);
      if (submitted >= count_ || submitted - ended >= window || appends_ >= 8) {
        std::this_thread::yield();
        std::unique_lock lock(mutex_);
        changed_.wait_for(lock, std::chrono::microseconds(500));
        if (!failed_.ok()) return failed_;
        continue;
      }
      std::vector<log::NewRecord> records;
      while (records.size() * tasks_per_job_ < 256 && submitted < count_) {
        const v1::Event event = Job(ops::NewJobId(), handler_, tasks_per_job_);
        records.push_back(fold::RecordOf(event, fold::PartitionOf(event, partitions)));
        submitted += tasks_per_job_;
      }
      appends_++;
      log.Append(std::move(records), [this](const absl::Status& status, std::span<const Offset>) {
        const std::lock_guard lock(mutex_);
        appends_--;
        if (!status.ok()) failed_ = status;
        changed_.notify_one();
      });
    }
  }

 private:
  uint64_t Ended() const { return AllEnded() - before_; }
  uint64_t AllEnded() const {
    const auto ended = fleet_.View().tasks_ended;
    return ended[static_cast<size_t>(TaskState::kSucceeded)] + ended[static_cast<size_t>(TaskState::kDead)];
  }

  node::Node& fleet_;
  const std::string handler_;
  const uint64_t count_;
  const uint32_t tasks_per_job_;
  const uint64_t before_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::atomic<int> appends_{0};
  absl::Status failed_;
};

// Topics that were just made, connections and a broker's just-in-time compiler cost the first tasks seconds.
absl::Status WarmUp(node::Node& fleet, const MeasureOptions& options) {
  if (options.brokers.empty()) return absl::OkStatus();
  Tell(options, "warms up");
  return Feeder(fleet, "noop", options.warm_up, 1)
      .Run(std::max<uint64_t>(500, options.warm_up / 10), nullptr);
}

struct Cost {
  Steady::time_point begun = Steady::now();
  double cpu = CpuSeconds();
};

std::string CostJson(const Cost& cost, double tasks) {
  const double seconds = Since(cost.begun), cpu = CpuSeconds() - cost.cpu;
  return absl::StrFormat(
      "\"seconds\": %.3f, \"per_second\": %.0f, \"cpu_us_each\": %.1f, \"cpu_seconds_per_1000\": %.4f, "
      "\"cores_used\": %.2f, \"memory_peak_mib\": %.0f",
      seconds, tasks / seconds, cpu / tasks * 1e6, cpu / tasks * 1000, cpu / seconds, PeakResidentMib());
}

}  // namespace

absl::StatusOr<std::string> MeasureTasks(const MeasureOptions& options) {
  const Room room(options.folder);
  Tell(options, "raw limit: RocksDB synced writes");
  const RawWrites raw = RawSyncedWrites(room.path(), 2);
  // A step on Kafka takes longer than a sync: more tasks must be under way to keep the cores busy.
  auto configured = FleetIn(room.path(), options, false, options.brokers.empty() ? 512 : 2048);
  if (!configured.ok()) return configured.status();
  const uint32_t capacity = configured->config.worker().capacity();
  const uint64_t count = options.count != 0 ? options.count : 500000;
  auto fleet = StartFleet(std::move(*configured));
  if (!fleet.ok()) return fleet.status();
  const double idle_mib = ResidentMib();
  if (absl::Status status = WarmUp(**fleet, options); !status.ok()) return status;
  Tell(options, absl::StrCat(count, " no-op tasks, submitted and processed at the same time"));
  const Cost cost;
  Feeder feeder(**fleet, "noop", count, std::max(1U, options.tasks_per_job));
  if (absl::Status status = feeder.Run(20000, nullptr); !status.ok()) return status;
  const std::string figures = CostJson(cost, static_cast<double>(count));
  const double per_second = static_cast<double>(count) / Since(cost.begun);
  const log::EngineStats stats = (*fleet)->backend().Stats();
  return absl::StrFormat(
      "{\"measure\": \"tasks\", \"tasks\": %u, \"tasks_per_job\": %u, \"workers\": %u, \"capacity\": %u, %s, "
      "\"records_per_task\": %.2f, \"syncs\": %u, \"memory_idle_mib\": %.1f, "
      "\"raw\": {\"rocksdb_synced_puts_per_second\": %.0f, "
      "\"rocksdb_synced_puts_in_batches_of_100_per_second\": %.0f, \"sync_p50_ms\": %.3f}, "
      "\"ratio_to_raw_batched_puts\": %.2f}",
      count, options.tasks_per_job, options.workers, capacity, figures,
      static_cast<double>(stats.records) / static_cast<double>(count), stats.syncs, idle_mib,
      raw.single_per_second, raw.batched_per_second, raw.sync_p50_ms, per_second / raw.batched_per_second);
}

namespace {

// Notes when each task was submitted, and how long it took to start.
class StartWatch : public fold::FoldListener {
 public:
  void Submitted(const JobId& job) {
    const std::lock_guard lock(mutex_);
    submitted_[job] = Steady::now();
  }
  void OnEvent(uint32_t, Offset, LogTime, const v1::Event& event, FoldVerdict verdict,
               std::span<const Change>) override {
    if (verdict != FoldVerdict::kAccepted || !event.has_task_started()) return;
    const std::lock_guard lock(mutex_);
    const auto job = JobId::FromBytes(event.job_id());
    const auto found = job ? submitted_.find(*job) : submitted_.end();
    if (found == submitted_.end()) return;
    times_.push_back(Since(found->second));
    submitted_.erase(found);
  }
  void OnBatchEnd(bool) override {}
  std::vector<double> Times() const {
    const std::lock_guard lock(mutex_);
    std::vector<double> times = times_;
    std::sort(times.begin(), times.end());
    return times;
  }

 private:
  mutable std::mutex mutex_;
  std::unordered_map<JobId, Steady::time_point> submitted_;
  std::vector<double> times_;
};

double At(const std::vector<double>& sorted, double q) {
  return sorted.empty() ? 0 : sorted[static_cast<size_t>(q * static_cast<double>(sorted.size() - 1))] * 1000;
}

}  // namespace

absl::StatusOr<std::string> MeasureLatency(const MeasureOptions& options) {
  const Room room(options.folder);
  const RawWrites raw = RawSyncedWrites(room.path(), 2);
  auto configured = FleetIn(room.path(), options, false);
  if (!configured.ok()) return configured.status();
  auto fleet = StartFleet(std::move(*configured));
  if (!fleet.ok()) return fleet.status();
  const uint64_t count = options.count != 0 ? options.count : 2000;
  if (absl::Status status = WarmUp(**fleet, options); !status.ok()) return status;
  StartWatch watch;
  (*fleet)->fold_loop().Call([&] { (*fleet)->fold().AddListener(&watch); });
  log::Log& log = (*fleet)->backend().LogAs("bench");
  Tell(options, absl::StrFormat("%u tasks at %.0f a second", count, options.per_second));
  const Cost cost;
  for (uint64_t i = 0; i < count; i++) {
    std::this_thread::sleep_until(
        cost.begun + std::chrono::duration_cast<Steady::duration>(
                         std::chrono::duration<double>(static_cast<double>(i) / options.per_second)));
    const JobId id = ops::NewJobId();
    const v1::Event event = Job(id, "noop", 1);
    watch.Submitted(id);
    log.Append({fold::RecordOf(event, fold::PartitionOf(event, (*fleet)->fold().ledger().partitions()))},
               [](const absl::Status&, std::span<const Offset>) {});
  }
  for (int i = 0; i < 500 && watch.Times().size() < count; i++)
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  const std::vector<double> times = watch.Times();
  const std::string figures = CostJson(cost, static_cast<double>(count));
  (*fleet)->Stop(Millis(0));
  return absl::StrFormat(
      "{\"measure\": \"latency\", \"tasks\": %u, \"started\": %u, \"submit_to_start_ms\": {\"p50\": %.3f, "
      "\"p90\": %.3f, \"p99\": %.3f, \"max\": %.3f}, %s, "
      "\"raw\": {\"sync_p50_ms\": %.3f}, \"syncs_in_a_row_at_p50\": %.1f}",
      count, times.size(), At(times, 0.5), At(times, 0.9), At(times, 0.99), At(times, 1), figures,
      raw.sync_p50_ms, raw.sync_p50_ms > 0 ? At(times, 0.5) / raw.sync_p50_ms : 0);
}

absl::StatusOr<std::string> MeasureExec(const MeasureOptions& options) {
  const Room room(options.folder);
  Tell(options, "raw limit: posix_spawn of /bin/true from two threads");
  const double raw = RawSpawnsPerSecond(3);
  auto configured = FleetIn(room.path(), options, false, 64);
  if (!configured.ok()) return configured.status();
  auto fleet = StartFleet(std::move(*configured));
  if (!fleet.ok()) return fleet.status();
  const uint64_t count = options.count != 0 ? options.count : 10000;
  Tell(options, absl::StrCat(count, " children of /bin/true"));
  const Cost cost;
  Feeder feeder(**fleet, "", count, 1);
  if (absl::Status status = feeder.Run(2000, nullptr); !status.ok()) return status;
  const double per_second = static_cast<double>(count) / Since(cost.begun);
  const std::string figures = CostJson(cost, static_cast<double>(count));
  const double raw_after = RawSpawnsPerSecond(3);
  return absl::StrFormat(
      "{\"measure\": \"exec\", \"children\": %u, %s, \"raw\": {\"posix_spawn_per_second_before\": %.0f, "
      "\"posix_spawn_per_second_after\": %.0f}, \"ratio_to_raw\": %.2f}",
      count, figures, raw, raw_after, per_second / ((raw + raw_after) / 2));
}

absl::StatusOr<std::string> MeasureFiles(const MeasureOptions& options) {
  const Room room(options.folder);
  const double raw = RawRenamesPerSecond(room.path(), 2);
  auto configured = FleetIn(room.path(), options, true, 64);
  if (!configured.ok()) return configured.status();
  configured->config.mutable_zone()->set_settle_ms(0);
  const uint64_t count = options.count != 0 ? options.count : 20000;
  const std::string incoming = room.path() + "/zone/incoming";
  std::filesystem::create_directories(incoming);
  Tell(options, absl::StrCat("writes ", count, " files"));
  for (uint64_t i = 0; i < count; i++)
    std::ofstream(absl::StrFormat("%s/timesheet-%07u.csv", incoming, i)) << "agency,worker,hours\nA,B,7.5\n";
  Tell(options, absl::StrCat(count, " files through the zone"));
  const Cost cost;
  auto fleet = StartFleet(std::move(*configured));
  if (!fleet.ok()) return fleet.status();
  while (true) {
    const auto view = (*fleet)->View();
    uint64_t placed = 0;
    for (const auto& [place, files] : view.places) placed += files;
    if (placed >= count) break;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  const std::string figures = CostJson(cost, static_cast<double>(count));
  return absl::StrFormat(
      "{\"measure\": \"files\", \"files\": %u, %s, \"raw\": {\"renames_per_second\": %.0f}, "
      "\"ratio_to_raw\": %.3f}",
      count, figures, raw, static_cast<double>(count) / Since(cost.begun) / raw);
}

absl::StatusOr<std::string> MeasureScale(const MeasureOptions& options) {
  const Room room(options.folder);
  const uint64_t count = options.count != 0 ? options.count : 1000000;
  auto configured = FleetIn(room.path(), options, false);
  if (!configured.ok()) return configured.status();
  const node::NodeOptions saved = *configured;
  std::string filled, restarted, idle;
  {
    auto fleet = node::Node::Start(saved);
    if (!fleet.ok()) return fleet.status();
    const double before = ResidentMib();
    const Cost idling;
    std::this_thread::sleep_for(std::chrono::seconds(5));
    idle = absl::StrFormat("\"idle_memory_mib\": %.1f, \"idle_core_percent\": %.2f", before,
                           (CpuSeconds() - idling.cpu) / Since(idling.begun) * 100);
    Tell(options, absl::StrCat(count, " tasks that have to wait"));
    log::Log& log = (*fleet)->backend().LogAs("bench");
    std::atomic<int> flying{0};
    for (uint64_t sent = 0; sent < count;) {
      std::vector<log::NewRecord> records;
      for (int i = 0; i < 256 && sent < count; i++, sent++) {
        v1::Event event = Job(ops::NewJobId(), "noop", 1);
        event.mutable_job_submitted()->mutable_spec()->add_labels("nobody-has-this");
        records.push_back(
            fold::RecordOf(event, fold::PartitionOf(event, (*fleet)->fold().ledger().partitions())));
      }
      while (flying >= 8) std::this_thread::sleep_for(std::chrono::microseconds(100));
      flying++;
      log.Append(std::move(records), [&](const absl::Status&, std::span<const Offset>) { flying--; });
    }
    while ((*fleet)->View().tasks_now[0] < count || flying != 0)
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    filled = absl::StrFormat("\"bytes_per_waiting_task_resident\": %.0f",
                             (ResidentMib() - before) * 1048576 / static_cast<double>(count));
    (*fleet)->Stop(Millis(0));
  }
  Tell(options, "start from the snapshot");
  const Cost start;
  auto again = node::Node::Start(saved);
  if (!again.ok()) return again.status();
  restarted = absl::StrFormat("\"start_from_snapshot_seconds\": %.2f", Since(start.begun));
  const uint64_t waiting = (*again)->View().tasks_now[0];
  return absl::StrFormat(
      "{\"measure\": \"scale\", \"waiting_tasks\": %u, \"waiting_after_restart\": %u, %s, %s, %s}", count,
      waiting, idle, filled, restarted);
}

}  // namespace laneway::measure
