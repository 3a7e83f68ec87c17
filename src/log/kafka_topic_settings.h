// kafka_topic_settings.h: how the topics must be kept, and what is wrong with those that are not.
//
// Role:       pure. EnsureTopic makes topics with what is wanted, and refuses those that could lose records.
// Output:     settings for CreateTopics; sentences for people, each with topic, setting, what was found, what
//             it must be, and why.
// Threads:    any.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "log/log.h"

namespace laneway::log {

// What the brokers say of a topic.
struct KafkaTopicFacts {
  std::map<std::string, std::string, std::less<>> settings;
  int32_t partitions = 0;
  int32_t replicas = 0;  // of the partition that has the fewest
  int32_t brokers = 0;   // in the cluster
};

std::string KafkaTopicName(std::string_view prefix, Topic topic);

// In a cluster of so many brokers a record is kept by so many of them.
int32_t WantedReplicas(int32_t brokers);
std::vector<std::pair<std::string, std::string>> WantedTopicSettings(Topic topic,
                                                                     uint64_t events_retention_ms,
                                                                     int32_t replicas);
// `name` is for the sentences. Empty: nothing here can lose a record.
std::vector<std::string> CheckTopicSettings(Topic topic, std::string_view name, uint64_t events_retention_ms,
                                            const KafkaTopicFacts& facts);

}  // namespace laneway::log
