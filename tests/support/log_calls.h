// log_calls.h: what tests of logs do all the time: append and wait, read to the end, count wakes.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <condition_variable>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "log/log.h"

namespace laneway::log {

inline constexpr TopicPartition kEvents0{Topic::kEvents, 0};
inline constexpr TopicPartition kEvents1{Topic::kEvents, 1};
inline constexpr TopicPartition kLane0{Topic::kLanes, 0};
inline constexpr size_t kReadAll = 64 << 20;

// What no compression makes smaller; the same each time.
inline std::string Noise(size_t bytes) {
  std::string noise;
  uint64_t state = 1;
  while (noise.size() < bytes) noise.push_back(static_cast<char>(state = Mix64(state)));
  return noise;
}

inline NewRecord Make(TopicPartition to, std::string key, std::string value) {
  return {to, RecordType::kEvent, std::move(key), std::move(value)};
}

struct Appended {
  absl::Status status;
  std::vector<Offset> offsets;
};

struct Read1 {
  Offset offset;
  std::string key;
  std::string value;
  friend bool operator==(const Read1&, const Read1&) = default;
};

inline AppendDone Keep(std::shared_ptr<std::promise<Appended>> promise) {
  return [promise](const absl::Status& status, std::span<const Offset> offsets) {
    promise->set_value({status, {offsets.begin(), offsets.end()}});
  };
}

inline std::future<Appended> AppendLater(Log& log, std::vector<NewRecord> records) {
  auto promise = std::make_shared<std::promise<Appended>>();
  log.Append(std::move(records), Keep(promise));
  return promise->get_future();
}
inline Appended AppendNow(Log& log, std::vector<NewRecord> records) {
  return AppendLater(log, std::move(records)).get();
}
inline Offset AppendOne(Log& log, TopicPartition to, std::string key, std::string value) {
  const Appended appended = AppendNow(log, {Make(to, std::move(key), std::move(value))});
  EXPECT_TRUE(appended.status.ok()) << appended.status;
  return appended.offsets.empty() ? UINT64_MAX : appended.offsets[0];
}

// Up to the end. Of a log without gaps each offset must come in its turn.
inline std::vector<Read1> ReadToEnd(Log& log, TopicPartition from, Offset offset, size_t bytes_max = kReadAll,
                                    bool dense = true) {
  std::vector<Read1> all;
  while (true) {
    auto batch = log.Read(from, offset, bytes_max);
    EXPECT_TRUE(batch.ok()) << batch.status();
    if (!batch.ok() || batch->records.empty()) return all;
    for (const RecordView& record : batch->records) {
      EXPECT_TRUE(dense ? record.offset == offset : record.offset >= offset)
          << record.offset << ", not " << offset;
      offset = record.offset + 1;
      all.push_back({record.offset, std::string(record.key), std::string(record.value)});
    }
    EXPECT_EQ(batch->next_offset, offset);
  }
}

// Looks for what nobody tells of, until it is so; the test's own time limit is the deadline.
template <class Condition>
void Until(const Condition& condition) {
  std::mutex mutex;
  std::condition_variable never;
  std::unique_lock lock(mutex);
  while (!condition()) never.wait_for(lock, std::chrono::milliseconds(10));
}

// Counts wakes; waits for one.
struct WakeCounter {
  std::mutex mutex;
  std::condition_variable changed;
  int wakes = 0;
  std::function<void()> Wake() {
    return [this] {
      const std::lock_guard lock(mutex);
      wakes++;
      changed.notify_all();
    };
  }
  void WaitFor(int n) {
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] { return wakes >= n; });
  }
};

}  // namespace laneway::log
