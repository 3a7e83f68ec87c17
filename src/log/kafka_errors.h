// kafka_errors.h: what an error of librdkafka means to a caller of the log.
//
// Role:       pure. The one place where librdkafka's codes become ours (log.h).
// Output:     a status whose message says what was tried, what happened, and what to do about it.
// Threads:    any.
#pragma once

#include <librdkafka/rdkafka.h>

#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace laneway::log {

// `what`: "append to laneway.events/3". `cause`: what librdkafka has to say beyond the code; may be empty.
absl::Status KafkaStatus(rd_kafka_resp_err_t error, std::string_view what, std::string_view cause = {});
absl::StatusCode KafkaCode(rd_kafka_resp_err_t error);
// What a person does about it: "check log.brokers …". Empty: nothing but waiting.
std::string_view KafkaRemedy(rd_kafka_resp_err_t error);

// Of a topic that is there: brokers that do not know it have not heard of it yet. INVALID_ARGUMENT (no such
// topic) becomes UNAVAILABLE.
absl::Status NotYetKnown(const absl::Status& status);

// The answer to an append of several records.
struct KafkaOutcome {
  size_t persisted = 0;
  size_t possibly = 0;
  size_t refused = 0;
  rd_kafka_resp_err_t first_error = RD_KAFKA_RESP_ERR_NO_ERROR;
};
absl::Status KafkaAppendStatus(const KafkaOutcome& outcome, std::string_view what, std::string_view cause);

}  // namespace laneway::log
