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
#include "support/log_calls.h"

namespace laneway::log {

class LogContract : public testing::TestWithParam<LogMaker> {
 protected:
  LogContract() : fixture_(GetParam().make()) {
    EXPECT_EQ(log().EnsureTopic(Topic::kEvents, 4), absl::OkStatus());
    EXPECT_EQ(log().EnsureTopic(Topic::kLanes, 1), absl::OkStatus());
  }

  Log& log() { return fixture_->log(); }
  void Reopen() { fixture_->Reopen(); }

  std::future<Appended> AppendLater(std::vector<NewRecord> records) {
    return log::AppendLater(log(), std::move(records));
  }
  Appended Append(std::vector<NewRecord> records) { return AppendNow(log(), std::move(records)); }
  Offset Append1(TopicPartition to, std::string key, std::string value) {
    return AppendOne(log(), to, std::move(key), std::move(value));
  }
  std::vector<Read1> ReadFrom(TopicPartition from, Offset offset, size_t bytes_max = kReadAll) {
    return ReadToEnd(log(), from, offset, bytes_max);
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

}  // namespace laneway::log
