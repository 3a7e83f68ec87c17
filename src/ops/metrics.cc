#include "ops/metrics.h"

#include <dirent.h>
#include <prometheus/collectable.h>
#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>
#include <sys/resource.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdio>
#include <map>
#include <mutex>
#include <sstream>
#include <vector>

#include "ops/check.h"
#include "ops/clock.h"
#include "ops/text.h"
#include "ops/version.h"

namespace laneway::ops {
namespace {

constexpr size_t kLabelMax = 64;

struct Description {
  const char* name;
  const char* help;
  std::vector<std::string> labels;
};

// In the order of the enums.
const std::array<Description, 7> kCounters = {{
    {"laneway_jobs_total", "Jobs that reached a state.", {"state"}},
    {"laneway_tasks_total", "Tasks that reached a state.", {"state"}},
    {"laneway_task_attempts_total", "Attempts that ended, by how.", {"outcome"}},
    {"laneway_republished_total", "Attempts taken from a worker and given to others, by why.", {"reason"}},
    {"laneway_dead_letters_total", "Tasks that used up their attempts.", {}},
    {"laneway_browser_restarts_total", "Times a worker's browser was started again.", {"worker"}},
    {"laneway_events_ignored_total", "Events the fold did not accept, by why.", {"reason"}},
}};
const std::array<Description, 13> kGauges = {{
    {"laneway_tasks_pending", "Tasks that wait to be assigned.", {}},
    {"laneway_tasks_running", "Tasks that run.", {"worker"}},
    {"laneway_worker_up", "1 while the worker is alive, 0 while it is lost.", {"worker"}},
    {"laneway_worker_capacity", "Tasks the worker runs at once.", {"worker"}},
    {"laneway_browser_connected", "1 while the worker's browser is connected.", {"worker"}},
    {"laneway_heartbeat_age_seconds", "Time since the worker's last heartbeat.", {"worker"}},
    {"laneway_lane_backlog", "Packets on the lane that its worker has not finished.", {"lane", "worker"}},
    {"laneway_zone_files", "Files in the dispatch zone, by place.", {"place"}},
    {"laneway_zone_oldest_file_seconds", "Age of the oldest file in incoming/.", {}},
    {"laneway_dispatcher_active", "1 in the process whose dispatcher is active.", {}},
    {"laneway_dispatcher_epoch", "Epoch of the dispatcher.", {}},
    {"laneway_fold_lag_records", "Events that the fold has not read yet.", {}},
    {"laneway_autoscale_wanted_workers", "Workers that would clear the backlog in time.", {}},
}};
const std::array<Description, 3> kHistograms = {{
    {"laneway_task_duration_seconds", "How long successful attempts ran.", {}},
    {"laneway_dispatch_latency_seconds", "From due to started.", {}},
    {"laneway_log_append_seconds", "How long an append to the log took until it was durable.", {}},
}};

prometheus::Histogram::BucketBoundaries Buckets(Histogram histogram) {
  if (histogram == Histogram::kTaskDuration)
    return {0.001, 0.005, 0.02, 0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 7200};
  return {0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10};
}

prometheus::MetricFamily One(const char* name, const char* help, prometheus::MetricType type, double value) {
  prometheus::MetricFamily family{name, help, type, {}};
  prometheus::ClientMetric& metric = family.metric.emplace_back();
  (type == prometheus::MetricType::Counter ? metric.counter.value : metric.gauge.value) = value;
  return family;
}

// What every Prometheus client tells of its process.
class ProcessMetrics : public prometheus::Collectable {
 public:
  std::vector<prometheus::MetricFamily> Collect() const override {
    using prometheus::MetricType;
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    const auto seconds = [](const timeval& t) {
      return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6;
    };
    rlimit files{};
    getrlimit(RLIMIT_NOFILE, &files);
    unsigned long long virtual_pages = 0;
    unsigned long long resident_pages = 0;
    if (std::FILE* statm = std::fopen("/proc/self/statm", "re")) {
      if (std::fscanf(statm, "%llu %llu", &virtual_pages, &resident_pages) != 2) resident_pages = 0;
      std::fclose(statm);
    }
    const double page = static_cast<double>(sysconf(_SC_PAGESIZE));
    std::vector<prometheus::MetricFamily> out;
    out.push_back(One("process_cpu_seconds_total", "User and system CPU time.", MetricType::Counter,
                      seconds(usage.ru_utime) + seconds(usage.ru_stime)));
    out.push_back(One("process_resident_memory_bytes", "Resident memory.", MetricType::Gauge,
                      static_cast<double>(resident_pages) * page));
    out.push_back(One("process_virtual_memory_bytes", "Virtual memory.", MetricType::Gauge,
                      static_cast<double>(virtual_pages) * page));
    out.push_back(One("process_open_fds", "Open file descriptors.", MetricType::Gauge, OpenFiles()));
    out.push_back(One("process_max_fds", "Most file descriptors there may be.", MetricType::Gauge,
                      static_cast<double>(files.rlim_cur)));
    out.push_back(One("process_start_time_seconds", "Start of the process, since 1970.", MetricType::Gauge,
                      start_seconds_));
    return out;
  }

 private:
  static double OpenFiles() {
    DIR* folder = opendir("/proc/self/fd");
    if (folder == nullptr) return 0;
    int count = -1;  // not the one just opened
    while (const dirent* entry = readdir(folder)) count += entry->d_name[0] != '.';
    closedir(folder);
    return count;
  }

  const double start_seconds_ = static_cast<double>(RealClock::Get().Wall().ms) / 1000;
};

}  // namespace

class Metrics::Table {
 public:
  explicit Table(size_t series_max) : series_max_(series_max) {
    for (const Description& d : kCounters)
      counters_.emplace_back(d, prometheus::BuildCounter().Name(d.name).Help(d.help).Register(registry_));
    for (const Description& d : kGauges)
      gauges_.emplace_back(d, prometheus::BuildGauge().Name(d.name).Help(d.help).Register(registry_));
    for (size_t i = 0; i < kHistograms.size(); i++) {
      auto& family = prometheus::BuildHistogram()
                         .Name(kHistograms[i].name)
                         .Help(kHistograms[i].help)
                         .Register(registry_);
      histograms_.push_back(&family.Add({}, Buckets(static_cast<Histogram>(i))));
    }
    prometheus::BuildGauge()
        .Name("laneway_build_info")
        .Help("Version and commit of this process.")
        .Register(registry_)
        .Add({{"version", std::string(Version())}, {"commit", std::string(Commit())}})
        .Set(1);
    // A metric without labels is there from the start, as 0.
    for (size_t i = 0; i < kCounters.size(); i++) {
      if (kCounters[i].labels.empty()) Find(counters_[i], {}).Increment(0);
    }
    for (size_t i = 0; i < kGauges.size(); i++) {
      if (kGauges[i].labels.empty()) Find(gauges_[i], {}).Set(0);
    }
  }

  void Add(Counter counter, double by, Labels labels) {
    std::lock_guard lock(mutex_);
    Find(counters_[static_cast<size_t>(counter)], labels).Increment(by);
  }
  void Set(Gauge gauge, double value, Labels labels) {
    std::lock_guard lock(mutex_);
    Find(gauges_[static_cast<size_t>(gauge)], labels).Set(value);
  }
  void Observe(Histogram histogram, double seconds) {
    histograms_[static_cast<size_t>(histogram)]->Observe(seconds);
  }
  void ObserveMany(Histogram histogram, const std::vector<double>& counts, double sum) {
    histograms_[static_cast<size_t>(histogram)]->ObserveMultiple(counts, sum);
  }

  void Remove(Gauge gauge, Labels labels) {
    std::lock_guard lock(mutex_);
    auto& family = gauges_[static_cast<size_t>(gauge)];
    const auto at = family.series.find(Key(labels));
    if (at == family.series.end()) return;
    family.family.Remove(at->second);
    family.series.erase(at);
  }

  void RemoveWorker(std::string_view worker) {
    std::lock_guard lock(mutex_);
    const std::string name = LabelValue(worker);
    for (auto& family : counters_) RemoveWorkerFrom(family, name);
    for (auto& family : gauges_) RemoveWorkerFrom(family, name);
  }

  std::string Text() const {
    std::vector<prometheus::MetricFamily> families = registry_.Collect();
    for (auto& family : process_.Collect()) families.push_back(std::move(family));
    std::ostringstream out;
    prometheus::TextSerializer().Serialize(out, families);
    return std::move(out).str();
  }

 private:
  using LabelValues = std::vector<std::string>;
  template <class T>
  struct Family {
    Family(const Description& d, prometheus::Family<T>& f) : description(d), family(f) {}
    const Description& description;
    prometheus::Family<T>& family;
    std::map<LabelValues, T*> series;
  };

  static std::string LabelValue(std::string_view text) { return Printable(text, kLabelMax); }

  static LabelValues Key(Labels labels) {
    LabelValues key;
    for (std::string_view label : labels) key.push_back(LabelValue(label));
    return key;
  }

  template <class T>
  T& Find(Family<T>& family, Labels labels) {
    LANEWAY_CHECK(labels.size() == family.description.labels.size(),
                  "a metric with other labels than its own");
    LabelValues key = Key(labels);
    auto at = family.series.find(key);
    if (at == family.series.end() && family.series.size() >= series_max_) {
      for (std::string& value : key) value = "other";
      at = family.series.find(key);
    }
    if (at != family.series.end()) return *at->second;
    prometheus::Labels named;
    for (size_t i = 0; i < key.size(); i++) named[family.description.labels[i]] = key[i];
    return *family.series.emplace(key, &family.family.Add(named)).first->second;
  }

  template <class T>
  static void RemoveWorkerFrom(Family<T>& family, const std::string& worker) {
    const auto& labels = family.description.labels;
    if (labels.empty() || labels.back() != "worker") return;  // where there is one, it is the last
    for (auto at = family.series.begin(); at != family.series.end();) {
      if (at->first.back() != worker) {
        ++at;
        continue;
      }
      family.family.Remove(at->second);
      at = family.series.erase(at);
    }
  }

  const size_t series_max_;
  prometheus::Registry registry_;
  ProcessMetrics process_;
  std::mutex mutex_;
  std::vector<Family<prometheus::Counter>> counters_;
  std::vector<Family<prometheus::Gauge>> gauges_;
  std::vector<prometheus::Histogram*> histograms_;
};

Metrics::Metrics(size_t series_max) : table_(std::make_unique<Table>(series_max)) {}
Metrics::~Metrics() = default;
void Metrics::Add(Counter counter, double by, Labels labels) { table_->Add(counter, by, labels); }
void Metrics::Set(Gauge gauge, double value, Labels labels) { table_->Set(gauge, value, labels); }
void Metrics::Observe(Histogram histogram, double seconds) { table_->Observe(histogram, seconds); }
std::vector<double> Metrics::Bounds(Histogram histogram) { return Buckets(histogram); }
void Metrics::ObserveMany(Histogram histogram, const std::vector<double>& counts, double sum) {
  table_->ObserveMany(histogram, counts, sum);
}
void Metrics::Remove(Gauge gauge, Labels labels) { table_->Remove(gauge, labels); }
void Metrics::RemoveWorker(std::string_view worker) { table_->RemoveWorker(worker); }
std::string Metrics::Text() const { return table_->Text(); }

}  // namespace laneway::ops
