// KafkaLog on a cluster of three that loses one, or records.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <string>
#include <vector>

#include "log/kafka.h"
#include "support/kafka_broker.h"
#include "support/log_calls.h"

namespace laneway::log {
namespace {

using namespace std::chrono_literals;
using absl::StatusCode;
using testing::HasSubstr;
using testing::IsEmpty;
using testing_support::KafkaBroker;

std::unique_ptr<KafkaLog> Open(const KafkaOptions& options) {
  auto log = KafkaLog::Open(options);
  EXPECT_TRUE(log.ok()) << log.status();
  return log.ok() ? *std::move(log) : nullptr;
}

TEST(KafkaClusterTest, OneOfThreeMayGoAtAnyMoment) {
  const auto cluster = KafkaBroker::Start({.brokers = 3});
  const auto log = Open(cluster->LogOptions());
  ASSERT_EQ(log->EnsureTopic(Topic::kEvents, 6), absl::OkStatus());
  // three replicas, two of which must have a record
  EXPECT_THAT(*log->CheckTopic(Topic::kEvents), IsEmpty());
  std::vector<TopicPartition> partitions;
  for (uint32_t p = 0; p < 6; p++) partitions.push_back({Topic::kEvents, p});
  WakeCounter counter;
  const auto watch = log->WatchPartitions(partitions, counter.Wake());
  size_t appended = 0;
  const auto append_everywhere = [&] {
    for (const TopicPartition& partition : partitions) {
      Appended answer;
      Until([&] { return (answer = AppendNow(*log, {Make(partition, "", "x")})).status.ok(); });
    }
    appended++;
  };
  append_everywhere();
  for (const int broker : {1, 2, 3}) {
    cluster->Kill(broker);
    append_everywhere();
    // those who follow read on
    for (const TopicPartition& partition : partitions) {
      absl::StatusOr<RecordBatch> batch;
      Until(
          [&] { return (batch = log->Read(partition, appended - 1, 100)).ok() && !batch->records.empty(); });
    }
    cluster->StartAgain(broker);
    append_everywhere();
  }
  for (const TopicPartition& partition : partitions) {
    const auto records = ReadToEnd(*log, partition, 0, kReadAll, false);
    EXPECT_GE(records.size(), appended);
    EXPECT_EQ(log->Range(partition)->next, records.size());
  }
  EXPECT_EQ(log->Trim(partitions[0], 1), absl::OkStatus());
}

// A topic that allows a broker without the newest records to lead it: who has read them is told.
TEST(KafkaClusterTest, RecordsThatWereReadAndAreGoneAreDataLoss) {
  const auto cluster = KafkaBroker::Start({.brokers = 3});
  KafkaOptions options = cluster->LogOptions();
  cluster->Tool("org.apache.kafka.tools.TopicCommand --bootstrap-server {bootstrap} --create --topic " +
                options.prefix +
                "events --replica-assignment 1:2 --config unclean.leader.election.enable=true --config "
                "min.insync.replicas=1");
  options.manage_topics = false;
  const auto log = Open(options);
  ASSERT_EQ(log->EnsureTopic(Topic::kEvents, 1), absl::OkStatus());
  EXPECT_THAT(*log->CheckTopic(Topic::kEvents), testing::Contains(HasSubstr("unclean.leader.election")));
  AppendOne(*log, kEvents0, "", "on both");
  cluster->Kill(2);
  Appended lonely;
  Until([&] { return (lonely = AppendNow(*log, {Make(kEvents0, "", "on the first")})).status.ok(); });
  const Offset end = lonely.offsets[0] + 1;
  WakeCounter counter;
  const auto watch = log->WatchPartitions({kEvents0}, counter.Wake());
  EXPECT_EQ(ReadToEnd(*log, kEvents0, 0).size(), end);
  cluster->Kill(1);
  cluster->StartAgain(2);
  absl::StatusOr<RecordBatch> batch;
  Until([&] {
    batch = log->Read(kEvents0, end, 100);
    return !batch.ok() && !absl::IsUnavailable(batch.status());
  });
  EXPECT_EQ(batch.status().code(), StatusCode::kDataLoss) << batch.status();
}

}  // namespace
}  // namespace laneway::log
