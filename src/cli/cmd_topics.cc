// cmd_topics.cc: the topics of a fleet on Kafka: made as they must be, or checked.
#include <cstdio>
#include <memory>

#include "absl/strings/str_cat.h"
#include "cli/brokers.h"
#include "cli/commands.h"
#include "cli/exit_codes.h"
#include "cli/up.h"
#include "node/backend.h"

namespace laneway::cli {
namespace {

// What is wrong goes to stderr; its exit code comes back in `code`.
std::unique_ptr<log::KafkaLog> Connect(UpOptions& options, v1::LogConfig* config, int* code) {
  Translate(options);
  const auto loaded = LoadSettings(options.settings, false);
  *code = kUsage;
  if (!loaded) return nullptr;
  *config = loaded->values.log();
  return ReachBrokers(node::Resolved(*config, loaded->kafka), "topics", code);
}

std::string NameOf(const v1::LogConfig& config, log::Topic topic) {
  return config.prefix() + std::string(log::TopicName(topic));
}

// Prints a line; false: something is wrong with the topic.
bool Check(log::KafkaLog& log, const v1::LogConfig& config, log::Topic topic, uint32_t wanted) {
  const std::string name = NameOf(config, topic);
  const auto partitions = log.Partitions(topic);
  const auto problems = partitions.ok() ? log.CheckTopic(topic) : partitions.status();
  if (!problems.ok()) {
    std::printf("%-28s missing: %s\n", name.c_str(), std::string(problems.status().message()).c_str());
    return false;
  }
  const bool count = topic != log::Topic::kEvents || *partitions == wanted;
  std::printf("%-28s %4u partition%s  %s\n", name.c_str(), *partitions, *partitions == 1 ? " " : "s",
              problems->empty() && count ? "ok" : "WRONG");
  for (const std::string& problem : *problems) std::printf("  %s\n", problem.c_str());
  if (!count) {
    std::printf("  it must have %u partitions, as log.event_partitions says: jobs are hashed over them\n",
                wanted);
  }
  return problems->empty() && count;
}

int CheckAll(UpOptions& options) {
  int code = kDone;
  v1::LogConfig config;
  const auto log = Connect(options, &config, &code);
  if (!log) return code;
  for (const auto& [topic, partitions] : node::TopicsOf(config, 0)) {
    if (!Check(*log, config, topic, partitions)) code = kFailed;
  }
  return code;
}

int EnsureAll(UpOptions& options) {
  int code = kDone;
  v1::LogConfig config;
  const auto log = Connect(options, &config, &code);
  if (!log) return code;
  for (const auto& [topic, partitions] : node::TopicsOf(config, 0)) {
    if (const absl::Status made = log->EnsureTopic(topic, partitions); !made.ok()) {
      Complain(absl::StrCat(NameOf(config, topic), ": ", made.message()));
      code = kFailed;
    } else if (!Check(*log, config, topic, partitions)) {
      code = kFailed;
    }
  }
  return code;
}

Command& AddOne(Command& topics, const std::string& name, const std::string& about,
                int (*action)(UpOptions&)) {
  auto options = std::make_shared<UpOptions>();
  Command& one = topics.Add(name, about);
  one.Examples({"laneway topics " + name + " --brokers kafka1:9092,kafka2:9092"});
  one.Option("--brokers", options->brokers, "Kafka brokers, HOST:PORT,…");
  AddSettingsOptions(one, options->settings);
  one.Run([options, action] { return action(*options); });
  return one;
}

}  // namespace

void AddTopics(Command& root) {
  Command& topics = root.Add("topics", "The topics of a fleet on Kafka");
  AddOne(topics, "ensure", "Makes what is missing; refuses settings that can lose records", EnsureAll);
  AddOne(topics, "check", "Says what is wrong with them; changes nothing", CheckAll);
}

}  // namespace laneway::cli
