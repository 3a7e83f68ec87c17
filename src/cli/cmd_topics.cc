// cmd_topics.cc: the topics of a fleet on Kafka: made as they must be, or checked.
#include <chrono>
#include <cstdio>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "cli/brokers.h"
#include "cli/commands.h"
#include "cli/exit_codes.h"
#include "cli/up.h"
#include "log/kafka_errors.h"
#include "node/backend.h"
#include "node/patience.h"
#include "ops/clock.h"

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

struct Facts {
  uint32_t partitions = 0;
  std::vector<std::string> problems;
};

absl::StatusOr<Facts> Look(log::KafkaLog& log, log::Topic topic) {
  const auto partitions = log.Partitions(topic);
  if (!partitions.ok()) return partitions.status();
  auto problems = log.CheckTopic(topic);
  if (!problems.ok()) return problems.status();
  return Facts{*partitions, *std::move(problems)};
}

// A broker with much to do answers late, and hears late of what another one has made.
node::Patience BrokersPatience() {
  node::PatiencePorts ports;
  ports.now = [] { return std::chrono::duration_cast<Millis>(ops::RealClock::Get().Boot()); };
  ports.wait = [](Millis pause) {
    std::this_thread::sleep_for(pause);
    return false;
  };
  ports.note = [](const std::string& text) { std::fprintf(stderr, "%s\n", text.c_str()); };
  return node::Patience(std::move(ports));
}

// Prints a line; false: something is wrong with the topic.
bool Print(const absl::StatusOr<Facts>& facts, const v1::LogConfig& config, log::Topic topic,
           uint32_t wanted) {
  const std::string name = NameOf(config, topic);
  if (!facts.ok()) {
    const char* what = absl::IsInvalidArgument(facts.status())    ? "missing"
                       : absl::IsPermissionDenied(facts.status()) ? "not to be seen"
                                                                  : "no answer";
    std::printf("%-28s %s: %s\n", name.c_str(), what, std::string(facts.status().message()).c_str());
    return false;
  }
  const bool count = topic != log::Topic::kEvents || facts->partitions == wanted;
  std::printf("%-28s %4u partition%s  %s\n", name.c_str(), facts->partitions,
              facts->partitions == 1 ? " " : "s", facts->problems.empty() && count ? "ok" : "WRONG");
  for (const std::string& problem : facts->problems) std::printf("  %s\n", problem.c_str());
  if (!count) {
    std::printf("  it must have %u partitions, as log.event_partitions says: jobs are hashed over them\n",
                wanted);
  }
  return facts->problems.empty() && count;
}

int CheckAll(UpOptions& options) {
  int code = kDone;
  v1::LogConfig config;
  const auto log = Connect(options, &config, &code);
  if (!log) return code;
  node::Patience patience = BrokersPatience();
  for (const auto& [topic, partitions] : node::TopicsOf(config, 0)) {
    const auto facts = patience.Asked([&, which = topic] { return Look(*log, which); });
    if (!Print(facts, config, topic, partitions)) code = kFailed;
  }
  return code;
}

int EnsureAll(UpOptions& options) {
  int code = kDone;
  v1::LogConfig config;
  const auto log = Connect(options, &config, &code);
  if (!log) return code;
  node::Patience patience = BrokersPatience();
  for (const auto& [topic, wanted] : node::TopicsOf(config, 0)) {
    const auto made =
        patience.Asked([&, which = topic, count = wanted] { return log->EnsureTopic(which, count); });
    if (!made.ok()) {
      Complain(absl::StrCat(NameOf(config, topic), ": ", made.message()));
      code = kFailed;
      continue;
    }
    const auto facts = patience.Asked([&, which = topic]() -> absl::StatusOr<Facts> {
      auto seen = Look(*log, which);
      if (!seen.ok()) return log::NotYetKnown(seen.status());
      return seen;
    });
    if (!Print(facts, config, topic, wanted)) code = kFailed;
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
