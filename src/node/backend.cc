#include "node/backend.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "log/store_then_log.h"
#include "node/patient_log.h"

namespace laneway::node {
namespace {

class EmbeddedBackend : public Backend {
 public:
  explicit EmbeddedBackend(std::unique_ptr<log::EmbeddedEngine> engine) : engine_(std::move(engine)) {}

  log::Log& LogAs(std::string_view writer) override { return engine_->LogAs(writer); }
  log::Journal& JournalAs(std::string_view writer) override { return engine_->JournalAs(writer); }
  log::Store& store() override { return engine_->store(); }
  bool shared() const override { return false; }
  log::EngineHealth Health() const override { return engine_->Health(); }
  log::EngineStats Stats() const override { return engine_->Stats(); }

 private:
  std::unique_ptr<log::EmbeddedEngine> engine_;
};

class KafkaBackend : public Backend {
 public:
  KafkaBackend(std::unique_ptr<log::KafkaLog> log, std::unique_ptr<log::EmbeddedEngine> engine,
               Patience* patience)
      : engine_(std::move(engine)),
        log_(std::move(log)),
        patient_(log_.get(), patience),
        journal_(&engine_->store(), log_.get()) {}

  log::Log& LogAs(std::string_view) override { return patient_; }
  log::Journal& JournalAs(std::string_view) override { return journal_; }
  log::Store& store() override { return engine_->store(); }
  bool shared() const override { return true; }
  log::EngineHealth Health() const override { return engine_->Health(); }
  log::EngineStats Stats() const override { return engine_->Stats(); }
  log::KafkaLog* kafka() override { return log_.get(); }
  void Settle() override { patient_.Settle(); }

 private:
  std::unique_ptr<log::EmbeddedEngine> engine_;
  std::unique_ptr<log::KafkaLog> log_;  // its answers may still ask the store
  PatientLog patient_;
  log::StoreThenLog journal_;
};

absl::StatusOr<std::unique_ptr<log::EmbeddedEngine>> OpenEngine(const std::string& folder,
                                                                const BackendOptions& options) {
  log::EmbeddedOptions engine;
  engine.folder = folder;
  engine.writer = "laneway";
  engine.on_commit = [on_append = options.on_append](const log::CommitInfo& commit) {
    if (on_append && commit.synced) on_append(commit.seconds);
  };
  engine.on_health = options.on_health;
  return log::EmbeddedEngine::Open(std::move(engine));
}

absl::Status CheckEventPartitions(log::Log& log, const v1::LogConfig& config, const std::string& where) {
  const auto events = log.Partitions(log::Topic::kEvents);
  if (!events.ok()) return events.status();
  if (*events == config.event_partitions()) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "the log in ", where, " has ", *events, " partitions of events, the configuration says ",
      config.event_partitions(), ": set log.event_partitions to ", *events, " (it cannot change)"));
}

absl::StatusOr<std::unique_ptr<Backend>> OpenEmbedded(const BackendOptions& options) {
  auto engine = OpenEngine(options.data + "/log", options);
  if (!engine.ok()) return engine.status();
  // One process: the topics are its own to make.
  absl::Status made = EnsureTopics((*engine)->log(), options.log, options.workers);
  if (made.ok()) made = CheckEventPartitions((*engine)->log(), options.log, options.data);
  if (!made.ok()) return made;
  return std::make_unique<EmbeddedBackend>(std::move(*engine));
}

// Brokers that are away come back: a role that is started before them waits.
absl::Status AwaitBrokers(log::KafkaLog& log, const BackendOptions& options) {
  constexpr int kNoteEvery = 5;
  for (int tries = 0;; tries++) {
    const absl::Status reached = log.Reach(std::chrono::seconds(2));
    if (reached.ok() || absl::IsPermissionDenied(reached) || absl::IsInvalidArgument(reached)) return reached;
    if (options.on_note && tries % kNoteEvery == 0)
      options.on_note(absl::StrCat("Waits for the brokers: ", reached.message()));
    if (options.give_up && options.give_up(Millis(0)))
      return absl::CancelledError("stopped while it waited for the brokers");
  }
}

// The topics of a shared log are made on purpose, by one command.
absl::Status CheckTopics(log::Log& log, const v1::LogConfig& config) {
  for (const auto& [topic, wanted] : TopicsOf(config, 0)) {
    const auto partitions = log.Partitions(topic);
    if (absl::IsInvalidArgument(partitions.status()) || absl::IsNotFound(partitions.status())) {
      return absl::FailedPreconditionError(
          absl::StrCat("the topic ", config.prefix(), std::string(log::TopicName(topic)),
                       " is not there: make the topics with  laneway topics ensure --brokers ",
                       absl::StrJoin(config.brokers(), ",")));
    }
    if (!partitions.ok()) return partitions.status();
  }
  return CheckEventPartitions(log, config, absl::StrJoin(config.brokers(), ","));
}

absl::StatusOr<std::unique_ptr<Backend>> OpenKafka(const BackendOptions& options) {
  auto engine = OpenEngine(options.data + "/store", options);
  if (!engine.ok()) return engine.status();
  log::KafkaOptions kafka = KafkaOptionsOf(options.log, options.name);
  // Whoever judges silence must know of an outage well before a timeout has passed.
  kafka.contact_max = std::min(kafka.contact_max, options.heartbeat_timeout / 4);
  auto log = log::KafkaLog::Open(std::move(kafka));
  if (!log.ok()) return log.status();
  if (absl::Status status = AwaitBrokers(**log, options); !status.ok()) return status;
  auto backend = std::make_unique<KafkaBackend>(std::move(*log), std::move(*engine), options.patience);
  if (absl::Status status = CheckTopics(backend->LogAs(""), options.log); !status.ok()) return status;
  return backend;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Backend>> OpenBackend(BackendOptions options) {
  return options.log.backend() == "kafka" ? OpenKafka(options) : OpenEmbedded(options);
}

v1::LogConfig Resolved(const v1::LogConfig& config,
                       const std::map<std::string, ops::Secret<std::string>>& kafka) {
  v1::LogConfig resolved = config;
  resolved.clear_kafka();
  for (const auto& [name, value] : kafka) resolved.add_kafka(absl::StrCat(name, "=", value.Reveal()));
  return resolved;
}

std::vector<std::pair<log::Topic, uint32_t>> TopicsOf(const v1::LogConfig& config, uint32_t workers) {
  return {{log::Topic::kEvents, config.event_partitions()},
          {log::Topic::kLanes, std::max(config.lanes(), workers)},
          {log::Topic::kHeartbeats, 1},
          {log::Topic::kBrowserHealth, 1},
          {log::Topic::kControl, 1},
          {log::Topic::kDeadLetter, 1},
          {log::Topic::kAlerts, 1}};
}

absl::Status EnsureTopics(log::Log& log, const v1::LogConfig& config, uint32_t workers) {
  for (const auto& [topic, partitions] : TopicsOf(config, workers)) {
    if (absl::Status status = log.EnsureTopic(topic, partitions); !status.ok()) return status;
  }
  return absl::OkStatus();
}

log::KafkaOptions KafkaOptionsOf(const v1::LogConfig& resolved, const std::string& name) {
  log::KafkaOptions options;
  options.brokers.assign(resolved.brokers().begin(), resolved.brokers().end());
  options.prefix = resolved.prefix();
  options.writer = name;
  options.events_retention_ms = resolved.retention_ms();
  for (const std::string& setting : resolved.kafka()) {
    const size_t equals = setting.find('=');
    options.settings[setting.substr(0, equals)] = setting.substr(equals + 1);
  }
  return options;
}

}  // namespace laneway::node
