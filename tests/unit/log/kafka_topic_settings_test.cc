#include "log/kafka_topic_settings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace laneway::log {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr uint64_t kDayMs = 24ull * 3600 * 1000;
constexpr uint64_t kEventsMs = 90 * kDayMs;
constexpr Topic kAll[] = {Topic::kEvents,  Topic::kLanes,      Topic::kHeartbeats, Topic::kBrowserHealth,
                          Topic::kControl, Topic::kDeadLetter, Topic::kAlerts};

KafkaTopicFacts AsMade(Topic topic, int32_t brokers) {
  KafkaTopicFacts facts{.partitions = 1, .replicas = WantedReplicas(brokers), .brokers = brokers};
  for (const auto& [name, value] : WantedTopicSettings(topic, kEventsMs, facts.replicas))
    facts.settings[name] = value;
  return facts;
}

TEST(KafkaTopicSettingsTest, WhatIsMadePassesItsOwnCheck) {
  for (const Topic topic : kAll) {
    for (const int32_t brokers : {1, 2, 3, 9})
      EXPECT_THAT(CheckTopicSettings(topic, "t", kEventsMs, AsMade(topic, brokers)), IsEmpty())
          << TopicName(topic) << " on " << brokers;
  }
}

TEST(KafkaTopicSettingsTest, LanesNeverExpireAndControlKeepsTheLastOfEachKey) {
  const auto lanes = AsMade(Topic::kLanes, 1).settings;
  EXPECT_EQ(lanes.at("retention.ms"), "-1");
  EXPECT_EQ(lanes.at("cleanup.policy"), "delete");
  EXPECT_EQ(AsMade(Topic::kControl, 1).settings.at("cleanup.policy"), "compact");
  for (const Topic topic : kAll)
    EXPECT_EQ(AsMade(topic, 3).settings.at("message.timestamp.type"), "LogAppendTime");
}

TEST(KafkaTopicSettingsTest, EachSettingThatCanLoseDataIsNamed) {
  struct Row {
    Topic topic;
    const char* setting;
    const char* value;
    const char* says;
  };
  const Row rows[] = {
      {Topic::kLanes, "retention.ms", "604800000", "deleted while they are still needed"},
      {Topic::kLanes, "retention.bytes", "1073741824", "however young"},
      {Topic::kEvents, "retention.ms", "604800000", "7776000000 or more"},
      {Topic::kEvents, "cleanup.policy", "compact", "all but the last record"},
      {Topic::kEvents, "cleanup.policy", "compact,delete", "all but the last record"},
      {Topic::kControl, "cleanup.policy", "delete", "the last record of each key must stay"},
      {Topic::kControl, "cleanup.policy", "compact,delete", "must stay"},
      {Topic::kHeartbeats, "message.timestamp.type", "CreateTime", "wrong clock"},
      {Topic::kEvents, "unclean.leader.election.enable", "true", "lacks acknowledged records"},
      {Topic::kEvents, "min.insync.replicas", "1", "one broker alone"},
      {Topic::kEvents, "min.insync.replicas", "4", "nothing can be appended"},
      {Topic::kAlerts, "max.message.bytes", "1048588", "a record may have"},
      {Topic::kDeadLetter, "retention.ms", "1", "still needed"},
  };
  for (const Row& row : rows) {
    KafkaTopicFacts facts = AsMade(row.topic, 3);
    facts.settings[row.setting] = row.value;
    EXPECT_THAT(CheckTopicSettings(row.topic, "laneway.x", kEventsMs, facts),
                ElementsAre(AllOf(HasSubstr("laneway.x"), HasSubstr(row.setting), HasSubstr(row.value),
                                  HasSubstr(row.says))))
        << row.setting << "=" << row.value;
  }
}

TEST(KafkaTopicSettingsTest, MoreThanIsNeededIsFine) {
  KafkaTopicFacts facts = AsMade(Topic::kEvents, 3);
  facts.settings["retention.ms"] = "-1";
  facts.settings["max.message.bytes"] = "10000000";
  facts.settings["min.insync.replicas"] = "3";
  EXPECT_THAT(CheckTopicSettings(Topic::kEvents, "t", kEventsMs, facts), IsEmpty());
  facts = AsMade(Topic::kHeartbeats, 3);
  facts.settings["retention.ms"] = "3600000";  // nobody needs old heartbeats
  EXPECT_THAT(CheckTopicSettings(Topic::kHeartbeats, "t", kEventsMs, facts), IsEmpty());
}

TEST(KafkaTopicSettingsTest, OneReplicaInAClusterOfThreeIsNamed) {
  KafkaTopicFacts facts = AsMade(Topic::kEvents, 1);
  EXPECT_THAT(CheckTopicSettings(Topic::kEvents, "t", kEventsMs, facts), IsEmpty());
  facts.brokers = 3;
  EXPECT_THAT(CheckTopicSettings(Topic::kEvents, "t", kEventsMs, facts),
              ElementsAre(HasSubstr("replication factor is 1")));
}

}  // namespace
}  // namespace laneway::log
