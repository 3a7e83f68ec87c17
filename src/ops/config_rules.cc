#include "ops/config_rules.h"

#include <array>
#include <chrono>

#include "ops/browser_loss.h"
#include "ops/units.h"

namespace laneway::ops {
namespace {

using K = ConfigKind;
constexpr double kSecond = 1'000;
constexpr double kMinute = 60 * kSecond;
constexpr double kHour = 60 * kMinute;
constexpr double kDay = 24 * kHour;
constexpr double kMiB = 1 << 20;

const std::vector<ConfigRule>& Table() {
  static const std::vector<ConfigRule> rules = {
      {"deployment_model",
       K::kChoice,
       "SINGLE_PROCESS",
       0,
       0,
       {"SINGLE_PROCESS", "DISTRIBUTED", "FEDERATED"},
       "one process; a fleet of processes on Kafka; a master with child sites"},

      {"zone.path",
       K::kPath,
       "dispatch",
       0,
       0,
       {},
       "the dispatch zone: incoming/, processing/, completed/, failed/, quarantine/, logs/"},
      {"zone.settle",
       K::kDuration,
       "2s",
       0,
       kHour,
       {},
       "a file that was not moved in or closed is taken when unchanged for so long"},
      {"zone.rescan",
       K::kDuration,
       "1s",
       100,
       kHour,
       {},
       "how often incoming/ is read whether or not the system told of a change"},

      {"log.backend", K::kChoice, "embedded", 0, 0, {"embedded", "kafka"}, "where the records are kept"},
      {"log.data", K::kPath, "data", 0, 0, {}, "folder of the embedded log and of the workers' state"},
      {"log.brokers", K::kBrokers, "", 0, 0, {}, "Kafka brokers, HOST:PORT"},
      {"log.kafka", K::kKafka, "", 0, 0, {}, "any setting of librdkafka, as \"security.protocol=SSL\""},
      {"log.prefix",
       K::kPrefix,
       "laneway.",
       0,
       0,
       {},
       "begins the topics' names, so that fleets can share a cluster"},
      {"log.event_partitions",
       K::kWhole,
       "8",
       1,
       1024,
       {},
       "partitions of the events topic; fixed when the topic is made"},
      {"log.lanes",
       K::kWhole,
       "64",
       1,
       10'000,
       {},
       "lanes to begin with; more are added when there are more workers"},
      {"log.retention", K::kDuration, "2160h", kHour, 3650 * kDay, {}, "how long events are kept for audit"},

      {"job.exec",
       K::kWords,
       "",
       0,
       0,
       {},
       "program and arguments for a file, with {placeholders}; never through a shell"},
      {"job.handler",
       K::kChoice,
       "",
       0,
       0,
       {"", "noop", "sleep", "fail", "copy"},
       "a builtin handler instead of job.exec"},
      {"job.timeout",
       K::kDuration,
       "30m",
       0,
       30 * kDay,
       {},
       "how long one attempt may run; 0s: as long as it likes"},
      {"job.max_attempts", K::kWhole, "3", 1, 1000, {}, "failures until a task is dead"},
      {"job.max_losses", K::kWhole, "3", 1, 1000, {}, "workers a task may take down until it is dead"},
      {"job.backoff.initial", K::kDuration, "1s", 0, kDay, {}, "wait before the second attempt"},
      {"job.backoff.factor", K::kNumber, "2", 1, 100, {}, "each wait is so many times the one before"},
      {"job.backoff.max", K::kDuration, "5m", 0, 7 * kDay, {}, "no wait is longer"},
      {"job.needs_browser",
       K::kBool,
       "false",
       0,
       0,
       {},
       "tasks run only while their worker's browser is connected"},
      {"job.on_browser_loss", K::kChoice, "retry", 0, 0, BrowserLossWords(),
       "a task whose browser is lost is stopped and tried again; or goes on; or is stopped and dead"},

      {"worker.in_process_thread_count", K::kWhole, "3", 0, 1000, {}, "workers in this process; 0: none"},
      {"worker.id_pattern",
       K::kWorkerPattern,
       "DTF-{n:02}",
       0,
       0,
       {},
       "the workers' names; {n} is 1, 2, …, {n:02} is 01, 02, …"},
      {"worker.capacity", K::kWhole, "1", 1, 10'000, {}, "tasks each worker runs at once"},
      {"worker.labels", K::kLabels, "", 0, 0, {}, "what the workers can do; a job may ask for labels"},
      {"worker.log_size_max",
       K::kSize,
       "16MiB",
       64.0 * 1024,
       16 * 1024 * kMiB,
       {},
       "of the log of one attempt; more is cut, with a note"},
      {"worker.drain_timeout",
       K::kDuration,
       "30s",
       0,
       kDay,
       {},
       "how long running tasks may go on after SIGTERM"},
      {"worker.kill_grace", K::kDuration, "10s", 0, kHour, {}, "between SIGTERM and SIGKILL of a script"},
      {"worker.processes_max", K::kWhole, "0", 0, 1'000'000, {}, "processes of one script; 0: no limit"},
      {"worker.environment", K::kVariables, "", 0, 0, {}, "variables of ours that scripts get as well"},

      {"browser.enabled", K::kBool, "false", 0, 0, {}, "every worker keeps a browser"},
      {"browser.command",
       K::kText,
       "",
       0,
       0,
       {},
       "the browser's program; empty: the installed Chromium or Chrome"},
      {"browser.port_base",
       K::kWhole,
       "9222",
       1024,
       65'535,
       {},
       "debugging port of the first worker; the next ones follow"},
      {"browser.profile_dir",
       K::kPath,
       "data/browser/{worker}",
       0,
       0,
       {},
       "one profile a worker: {worker} is its name"},
      {"browser.restart_backoff",
       K::kDuration,
       "1s",
       0,
       kHour,
       {},
       "first wait before a browser is started again"},
      {"browser.args", K::kWords, "", 0, 0, {}, "more arguments for the browser"},
      {"browser.attach",
       K::kBool,
       "false",
       0,
       0,
       {},
       "somebody else starts the browsers: they are watched, never started nor ended"},
      {"browser.adopt_within",
       K::kDuration,
       "60s",
       0,
       kDay,
       {},
       "how long a browser waits for its worker to start again before it is closed"},
      {"browser.start_timeout",
       K::kDuration,
       "30s",
       kSecond,
       kHour,
       {},
       "from its start to its first answer"},
      {"browser.recycle_tasks",
       K::kWhole,
       "200",
       0,
       1e9,
       {},
       "started again between tasks, after so many; 0: never"},
      {"browser.recycle_age", K::kDuration, "12h", 0, 365 * kDay, {}, "the same by age; 0s: never"},
      {"browser.recycle_memory", K::kSize, "4GiB", 0, 1024 * 1024 * kMiB, {}, "the same by memory; 0: never"},

      {"health.heartbeat_interval",
       K::kDuration,
       "15s",
       50,
       kHour,
       {},
       "how often a worker tells that it works"},
      {"health.heartbeat_timeout",
       K::kDuration,
       "30s",
       100,
       kDay,
       {},
       "silence after which its tasks go to others"},
      {"health.browser_timeout", K::kDuration, "60s", 100, kDay, {}, "the same for a browser that is away"},

      {"placement.policy",
       K::kChoice,
       "least-loaded",
       0,
       0,
       {"least-loaded", "round-robin"},
       "which of the fitting workers gets a task"},
      {"placement.resources.*.max_concurrent",
       K::kWhole,
       "0",
       0,
       1'000'000,
       {},
       "tasks of the resource at once; 0: no limit"},
      {"placement.resources.*.rate",
       K::kRate,
       "",
       0,
       0,
       {},
       "tasks of the resource started in a time; empty: no limit"},
      {"placement.prefetch_max",
       K::kWhole,
       "1024",
       0,
       100'000,
       {},
       "tasks a worker may hold per slot beyond its capacity when they are short"},
      {"placement.drain_time",
       K::kDuration,
       "10m",
       1000,
       30 * kDay,
       {},
       "a backlog should be gone in this time: laneway_autoscale_wanted_workers says how many workers that "
       "takes"},

      {"api.listen", K::kListen, "127.0.0.1:3000", 0, 0, {}, "address of the HTTP API"},
      {"api.token",
       K::kSecret,
       "${env:LANEWAY_TOKEN}",
       0,
       0,
       {},
       "bearer token; needed when api.listen is not a loopback address"},
      {"metrics.listen", K::kListen, "127.0.0.1:9464", 0, 0, {}, "address of /metrics for Prometheus"},
  };
  return rules;
}

std::string Between(const ConfigRule& rule) {
  const auto text = [&](double value) {
    if (rule.kind == K::kDuration)
      return FormatDuration(std::chrono::milliseconds(static_cast<int64_t>(value)));
    if (rule.kind == K::kSize) return FormatSize(static_cast<uint64_t>(value));
    return std::to_string(static_cast<int64_t>(value));
  };
  return " from " + text(rule.min) + " to " + text(rule.max);
}

}  // namespace

std::string ConfigRule::ProtoName() const {
  std::string name(path.substr(path.rfind('.') + 1));  // npos + 1 is 0
  if (kind == ConfigKind::kDuration) name += "_ms";
  return name;
}

std::string ConfigRule::Allowed() const {
  switch (kind) {
    case ConfigKind::kText:
      return "a string";
    case ConfigKind::kPath:
      return "a path: a string that is not empty";
    case ConfigKind::kChoice: {
      std::string out;
      for (const std::string& choice : choices) {
        if (!choice.empty()) out += (out.empty() ? "one of \"" : ", \"") + choice + "\"";
      }
      return out;
    }
    case ConfigKind::kPrefix:
      return "at most 64 letters, digits, '.', '_' and '-'";
    case ConfigKind::kWorkerPattern:
      return "a worker's name with {n} or {n:02} in it, as \"DTF-{n:02}\": letters, digits, '.', '_' and "
             "'-', at most 64";
    case ConfigKind::kListen:
      return std::string(kListenForm);
    case ConfigKind::kSecret:
      return "\"${env:NAME}\" or \"${file:PATH}\": a secret is never written into the configuration";
    case ConfigKind::kRate:
      return std::string(kRateForm);
    case ConfigKind::kBool:
      return "true or false";
    case ConfigKind::kWhole:
      return "a whole number" + Between(*this);
    case ConfigKind::kNumber:
      return "a number" + Between(*this);
    case ConfigKind::kDuration:
      return std::string(kDurationForm) + "," + Between(*this);
    case ConfigKind::kSize:
      return std::string(kSizeForm) + "," + Between(*this);
    case ConfigKind::kWords:
      return "an array of strings: the program and its arguments";
    case ConfigKind::kLabels:
      return "an array of labels: letters, digits, '.', '_', '-', '=' and '/', at most 64 each";
    case ConfigKind::kVariables:
      return "an array of names of environment variables; those that begin with LANEWAY_ are set by us";
    case ConfigKind::kBrokers:
      return "an array of \"HOST:PORT\"";
    case ConfigKind::kKafka:
      return "an array of \"NAME=VALUE\" in librdkafka's names; secrets as NAME=${env:VARIABLE} or "
             "NAME=${file:PATH}";
  }
  return "";
}

std::span<const ConfigRule> ConfigRules() { return Table(); }

const ConfigRule* FindConfigRule(std::string_view path) {
  static constexpr std::string_view kResources = "placement.resources.";
  std::string generic(path);
  if (path.substr(0, kResources.size()) == kResources) {
    const size_t dot = path.rfind('.');  // a resource's name may hold dots
    if (dot > kResources.size()) generic = std::string(kResources) + "*" + std::string(path.substr(dot));
  }
  for (const ConfigRule& rule : Table()) {
    if (rule.path == generic) return &rule;
  }
  return nullptr;
}

}  // namespace laneway::ops
