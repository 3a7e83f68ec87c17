// log_contract.h: what the cases of the contract suites of log and store share.
#pragma once

#include <gtest/gtest.h>

#include <condition_variable>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "contract/log_makers.h"

namespace laneway::log {

inline constexpr TopicPartition kEvents0{Topic::kEvents, 0};
inline constexpr TopicPartition kEvents1{Topic::kEvents, 1};
inline constexpr TopicPartition kLane0{Topic::kLanes, 0};
inline constexpr size_t kReadAll = 64 << 20;

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

class LogContract : public testing::TestWithParam<LogMaker> {
 protected:
  LogContract() : fixture_(GetParam().make()) {
    EXPECT_EQ(log().EnsureTopic(Topic::kEvents, 4), absl::OkStatus());
    EXPECT_EQ(log().EnsureTopic(Topic::kLanes, 1), absl::OkStatus());
  }

  Log& log() { return fixture_->log(); }
  void Reopen() { fixture_->Reopen(); }

  std::future<Appended> AppendLater(std::vector<NewRecord> records) {
    auto promise = std::make_shared<std::promise<Appended>>();
    log().Append(std::move(records), Keep(promise));
    return promise->get_future();
  }
  Appended Append(std::vector<NewRecord> records) { return AppendLater(std::move(records)).get(); }
  Offset Append1(TopicPartition to, std::string key, std::string value) {
    const Appended appended = Append({Make(to, std::move(key), std::move(value))});
    EXPECT_TRUE(appended.status.ok()) << appended.status;
    return appended.offsets.empty() ? UINT64_MAX : appended.offsets[0];
  }
  std::vector<Read1> ReadFrom(TopicPartition from, Offset offset, size_t bytes_max = kReadAll) {
    std::vector<Read1> all;
    while (true) {
      auto batch = log().Read(from, offset, bytes_max);
      EXPECT_TRUE(batch.ok()) << batch.status();
      if (!batch.ok() || batch->records.empty()) return all;
      for (const RecordView& record : batch->records) {
        EXPECT_EQ(record.offset, offset++);
        all.push_back({record.offset, std::string(record.key), std::string(record.value)});
      }
      EXPECT_EQ(batch->next_offset, offset);
    }
  }
  static AppendDone Keep(std::shared_ptr<std::promise<Appended>> promise) {
    return [promise](const absl::Status& status, std::span<const Offset> offsets) {
      promise->set_value({status, {offsets.begin(), offsets.end()}});
    };
  }

  std::unique_ptr<LogFixture> fixture_;
};

class StoreContract : public LogContract {
 protected:
  Store& store() { return *fixture_->store(); }
  Appended CommitJournal(std::vector<StoreOp> notes, std::vector<NewRecord> records) {
    auto promise = std::make_shared<std::promise<Appended>>();
    fixture_->journal()->Commit(std::move(notes), std::move(records), Keep(promise));
    return promise->get_future().get();
  }
  absl::Status Commit(std::vector<StoreOp> ops, Durability durability = Durability::kSynced) {
    std::promise<absl::Status> answer;
    store().Commit(std::move(ops), durability, [&](const absl::Status& status) { answer.set_value(status); });
    return answer.get_future().get();
  }
  std::vector<std::pair<std::string, std::string>> Scan(std::string_view begin, std::string_view end,
                                                        bool backwards) {
    std::vector<std::pair<std::string, std::string>> all;
    EXPECT_TRUE(store()
                    .Scan(begin, end, backwards,
                          [&](std::string_view key, std::string_view value) {
                            all.emplace_back(key, value);
                            return true;
                          })
                    .ok());
    return all;
  }
};

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
