#include "log/kafka_errors.h"

#include "log/text.h"

namespace laneway::log {
namespace {

constexpr std::string_view kReach = "check that the brokers run and that log.brokers names them";
constexpr std::string_view kPassword =
    "check user name, password and mechanism (log.kafka: sasl.username, sasl.password, sasl.mechanism, "
    "security.protocol)";
constexpr std::string_view kCertificate =
    "check certificates, their dates and the names in them (log.kafka: ssl.ca.location, "
    "ssl.certificate.location)";
constexpr std::string_view kRights = "give this user the rights that docs/kafka.md lists for its role";
constexpr std::string_view kTopics = "`laneway topics ensure` makes the topics";

}  // namespace

// A code of librdkafka that is not named here means: try again.
// NOLINTNEXTLINE(readability-function-size)
absl::StatusCode KafkaCode(rd_kafka_resp_err_t error) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wswitch-enum"  // there are 200 of them
  switch (error) {
    case RD_KAFKA_RESP_ERR_NO_ERROR:
      return absl::StatusCode::kOk;
    case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE:
    case RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE:
    case RD_KAFKA_RESP_ERR_INVALID_RECORD:
    case RD_KAFKA_RESP_ERR_INVALID_MSG_SIZE:
    case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
    case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_ID:
    case RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION:
    case RD_KAFKA_RESP_ERR_INVALID_PARTITIONS:
    case RD_KAFKA_RESP_ERR_INVALID_REPLICATION_FACTOR:
    case RD_KAFKA_RESP_ERR_INVALID_CONFIG:
    case RD_KAFKA_RESP_ERR_POLICY_VIOLATION:
    case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
    case RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION:
    case RD_KAFKA_RESP_ERR__INVALID_ARG:
      return absl::StatusCode::kInvalidArgument;
    case RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS:
      return absl::StatusCode::kAlreadyExists;
    case RD_KAFKA_RESP_ERR__QUEUE_FULL:
    case RD_KAFKA_RESP_ERR_THROTTLING_QUOTA_EXCEEDED:
      return absl::StatusCode::kResourceExhausted;
    case RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE:
    case RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET:
      return absl::StatusCode::kOutOfRange;
    case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED:
    case RD_KAFKA_RESP_ERR_UNSUPPORTED_SASL_MECHANISM:
    case RD_KAFKA_RESP_ERR__AUTHENTICATION:
    case RD_KAFKA_RESP_ERR__SSL:
      return absl::StatusCode::kPermissionDenied;
    case RD_KAFKA_RESP_ERR__LOG_TRUNCATION:
    case RD_KAFKA_RESP_ERR__BAD_COMPRESSION:
    case RD_KAFKA_RESP_ERR__BAD_MSG:
      return absl::StatusCode::kDataLoss;
    case RD_KAFKA_RESP_ERR_UNSUPPORTED_VERSION:
    case RD_KAFKA_RESP_ERR__UNSUPPORTED_FEATURE:
      return absl::StatusCode::kFailedPrecondition;
    default:
      return absl::StatusCode::kUnavailable;
  }
#pragma GCC diagnostic pop
}

std::string_view KafkaRemedy(rd_kafka_resp_err_t error) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wswitch-enum"
  switch (error) {
    case RD_KAFKA_RESP_ERR__TRANSPORT:
    case RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN:
    case RD_KAFKA_RESP_ERR__RESOLVE:
    case RD_KAFKA_RESP_ERR__TIMED_OUT:
    case RD_KAFKA_RESP_ERR__MSG_TIMED_OUT:
      return kReach;
    case RD_KAFKA_RESP_ERR__AUTHENTICATION:
    case RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED:
    case RD_KAFKA_RESP_ERR_UNSUPPORTED_SASL_MECHANISM:
      return kPassword;
    case RD_KAFKA_RESP_ERR__SSL:
      return kCertificate;
    case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED:
      return kRights;
    case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
    case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_ID:
    case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
    case RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION:
      return kTopics;
    case RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS:
    case RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS_AFTER_APPEND:
      return "fewer brokers run than the topic's min.insync.replicas asks for: start the others";
    case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE:
      return "`laneway topics check` names the topic whose max.message.bytes is too small";
    case RD_KAFKA_RESP_ERR__LOG_TRUNCATION:
      return "records that were read here are gone: `laneway topics check` names settings that allow it";
    case RD_KAFKA_RESP_ERR_UNSUPPORTED_VERSION:
    case RD_KAFKA_RESP_ERR__UNSUPPORTED_FEATURE:
      return "the brokers are too old: Apache Kafka 4 is wanted";
    default:
      return {};
  }
#pragma GCC diagnostic pop
}

absl::Status KafkaStatus(rd_kafka_resp_err_t error, std::string_view what, std::string_view cause) {
  if (error == RD_KAFKA_RESP_ERR_NO_ERROR) return absl::OkStatus();
  std::string text = Cat(what, ": ", rd_kafka_err2str(error));
  if (!cause.empty()) text += Cat(" (", cause, ")");
  if (const std::string_view remedy = KafkaRemedy(error); !remedy.empty()) text += Cat("; ", remedy);
  return {KafkaCode(error), text};
}

absl::Status NotYetKnown(const absl::Status& status) {
  return absl::IsInvalidArgument(status) ? absl::UnavailableError(status.message()) : status;
}

absl::Status KafkaAppendStatus(const KafkaOutcome& outcome, std::string_view what, std::string_view cause) {
  if (outcome.possibly == 0 && outcome.refused == 0) return absl::OkStatus();
  if (outcome.persisted == 0 && outcome.possibly == 0) {
    absl::Status status = KafkaStatus(outcome.first_error, what, cause);
    // whatever it is called for a reader, an append that did not happen may be tried again
    if (status.code() != absl::StatusCode::kOutOfRange && status.code() != absl::StatusCode::kDataLoss)
      return status;
    return absl::UnavailableError(Cat(status.message()));
  }
  return absl::UnknownError(Cat(KafkaStatus(outcome.first_error, what, cause).message(), "; of ",
                                outcome.persisted + outcome.possibly + outcome.refused, " records ",
                                outcome.persisted, " were appended and ", outcome.possibly,
                                " may have been"));
}

}  // namespace laneway::log
