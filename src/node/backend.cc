#include "node/backend.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

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

absl::StatusOr<std::unique_ptr<log::EmbeddedEngine>> OpenEngine(const std::string& folder,
                                                                const BackendHooks& hooks) {
  log::EmbeddedOptions options;
  options.folder = folder;
  options.writer = "laneway";
  options.on_commit = [on_append = hooks.on_append](const log::CommitInfo& commit) {
    if (on_append && commit.synced) on_append(commit.seconds);
  };
  options.on_health = hooks.on_health;
  return log::EmbeddedEngine::Open(std::move(options));
}

// One process: the topics are its own to make.
absl::Status MakeTopics(log::Log& log, const v1::LogConfig& config, const std::string& data,
                        uint32_t workers) {
  const std::pair<log::Topic, uint32_t> topics[] = {
      {log::Topic::kEvents, config.event_partitions()},
      {log::Topic::kLanes, std::max<uint32_t>(config.lanes(), workers)},
      {log::Topic::kHeartbeats, 1},
      {log::Topic::kBrowserHealth, 1},
      {log::Topic::kControl, 1},
      {log::Topic::kDeadLetter, 1},
      {log::Topic::kAlerts, 1}};
  for (const auto& [topic, partitions] : topics) {
    if (absl::Status status = log.EnsureTopic(topic, partitions); !status.ok()) return status;
  }
  const auto events = log.Partitions(log::Topic::kEvents);
  if (!events.ok()) return events.status();
  if (*events == config.event_partitions()) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "the log in ", data, " has ", *events, " partitions of events, the configuration says ",
      config.event_partitions(), ": set log.event_partitions to ", *events, " (it cannot change)"));
}

}  // namespace

absl::StatusOr<std::unique_ptr<Backend>> OpenBackend(const v1::LogConfig& config, const std::string& data,
                                                     uint32_t workers, BackendHooks hooks) {
  auto engine = OpenEngine(data + "/log", hooks);
  if (!engine.ok()) return engine.status();
  if (absl::Status status = MakeTopics((*engine)->log(), config, data, workers); !status.ok()) return status;
  return std::make_unique<EmbeddedBackend>(std::move(*engine));
}

}  // namespace laneway::node
