// exec_bench.cc: children a second through CompanionExecutor, next to bare posix_spawn + waitpid with the
// same number in flight.
//
//   exec_bench [--children 3000] [--in-flight 4] [--rounds 3] [--noops 2000000] [--only 1|2]
//
// --only 1 runs ours alone, 2 the bare one: for a profiler or time(1), which counts the companion as well.
//
// Rounds of both alternate, because the machine may be shared; the medians are compared. Prints JSON.
#include <spawn.h>
#include <sys/wait.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>
#include <vector>

#include "worker/executor/builtin_executor.h"
#include "worker/executor/companion_executor.h"

namespace laneway::worker {
namespace {

using Clock = std::chrono::steady_clock;

double Seconds(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

double BarePosixSpawn(int children, int in_flight) {
  std::atomic<int> left{children};
  const auto begin = Clock::now();
  std::vector<std::thread> threads;
  for (int i = 0; i < in_flight; i++) {
    threads.emplace_back([&left] {
      char name[] = "/bin/true";
      char path[] = "PATH=/usr/bin:/bin";
      char* argv[] = {name, nullptr};
      char* environment[] = {path, nullptr};
      while (left.fetch_sub(1) > 0) {
        pid_t pid = 0;
        if (posix_spawn(&pid, "/bin/true", nullptr, nullptr, argv, environment) != 0) std::abort();
        waitpid(pid, nullptr, 0);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  return children / Seconds(begin);
}

class Load {
 public:
  explicit Load(const std::shared_ptr<Companion>& companion)
      : executor_(companion, [this](ExecutorEvent event) { On(std::move(event)); }) {}

  double Run(int children, int in_flight) {
    left_ = children - in_flight;
    ended_ = 0;
    failed_ = 0;
    const auto begin = Clock::now();
    for (int i = 0; i < in_flight; i++) StartOne();
    std::unique_lock lock(mutex_);
    done_.wait(lock, [&] { return ended_ >= children; });
    if (failed_ > 0) std::fprintf(stderr, "%d children failed\n", failed_.load());
    return children / Seconds(begin);
  }

 private:
  void StartOne() {
    RunSpec spec;
    spec.key = {{JobId{1, 2}, next_++}, 1};
    spec.worker = WorkerId("DTF-01");
    spec.argv = {"/bin/true"};
    spec.environment = {"PATH=/usr/bin:/bin"};
    spec.log_path = "/tmp/laneway-exec-bench.log";
    executor_.Start(std::move(spec));
  }
  void On(ExecutorEvent event) {
    const auto* ended = std::get_if<Ended>(&event);
    if (ended == nullptr) return;
    if (!ended->ok) failed_++;
    if (left_-- > 0) StartOne();
    const std::lock_guard lock(mutex_);
    ended_++;
    done_.notify_one();
  }

  std::atomic<uint32_t> next_{1};
  std::atomic<int> left_{0};
  std::atomic<int> failed_{0};
  int ended_ = 0;
  std::mutex mutex_;
  std::condition_variable done_;
  CompanionExecutor executor_;
};

double Noops(int count) {
  int ok = 0;
  BuiltinExecutor executor([&ok](ExecutorEvent event) { ok += std::get<Ended>(event).ok ? 1 : 0; });
  RunSpec spec;
  spec.handler = "noop";
  const auto begin = Clock::now();
  for (int i = 0; i < count; i++) {
    spec.key.task.n = static_cast<uint32_t>(i);
    executor.Start(spec);
  }
  return ok == count ? count / Seconds(begin) : 0;
}

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

int Main(int argc, char** argv) {
  int children = 3000, in_flight = 4, rounds = 3, noops = 2000000, only = 0;
  for (int i = 1; i + 1 < argc; i += 2) {
    const int value = std::atoi(argv[i + 1]);
    if (std::strcmp(argv[i], "--children") == 0) children = value;
    if (std::strcmp(argv[i], "--in-flight") == 0) in_flight = value;
    if (std::strcmp(argv[i], "--rounds") == 0) rounds = value;
    if (std::strcmp(argv[i], "--noops") == 0) noops = value;
    if (std::strcmp(argv[i], "--only") == 0) only = value;
  }
  auto launched = Companion::Launch();
  if (!launched.ok()) {
    std::fprintf(stderr, "%s\n", std::string(launched.status().message()).c_str());
    return 1;
  }
  Load load(std::shared_ptr<Companion>(std::move(*launched)));
  std::vector<double> ours, bare;
  for (int i = 0; i < rounds; i++) {
    bare.push_back(only == 1 ? 1 : BarePosixSpawn(children, in_flight));
    ours.push_back(only == 2 ? 1 : load.Run(children, in_flight));
  }
  std::printf(
      "{\"children_per_second\": %.0f, \"posix_spawn_per_second\": %.0f, \"ratio\": %.3f, \"in_flight\": %d, "
      "\"children\": %d, "
      "\"rounds\": %d, \"noops_per_second\": %.0f}\n",
      Median(ours), Median(bare), Median(ours) / Median(bare), in_flight, children, rounds, Noops(noops));
  return 0;
}

}  // namespace
}  // namespace laneway::worker

int main(int argc, char** argv) {
  if (auto code = laneway::worker::CompanionMain(argc, argv)) return *code;
  return laneway::worker::Main(argc, argv);
}
