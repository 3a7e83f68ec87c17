#include "cli/up.h"

#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "cli/command.h"
#include "cli/exit_codes.h"
#include "cli/output.h"
#include "cli/progress.h"
#include "node/node.h"
#include "ops/clock.h"
#include "ops/logging.h"
#include "ops/version.h"

namespace laneway::cli {
namespace {

using Steady = std::chrono::steady_clock;

// SIGINT and SIGTERM as something to wait for; blocked in every thread that is started after this. SIGPIPE is
// nobody's business.
class Signals {
 public:
  Signals() {
    signal(SIGPIPE, SIG_IGN);
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &set, nullptr);
    fd_ = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
  }
  ~Signals() { close(fd_); }
  // 0 when none came in time.
  int Wait(Millis timeout) const {
    pollfd wanted{fd_, POLLIN, 0};
    if (poll(&wanted, 1, static_cast<int>(timeout.count())) != 1) return 0;
    signalfd_siginfo info;
    return read(fd_, &info, sizeof info) == sizeof info ? static_cast<int>(info.ssi_signo) : 0;
  }

 private:
  int fd_ = -1;
};

std::string Seconds(double seconds) {
  if (seconds < 0.0095) return absl::StrFormat("%.1f ms", seconds * 1000);
  if (seconds < 0.9995) return absl::StrFormat("%.0f ms", seconds * 1000);
  if (seconds < 120) return absl::StrFormat("%.1f s", seconds);
  return absl::StrFormat("%.0f min %02.0f s", std::floor(seconds / 60),
                         seconds - 60 * std::floor(seconds / 60));
}

uint64_t Count(const std::array<uint64_t, kTaskStates>& states, TaskState state) {
  return states[static_cast<size_t>(state)];
}

void ShowProgress(ProgressBar& bar, const node::TallyView& view) {
  const uint64_t ended = Count(view.tasks_ended, TaskState::kSucceeded) +
                         Count(view.tasks_ended, TaskState::kDead) +
                         Count(view.tasks_ended, TaskState::kCancelled);
  const uint64_t open = Count(view.tasks_now, TaskState::kPending) +
                        Count(view.tasks_now, TaskState::kAssigned) +
                        Count(view.tasks_now, TaskState::kRunning);
  std::string note = absl::StrCat(Count(view.tasks_now, TaskState::kRunning), " running");
  if (view.retries != 0) absl::StrAppend(&note, ", ", view.retries, " retries");
  if (const uint64_t dead = Count(view.tasks_ended, TaskState::kDead); dead != 0)
    absl::StrAppend(&note, ", ", dead, " dead");
  bar.Show(ended, ended + open, note);
}

// What is there now: names that wait for their owner (*.part, dot files) are never taken.
uint64_t FilesBelow(const std::string& folder) {
  namespace fs = std::filesystem;
  uint64_t files = 0;
  std::error_code error;
  for (fs::recursive_directory_iterator at(folder, fs::directory_options::skip_permission_denied, error), end;
       !error && at != end; at.increment(error)) {
    std::error_code unknown;
    files += !at->is_directory(unknown);
  }
  return files;
}

void PrintSummary(const node::TallyView& view, const dispatcher::ZoneView& zone, const std::string& zone_path,
                  double seconds) {
  const uint64_t succeeded = Count(view.tasks_ended, TaskState::kSucceeded),
                 dead = Count(view.tasks_ended, TaskState::kDead),
                 cancelled = Count(view.tasks_ended, TaskState::kCancelled);
  std::printf("\n%s tasks ended in %s (%.1f a second): %s succeeded, %s dead, %s cancelled\n",
              absl::StrCat(succeeded + dead + cancelled).c_str(), Seconds(seconds).c_str(),
              static_cast<double>(succeeded + dead + cancelled) / std::max(seconds, 0.001),
              absl::StrCat(succeeded).c_str(), absl::StrCat(dead).c_str(), absl::StrCat(cancelled).c_str());
  std::printf("  attempts    %s, of them %s retries; %s given to another worker after a loss\n",
              absl::StrCat(view.attempts).c_str(), absl::StrCat(view.retries).c_str(),
              absl::StrCat(view.republished).c_str());
  if (view.attempts != 0) {
    std::printf("  script run  p50 %s, p99 %s\n", Seconds(view.run_p50).c_str(),
                Seconds(view.run_p99).c_str());
    std::printf("  due→start   p50 %s, p99 %s\n", Seconds(view.wait_p50).c_str(),
                Seconds(view.wait_p99).c_str());
  }
  std::printf("\nFiles by place (%s)\n", zone_path.c_str());
  for (const char* place : {"completed", "failed", "quarantine"}) {
    const auto found = view.places.find(place);
    uint64_t files = found == view.places.end() ? 0 : found->second;
    if (std::string_view(place) == "quarantine") files += zone.refused;
    std::printf("  %-12s%8s\n", place, absl::StrCat(files).c_str());
  }
  std::printf("  %-12s%8s\n", "incoming", absl::StrCat(FilesBelow(zone_path + "/incoming")).c_str());
  std::printf("\n%-12s%8s%11s%8s%8s\n", "Worker", "runs", "succeeded", "failed", "busy");
  for (const auto& [worker, tally] : view.workers) {
    if (worker.empty()) continue;
    std::printf("%-12s%8s%11s%8s%7.0f%%\n", worker.c_str(), absl::StrCat(tally.started).c_str(),
                absl::StrCat(tally.succeeded).c_str(), absl::StrCat(tally.failed).c_str(),
                100 * tally.busy_seconds / std::max(seconds, 0.001));
  }
  if (!view.dead.empty()) std::printf("\nDead letters\n");
  for (const node::DeadTask& task : view.dead) {
    std::string reason = task.reason.substr(0, task.reason.find('\n'));
    std::printf("  %s  %s  after %u attempt%s: %s\n", task.job.c_str(), task.name.c_str(), task.attempts,
                task.attempts == 1 ? "" : "s", reason.c_str());
  }
  if (view.dead_not_shown != 0)
    std::printf("  … and %s more: laneway dead ls\n", absl::StrCat(view.dead_not_shown).c_str());
  std::fflush(stdout);
}

int ExitFor(const absl::Status& status) {
  Complain(std::string(status.message()));
  return absl::IsInvalidArgument(status) ? kUsage : kFailed;
}

node::NodeOptions FleetOptions(const UpOptions& options, const ops::EffectiveConfig& config) {
  node::NodeOptions fleet;
  fleet.config = config.values;
  fleet.api_token = config.api_token;
  fleet.kafka = config.kafka;
  fleet.version = std::string(ops::Version());
  fleet.roles = options.roles;
  fleet.name = options.id.empty() ? options.name : options.id;
  if (!options.id.empty()) {
    fleet.workers.emplace_back(options.id);
  } else if (options.roles.workers) {
    for (const std::string& name : ops::WorkerNames(config.values.worker())) fleet.workers.emplace_back(name);
  }
  fleet.on_alert = [](const v1::Alert& alert) {
    const auto level = alert.severity() == v1::CRITICAL ? ops::LogLevel::kError : ops::LogLevel::kWarning;
    ops::Log(level, "dispatcher", alert.message()).With("about", alert.subject()).With("kind", alert.kind());
  };
  fleet.on_log_health = [](const log::EngineHealth& health) {
    const std::string text =
        health.ok ? "There is space for the record log again: work goes on" : health.message;
    ops::Log(health.ok ? ops::LogLevel::kInfo : ops::LogLevel::kError, "laneway", text);
  };
  fleet.on_line = [](const WorkerId& worker, const std::string& text, bool good) {
    ops::Log(good ? ops::LogLevel::kInfo : ops::LogLevel::kWarning, worker.name, text);
  };
  return fleet;
}

std::string AddressText(const std::optional<ops::ListenAddress>& address) {
  return address ? "http://" + address->ToString() : "off";
}

// Runs until a signal, a fatal error, or (when wanted) until nothing is left to do. 0, or the signal's
// number.
int Watch(node::Node& fleet, const Signals& signals, const UpOptions& options,
          const std::atomic<bool>& failed) {
  ProgressBar bar(StderrIsTerminal(), ops::RealClock::Get());
  const bool progress = options.until_idle && !options.quiet;
  int quiet_looks = 0;
  while (!failed) {
    if (const int signal = signals.Wait(Millis(options.until_idle ? 100 : 500)); signal != 0) return signal;
    if (progress) ShowProgress(bar, fleet.View());
    if (!options.until_idle) continue;
    quiet_looks = fleet.Idle() ? quiet_looks + 1 : 0;
    if (quiet_looks >= 3) return 0;  // looked at more than once: a file may have come between two looks
  }
  return 0;
}

}  // namespace

int RunUp(const UpOptions& options, const ops::EffectiveConfig& config) {
  const ops::LogLevel level = options.quiet     ? ops::LogLevel::kWarning
                              : options.verbose ? ops::LogLevel::kDebug
                                                : ops::LogLevel::kInfo;
  ops::InitLogging({.level = level, .json = options.json_logs, .colour = ColourWanted(StderrIsTerminal())});
  const Signals signals;
  std::atomic<bool> failed{false};
  node::NodeOptions wanted = FleetOptions(options, config);
  wanted.on_fatal = [&](const absl::Status& status) {
    ops::Log(ops::LogLevel::kError, "laneway", std::string(status.message()));
    failed = true;
  };
  wanted.on_note = [](const std::string& text) { ops::Log(ops::LogLevel::kWarning, "laneway", text); };
  int signal_at_start = 0;
  wanted.give_up = [&](Millis wait) { return (signal_at_start = signals.Wait(wait)) != 0; };
  // A batch run, or one process of several, does not fail because another has the addresses nobody asked this
  // one to use.
  const auto by_default = [&](const char* path) {
    const auto origin = config.origins.find(path);
    return (options.until_idle || !options.roles.dispatcher || !options.roles.workers) &&
           origin != config.origins.end() && origin->second == "default";
  };
  wanted.api_optional = by_default("api.listen");
  wanted.metrics_optional = by_default("metrics.listen");
  wanted.on_not_served = [](const absl::Status& status) {
    ops::Log(ops::LogLevel::kWarning, "laneway", "Not served: " + std::string(status.message()));
  };
  const auto begun = Steady::now();
  const size_t workers = wanted.workers.size();
  auto fleet = node::Node::Start(std::move(wanted));
  if (absl::IsCancelled(fleet.status())) {  // a signal, before there was anything to hand back
    ops::Log(ops::LogLevel::kInfo, "laneway", std::string(fleet.status().message()));
    return options.until_idle ? 128 + signal_at_start : kDone;
  }
  if (!fleet.ok()) return ExitFor(fleet.status());
  ops::Log(ops::LogLevel::kInfo, "laneway", "Fleet started")
      .With("workers", static_cast<uint64_t>(workers))
      .With("zone", config.values.zone().path())
      .With("data", config.values.log().data())
      .With("api", AddressText((*fleet)->api_address()))
      .With("metrics", AddressText((*fleet)->metrics_address()));
  const int signal = Watch(**fleet, signals, options, failed);
  if (signal != 0)
    ops::Log(ops::LogLevel::kInfo, "laneway", "Stopping: what runs may end")
        .With("drain_timeout_ms", config.values.worker().drain_timeout_ms());
  const dispatcher::ZoneView zone = (*fleet)->Zone();
  // A second signal stops at once.
  std::atomic<bool> stopped{false};
  std::thread impatient([&] {
    while (!stopped) {
      if (signals.Wait(Millis(50)) != 0) (*fleet)->Hurry();
    }
  });
  (*fleet)->Stop(Millis(config.values.worker().drain_timeout_ms()));
  stopped = true;
  impatient.join();
  const node::TallyView view = (*fleet)->View();
  if (options.until_idle && signal == 0 && !failed) {
    PrintSummary(view, zone, config.values.zone().path(),
                 std::chrono::duration<double>(Steady::now() - begun).count());
    return Count(view.tasks_ended, TaskState::kDead) != 0 ? kFailed : kDone;
  }
  if (failed) return kFailed;
  return options.until_idle ? 128 + signal : kDone;
}

}  // namespace laneway::cli
