// KafkaLog on a cluster of three that loses one, and on brokers that ask for TLS, a password, and rights.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <mutex>
#include <string>
#include <vector>

#include "log/kafka.h"
#include "log/kafka_ownership.h"
#include "support/kafka_broker.h"
#include "support/log_calls.h"

namespace laneway::log {
namespace {

using namespace std::chrono_literals;
using absl::StatusCode;
using testing::AllOf;
using testing::AnyOf;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing_support::KafkaBroker;
using testing_support::Open;

// What the log had to say, counted.
struct Notes {
  std::mutex mutex;
  std::vector<std::string> said;
  std::function<void(KafkaNote, std::string_view)> Taker() {
    return [this](KafkaNote, std::string_view text) {
      const std::lock_guard lock(mutex);
      said.emplace_back(text);
    };
  }
};

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

class KafkaSecurityTest : public testing::Test {
 protected:
  static KafkaBroker& Broker() {
    static const std::unique_ptr<KafkaBroker> broker = KafkaBroker::Start({.acl = true});
    return *broker;
  }
  static void Allow(const std::string& what) {
    Broker().Tool(
        "org.apache.kafka.tools.AclCommand --bootstrap-server {bootstrap} --add --allow-principal "
        "User:fleet " +
        what);
  }
  KafkaOptions options_ = Broker().LogOptions();
};

TEST_F(KafkaSecurityTest, TlsAndAPasswordLetTheLogIn) {
  Allow("--operation All --topic " + options_.prefix + " --resource-pattern-type prefixed");
  const auto log = Open(options_);
  EXPECT_EQ(log->Reach(10s), absl::OkStatus());
  ASSERT_EQ(log->EnsureTopic(Topic::kEvents, 2), absl::OkStatus());
  AppendOne(*log, kEvents0, "k", "v");
  EXPECT_EQ(ReadToEnd(*log, kEvents0, 0).size(), 1u);
}

TEST_F(KafkaSecurityTest, AWrongPasswordIsNamedAndNeverShown) {
  Notes notes;
  options_.settings["sasl.password"] = "canary-of-a-password";
  options_.append_timeout = 2s;
  options_.on_note = notes.Taker();
  const auto log = Open(options_);
  const absl::Status reached = log->Reach(10s);
  EXPECT_EQ(reached.code(), StatusCode::kPermissionDenied) << reached;
  EXPECT_THAT(reached.ToString(), HasSubstr("sasl.password"));
  EXPECT_EQ(log->Partitions(Topic::kEvents).status().code(), StatusCode::kPermissionDenied);
  const Appended refused = AppendNow(*log, {Make(kEvents0, "", "x")});
  EXPECT_FALSE(refused.status.ok());
  const std::lock_guard lock(notes.mutex);
  EXPECT_THAT(reached.ToString() + refused.status.ToString(), Not(HasSubstr("canary")));
  for (const std::string& text : notes.said) EXPECT_THAT(text, Not(HasSubstr("canary")));
  EXPECT_LT(notes.said.size(), 400u);  // it is tried again now and then, not all the time
}

TEST_F(KafkaSecurityTest, AnUnknownAuthorityIsNamed) {
  options_.settings["ssl.ca.location"] = "/etc/ssl/certs/ca-certificates.crt";
  const auto log = Open(options_);
  const absl::Status reached = log->Reach(10s);
  EXPECT_EQ(reached.code(), StatusCode::kPermissionDenied) << reached;
  EXPECT_THAT(reached.ToString(), AnyOf(HasSubstr("self-signed"), HasSubstr("issuer")));
}

TEST_F(KafkaSecurityTest, MissingRightsAreNamed) {
  const auto log = Open(options_);  // its topics are nobody's
  EXPECT_EQ(log->Reach(10s), absl::OkStatus());
  const absl::Status made = log->EnsureTopic(Topic::kEvents, 2);
  EXPECT_EQ(made.code(), StatusCode::kPermissionDenied) << made;
  EXPECT_THAT(made.ToString(), HasSubstr("rights"));
  const Appended refused = AppendNow(*log, {Make(kEvents0, "", "x")});
  EXPECT_EQ(refused.status.code(), StatusCode::kPermissionDenied) << refused.status;
  EXPECT_EQ(log->Read(kEvents0, 0, 100).status().code(), StatusCode::kPermissionDenied);
}

TEST_F(KafkaSecurityTest, WhoMayReadButNotWriteIsToldAtTheAppend) {
  Broker().Tool("org.apache.kafka.tools.TopicCommand --bootstrap-server {bootstrap} --create --topic " +
                options_.prefix + "events --partitions 2");
  Allow("--operation Read --operation Describe --topic " + options_.prefix + "events");
  options_.manage_topics = false;
  const auto log = Open(options_);
  ASSERT_EQ(log->EnsureTopic(Topic::kEvents, 2), absl::OkStatus());
  EXPECT_THAT(ReadToEnd(*log, kEvents0, 0), IsEmpty());
  const Appended refused = AppendNow(*log, {Make(kEvents0, "", "x")});
  EXPECT_EQ(refused.status.code(), StatusCode::kPermissionDenied) << refused.status;
}

TEST_F(KafkaSecurityTest, WhoHasNoRightToTheGroupIsToldThatItIsNeverElected) {
  Broker().Tool("org.apache.kafka.tools.TopicCommand --bootstrap-server {bootstrap} --create --topic " +
                options_.prefix + "control --partitions 1");
  Allow("--operation Read --operation Describe --topic " + options_.prefix + "control");
  Notes notes;
  options_.on_note = notes.Taker();
  const auto member = KafkaOwnership::Stand(options_, Topic::kControl, "dispatchers", [](bool) {});
  ASSERT_EQ(member.status(), absl::OkStatus());
  const auto told = [&] {
    const std::lock_guard lock(notes.mutex);
    return !notes.said.empty();
  };
  Until(told);
  const std::lock_guard lock(notes.mutex);
  EXPECT_THAT(notes.said.front(), AllOf(HasSubstr(options_.prefix + "dispatchers"), HasSubstr("rights")));
}

TEST_F(KafkaSecurityTest, WithoutTlsNobodyGetsIn) {
  options_.settings.clear();
  const auto log = Open(options_);
  const absl::Status reached = log->Reach(5s);
  EXPECT_THAT(reached.code(), AnyOf(StatusCode::kUnavailable, StatusCode::kPermissionDenied)) << reached;
  EXPECT_THAT(reached.ToString(), HasSubstr("log.brokers"));
}

TEST(KafkaCertificateTest, AnExpiredCertificateIsNamed) {
  const auto broker = KafkaBroker::Start({.sasl = true, .certificate_days = -1});
  const auto log = Open(broker->LogOptions());
  const absl::Status reached = log->Reach(10s);
  EXPECT_EQ(reached.code(), StatusCode::kPermissionDenied) << reached;
  EXPECT_THAT(reached.ToString(), HasSubstr("expired"));
}

}  // namespace
}  // namespace laneway::log
