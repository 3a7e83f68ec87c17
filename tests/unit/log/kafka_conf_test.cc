#include "log/kafka_conf.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <string>

namespace laneway::log {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

std::map<std::string, std::string> Applied(KafkaRole role, KafkaOptions options) {
  std::map<std::string, std::string> out;
  for (const auto& [name, value] : KafkaSettingsFor(role, options)) out[name] = value;
  return out;
}

TEST(KafkaConfTest, EveryRoleIsTakenByLibrdkafka) {
  for (const KafkaRole role : {KafkaRole::kProducer, KafkaRole::kReader, KafkaRole::kMember})
    EXPECT_EQ(MakeKafkaConf(KafkaSettingsFor(role, {.brokers = {"a:1", "b:2"}})).status(), absl::OkStatus());
}

TEST(KafkaConfTest, WhatThePromisesRestOn) {
  const auto producer = Applied(KafkaRole::kProducer, {.brokers = {"a:1", "b:2"}});
  EXPECT_EQ(producer.at("bootstrap.servers"), "a:1,b:2");
  EXPECT_EQ(producer.at("enable.idempotence"), "true");  // implies acks=all
  EXPECT_EQ(producer.at("message.timeout.ms"), "30000");
  const auto reader = Applied(KafkaRole::kReader, {.brokers = {"a:1"}});
  EXPECT_EQ(reader.at("auto.offset.reset"), "error");
  EXPECT_EQ(reader.at("enable.auto.commit"), "false");
  EXPECT_EQ(reader.at("check.crcs"), "true");
  EXPECT_EQ(reader.at("allow.auto.create.topics"), "false");
  EXPECT_EQ(producer.at("allow.auto.create.topics"), "false");
}

TEST(KafkaConfTest, TheConfigurationsSettingsComeLast) {
  const auto applied =
      Applied(KafkaRole::kProducer,
              {.brokers = {"a:1"}, .settings = {{"linger.ms", "7"}, {"ssl.ca.location", "/x"}}});
  EXPECT_EQ(applied.at("linger.ms"), "7");
  EXPECT_EQ(applied.at("ssl.ca.location"), "/x");
}

TEST(KafkaConfTest, GoodSettingsOfEitherKindOfClientPass) {
  EXPECT_THAT(CheckKafkaSettings({{"security.protocol", "SASL_SSL"},
                                  {"sasl.mechanism", "SCRAM-SHA-512"},
                                  {"sasl.username", "fleet"},
                                  {"sasl.password", "secret"},
                                  {"fetch.min.bytes", "1"},
                                  {"compression.type", "lz4"}}),
              IsEmpty());
}

TEST(KafkaConfTest, AllThatIsWrongIsSaidAtOnceAndNoValueIsRepeated) {
  const auto problems = CheckKafkaSettings({{"acks", "1"},
                                            {"group.id", "mine"},
                                            {"linger.ms", "never-5ms"},
                                            {"no.such.thing", "hunter2"},
                                            {"security.protocol", "sekret-protocol"}});
  EXPECT_THAT(problems, ElementsAre(AllOf(HasSubstr("acks"), HasSubstr("promise")), HasSubstr("group.id"),
                                    HasSubstr("linger.ms"), HasSubstr("no.such.thing"),
                                    HasSubstr("security.protocol")));
  for (const std::string& problem : problems) {
    EXPECT_THAT(problem, Not(HasSubstr("hunter2")));
    EXPECT_THAT(problem, Not(HasSubstr("never-5ms")));
    EXPECT_THAT(problem, Not(HasSubstr("sekret")));
  }
}

TEST(KafkaConfTest, ALogWithWrongSettingsDoesNotOpen) {
  const auto log = KafkaLog::Open({.brokers = {}, .settings = {{"acks", "0"}}});
  EXPECT_EQ(log.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(log.status().ToString(), AllOf(HasSubstr("acks"), HasSubstr("log.brokers is empty")));
}

}  // namespace
}  // namespace laneway::log
