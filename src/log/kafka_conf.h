// kafka_conf.h: the settings librdkafka is started with: ours, and what the configuration's `log.kafka` adds.
//
// Role:       pure but for librdkafka's own check of names and values.
// Invariants: what a promise of log.h rests on cannot be set from outside.
// Errors:     INVALID_ARGUMENT: all that is wrong, one line each; values are never repeated (they may be
//             passwords).
// Threads:    any.
#pragma once

#include <librdkafka/rdkafka.h>

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "log/kafka.h"

namespace laneway::log {

enum class KafkaRole : uint8_t {
  kProducer,  // appends, and asks the brokers
  kReader,    // follows partitions, without a group
  kMember     // of a group: elections
};

using KafkaSettings = std::vector<std::pair<std::string, std::string>>;  // in the order they are applied

// What is wrong with settings of librdkafka's, one sentence each: no such name, no such value, not to be
// changed and why.
std::vector<std::string> CheckKafkaSettings(const std::map<std::string, std::string>& settings);

KafkaSettings KafkaSettingsFor(KafkaRole role, const KafkaOptions& options);

struct KafkaConfDelete {
  void operator()(rd_kafka_conf_t* conf) const { rd_kafka_conf_destroy(conf); }
};
using KafkaConf = std::unique_ptr<rd_kafka_conf_t, KafkaConfDelete>;
absl::StatusOr<KafkaConf> MakeKafkaConf(const KafkaSettings& settings);

}  // namespace laneway::log
