#include "log/kafka_errors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace laneway::log {
namespace {

using absl::StatusCode;
using testing::HasSubstr;

TEST(KafkaErrorsTest, EachCodeHasItsReaction) {
  struct Row {
    rd_kafka_resp_err_t error;
    StatusCode want;
    const char* why;
  };
  const Row rows[] = {
      {RD_KAFKA_RESP_ERR_NO_ERROR, StatusCode::kOk, "no error"},
      {RD_KAFKA_RESP_ERR__TRANSPORT, StatusCode::kUnavailable, "a connection broke"},
      {RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN, StatusCode::kUnavailable, "nobody there"},
      {RD_KAFKA_RESP_ERR__MSG_TIMED_OUT, StatusCode::kUnavailable, "not sent in time"},
      {RD_KAFKA_RESP_ERR__RESOLVE, StatusCode::kUnavailable, "names may be resolved later"},
      {RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS, StatusCode::kUnavailable, "a broker may come back"},
      {RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION, StatusCode::kUnavailable, "a new leader is found"},
      {RD_KAFKA_RESP_ERR_KAFKA_STORAGE_ERROR, StatusCode::kUnavailable, "another broker may take over"},
      {RD_KAFKA_RESP_ERR__FATAL, StatusCode::kUnavailable, "a new producer takes over"},
      {RD_KAFKA_RESP_ERR__PURGE_QUEUE, StatusCode::kUnavailable, "was never sent"},
      {RD_KAFKA_RESP_ERR__QUEUE_FULL, StatusCode::kResourceExhausted, "take nothing new"},
      {RD_KAFKA_RESP_ERR_THROTTLING_QUOTA_EXCEEDED, StatusCode::kResourceExhausted, "take nothing new"},
      {RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE, StatusCode::kInvalidArgument, "never fits"},
      {RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC, StatusCode::kInvalidArgument, "no such topic"},
      {RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART, StatusCode::kInvalidArgument, "no such topic"},
      {RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION, StatusCode::kInvalidArgument, "no such partition"},
      {RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS, StatusCode::kAlreadyExists, "an answer"},
      {RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE, StatusCode::kOutOfRange, "trimmed, or behind the end"},
      {RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET, StatusCode::kOutOfRange, "the same, told by the client"},
      {RD_KAFKA_RESP_ERR__LOG_TRUNCATION, StatusCode::kDataLoss, "what was read is gone"},
      {RD_KAFKA_RESP_ERR__BAD_MSG, StatusCode::kDataLoss, "a checksum is wrong"},
      {RD_KAFKA_RESP_ERR__AUTHENTICATION, StatusCode::kPermissionDenied, "an operator must act"},
      {RD_KAFKA_RESP_ERR__SSL, StatusCode::kPermissionDenied, "an operator must act"},
      {RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED, StatusCode::kPermissionDenied, "wrong password"},
      {RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, StatusCode::kPermissionDenied, "no rights"},
      {RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED, StatusCode::kPermissionDenied, "no rights"},
      {RD_KAFKA_RESP_ERR__UNSUPPORTED_FEATURE, StatusCode::kFailedPrecondition, "the brokers are too old"},
  };
  for (const Row& row : rows) {
    EXPECT_EQ(KafkaCode(row.error), row.want) << rd_kafka_err2name(row.error) << ": " << row.why;
    EXPECT_EQ(KafkaStatus(row.error, "x").code(), row.want) << rd_kafka_err2name(row.error);
  }
}

TEST(KafkaErrorsTest, MessagesSayWhatCauseAndRemedy) {
  const absl::Status status = KafkaStatus(RD_KAFKA_RESP_ERR__AUTHENTICATION, "append to x",
                                          "SASL authentication error: bad password");
  EXPECT_THAT(status.ToString(), HasSubstr("append to x"));
  EXPECT_THAT(status.ToString(), HasSubstr("bad password"));
  EXPECT_THAT(status.ToString(), HasSubstr("sasl.password"));
  EXPECT_THAT(KafkaStatus(RD_KAFKA_RESP_ERR__TRANSPORT, "x").ToString(), HasSubstr("log.brokers"));
}

TEST(KafkaErrorsTest, WhoDoesNotKnowATopicThatIsThereIsLate) {
  const auto code = [](rd_kafka_resp_err_t error) { return NotYetKnown(KafkaStatus(error, "look")).code(); };
  EXPECT_EQ(code(RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART), StatusCode::kUnavailable);
  EXPECT_EQ(code(RD_KAFKA_RESP_ERR__TIMED_OUT), StatusCode::kUnavailable);
  EXPECT_EQ(code(RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED), StatusCode::kPermissionDenied);
  EXPECT_EQ(code(RD_KAFKA_RESP_ERR_NO_ERROR), StatusCode::kOk);
}

// "UNKNOWN: may have happened; any other error: nothing of it did."
TEST(KafkaErrorsTest, AnAppendIsUnknownAsSoonAsAnyPartOfItMayHaveHappened) {
  struct Row {
    KafkaOutcome outcome;
    StatusCode want;
    const char* why;
  };
  constexpr auto kTimedOut = RD_KAFKA_RESP_ERR__MSG_TIMED_OUT;
  const Row rows[] = {
      {{.persisted = 3}, StatusCode::kOk, "all of it"},
      {{.refused = 3, .first_error = kTimedOut}, StatusCode::kUnavailable, "none of it"},
      {{.possibly = 3, .first_error = kTimedOut}, StatusCode::kUnknown, "nobody knows"},
      {{.persisted = 1, .refused = 2, .first_error = kTimedOut}, StatusCode::kUnknown, "a part of it"},
      {{.persisted = 2, .possibly = 1, .first_error = kTimedOut},
       StatusCode::kUnknown,
       "a part or all of it"},
      {{.refused = 1, .first_error = RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE},
       StatusCode::kInvalidArgument,
       "a record that never fits"},
      {{.refused = 1, .first_error = RD_KAFKA_RESP_ERR__BAD_MSG},
       StatusCode::kUnavailable,
       "nothing is lost by an append that did not happen"},
  };
  for (const Row& row : rows)
    EXPECT_EQ(KafkaAppendStatus(row.outcome, "append", "").code(), row.want) << row.why;
}

}  // namespace
}  // namespace laneway::log
