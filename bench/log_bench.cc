// log_bench: what the embedded log carries, next to what the disk and RocksDB carry in the same run. JSON on
// stdout.
//
//   log_bench [folder] [seconds for each figure]     default: a new folder below /var/tmp, 2 s
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <iostream>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "log/embedded.h"
#include "measure/raw.h"
#include "rocksdb/db.h"
#include "rocksdb/write_batch.h"

namespace laneway::log {
namespace {

using measure::CpuSeconds;
using measure::ResidentMib;
using Clock = std::chrono::steady_clock;

constexpr size_t kValueBytes = 200;
constexpr size_t kWindow = 64;  // appends in flight of one thread

double Since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

void Die(const std::string& what) {
  std::cerr << what << "\n";
  std::exit(1);
}

std::map<std::string, double> figures;
double seconds_each = 2;

double Percentile(std::vector<double>& sorted, double share) {
  return sorted.empty() ? 0
                        : sorted[std::min(sorted.size() - 1,
                                          static_cast<size_t>(share * static_cast<double>(sorted.size())))];
}

void RawSync(const std::string& folder) {
  const std::string path = folder + "/raw";
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) Die("cannot open " + path);
  const std::string block(4096, 'x');
  std::vector<double> micros;
  for (const auto start = Clock::now(); Since(start) < seconds_each / 2;) {
    const auto before = Clock::now();
    if (::write(fd, block.data(), block.size()) < 0 || ::fdatasync(fd) != 0) Die("cannot sync");
    micros.push_back(Since(before) * 1e6);
  }
  ::close(fd);
  std::filesystem::remove(path);
  std::sort(micros.begin(), micros.end());
  figures["raw_fdatasync_p50_us"] = Percentile(micros, 0.5);
  figures["raw_fdatasync_per_s"] = static_cast<double>(micros.size()) / (seconds_each / 2);
}

// The same bytes as the log writes, as RocksDB takes them: synced batches of `puts` values of `bytes`.
double RawRocks(const std::string& folder, size_t puts, size_t bytes) {
  rocksdb::Options options;
  options.create_if_missing = true;
  options.write_buffer_size = 16 << 20;
  rocksdb::DB* raw = nullptr;
  if (!rocksdb::DB::Open(options, folder + "/rocks", &raw).ok()) Die("cannot open RocksDB");
  std::unique_ptr<rocksdb::DB> db(raw);
  rocksdb::WriteOptions synced;
  synced.sync = true;
  const std::string value(bytes, 'v');
  uint64_t n = 0;
  const auto start = Clock::now();
  while (Since(start) < seconds_each) {
    rocksdb::WriteBatch batch;
    for (size_t i = 0; i < puts; i++) batch.Put("key" + std::to_string(1'000'000'000 + n++), value);
    if (!db->Write(synced, &batch).ok()) Die("cannot write");
  }
  const double rate = static_cast<double>(n * bytes) / Since(start) / kValueBytes;
  db.reset();
  std::filesystem::remove_all(folder + "/rocks");
  return rate;  // in records of kValueBytes
}

std::unique_ptr<EmbeddedEngine> OpenEngine(const std::string& folder) {
  EmbeddedOptions options;
  options.folder = folder + "/log";
  auto engine = EmbeddedEngine::Open(std::move(options));
  if (!engine.ok()) Die(engine.status().ToString());
  if (!(*engine)->log().EnsureTopic(Topic::kEvents, 8).ok()) Die("cannot make the topic");
  return *std::move(engine);
}

uint64_t AppendFrom(Log& log, uint32_t thread, size_t records_each) {
  std::mutex mutex;
  std::condition_variable changed;
  size_t in_flight = 0;
  uint64_t appended = 0;
  const std::string value(kValueBytes, 'v');
  for (const auto start = Clock::now(); Since(start) < seconds_each;) {
    std::vector<NewRecord> records;
    records.reserve(records_each);
    for (size_t i = 0; i < records_each; i++) {
      records.push_back({{Topic::kEvents, (thread * 4 + static_cast<uint32_t>(i)) % 8},
                         RecordType::kEvent,
                         "0123456789abcdef",
                         value});
    }
    {
      std::unique_lock lock(mutex);
      changed.wait(lock, [&] { return in_flight < kWindow; });
      in_flight++;
    }
    appended += records_each;
    log.Append(std::move(records), [&](const absl::Status& status, std::span<const Offset>) {
      if (!status.ok()) Die(status.ToString());
      const std::lock_guard lock(mutex);
      in_flight--;
      changed.notify_one();
    });
  }
  std::unique_lock lock(mutex);
  changed.wait(lock, [&] { return in_flight == 0; });
  return appended;
}

void Volume(EmbeddedEngine& engine, uint32_t threads, size_t records_each) {
  const std::string name =
      "append_" + std::to_string(threads) + "_threads_of_" + std::to_string(records_each);
  const double cpu = CpuSeconds();
  const auto start = Clock::now();
  std::vector<uint64_t> appended(threads);
  std::vector<std::thread> workers;
  for (uint32_t t = 0; t < threads; t++) {
    workers.emplace_back([&, t] { appended[t] = AppendFrom(engine.log(), t, records_each); });
  }
  for (std::thread& worker : workers) worker.join();
  uint64_t records = 0;
  for (uint64_t n : appended) records += n;
  figures[name + "_records_per_s"] = static_cast<double>(records) / Since(start);
  figures[name + "_cpu_us_per_record"] = (CpuSeconds() - cpu) * 1e6 / static_cast<double>(records);
}

void Latency(EmbeddedEngine& engine) {
  std::vector<double> micros;
  for (const auto start = Clock::now(); Since(start) < seconds_each;) {
    std::mutex mutex;
    std::condition_variable changed;
    bool done = false;
    const auto before = Clock::now();
    engine.log().Append({{{Topic::kEvents, 0}, RecordType::kEvent, "key", std::string(kValueBytes, 'v')}},
                        [&](const absl::Status&, std::span<const Offset>) {
                          const std::lock_guard lock(mutex);
                          done = true;
                          changed.notify_one();
                        });
    {
      std::unique_lock lock(mutex);
      changed.wait(lock, [&] { return done; });
    }
    micros.push_back(Since(before) * 1e6);
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  std::sort(micros.begin(), micros.end());
  figures["append_one_p50_us"] = Percentile(micros, 0.5);
  figures["append_one_p99_us"] = Percentile(micros, 0.99);
}

void ReadAll(EmbeddedEngine& engine, const std::string& name) {
  uint64_t records = 0;
  const double cpu = CpuSeconds();
  const auto start = Clock::now();
  for (uint32_t p = 0; p < 8; p++) {
    const TopicPartition partition{Topic::kEvents, p};
    Offset at = engine.log().Range(partition)->first;
    while (Since(start) < seconds_each * (p + 1) / 8) {
      auto batch = engine.log().Read(partition, at, 1 << 20);
      if (!batch.ok()) Die(batch.status().ToString());
      if (batch->records.empty()) break;
      records += batch->records.size();
      at = batch->next_offset;
    }
  }
  figures[name + "_records_per_s"] = static_cast<double>(records) / Since(start);
  figures[name + "_cpu_us_per_record"] = (CpuSeconds() - cpu) * 1e6 / static_cast<double>(records);
}

int Main(int argc, char** argv) {
  std::string folder = argc > 1 ? argv[1] : "/var/tmp/laneway_log_bench_" + std::to_string(::getpid());
  if (argc > 2) seconds_each = std::strtod(argv[2], nullptr);
  std::filesystem::create_directories(folder);
  {
    const auto engine = OpenEngine(folder);
    figures["idle_resident_mib"] = ResidentMib();
  }
  RawSync(folder);
  figures["raw_rocksdb_synced_128_puts_of_200_records_per_s"] = RawRocks(folder, 128, kValueBytes);
  figures["raw_rocksdb_synced_16_puts_of_128k_records_per_s"] = RawRocks(folder, 16, 128 << 10);
  {
    auto engine = OpenEngine(folder);
    Latency(*engine);
    Volume(*engine, 1, 1);
    Volume(*engine, 1, 64);
    Volume(*engine, 2, 64);
    Volume(*engine, 1, 256);
    Volume(*engine, 2, 256);
    ReadAll(*engine, "read_warm");
    figures["loaded_resident_mib"] = ResidentMib();
  }
  const auto start = Clock::now();
  auto engine = OpenEngine(folder);
  figures["reopen_s"] = Since(start);
  ReadAll(*engine, "read_from_disk");
  engine.reset();
  std::filesystem::remove_all(folder);
  std::cout << "{\n";
  size_t left = figures.size();
  for (const auto& [name, value] : figures) {
    std::printf("  \"%s\": %.6g%s\n", name.c_str(), value, --left > 0 ? "," : "");
  }
  std::cout << "}\n";
  return 0;
}

}  // namespace
}  // namespace laneway::log

int main(int argc, char** argv) { return laneway::log::Main(argc, argv); }
