#include "measure/raw.h"

#include <fcntl.h>
#include <rocksdb/db.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <memory>
#include <thread>
#include <vector>

namespace laneway::measure {
namespace {

using Steady = std::chrono::steady_clock;
double Since(Steady::time_point begun) {
  return std::chrono::duration<double>(Steady::now() - begun).count();
}

double StatusField(const char* name) {
  std::FILE* file = std::fopen("/proc/self/status", "re");
  if (file == nullptr) return 0;
  char line[256];
  double kib = 0;
  while (std::fgets(line, sizeof line, file) != nullptr) {
    if (std::string_view(line).starts_with(name))
      std::sscanf(line + std::string_view(name).size(), ": %lf", &kib);
  }
  std::fclose(file);
  return kib / 1024;
}

}  // namespace

RawWrites RawSyncedWrites(const std::string& folder, double seconds) {
  RawWrites raw;
  rocksdb::Options options;
  options.create_if_missing = true;
  options.compression = rocksdb::kNoCompression;
  rocksdb::DB* opened = nullptr;
  if (!rocksdb::DB::Open(options, folder + "/raw-rocksdb", &opened).ok()) return raw;
  const std::unique_ptr<rocksdb::DB> db(opened);
  rocksdb::WriteOptions synced;
  synced.sync = true;
  const std::string value(256, 'v');
  uint64_t key = 0;
  const auto next_key = [&key] { return std::to_string(100000000000 + key++); };
  std::vector<double> times;
  const auto begun = Steady::now();
  while (Since(begun) < seconds / 2) {
    const auto one = Steady::now();
    if (!db->Put(synced, next_key(), value).ok()) return raw;
    times.push_back(Since(one));
  }
  raw.single_per_second = static_cast<double>(times.size()) / Since(begun);
  std::nth_element(times.begin(), times.begin() + static_cast<std::ptrdiff_t>(times.size() / 2), times.end());
  raw.sync_p50_ms = times[times.size() / 2] * 1000;
  const auto batched = Steady::now();
  uint64_t puts = 0;
  while (Since(batched) < seconds / 2) {
    rocksdb::WriteBatch batch;
    for (int i = 0; i < 100; i++) batch.Put(next_key(), value);
    if (!db->Write(synced, &batch).ok()) return raw;
    puts += 100;
  }
  raw.batched_per_second = static_cast<double>(puts) / Since(batched);
  return raw;
}

double RawSpawnsPerSecond(double seconds) {
  std::atomic<uint64_t> spawned{0};
  const auto begun = Steady::now();
  const auto spawn = [&] {
    char program[] = "/bin/true";
    char* argv[] = {program, nullptr};
    char* environment[] = {nullptr};
    while (Since(begun) < seconds) {
      pid_t pid = 0;
      int status = 0;
      if (posix_spawn(&pid, program, nullptr, nullptr, argv, environment) != 0) return;
      waitpid(pid, &status, 0);
      spawned++;
    }
  };
  std::thread other(spawn);
  spawn();
  other.join();
  return static_cast<double>(spawned) / Since(begun);
}

double RawRenamesPerSecond(const std::string& folder, double seconds) {
  const std::string from = folder + "/raw-a", to = folder + "/raw-b";
  mkdir(from.c_str(), 0700);
  mkdir(to.c_str(), 0700);
  constexpr int kFiles = 1000;
  for (int i = 0; i < kFiles; i++) {
    const int fd = open((from + "/" + std::to_string(i)).c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    if (fd >= 0) close(fd);
  }
  uint64_t renames = 0;
  const auto begun = Steady::now();
  for (bool back = false; Since(begun) < seconds; back = !back) {
    for (int i = 0; i < kFiles; i++) {
      const std::string name = "/" + std::to_string(i);
      if (std::rename(((back ? to : from) + name).c_str(), ((back ? from : to) + name).c_str()) != 0)
        return 0;
      renames++;
    }
  }
  return static_cast<double>(renames) / Since(begun);
}

double CpuSeconds() {
  double total = 0;
  for (const int who : {RUSAGE_SELF, RUSAGE_CHILDREN}) {
    rusage usage{};
    getrusage(who, &usage);
    for (const timeval& time : {usage.ru_utime, usage.ru_stime})
      total += static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
  }
  return total;
}

double ResidentMib() { return StatusField("VmRSS"); }
double PeakResidentMib() { return StatusField("VmHWM"); }

}  // namespace laneway::measure
