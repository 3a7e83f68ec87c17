#include "log/kafka_topic_settings.h"

#include <algorithm>

#include "log/text.h"

namespace laneway::log {
namespace {

constexpr int64_t kHourMs = 3600 * 1000;
constexpr int64_t kDayMs = 24 * kHourMs;
constexpr int64_t kForEver = -1;
constexpr int64_t kOverheadBytes = 64 << 10;  // of a batch and of a record's headers
constexpr int64_t kMessageBytes = kRecordBytesMax + kOverheadBytes;

int64_t RetentionMs(Topic topic, uint64_t events_retention_ms) {
  switch (topic) {
    case Topic::kEvents:
      return static_cast<int64_t>(events_retention_ms);
    case Topic::kLanes:  // trimmed behind its readers (rule P2): no unfinished task may expire
    case Topic::kControl:
      return kForEver;
    case Topic::kHeartbeats:
    case Topic::kBrowserHealth:
      return kDayMs;
    case Topic::kDeadLetter:
      return 90 * kDayMs;
    case Topic::kAlerts:
      return 30 * kDayMs;
  }
  return kForEver;
}

// Records that nobody may miss.
bool IsKept(Topic topic) {
  return topic == Topic::kEvents || topic == Topic::kLanes || topic == Topic::kDeadLetter ||
         topic == Topic::kControl;
}

class Check {
 public:
  Check(std::string_view name, const KafkaTopicFacts& facts) : name_(name), facts_(facts) {}

  std::string_view Text(std::string_view setting) const {
    const auto found = facts_.settings.find(setting);
    return found == facts_.settings.end() ? std::string_view() : found->second;
  }
  // A setting that the brokers do not tell is as we want it.
  int64_t Number(std::string_view setting, int64_t otherwise) const {
    int64_t number = otherwise;
    return ParseDecimal(Text(setting), number) ? number : otherwise;
  }
  void Must(std::string_view setting, std::string_view wanted, std::string_view why) {
    if (const std::string_view found = Text(setting); !found.empty() && found != wanted)
      Add(setting, found, wanted, why);
  }
  void Add(std::string_view setting, std::string_view found, std::string_view wanted, std::string_view why) {
    said_.push_back(Cat(name_, ": ", setting, " is ", found, ", but must be ", wanted, ": ", why));
  }
  std::vector<std::string> Take() { return std::move(said_); }

 private:
  const std::string_view name_;
  const KafkaTopicFacts& facts_;
  std::vector<std::string> said_;
};

void CheckRetention(Topic topic, uint64_t events_retention_ms, Check& check) {
  const int64_t wanted = RetentionMs(topic, events_retention_ms);
  const int64_t found = check.Number("retention.ms", wanted);
  if (topic != Topic::kControl && found != kForEver && (wanted == kForEver || found < wanted)) {
    check.Add("retention.ms", std::to_string(found), Cat(wanted, wanted == kForEver ? "" : " or more"),
              "records would be deleted while they are still needed");
  }
  check.Must("retention.bytes", "-1", "a busy day would delete records, however young they are");
}

}  // namespace

std::string KafkaTopicName(std::string_view prefix, Topic topic) { return Cat(prefix, TopicName(topic)); }

int32_t WantedReplicas(int32_t brokers) { return std::clamp(brokers, 1, 3); }

std::vector<std::pair<std::string, std::string>> WantedTopicSettings(Topic topic,
                                                                     uint64_t events_retention_ms,
                                                                     int32_t replicas) {
  std::vector<std::pair<std::string, std::string>> out = {
      {"message.timestamp.type", "LogAppendTime"},
      {"cleanup.policy", topic == Topic::kControl ? "compact" : "delete"},
      {"retention.ms", std::to_string(RetentionMs(topic, events_retention_ms))},
      {"retention.bytes", "-1"},
      {"unclean.leader.election.enable", "false"},
      {"min.insync.replicas", replicas >= 3 ? "2" : "1"},
      {"max.message.bytes", std::to_string(kMessageBytes)},
      {"compression.type", "producer"},
  };
  // What is old goes by whole segments: whoever starts reads all that is left.
  if (topic == Topic::kHeartbeats || topic == Topic::kBrowserHealth)
    out.emplace_back("segment.ms", std::to_string(kHourMs));
  if (topic == Topic::kControl) {
    out.emplace_back("segment.ms", std::to_string(kDayMs));
    out.emplace_back("segment.bytes", std::to_string(16 << 20));
    out.emplace_back("min.cleanable.dirty.ratio", "0.1");
  }
  return out;
}

std::vector<std::string> CheckTopicSettings(Topic topic, std::string_view name, uint64_t events_retention_ms,
                                            const KafkaTopicFacts& facts) {
  Check check(name, facts);
  check.Must("message.timestamp.type", "LogAppendTime",
             "a worker with a wrong clock would be judged by it, not by the log's");
  check.Must("cleanup.policy", topic == Topic::kControl ? "compact" : "delete",
             topic == Topic::kControl ? "the last record of each key must stay"
                                      : "compaction would drop all but the last record of each key");
  if (IsKept(topic)) CheckRetention(topic, events_retention_ms, check);
  check.Must("unclean.leader.election.enable", "false",
             "a broker that lacks acknowledged records could become the leader");
  if (check.Number("max.message.bytes", kMessageBytes) < kMessageBytes) {
    check.Add("max.message.bytes", check.Text("max.message.bytes"), Cat(kMessageBytes, " or more"),
              Cat("a record may have ", kRecordBytesMax, " bytes"));
  }
  const int64_t insync = check.Number("min.insync.replicas", facts.replicas >= 3 ? 2 : 1);
  if (facts.replicas >= 3 && insync < 2) {
    check.Add("min.insync.replicas", std::to_string(insync), "2",
              "one broker alone would acknowledge, and its loss would lose the records");
  }
  if (facts.replicas > 0 && insync > facts.replicas) {
    check.Add("min.insync.replicas", std::to_string(insync), Cat(facts.replicas, " or less"),
              "there are no more replicas, so that nothing can be appended");
  }
  if (IsKept(topic) && facts.brokers >= 3 && facts.replicas > 0 && facts.replicas < 2) {
    check.Add("replication factor", std::to_string(facts.replicas), "3",
              "the loss of one broker would lose the records");
  }
  return check.Take();
}

}  // namespace laneway::log
