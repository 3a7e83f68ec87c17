#include "log/kafka_conf.h"

#include "absl/strings/str_join.h"
#include "log/text.h"

namespace laneway::log {
namespace {

struct Fixed {
  std::string_view name;
  std::string_view why;
};
constexpr std::string_view kPromise = "a promise of the log rests on it";
constexpr Fixed kFixed[] = {
    {"bootstrap.servers", "log.brokers names the brokers"},
    {"metadata.broker.list", "log.brokers names the brokers"},
    {"client.id", "it is the member's name"},
    {"group.id", "members are told apart by log.prefix"},
    {"group.instance.id", "members are told apart by log.prefix"},
    {"transactional.id", "there are no transactions"},
    {"enable.idempotence", kPromise},
    {"acks", kPromise},
    {"request.required.acks", kPromise},
    {"enable.gapless.guarantee", kPromise},
    {"max.in.flight", kPromise},
    {"max.in.flight.requests.per.connection", kPromise},
    {"retries", kPromise},
    {"message.send.max.retries", kPromise},
    {"queue.buffering.max.messages", "what waits is bounded by bytes, for a whole append at a time"},
    {"queue.buffering.max.kbytes", "what waits is bounded by bytes, for a whole append at a time"},
    {"queuing.strategy", kPromise},
    {"message.max.bytes", "records have one size limit everywhere"},
    {"partitioner", "partitions are given explicitly"},
    {"auto.offset.reset", kPromise},
    {"enable.auto.commit", kPromise},
    {"auto.commit.enable", kPromise},
    {"enable.auto.offset.store", kPromise},
    {"enable.partition.eof", kPromise},
    {"isolation.level", kPromise},
    {"allow.auto.create.topics", "topics are made by `laneway topics ensure`"},
    {"partition.assignment.strategy", "the election rests on it"},
    {"group.protocol", "the election rests on it"},
    {"log.queue", "the log's threads rest on it"},
    {"enabled_events", "the log's threads rest on it"},
};

// librdkafka's own text, unless it repeats the value.
std::string Problem(std::string_view name, std::string_view value, std::string_view text) {
  const bool repeats = value.size() >= 3 && text.find(value) != std::string_view::npos;
  return Cat("log.kafka: ", name, ": ", repeats ? std::string_view("this value is not allowed") : text);
}

}  // namespace

std::vector<std::string> CheckKafkaSettings(const std::map<std::string, std::string>& settings) {
  std::vector<std::string> problems;
  const KafkaConf conf(rd_kafka_conf_new());
  for (const auto& [name, value] : settings) {
    bool fixed = false;
    for (const Fixed& rule : kFixed) {
      if (rule.name != name) continue;
      problems.push_back(Cat("log.kafka: ", name, " cannot be set: ", rule.why));
      fixed = true;
    }
    char text[512] = "";
    if (!fixed &&
        rd_kafka_conf_set(conf.get(), name.c_str(), value.c_str(), text, sizeof text) != RD_KAFKA_CONF_OK)
      problems.push_back(Problem(name, value, text));
  }
  return problems;
}

KafkaSettings KafkaSettingsFor(KafkaRole role, const KafkaOptions& options) {
  KafkaSettings out = {
      {"bootstrap.servers", absl::StrJoin(options.brokers, ",")},
      {"client.id", options.writer},
      {"allow.auto.create.topics", "false"},
      // A broker that is paused keeps its connections: what it does not answer must not be waited for long.
      {"socket.timeout.ms", "10000"},
      {"socket.connection.setup.timeout.ms", "5000"},
      {"reconnect.backoff.ms", "50"},
      {"reconnect.backoff.max.ms", "1000"},
      {"socket.nagle.disable", "true"},
      {"socket.keepalive.enable", "true"},
      {"isolation.level", "read_uncommitted"},  // of ends, too: a foreign transaction must not hold them back
      {"log.connection.close", "false"},
      {"log_level", "5"},
      // A broker that has just started may know no topics yet; who believed it asks again only after this.
      {"topic.metadata.refresh.interval.ms", "5000"},
      {"enable.metrics.push", "false"},
  };
  if (role == KafkaRole::kProducer) {
    const KafkaSettings ours = {
        {"enable.idempotence", "true"},
        {"linger.ms", "0"},
        // The records of one batch say nearly the same.
        {"compression.type", "lz4"},
        {"message.timeout.ms", std::to_string(options.append_timeout.count())},
        {"message.max.bytes", std::to_string(kRecordBytesMax + (64 << 10))},
        {"queue.buffering.max.messages", "0"},  // bounded by KafkaOptions::queued_bytes_max
        {"queue.buffering.max.kbytes", "2097151"},
        {"batch.num.messages", "100000"},
        {"retry.backoff.ms", "50"},
    };
    out.insert(out.end(), ours.begin(), ours.end());
  } else {
    const KafkaSettings ours = {
        {"auto.offset.reset", "error"},  // whoever reads is told
        {"enable.auto.commit", "false"},        {"auto.commit.enable", "false"},
        {"enable.auto.offset.store", "false"},  {"check.crcs", "true"},
        {"fetch.wait.max.ms", "100"},  // whoever begins to read waits for the fetch under way
        {"fetch.message.max.bytes", "1048576"}, {"queued.min.messages", "100000"},
        {"queued.max.messages.kbytes", "1024"},  // of each partition
        {"fetch.queue.backoff.ms", "5"},        {"fetch.error.backoff.ms", "100"},
    };
    out.insert(out.end(), ours.begin(), ours.end());
  }
  if (role == KafkaRole::kMember) {
    const KafkaSettings ours = {
        {"auto.offset.reset", "latest"},                          // it reads nothing
        {"topic.metadata.refresh.interval.ms", "1000"},           // as above: meanwhile nobody is elected
        {"partition.assignment.strategy", "cooperative-sticky"},  // who joins takes nothing from the owner
        {"session.timeout.ms", "6000"},                           // the least that brokers allow by default
        {"heartbeat.interval.ms", "500"},  // how soon a standby hears that it is its turn
    };
    out.insert(out.end(), ours.begin(), ours.end());
  }
  for (const auto& [name, value] : options.settings) out.emplace_back(name, value);
  return out;
}

absl::StatusOr<KafkaConf> MakeKafkaConf(const KafkaSettings& settings) {
  KafkaConf conf(rd_kafka_conf_new());
  for (const auto& [name, value] : settings) {
    char text[512] = "";
    if (rd_kafka_conf_set(conf.get(), name.c_str(), value.c_str(), text, sizeof text) != RD_KAFKA_CONF_OK)
      return absl::InvalidArgumentError(Problem(name, value, text));
  }
  return conf;
}

}  // namespace laneway::log
