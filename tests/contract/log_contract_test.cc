// The promises of log.h, whoever keeps them. log_contract_local.cc and log_contract_kafka.cc name them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <future>
#include <map>
#include <mutex>
#include <set>
#include <thread>

#include "contract/log_contract.h"

namespace laneway::log {
namespace {

using testing::ElementsAre;

TEST_P(LogContract, AnAcknowledgedRecordSurvivesReopening) {
  const Offset at = Append1(kEvents0, "a", "1");
  Reopen();
  EXPECT_THAT(ReadFrom(kEvents0, at), ElementsAre(Read1{0, "a", "1"}));
}

TEST_P(LogContract, OffsetsOfAPartitionAreDenseFromZeroAlsoAfterReopening) {
  EXPECT_EQ(Append1(kEvents0, "", "a"), 0u);
  EXPECT_EQ(Append1(kEvents0, "", "b"), 1u);
  EXPECT_EQ(Append1(kEvents1, "", "c"), 0u);
  Reopen();
  EXPECT_EQ(Append1(kEvents0, "", "d"), 2u);
  const auto range = log().Range(kEvents0);
  ASSERT_TRUE(range.ok());
  EXPECT_EQ(range->first, 0u);
  EXPECT_EQ(range->next, 3u);
}

TEST_P(LogContract, RecordsOfOneAppendAreInOrderWithinEachPartition) {
  const Appended appended =
      Append({Make(kEvents1, "a", "0"), Make(kLane0, "b", "0"), Make(kEvents1, "c", "1"),
              Make(kEvents0, "d", "0"), Make(kEvents1, "e", "2")});
  ASSERT_TRUE(appended.status.ok());
  EXPECT_THAT(appended.offsets, ElementsAre(0, 0, 1, 0, 2));
  EXPECT_THAT(ReadFrom(kEvents1, 0), ElementsAre(Read1{0, "a", "0"}, Read1{1, "c", "1"}, Read1{2, "e", "2"}));
}

TEST_P(LogContract, AppendsWithoutWaitingKeepTheOrderOfTheCalls) {
  std::vector<std::future<Appended>> answers;
  for (int i = 0; i < 500; i++) answers.push_back(AppendLater({Make(kEvents0, "", std::to_string(i))}));
  for (size_t i = 0; i < answers.size(); i++) EXPECT_THAT(answers[i].get().offsets, ElementsAre(i));
  const auto records = ReadFrom(kEvents0, 0);
  ASSERT_EQ(records.size(), 500u);
  for (int i = 0; i < 500; i++) EXPECT_EQ(records[static_cast<size_t>(i)].value, std::to_string(i));
}

TEST_P(LogContract, ARecordIsReadableWhenItsAppendIsAnswered) {
  for (int i = 0; i < 50; i++) {
    const Offset at = Append1(kEvents0, "k", std::to_string(i));
    const auto batch = log().Read(kEvents0, at, 1);
    ASSERT_TRUE(batch.ok()) << batch.status();
    ASSERT_EQ(batch->records.size(), 1u);
    EXPECT_EQ(batch->records[0].value, std::to_string(i));
    EXPECT_EQ(batch->records[0].type, RecordType::kEvent);
    EXPECT_EQ(batch->records[0].schema, kSchemaVersion);
    EXPECT_FALSE(batch->records[0].writer.empty());
  }
}

TEST_P(LogContract, TimesNeverRunBackwardsInAPartition) {
  for (int i = 0; i < 20; i++) Append1(kEvents0, "", "x");
  Reopen();
  for (int i = 0; i < 20; i++) Append1(kEvents0, "", "x");
  const auto batch = log().Read(kEvents0, 0, kReadAll);
  ASSERT_TRUE(batch.ok());
  EXPECT_TRUE(std::is_sorted(batch->records.begin(), batch->records.end(),
                             [](const RecordView& a, const RecordView& b) { return a.time < b.time; }));
}

TEST_P(LogContract, AnEmptyAppendIsAnswered) {
  const Appended appended = Append({});
  EXPECT_TRUE(appended.status.ok());
  EXPECT_TRUE(appended.offsets.empty());
}

TEST_P(LogContract, AnyBytesComeBackAsTheyWere) {
  std::string all_bytes;
  for (int i = 0; i < 256; i++) all_bytes.push_back(static_cast<char>(i));
  Append({Make(kEvents0, all_bytes, ""), Make(kEvents0, "", all_bytes), Make(kEvents0, "", "")});
  Reopen();
  EXPECT_THAT(ReadFrom(kEvents0, 0),
              ElementsAre(Read1{0, all_bytes, ""}, Read1{1, "", all_bytes}, Read1{2, "", ""}));
}

TEST_P(LogContract, BigRecordsAreTakenUpToTheirBoundAndRefusedAbove) {
  const std::string big(kRecordBytesMax - 1, 'b');
  EXPECT_EQ(Append1(kEvents0, "k", big), 0u);
  const Appended refused = Append({Make(kEvents0, "", "small"), Make(kEvents0, "kk", big)});
  EXPECT_EQ(refused.status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(refused.offsets.empty());
  EXPECT_EQ(Append1(kEvents0, "", "after"), 1u);  // nothing of the refused call happened
  Reopen();
  EXPECT_THAT(ReadFrom(kEvents0, 0, 100), ElementsAre(Read1{0, "k", big}, Read1{1, "", "after"}));
}

TEST_P(LogContract, ReadGivesAtLeastOneRecordAndAboutBytesMax) {
  for (int i = 0; i < 10; i++) Append({Make(kEvents0, "", std::string(1000, 'x')), Make(kEvents0, "", "y")});
  const auto one = log().Read(kEvents0, 0, 1);
  ASSERT_TRUE(one.ok());
  EXPECT_EQ(one->records.size(), 1u);
  EXPECT_EQ(one->next_offset, 1u);
  const auto some = log().Read(kEvents0, 0, 5000);
  ASSERT_TRUE(some.ok());
  EXPECT_GE(some->records.size(), 1u);
  EXPECT_LE(some->records.size(), 13u);
  EXPECT_EQ(ReadFrom(kEvents0, 0, 1).size(), 20u);
}

TEST_P(LogContract, RecordViewsOutliveTheLog) {
  Append1(kEvents0, "key", "value");
  auto batch = log().Read(kEvents0, 0, kReadAll);
  ASSERT_TRUE(batch.ok());
  for (int i = 0; i < 100; i++) Append1(kEvents0, "", std::string(10'000, 'x'));
  EXPECT_EQ(batch->records[0].key, "key");
  EXPECT_EQ(batch->records[0].value, "value");
}

TEST_P(LogContract, ReadingOutsideIsOutOfRangeAndAtTheEndIsEmpty) {
  const auto nothing = log().Read(kEvents0, 0, 100);
  ASSERT_TRUE(nothing.ok());
  EXPECT_TRUE(nothing->records.empty());
  EXPECT_EQ(nothing->next_offset, 0u);
  Append1(kEvents0, "", "x");
  EXPECT_TRUE(log().Read(kEvents0, 1, 100)->records.empty());
  EXPECT_EQ(log().Read(kEvents0, 2, 100).status().code(), absl::StatusCode::kOutOfRange);
}

TEST_P(LogContract, UnknownTopicsAndPartitionsAreInvalid) {
  EXPECT_EQ(Append({Make({Topic::kEvents, 4}, "", "")}).status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Append({Make({Topic::kAlerts, 0}, "", "")}).status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(log().Read({Topic::kEvents, 4}, 0, 1).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(log().Range({Topic::kAlerts, 0}).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(log().Partitions(Topic::kAlerts).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(log().Trim({Topic::kAlerts, 0}, 0).code(), absl::StatusCode::kInvalidArgument);
}

TEST_P(LogContract, TopicsGrowAndNeverShrink) {
  if (!GetParam().no_topics.empty()) GTEST_SKIP() << GetParam().no_topics;
  EXPECT_TRUE(log().EnsureTopic(Topic::kLanes, 3).ok());
  EXPECT_TRUE(log().EnsureTopic(Topic::kLanes, 2).ok());
  EXPECT_EQ(*log().Partitions(Topic::kLanes), 3u);
  Append1({Topic::kLanes, 2}, "", "x");
  Reopen();
  EXPECT_EQ(*log().Partitions(Topic::kLanes), 3u);
  EXPECT_EQ(ReadFrom({Topic::kLanes, 2}, 0).size(), 1u);
}

TEST_P(LogContract, TrimmedRecordsAreGoneAndTheOthersStay) {
  if (!GetParam().no_trim.empty()) GTEST_SKIP() << GetParam().no_trim;
  for (int i = 0; i < 10; i++)
    Append({Make(kLane0, "", std::to_string(2 * i)), Make(kLane0, "", std::to_string(2 * i + 1))});
  EXPECT_TRUE(log().Trim(kLane0, 7).ok());
  EXPECT_TRUE(log().Trim(kLane0, 7).ok());  // idempotent
  EXPECT_TRUE(log().Trim(kLane0, 3).ok());
  for (int round = 0; round < 2; round++, Reopen()) {
    EXPECT_EQ(log().Range(kLane0)->first, 7u);
    EXPECT_EQ(log().Range(kLane0)->next, 20u);
    EXPECT_EQ(log().Read(kLane0, 6, 100).status().code(), absl::StatusCode::kOutOfRange);
    EXPECT_EQ(ReadFrom(kLane0, 7).size(), 13u);
    Append1(kEvents0, "", "a synced write: a trim alone need not survive");
  }
}

TEST_P(LogContract, TrimNeverGoesBehindTheEnd) {
  if (!GetParam().no_trim.empty()) GTEST_SKIP() << GetParam().no_trim;
  Append1(kLane0, "", "0");
  EXPECT_EQ(log().Trim(kLane0, 2).code(), absl::StatusCode::kOutOfRange);
  EXPECT_EQ(log().Range(kLane0)->first, 0u);
  EXPECT_TRUE(log().Trim(kLane0, 1).ok());
  EXPECT_EQ(Append1(kLane0, "", "1"), 1u);  // offsets go on
  Reopen();
  EXPECT_THAT(ReadFrom(kLane0, 1), ElementsAre(Read1{1, "", "1"}));
}

TEST_P(LogContract, TrimmingManyTimesKeepsTheEndAcrossReopening) {
  if (!GetParam().no_trim.empty()) GTEST_SKIP() << GetParam().no_trim;
  Offset next = 0;
  for (int round = 0; round < 20; round++) {
    for (int i = 0; i < 10; i++) {
      ASSERT_EQ(Append1(kLane0, "", std::string(2000, 'x')), next);
      next++;
    }
    ASSERT_TRUE(log().Trim(kLane0, next - static_cast<Offset>(round % 3)).ok());
    if (round % 5 == 4) Reopen();
    const auto range = log().Range(kLane0);
    ASSERT_TRUE(range.ok());
    EXPECT_EQ(range->next, next);
    EXPECT_EQ(ReadFrom(kLane0, range->first).size(), range->next - range->first);
  }
}

TEST_P(LogContract, AWatchWakesAfterRecordsBecameReadable) {
  WakeCounter counter;
  const auto watch = log().WatchPartitions({kEvents0, kEvents1}, counter.Wake());
  Append1(kEvents1, "", "x");
  counter.WaitFor(1);
  EXPECT_EQ(ReadFrom(kEvents1, 0).size(), 1u);
  const int before = counter.wakes;
  Append1(kEvents0, "", "x");
  counter.WaitFor(before + 1);
}

TEST_P(LogContract, AWatchIsSilentAboutOthersAndAfterItsEnd) {
  WakeCounter counter;
  auto watch = log().WatchPartitions({kEvents0}, counter.Wake());
  WakeCounter marker;  // wakes after the first: both are called by the same commit
  const auto other = log().WatchPartitions({kEvents1}, marker.Wake());
  Append1(kEvents1, "", "x");
  marker.WaitFor(1);
  EXPECT_EQ(counter.wakes, 0);
  watch.reset();
  Append({Make(kEvents0, "", "x"), Make(kEvents1, "", "x")});
  marker.WaitFor(2);
  EXPECT_EQ(counter.wakes, 0);
}

TEST_P(LogContract, WatchesMayEndWhileTheyAreWoken) {
  if (!GetParam().no_threads.empty()) GTEST_SKIP() << GetParam().no_threads;
  std::atomic<bool> stop = false;
  std::thread appender([&] {
    while (!stop) Append1(kEvents0, "", "x");
  });
  for (int i = 0; i < 200; i++) {
    auto alive = std::make_unique<std::atomic<int>>(0);  // a wake after the end would write to freed memory
    auto watch = log().WatchPartitions({kEvents0, kEvents0}, [&, raw = alive.get()] { (*raw)++; });
    if (i % 2 == 0) Append1(kEvents1, "", "y");
    watch.reset();
    alive.reset();
  }
  stop = true;
  appender.join();
}

TEST_P(LogContract, AWatchMayOutliveItsLog) {
  auto watch = log().WatchPartitions({kEvents0}, [] {});
  Reopen();
  watch.reset();
}

TEST_P(LogContract, ManyThreadsAppendAndReadAtOnce) {
  if (!GetParam().no_threads.empty()) GTEST_SKIP() << GetParam().no_threads;
  constexpr int kThreads = 4;
  constexpr int kAppends = 100;
  std::vector<std::thread> threads;
  std::mutex mutex;
  std::set<Offset> given;
  for (int t = 0; t < kThreads; t++) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < kAppends; i++) {
        const std::string name = std::to_string(t) + "/" + std::to_string(i);
        const Appended appended = Append({Make(kEvents0, name, "0"), Make(kEvents0, name, "1")});
        ASSERT_TRUE(appended.status.ok());
        const std::lock_guard lock(mutex);
        given.insert(appended.offsets.begin(), appended.offsets.end());
      }
    });
    threads.emplace_back([&] {
      Offset at = 0;
      while (at < 2 * kThreads * kAppends) {
        auto batch = log().Read(kEvents0, at, 4000);
        ASSERT_TRUE(batch.ok()) << batch.status();
        for (const RecordView& record : batch->records) ASSERT_EQ(record.offset, at++);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(given.size(), 2u * kThreads * kAppends);
  EXPECT_EQ(*given.rbegin(), 2u * kThreads * kAppends - 1);
  std::map<std::string, std::string> parts;  // by append: its records, in the order of the log
  std::map<std::string, int> next_of_thread;
  for (const Read1& record : ReadFrom(kEvents0, 0)) {
    if ((parts[record.key] += record.value) != "01") continue;
    const size_t slash = record.key.find('/');
    EXPECT_EQ(std::stoi(record.key.substr(slash + 1)), next_of_thread[record.key.substr(0, slash)]++);
  }
  for (const auto& [name, order] : parts) EXPECT_EQ(order, "01") << name;
}

TEST_P(LogContract, TooMuchWaitingIsRefusedAtOnceAndTakenLater) {
  if (!GetParam().no_byte_bound.empty()) GTEST_SKIP() << GetParam().no_byte_bound;
  const std::string noise = Noise(500'000);
  std::vector<std::future<Appended>> answers;
  for (int i = 0; i < 200; i++) answers.push_back(AppendLater({Make(kEvents0, "", noise)}));
  int refused = 0;
  Offset next = 0;
  for (auto& answer : answers) {
    const Appended appended = answer.get();
    if (appended.status.ok()) {
      EXPECT_THAT(appended.offsets, ElementsAre(next++));
    } else {
      EXPECT_EQ(appended.status.code(), absl::StatusCode::kResourceExhausted) << appended.status;
      refused++;
    }
  }
  EXPECT_GT(refused, 0);
  EXPECT_EQ(Append1(kEvents0, "", "later"), next);
}

}  // namespace
}  // namespace laneway::log
