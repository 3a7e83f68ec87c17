// KafkaLog on real brokers that restart, stop answering, are killed, lose one of three; on topics that are
// compacted, foreign or dangerous.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <librdkafka/rdkafka.h>
#include <time.h>

#include <atomic>
#include <chrono>
#include <map>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "log/kafka.h"
#include "support/kafka_broker.h"
#include "support/log_calls.h"

namespace laneway::log {
namespace {

using namespace std::chrono_literals;
using absl::StatusCode;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing_support::KafkaBroker;
using testing_support::Open;

constexpr TopicPartition kControl0{Topic::kControl, 0};

// Of this process so far.
double ProcessorSeconds() {
  timespec used{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
  return static_cast<double>(used.tv_sec) + static_cast<double>(used.tv_nsec) / 1e9;
}

// Appends numbers, two records an append, from a thread of its own, until told to stop; again what was
// refused or is in doubt.
class Appender {
 public:
  explicit Appender(KafkaLog& log) : log_(log), thread_([this] { Run(); }) {}
  ~Appender() { Stop(); }
  void Stop() {
    stop_ = true;
    if (thread_.joinable()) thread_.join();
  }
  // What was acknowledged since some moment: whoever waits for it knows that the log takes records again.
  void AwaitMore(int count) {
    Until([this, until = acknowledged_ + count] { return acknowledged_ >= until; });
  }
  // Appends that took longer than a second.
  int stalls() const { return stalls_; }
  int acknowledged() const { return acknowledged_; }
  int doubtful() const { return doubtful_; }

 private:
  void Run() {
    for (int n = 0; !stop_;) {
      const std::string name = std::to_string(n);
      const auto called = std::chrono::steady_clock::now();
      const Appended appended = AppendNow(log_, {Make(kEvents0, name, "a"), Make(kEvents0, name, "b")});
      stalls_ += std::chrono::steady_clock::now() - called > 1s ? 1 : 0;
      if (appended.status.ok()) {
        n++;
        acknowledged_++;
      } else {
        EXPECT_TRUE(absl::IsUnavailable(appended.status) || absl::IsUnknown(appended.status))
            << appended.status;
        doubtful_ += absl::IsUnknown(appended.status) ? 1 : 0;
      }
    }
  }

  KafkaLog& log_;
  std::atomic<bool> stop_{false};
  std::atomic<int> acknowledged_{0};
  std::atomic<int> doubtful_{0};
  std::atomic<int> stalls_{0};
  std::thread thread_;
};

// All numbers are there, in order, each `a` before its `b`; no more of them than were in doubt are there
// twice, or lack their `a` at first: what waits longer than an append may is given up record by record.
void ExpectAllInOrder(KafkaLog& log, const Appender& appender) {
  const std::vector<Read1> records = ReadToEnd(log, kEvents0, 0);
  std::map<std::string, std::string> parts;
  int highest = -1;
  int doubled = 0;
  int halves = 0;
  for (const Read1& record : records) {
    const int n = std::stoi(record.key);
    EXPECT_LE(n, highest + 1);
    EXPECT_GE(n, highest);
    highest = std::max(highest, n);
    std::string& seen = parts[record.key];
    if (record.value == "b" && !seen.ends_with("a")) {
      EXPECT_LE(++halves, appender.doubtful())
          << record.offset << " " << record.key << ": " << seen << record.value;
    }
    seen += record.value;
    doubled += record.value == "a" && seen.size() > 1 ? 1 : 0;
  }
  EXPECT_GE(highest, appender.acknowledged() - 1);
  for (int n = 0; n < appender.acknowledged(); n++) EXPECT_TRUE(parts[std::to_string(n)].ends_with("b")) << n;
  EXPECT_LE(doubled, appender.doubtful());
}

class KafkaBrokerTest : public testing::Test {
 protected:
  KafkaBrokerTest() : broker_(KafkaBroker::Shared()), options_(broker_.LogOptions()) {}
  void OpenLog() {
    log_ = Open(options_);
    ASSERT_EQ(log_->EnsureTopic(Topic::kEvents, 2), absl::OkStatus());
  }
  KafkaBroker& broker_;
  KafkaOptions options_;
  std::unique_ptr<KafkaLog> log_;
};

TEST_F(KafkaBrokerTest, ARestartLosesAndDoublesNothing) {
  OpenLog();
  Appender appender(*log_);
  appender.AwaitMore(20);
  broker_.Stop();
  broker_.StartAgain();
  appender.AwaitMore(20);
  appender.Stop();
  EXPECT_EQ(appender.doubtful(), 0);
  ExpectAllInOrder(*log_, appender);
}

TEST_F(KafkaBrokerTest, AKilledBrokerThatReturnsHasEverything) {
  OpenLog();
  Appender appender(*log_);
  appender.AwaitMore(20);
  broker_.Kill();
  broker_.StartAgain();
  appender.AwaitMore(20);
  appender.Stop();
  ExpectAllInOrder(*log_, appender);
}

TEST_F(KafkaBrokerTest, ABrokerThatPausesDoublesNothing) {
  OpenLog();
  Appender appender(*log_);
  appender.AwaitMore(20);
  broker_.Pause();
  const auto paused = std::chrono::steady_clock::now();
  Until([&] { return std::chrono::steady_clock::now() - paused > 3s; });
  broker_.Resume();
  appender.AwaitMore(20);
  appender.Stop();
  EXPECT_EQ(appender.doubtful(), 0);
  ExpectAllInOrder(*log_, appender);
}

TEST_F(KafkaBrokerTest, APauseLongerThanAppendsMayTakeLeavesThemInDoubt) {
  options_.append_timeout = 1s;
  OpenLog();
  Appender appender(*log_);
  appender.AwaitMore(20);
  broker_.Pause();
  Until([&] { return appender.doubtful() > 0; });
  broker_.Resume();
  appender.AwaitMore(20);
  appender.Stop();
  ExpectAllInOrder(*log_, appender);
}

// A broker whose heartbeats come too late (a laptop that slept, a long pause) is taken out of the cluster's
// list for a while, and says so itself: that there is no broker at all. Here all of it happens every four
// seconds.
TEST(KafkaFencedBrokerTest, AClusterThatNamesNoBrokersIsFoundAgain) {
  const auto broker = KafkaBroker::Start(
      {.settings = {"broker.heartbeat.interval.ms=4000", "broker.session.timeout.ms=1500"}});
  const auto log = Open(broker->LogOptions());
  Until([&] { return log->EnsureTopic(Topic::kEvents, 2).ok(); });
  Appender appender(*log);
  Until([&] { return appender.stalls() > 3; });
  appender.AwaitMore(20);
  appender.Stop();
  ExpectAllInOrder(*log, appender);
}

TEST_F(KafkaBrokerTest, AFollowerReadsOnAfterARestart) {
  OpenLog();
  AppendOne(*log_, kEvents0, "", "0");
  EXPECT_EQ(ReadToEnd(*log_, kEvents0, 0).size(), 1u);
  WakeCounter counter;
  const auto watch = log_->WatchPartitions({kEvents0}, counter.Wake());
  broker_.Kill();
  absl::StatusOr<RecordBatch> batch;
  Until([&] { return !(batch = log_->Read(kEvents0, 1, 100)).ok(); });
  EXPECT_EQ(batch.status().code(), StatusCode::kUnavailable) << batch.status();
  broker_.StartAgain();
  AppendOne(*log_, kEvents0, "", "1");
  counter.WaitFor(1);
  Until([&] { return (batch = log_->Read(kEvents0, 1, 100)).ok() && !batch->records.empty(); });
  EXPECT_EQ(batch->records[0].value, "1");
}

// Questions about a partition's end are asked all the time; one that is open while the brokers are away made
// the client connect again without a pause, a third of a core.
TEST_F(KafkaBrokerTest, WithoutBrokersTheLogIsIdle) {
  OpenLog();
  AppendOne(*log_, kEvents0, "", "0");
  WakeCounter counter;
  const auto watch = log_->WatchPartitions({kEvents0}, counter.Wake());
  EXPECT_EQ(ReadToEnd(*log_, kEvents0, 0).size(), 1u);
  broker_.Kill();
  constexpr TopicPartition kNotFollowed{Topic::kEvents, 1};
  EXPECT_FALSE(log_->Read(kNotFollowed, 0, 100).ok());  // meanwhile questions under way are given up
  const auto begun = std::chrono::steady_clock::now();
  const double before = ProcessorSeconds();
  EXPECT_FALSE(log_->Read(kNotFollowed, 0, 100).ok());  // waits in vain
  const std::chrono::duration<double> passed = std::chrono::steady_clock::now() - begun;
  EXPECT_GT(passed, 3s);
  EXPECT_LT(ProcessorSeconds() - before, 0.05 * passed.count()) << "5 % of a core";
  broker_.StartAgain();
  AppendOne(*log_, kEvents0, "", "1");
  counter.WaitFor(1);
}

// Compaction leaves gaps; offsets go on.
TEST_F(KafkaBrokerTest, ACompactedTopicIsReadOverItsGaps) {
  log_ = Open(options_);
  ASSERT_EQ(log_->EnsureTopic(Topic::kControl, 1), absl::OkStatus());
  const std::string topic = options_.prefix + "control";
  broker_.Tool(
      "kafka.admin.ConfigCommand --bootstrap-server {bootstrap} --alter --entity-type topics --entity-name " +
      topic + " --add-config segment.ms=100,min.cleanable.dirty.ratio=0.001,max.compaction.lag.ms=100");
  Offset last = 0;
  size_t left = 0;
  do {  // a segment is compacted when a younger one has begun
    for (int i = 0; i < 20; i++)
      last = AppendOne(*log_, kControl0, "key" + std::to_string(i % 2), std::to_string(i));
    left = ReadToEnd(*log_, kControl0, 0, kReadAll, false).size();
    log_ = Open(options_);  // what was fetched before does not count
  } while (left > last);
  const std::vector<Read1> records = ReadToEnd(*log_, kControl0, 0, kReadAll, false);
  ASSERT_LT(records.size(), last + 1);
  EXPECT_EQ(records.back().offset, last);
  EXPECT_EQ(log_->Range(kControl0)->next, last + 1);
  std::map<std::string, Offset> newest;
  for (const Read1& record : records) newest[record.key] = record.offset;
  EXPECT_THAT(newest, ElementsAre(testing::Pair("key0", last - 1), testing::Pair("key1", last)));
  // from within a gap
  Offset gap = 0;
  while (gap == records[gap].offset) gap++;
  const auto batch = log_->Read(kControl0, gap, 1);
  ASSERT_TRUE(batch.ok()) << batch.status();
  EXPECT_EQ(batch->records.at(0).offset, records[gap].offset);
  EXPECT_EQ(batch->next_offset, records[gap].offset + 1);
}

// Somebody's transaction leaves a mark that is no record, at the very end.
TEST_F(KafkaBrokerTest, MarksOfForeignTransactionsAreNoRecords) {
  OpenLog();
  AppendOne(*log_, kEvents0, "", "ours");
  rd_kafka_conf_t* const conf = rd_kafka_conf_new();
  char text[256];
  for (const auto& [name, value] : std::map<std::string, std::string>{
           {"bootstrap.servers", options_.brokers[0]}, {"transactional.id", "t"}})
    ASSERT_EQ(rd_kafka_conf_set(conf, name.c_str(), value.c_str(), text, sizeof text), RD_KAFKA_CONF_OK);
  rd_kafka_t* const foreign = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof text);
  ASSERT_NE(foreign, nullptr) << text;
  EXPECT_EQ(rd_kafka_init_transactions(foreign, 30'000), nullptr);
  EXPECT_EQ(rd_kafka_begin_transaction(foreign), nullptr);
  EXPECT_EQ(rd_kafka_producev(foreign, RD_KAFKA_V_TOPIC((options_.prefix + "events").c_str()),
                              RD_KAFKA_V_PARTITION(0), RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
                              RD_KAFKA_V_VALUE(const_cast<char*>("theirs"), 6), RD_KAFKA_V_END),
            RD_KAFKA_RESP_ERR_NO_ERROR);
  EXPECT_EQ(rd_kafka_commit_transaction(foreign, 30'000), nullptr);
  rd_kafka_destroy(foreign);
  Until([&] { return log_->Range(kEvents0)->next == 3; });  // ours, theirs, the mark
  const std::vector<Read1> records = ReadToEnd(*log_, kEvents0, 0, kReadAll, false);
  ASSERT_EQ(records.size(), 2u);
  EXPECT_EQ(records[1].value, "theirs");
  EXPECT_EQ(AppendOne(*log_, kEvents0, "", "after"), 3u);
  EXPECT_EQ(ReadToEnd(*log_, kEvents0, 2, kReadAll, false).size(), 1u);
}

TEST_F(KafkaBrokerTest, DangerousTopicsAreRefusedWithTheReason) {
  OpenLog();
  EXPECT_THAT(*log_->CheckTopic(Topic::kEvents), IsEmpty());
  broker_.Tool(
      "kafka.admin.ConfigCommand --bootstrap-server {bootstrap} --alter --entity-type topics --entity-name " +
      options_.prefix + "events --add-config retention.ms=60000,message.timestamp.type=CreateTime");
  const absl::Status refused = log_->EnsureTopic(Topic::kEvents, 2);
  EXPECT_EQ(refused.code(), StatusCode::kFailedPrecondition);
  EXPECT_THAT(refused.ToString(),
              AllOf(HasSubstr("retention.ms is 60000"), HasSubstr("message.timestamp.type")));
  EXPECT_EQ(log_->CheckTopic(Topic::kEvents)->size(), 2u);
  EXPECT_EQ(log_->CheckTopic(Topic::kAlerts).status().code(), StatusCode::kInvalidArgument);
}

TEST_F(KafkaBrokerTest, ARecordThatTheTopicDoesNotTakeIsInvalid) {
  OpenLog();
  broker_.Tool(
      "kafka.admin.ConfigCommand --bootstrap-server {bootstrap} --alter --entity-type topics --entity-name " +
      options_.prefix + "events --add-config max.message.bytes=1000");
  const Appended refused = AppendNow(*log_, {Make(kEvents0, "", Noise(5000))});
  EXPECT_EQ(refused.status.code(), StatusCode::kInvalidArgument) << refused.status;
  EXPECT_EQ(AppendOne(*log_, kEvents0, "", "small"), 0u);
}

TEST_F(KafkaBrokerTest, OnlyEnsureTopicMakesTopics) {  // the broker would make them for whoever asks
  log_ = Open(options_);
  EXPECT_EQ(AppendNow(*log_, {Make(kEvents0, "", "")}).status.code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(log_->Read(kEvents0, 0, 1).status().code(), StatusCode::kInvalidArgument);
  const auto watch = log_->WatchPartitions({kEvents0}, [] {});
  EXPECT_EQ(log_->Partitions(Topic::kEvents).status().code(), StatusCode::kInvalidArgument);
  const std::string topics =
      broker_.Tool("org.apache.kafka.tools.TopicCommand --bootstrap-server {bootstrap} --list");
  EXPECT_EQ(topics.find(options_.prefix), std::string::npos) << topics;
}

TEST_F(KafkaBrokerTest, CommittedOffsetsShowTheLagToOrdinaryTools) {
  OpenLog();
  for (int i = 0; i < 5; i++) AppendOne(*log_, kEvents0, "", "x");
  absl::Status committed;
  do {  // the first of a group makes its coordinator
    std::promise<absl::Status> done;
    log_->CommitOffsets("lanes", {{kEvents0, 2}},
                        [&](const absl::Status& status) { done.set_value(status); });
    committed = done.get_future().get();
  } while (absl::IsUnavailable(committed));
  EXPECT_EQ(committed, absl::OkStatus());
  const std::string table = broker_.Tool(
      "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand --bootstrap-server {bootstrap} --describe "
      "--group " +
      options_.prefix + "lanes");
  EXPECT_THAT(table, testing::ContainsRegex("events +0 +2 +5 +3"));
}

TEST_F(KafkaBrokerTest, ATopicDeletedUnderTheFleetIsNamed) {
  options_.settings["topic.metadata.propagation.max.ms"] = "500";  // how long it may still be on its way
  OpenLog();
  AppendOne(*log_, kEvents0, "", "x");
  broker_.Tool("org.apache.kafka.tools.TopicCommand --bootstrap-server {bootstrap} --delete --topic " +
               options_.prefix + "events");
  Appended gone;
  Until([&] {  // UNAVAILABLE: try again
    gone = AppendNow(*log_, {Make(kEvents0, "", "y")});
    return !gone.status.ok() && !absl::IsUnavailable(gone.status);
  });
  EXPECT_THAT(gone.status.ToString(), HasSubstr("topics ensure")) << gone.status;
}

TEST_F(KafkaBrokerTest, WrongAddressesSayWhatToDo) {
  options_.brokers = {"127.0.0.1:1"};
  log_ = Open(options_);
  const absl::Status reached = log_->Reach(2s);
  EXPECT_EQ(reached.code(), StatusCode::kUnavailable);
  EXPECT_THAT(reached.ToString(), AllOf(HasSubstr("127.0.0.1:1"), HasSubstr("log.brokers")));
}

}  // namespace
}  // namespace laneway::log
