// What KafkaLog makes of brokers that fail on demand: librdkafka's mock cluster.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>

#include <chrono>
#include <iterator>
#include <string>
#include <thread>
#include <vector>

#include "log/kafka.h"
#include "support/kafka_mock.h"
#include "support/log_calls.h"

namespace laneway::log {
namespace {

using namespace std::chrono_literals;
using absl::StatusCode;
using testing::AnyOf;
using testing::HasSubstr;

// The numbers of Kafka's protocol.
constexpr int16_t kProduce = 0;
constexpr int16_t kFetch = 1;
constexpr int16_t kListOffsets = 2;
constexpr int16_t kInitProducerId = 22;

class KafkaMockTest : public testing::Test {
 protected:
  KafkaMockTest() {
    cluster_.MakeTopic("laneway.events", 2);
    options_ = cluster_.LogOptions();
  }

  // With the topic known: what fails later is what a test makes fail.
  void Open() {
    auto log = KafkaLog::Open(options_);
    ASSERT_TRUE(log.ok()) << log.status();
    log_ = *std::move(log);
    ASSERT_EQ(log_->EnsureTopic(Topic::kEvents, 2), absl::OkStatus());
    AppendOne(*log_, kEvents0, "", "first");
  }
  template <size_t N>
  void Fail(int16_t request, const rd_kafka_resp_err_t (&errors)[N]) {
    rd_kafka_mock_push_request_errors_array(cluster_.get(), request, N, errors);
  }
  std::vector<std::string> Values(TopicPartition from = kEvents0) {
    std::vector<std::string> values;
    for (const Read1& read : ReadToEnd(*log_, from, 0)) values.push_back(read.value);
    return values;
  }

  testing_support::KafkaMock cluster_;
  KafkaOptions options_;
  std::unique_ptr<KafkaLog> log_;
};

// (One record at a time: the mock cluster does not look at sequence numbers, so that of several requests
// under way a later one may pass. What a real broker does is in tests/integration/kafka_broker_test.cc.)
TEST_F(KafkaMockTest, ErrorsThatPassAreRetriedAndNothingIsLostOrDoubled) {
  Open();
  Fail(kProduce,
       {RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION, RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT,
        RD_KAFKA_RESP_ERR_NO_ERROR, RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS, RD_KAFKA_RESP_ERR__TRANSPORT,
        RD_KAFKA_RESP_ERR_NO_ERROR, RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE});
  std::vector<std::string> want = {"first"};
  for (Offset i = 1; i < 20; i++) {
    EXPECT_EQ(AppendOne(*log_, kEvents0, "", std::to_string(i)), i);
    want.push_back(std::to_string(i));
  }
  EXPECT_EQ(Values(), want);
}

// The record is appended, but its acknowledgement does not come in time.
TEST_F(KafkaMockTest, AnAcknowledgementThatComesTooLateIsUnknown) {
  options_.append_timeout = 400ms;
  Open();
  rd_kafka_mock_broker_push_request_error_rtts(cluster_.get(), 1, kProduce, 1, RD_KAFKA_RESP_ERR_NO_ERROR,
                                               3000);
  const Appended late = AppendNow(*log_, {Make(kEvents0, "", "late")});
  EXPECT_EQ(late.status.code(), StatusCode::kUnknown) << late.status;
  EXPECT_TRUE(late.offsets.empty());
  // it did happen, and the log goes on
  rd_kafka_mock_clear_request_errors(cluster_.get(), kProduce);
  Appended again;
  Until([&] { return (again = AppendNow(*log_, {Make(kEvents0, "", "again")})).status.ok(); });
  EXPECT_EQ(again.status, absl::OkStatus());
  EXPECT_THAT(Values(), testing::Contains("late"));
}

TEST_F(KafkaMockTest, WhatWasNeverSentDidNotHappen) {
  options_.append_timeout = 300ms;
  Open();
  rd_kafka_mock_broker_set_down(cluster_.get(), 1);
  const Appended lost = AppendNow(*log_, {Make(kEvents0, "", "a"), Make(kEvents1, "", "b")});
  EXPECT_EQ(lost.status.code(), StatusCode::kUnavailable) << lost.status;
  EXPECT_THAT(lost.status.ToString(), HasSubstr("log.brokers"));
  rd_kafka_mock_broker_set_up(cluster_.get(), 1);
  Appended found;
  Until([&] { return !absl::IsUnavailable((found = AppendNow(*log_, {Make(kEvents0, "", "c")})).status); });
  EXPECT_EQ(found.status, absl::OkStatus());
  EXPECT_THAT(Values(), testing::ElementsAre("first", "c"));
  EXPECT_THAT(Values(kEvents1), testing::IsEmpty());
}

TEST_F(KafkaMockTest, ABrokerThatFindsARecordTooLargeMakesItInvalid) {
  Open();
  Fail(kProduce, {RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE});
  const Appended refused = AppendNow(*log_, {Make(kEvents0, "", "large")});
  EXPECT_EQ(refused.status.code(), StatusCode::kInvalidArgument) << refused.status;
  EXPECT_THAT(refused.status.ToString(), HasSubstr("max.message.bytes"));
  EXPECT_EQ(AppendOne(*log_, kEvents0, "", "small"), 1u);
}

// The broker says that the producer's numbers do not follow each other, of the only request under way: it
// cannot go on without doubt.
TEST_F(KafkaMockTest, AProducerThatFailedForGoodIsReplaced) {
  Open();
  Fail(kProduce, {RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER});
  const Appended failed = AppendNow(*log_, {Make(kEvents0, "", "a"), Make(kEvents0, "", "b")});
  EXPECT_THAT(failed.status.code(), AnyOf(StatusCode::kUnknown, StatusCode::kUnavailable)) << failed.status;
  EXPECT_TRUE(failed.offsets.empty());
  Appended after;
  Until([&] { return (after = AppendNow(*log_, {Make(kEvents0, "", "after")})).status.ok(); });
  EXPECT_EQ(log_->stats().producers_replaced, 1u);
  const std::vector<std::string> read = Values();
  EXPECT_THAT(read, testing::IsSupersetOf({"first", "after"}));
  EXPECT_TRUE(absl::IsUnknown(failed.status) || read.size() == 2) << "what was refused has happened";
}

TEST_F(KafkaMockTest, WithoutTheRightToAppendOnceTheMessageSaysSo) {
  Fail(kInitProducerId, {RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED});
  auto log = KafkaLog::Open(options_);
  ASSERT_TRUE(log.ok());
  log_ = *std::move(log);
  ASSERT_EQ(log_->EnsureTopic(Topic::kEvents, 2), absl::OkStatus());
  Appended refused;
  Until([&] { return !absl::IsUnavailable((refused = AppendNow(*log_, {Make(kEvents0, "", "x")})).status); });
  if (!refused.status.ok()) {  // the right was given before the first answer: also good
    EXPECT_EQ(refused.status.code(), StatusCode::kPermissionDenied) << refused.status;
    EXPECT_THAT(refused.status.ToString(), HasSubstr("docs/kafka.md"));
  }
  Until([&] { return AppendNow(*log_, {Make(kEvents0, "", "y")}).status.ok(); });  // the next one is let in
  EXPECT_GE(log_->stats().producers_replaced, 1u);
}

TEST_F(KafkaMockTest, BrokersFarAwayAreReached) {
  ASSERT_EQ(rd_kafka_mock_broker_set_rtt(cluster_.get(), -1, 500), RD_KAFKA_RESP_ERR_NO_ERROR);
  auto log = KafkaLog::Open(options_);
  ASSERT_TRUE(log.ok()) << log.status();
  EXPECT_EQ((*log)->Reach(5s), absl::OkStatus());
}

TEST_F(KafkaMockTest, SilenceIsNotTakenForTheEnd) {
  options_.contact_max = 1500ms;
  Open();
  WakeCounter counter;
  const auto watch = log_->WatchPartitions({kEvents0}, counter.Wake());
  EXPECT_EQ(ReadToEnd(*log_, kEvents0, 0).size(), 1u);
  auto at_end = log_->Read(kEvents0, 1, 100);
  ASSERT_TRUE(at_end.ok()) << at_end.status();
  rd_kafka_mock_broker_set_down(cluster_.get(), 1);
  const auto down = std::chrono::steady_clock::now();
  Until([&] { return !(at_end = log_->Read(kEvents0, 1, 100)).ok(); });
  EXPECT_EQ(at_end.status().code(), StatusCode::kUnavailable) << at_end.status();
  EXPECT_LT(std::chrono::steady_clock::now() - down, options_.contact_max + 4s);
  rd_kafka_mock_broker_set_up(cluster_.get(), 1);
  Until([&] { return (at_end = log_->Read(kEvents0, 1, 100)).ok(); });
  EXPECT_TRUE(at_end->records.empty());
}

TEST_F(KafkaMockTest, FetchesThatFailAreTriedAgainAndNothingIsMissed) {
  Open();
  for (int i = 0; i < 20; i++) AppendOne(*log_, kEvents0, "", std::to_string(i));
  Fail(kFetch, {RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION, RD_KAFKA_RESP_ERR__TRANSPORT,
                RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART, RD_KAFKA_RESP_ERR_KAFKA_STORAGE_ERROR});
  Fail(kListOffsets, {RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION, RD_KAFKA_RESP_ERR_NO_ERROR});
  EXPECT_EQ(ReadToEnd(*log_, kEvents0, 0).size(), 21u);
}

// What others write is read like the rest: it has no type, and whoever parses it passes over it.
TEST_F(KafkaMockTest, ForeignRecordsStopNobody) {
  Open();
  char text[256];
  rd_kafka_conf_t* const conf = rd_kafka_conf_new();
  rd_kafka_conf_set(conf, "bootstrap.servers", options_.brokers[0].c_str(), text, sizeof text);
  rd_kafka_t* const foreign = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof text);
  ASSERT_NE(foreign, nullptr);
  const auto send = [&](rd_kafka_vu_t value, rd_kafka_vu_t extra) {
    rd_kafka_vu_t parts[4];
    parts[0].vtype = RD_KAFKA_VTYPE_TOPIC;
    parts[0].u.cstr = "laneway.events";
    parts[1].vtype = RD_KAFKA_VTYPE_PARTITION;
    parts[1].u.i32 = 0;
    parts[2] = value;
    parts[3] = extra;
    EXPECT_EQ(rd_kafka_produceva(foreign, parts, std::size(parts)), nullptr);
  };
  rd_kafka_vu_t nothing{};
  nothing.vtype = RD_KAFKA_VTYPE_VALUE;
  rd_kafka_vu_t junk{};
  junk.vtype = RD_KAFKA_VTYPE_VALUE;
  junk.u.mem = {const_cast<char*>("\xff\x00junk"), 6};
  rd_kafka_vu_t key{};
  key.vtype = RD_KAFKA_VTYPE_KEY;
  key.u.mem = {const_cast<char*>("k"), 1};
  rd_kafka_vu_t header{};
  header.vtype = RD_KAFKA_VTYPE_HEADER;
  header.u.header = {"type", "no-such-type", 12};
  send(nothing, key);  // as a compacted topic's deletion
  send(junk, header);
  ASSERT_EQ(rd_kafka_flush(foreign, 5000), RD_KAFKA_RESP_ERR_NO_ERROR);
  rd_kafka_destroy(foreign);
  EXPECT_EQ(AppendOne(*log_, kEvents0, "", "last"), 3u);

  std::vector<RecordType> types;
  std::vector<std::string> values;
  for (Offset at = 0; at < 4;) {
    auto batch = log_->Read(kEvents0, at, kReadAll);
    ASSERT_TRUE(batch.ok()) << batch.status();
    for (const RecordView& record : batch->records) {
      types.push_back(record.type);
      values.emplace_back(record.value);
    }
    at = batch->next_offset;
  }
  EXPECT_THAT(types, testing::ElementsAre(RecordType::kEvent, RecordType::kUnknown, RecordType::kUnknown,
                                          RecordType::kEvent));
  EXPECT_THAT(values, testing::ElementsAre("first", "", std::string("\xff\x00junk", 6), "last"));
}

// A fold follows the end of a partition; meanwhile others read its history, from anywhere.
TEST_F(KafkaMockTest, ReadersOfHistoryDoNotDisturbThoseWhoFollow) {
  options_.recent_bytes_max = 1000;
  Open();
  for (int i = 1; i < 60; i++) AppendOne(*log_, kEvents0, "", std::string(300, 'x'));
  EXPECT_EQ(ReadToEnd(*log_, kEvents0, 0).size(), 60u);
  WakeCounter counter;
  const auto watch = log_->WatchPartitions({kEvents0}, counter.Wake());
  for (int i = 60; i < 70; i++) {
    for (const Offset from : {Offset{3}, Offset{41}, Offset{0}}) {
      auto history = log_->Read(kEvents0, from, 1);
      ASSERT_TRUE(history.ok()) << history.status();
      ASSERT_EQ(history->records.size(), 1u);
      EXPECT_EQ(history->records[0].offset, from);
    }
    const int before = counter.wakes;
    EXPECT_EQ(AppendOne(*log_, kEvents0, "", "new"), static_cast<Offset>(i));
    counter.WaitFor(before + 1);
    auto batch = log_->Read(kEvents0, static_cast<Offset>(i), 100);
    ASSERT_TRUE(batch.ok()) << batch.status();
    ASSERT_EQ(batch->records.size(), 1u);
  }
}

TEST_F(KafkaMockTest, ABatchMayOutliveTheLog) {
  Open();
  auto batch = log_->Read(kEvents0, 0, 100);
  ASSERT_TRUE(batch.ok());
  log_.reset();
  EXPECT_EQ(batch->records[0].value, "first");
}

TEST_F(KafkaMockTest, ClosingAnswersEverything) {
  options_.append_timeout = 20s;
  Open();
  rd_kafka_mock_broker_set_down(cluster_.get(), 1);
  std::vector<std::future<Appended>> answers;
  for (int i = 0; i < 10; i++) answers.push_back(AppendLater(*log_, {Make(kEvents0, "", "x")}));
  answers.push_back(AppendLater(*log_, {Make({Topic::kAlerts, 0}, "", "a topic nobody knows")}));
  log_.reset();
  for (auto& answer : answers) {
    ASSERT_EQ(answer.wait_for(0s), std::future_status::ready);
    EXPECT_THAT(answer.get().status.code(), AnyOf(StatusCode::kUnavailable, StatusCode::kUnknown));
  }
}

}  // namespace
}  // namespace laneway::log
