// kafka_log_bench: what KafkaLog carries, next to what bare librdkafka carries in the same run. JSON on
// stdout.
//
//   tools/kafka start /tmp/k                                prints the address
//   kafka_log_bench HOST:PORT [seconds for each figure [which [name=value …]]]
//
// `which`: raw_produce append raw_consume read latency idle; default: all, 3 s each. name=value: settings of
// librdkafka's for KafkaLog.
//
// Only the figures of one run are comparable: the broker shares the processors.
#include <librdkafka/rdkafka.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "log/kafka.h"
#include "measure/raw.h"

namespace laneway::log {
namespace {

using measure::CpuSeconds;
using measure::ResidentMib;
using Clock = std::chrono::steady_clock;

constexpr size_t kValueBytes = 200;
constexpr uint32_t kPartitions = 8;
constexpr size_t kInFlightMax = 100'000;  // records

double Since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

[[noreturn]] void Die(const std::string& what) {
  std::cerr << what << "\n";
  std::exit(1);
}

std::map<std::string, double> figures;
double seconds_each = 3;
std::map<std::string, std::string> log_settings;

struct Measured {
  explicit Measured(std::string of) : name(std::move(of)) {}
  const std::string name;
  const double cpu = CpuSeconds();
  const Clock::time_point start = Clock::now();
  void Done(uint64_t records) const {
    figures[name + "_records_per_s"] = static_cast<double>(records) / Since(start);
    figures[name + "_cpu_us_per_record"] = (CpuSeconds() - cpu) * 1e6 / static_cast<double>(records);
  }
};

// Counts what is in flight; waits while it is too much.
class Window {
 public:
  void Add(size_t n) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return in_flight_ < kInFlightMax; });
    in_flight_ += n;
  }
  void Remove(size_t n) {
    const std::lock_guard lock(mutex_);
    in_flight_ -= n;
    changed_.notify_one();
  }
  void Drain() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return in_flight_ == 0; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  size_t in_flight_ = 0;
};

rd_kafka_t* RawClient(rd_kafka_type_t type, const std::string& brokers,
                      const std::vector<std::pair<std::string, std::string>>& settings,
                      void (*delivered)(rd_kafka_t*, const rd_kafka_message_t*, void*)) {
  rd_kafka_conf_t* const conf = rd_kafka_conf_new();
  char text[512];
  const auto set = [&](const std::string& name, const std::string& value) {
    if (rd_kafka_conf_set(conf, name.c_str(), value.c_str(), text, sizeof text) != RD_KAFKA_CONF_OK)
      Die(text);
  };
  set("bootstrap.servers", brokers);
  for (const auto& [name, value] : settings) set(name, value);
  if (delivered != nullptr) rd_kafka_conf_set_dr_msg_cb(conf, delivered);
  rd_kafka_t* const rk = rd_kafka_new(type, conf, text, sizeof text);
  if (rk == nullptr) Die(text);
  return rk;
}

// Bare records: values not copied, one thread; as fast as librdkafka goes. With our three headers, or
// without.
void RawProduce(const std::string& brokers, const std::string& topic, bool headers) {
  static size_t outstanding = 0;
  outstanding = 0;
  rd_kafka_t* const rk =
      RawClient(RD_KAFKA_PRODUCER, brokers,
                {{"enable.idempotence", "true"}, {"linger.ms", "0"}, {"queue.buffering.max.messages", "0"}},
                [](rd_kafka_t*, const rd_kafka_message_t* message, void*) {
                  if (message->err != 0) Die(rd_kafka_message_errstr(message));
                  outstanding--;
                });
  rd_kafka_topic_t* const rkt = rd_kafka_topic_new(rk, topic.c_str(), nullptr);
  std::string value(kValueBytes, 'v');
  uint64_t records = 0;
  const Measured measured(headers ? "raw_produce_with_headers" : "raw_produce");
  while (Since(measured.start) < seconds_each) {
    for (int i = 0; i < 64; i++) {
      rd_kafka_headers_t* const with = headers ? rd_kafka_headers_new(3) : nullptr;
      for (const char* name : {"type", "schema", "writer"}) {
        if (headers) rd_kafka_header_add(with, name, -1, "bench", 5);
      }
      const rd_kafka_resp_err_t error = rd_kafka_producev(
          rk, RD_KAFKA_V_RKT(rkt), RD_KAFKA_V_PARTITION(static_cast<int32_t>(records++ % kPartitions)),
          RD_KAFKA_V_VALUE(value.data(), value.size()), RD_KAFKA_V_KEY("0123456789abcdef", 16),
          RD_KAFKA_V_HEADERS(with), RD_KAFKA_V_END);
      if (error != RD_KAFKA_RESP_ERR_NO_ERROR) Die(rd_kafka_err2str(error));
      outstanding++;
    }
    rd_kafka_poll(rk, 0);
    while (outstanding > kInFlightMax) rd_kafka_poll(rk, 10);
  }
  rd_kafka_flush(rk, 10'000);
  measured.Done(records);
  rd_kafka_topic_destroy(rkt);
  rd_kafka_destroy(rk);
}

// All partitions from their first record to where they end now, each message touched and thrown away.
void RawConsume(const std::string& brokers, const std::string& topic, uint64_t records) {
  rd_kafka_t* const rk = RawClient(
      RD_KAFKA_CONSUMER, brokers, {{"queued.max.messages.kbytes", "65536"}, {"check.crcs", "true"}}, nullptr);
  rd_kafka_topic_t* const rkt = rd_kafka_topic_new(rk, topic.c_str(), nullptr);
  rd_kafka_queue_t* const queue = rd_kafka_queue_new(rk);
  std::vector<rd_kafka_message_t*> messages(1000);
  const Measured measured("raw_consume");
  for (uint32_t p = 0; p < kPartitions; p++)
    rd_kafka_consume_start_queue(rkt, static_cast<int32_t>(p), RD_KAFKA_OFFSET_BEGINNING, queue);
  uint64_t seen = 0;
  uint64_t bytes = 0;
  while (seen < records) {
    // one blocking call, then what is there
    const ssize_t first = rd_kafka_consume_batch_queue(queue, 1000, messages.data(), 1);
    const ssize_t rest = first < 1 ? 0 : rd_kafka_consume_batch_queue(queue, 0, messages.data() + 1, 999);
    for (ssize_t i = 0; i < first + rest; i++) {
      bytes += messages[static_cast<size_t>(i)]->len;
      rd_kafka_message_destroy(messages[static_cast<size_t>(i)]);
    }
    seen += static_cast<uint64_t>(std::max<ssize_t>(0, first + rest));
  }
  measured.Done(seen);
  if (bytes == 0) Die("nothing was read");
  for (uint32_t p = 0; p < kPartitions; p++) rd_kafka_consume_stop(rkt, static_cast<int32_t>(p));
  rd_kafka_queue_destroy(queue);
  rd_kafka_topic_destroy(rkt);
  rd_kafka_destroy(rk);
}

std::unique_ptr<KafkaLog> OpenLog(const std::string& brokers, const std::string& prefix) {
  KafkaOptions options;
  options.brokers = {brokers};
  options.prefix = prefix;
  options.writer = "bench";
  options.settings = log_settings;
  options.queued_bytes_max = 1 << 30;
  auto log = KafkaLog::Open(std::move(options));
  if (!log.ok()) Die(log.status().ToString());
  const absl::Status made = (*log)->EnsureTopic(Topic::kEvents, kPartitions);
  if (!made.ok()) Die(made.ToString());
  return *std::move(log);
}

void Append(KafkaLog& log, uint32_t threads, size_t records_each) {
  Window window;
  std::vector<uint64_t> appended(threads);
  const Measured measured("append_" + std::to_string(threads) + "_threads_of_" +
                          std::to_string(records_each));
  const auto work = [&](uint32_t thread) {
    const std::string value(kValueBytes, 'v');
    uint32_t n = thread;
    while (Since(measured.start) < seconds_each) {
      std::vector<NewRecord> records;
      records.reserve(records_each);
      for (size_t i = 0; i < records_each; i++)
        records.push_back(
            {{Topic::kEvents, n++ % kPartitions}, RecordType::kEvent, "0123456789abcdef", value});
      window.Add(records_each);
      appended[thread] += records_each;
      log.Append(std::move(records), [&](const absl::Status& status, std::span<const Offset>) {
        if (!status.ok()) Die(status.ToString());
        window.Remove(records_each);
      });
    }
  };
  std::vector<std::thread> workers;
  for (uint32_t t = 0; t < threads; t++) workers.emplace_back(work, t);
  for (std::thread& worker : workers) worker.join();
  window.Drain();
  uint64_t records = 0;
  for (uint64_t n : appended) records += n;
  measured.Done(records);
}

// As a fold reads: all partitions in turn until nothing is left, then it waits to be woken.
uint64_t ReadAll(KafkaLog& log, uint64_t records) {
  std::mutex mutex;
  std::condition_variable woken;
  bool wake = false;
  std::vector<TopicPartition> partitions;
  std::vector<std::pair<TopicPartition, Offset>> next;
  for (uint32_t p = 0; p < kPartitions; p++) {
    partitions.push_back({Topic::kEvents, p});
    next.emplace_back(partitions.back(), log.Range(partitions.back())->first);
  }
  log.ReadSoon(next);
  const auto watch = log.WatchPartitions(partitions, [&] {
    const std::lock_guard lock(mutex);
    wake = true;
    woken.notify_one();
  });
  uint64_t seen = 0;
  uint64_t bytes = 0;
  while (seen < records) {
    uint64_t before = seen;
    for (auto& [partition, at] : next) {
      auto batch = log.Read(partition, at, 256 << 10);
      if (!batch.ok()) Die(batch.status().ToString());
      at = batch->next_offset;
      seen += batch->records.size();
      for (const RecordView& record : batch->records) bytes += record.value.size();
    }
    if (seen != before) continue;
    std::unique_lock lock(mutex);
    woken.wait_for(lock, std::chrono::milliseconds(100), [&] { return wake; });
    wake = false;
  }
  if (bytes == 0) Die("nothing was read");
  return seen;
}

void Read(const std::string& brokers, const std::string& prefix, uint64_t records, uint32_t folds) {
  const auto log = OpenLog(brokers, prefix);
  const Measured measured("read_by_" + std::to_string(folds));
  std::vector<std::thread> readers;
  for (uint32_t i = 0; i < folds; i++) readers.emplace_back([&] { ReadAll(*log, records); });
  for (std::thread& reader : readers) reader.join();
  measured.Done(records);
  figures["read_by_" + std::to_string(folds) + "_moves"] = static_cast<double>(log->stats().readers_moved);
}

// From Append to the Read of a reader that is woken, at 200 a second.
void Latency(const std::string& brokers, const std::string& prefix) {
  const auto log = OpenLog(brokers, prefix + "latency.");
  const TopicPartition partition{Topic::kEvents, 0};
  std::mutex mutex;
  std::condition_variable woken;
  bool wake = false;
  Offset at = 0;
  const auto watch = log->WatchPartitions({partition}, [&] {
    const std::lock_guard lock(mutex);
    wake = true;
    woken.notify_one();
  });
  std::vector<double> micros;
  auto due = Clock::now();
  const auto start = due;
  while (Since(start) < seconds_each) {
    due += std::chrono::milliseconds(5);
    std::this_thread::sleep_until(due);
    const auto before = Clock::now();
    log->Append({{partition, RecordType::kEvent, "key", std::string(kValueBytes, 'v')}},
                [](const absl::Status&, std::span<const Offset>) {});
    for (bool read = false; !read;) {
      {
        std::unique_lock lock(mutex);
        woken.wait(lock, [&] { return wake; });
        wake = false;
      }
      auto batch = log->Read(partition, at, 1 << 20);
      if (!batch.ok()) Die(batch.status().ToString());
      at = batch->next_offset;
      read = !batch->records.empty();
    }
    micros.push_back(Since(before) * 1e6);
  }
  std::sort(micros.begin(), micros.end());
  figures["append_to_read_p50_us"] = micros[micros.size() / 2];
  figures["append_to_read_p99_us"] = micros[micros.size() * 99 / 100];
}

// A log that nobody appends to.
void Idle(const std::string& brokers, const std::string& prefix) {
  const auto log = OpenLog(brokers, prefix + "idle.");
  std::vector<TopicPartition> partitions;
  for (uint32_t p = 0; p < kPartitions; p++) partitions.push_back({Topic::kEvents, p});
  const auto watch = log->WatchPartitions(partitions, [] {});
  const double cpu = CpuSeconds();
  const auto start = Clock::now();
  std::this_thread::sleep_for(std::chrono::duration<double>(seconds_each));
  figures["idle_cpu_percent"] = (CpuSeconds() - cpu) / Since(start) * 100;
  figures["idle_resident_mib"] = ResidentMib();  // of the whole program: only when nothing else ran before
}

int Main(int argc, char** argv) {
  if (argc < 2) Die("kafka_log_bench HOST:PORT [seconds for each figure [which [name=value ...]]]");
  const std::string brokers = argv[1];
  if (argc > 2) seconds_each = std::strtod(argv[2], nullptr);
  const std::string prefix =
      "bench" + std::to_string(Clock::now().time_since_epoch().count() % 1'000'000'007) + ".";
  const std::string only = argc > 3 ? argv[3] : "all";
  for (int i = 4; i < argc; i++) {
    const std::string word = argv[i];
    const size_t equals = word.find('=');
    if (equals == std::string::npos) Die("not name=value: " + word);
    log_settings[word.substr(0, equals)] = word.substr(equals + 1);
  }
  const auto wanted = [&](const char* name) { return only == "all" || only == name; };
  const auto log = OpenLog(brokers, prefix);
  if (wanted("raw_produce")) RawProduce(brokers, prefix + "events", false);
  if (wanted("raw_produce") || wanted("read") || wanted("raw_consume"))
    RawProduce(brokers, prefix + "events", true);
  for (const size_t records_each : {1u, 16u, 64u}) {
    if (wanted("append")) Append(*log, 1, records_each);
  }
  if (wanted("append")) Append(*log, 2, 16);
  uint64_t records = 0;
  for (uint32_t p = 0; p < kPartitions; p++) records += log->Range({Topic::kEvents, p})->next;
  if (wanted("raw_consume")) RawConsume(brokers, prefix + "events", records);
  for (const uint32_t folds : {1u, 2u}) {
    if (wanted("read")) Read(brokers, prefix, records, folds);
  }
  if (wanted("latency")) Latency(brokers, prefix);
  if (wanted("idle")) Idle(brokers, prefix);
  std::printf("{\n");
  const char* comma = "";
  for (const auto& [name, value] : figures) {
    std::printf("%s  \"%s\": %.3f", comma, name.c_str(), value);
    comma = ",\n";
  }
  std::printf("\n}\n");
  return 0;
}

}  // namespace
}  // namespace laneway::log

int main(int argc, char** argv) { return laneway::log::Main(argc, argv); }
