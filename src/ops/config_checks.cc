#include "ops/config_checks.h"

#include <algorithm>
#include <array>

#include "fleet/ids.h"
#include "ops/text.h"
#include "ops/units.h"

namespace laneway::ops {
namespace {

class Checker {
 public:
  Checker(EffectiveConfig& config, std::vector<ConfigProblem>& problems)
      : config_(config), problems_(problems) {}

  void Require(bool holds, const std::string& path, std::string found, std::string allowed,
               std::string hint = "") {
    if (holds) return;
    const auto origin = config_.origins.find(path);
    problems_.push_back({origin == config_.origins.end() ? "" : origin->second, path, std::move(found),
                         std::move(allowed), std::move(hint)});
  }
  void Warn(std::string text) { config_.warnings.push_back(std::move(text)); }
  const v1::Config& values() const { return config_.values; }
  bool HasToken() const { return !config_.api_token.empty(); }

 private:
  EffectiveConfig& config_;
  std::vector<ConfigProblem>& problems_;
};

std::string Text(uint64_t ms) {
  return "\"" + FormatDuration(std::chrono::milliseconds(static_cast<int64_t>(ms))) + "\"";
}

void CheckTimes(Checker& check) {
  const auto& health = check.values().health();
  check.Require(health.heartbeat_timeout_ms() > health.heartbeat_interval_ms(), "health.heartbeat_timeout",
                Text(health.heartbeat_timeout_ms()),
                "more than health.heartbeat_interval, which is " + Text(health.heartbeat_interval_ms()) +
                    ": else every worker is lost between two heartbeats");
  const auto& backoff = check.values().job().backoff();
  check.Require(backoff.max_ms() >= backoff.initial_ms(), "job.backoff.max", Text(backoff.max_ms()),
                "at least job.backoff.initial, which is " + Text(backoff.initial_ms()));
}

// A word in braces that is nearly one of ours is a mistake; any other is the script's own business.
void CheckPlaceholders(Checker& check) {
  static const std::array<std::string, 11> kNames = {"file",         "dir",         "name",      "stem",
                                                     "job",          "task",        "attempt",   "worker",
                                                     "browser_port", "browser_url", "output_dir"};
  for (const std::string& word : check.values().job().exec()) {
    for (size_t begin = word.find('{'); begin != std::string::npos; begin = word.find('{', begin + 1)) {
      const size_t end = word.find('}', begin);
      if (end == std::string::npos) break;
      const std::string inside = word.substr(begin + 1, end - begin - 1);
      const bool known = std::find(kNames.begin(), kNames.end(), inside) != kNames.end();
      const std::string nearest = known || inside.size() < 3 ? "" : Nearest(inside, kNames);
      check.Require(nearest.empty(), "job.exec", "\"{" + Printable(inside, 100) + "}\"",
                    "{file} {dir} {name} {stem} {job} {task} {attempt} {worker} {browser_port} {browser_url} "
                    "{output_dir}",
                    "did you mean {" + nearest + "}?");
    }
  }
}

void CheckJob(Checker& check, bool zone_jobs) {
  const auto& job = check.values().job();
  const bool exec = !job.exec().empty();
  const bool handler = !job.handler().empty();
  check.Require(!(exec && handler), "job.handler", "\"" + job.handler() + "\" beside job.exec",
                "exactly one of job.exec and job.handler");
  check.Require(exec || handler || !zone_jobs, "job.exec", "nothing, and no job.handler",
                "what to run for each file, as [\"bash\", \"process.sh\", \"{file}\"]",
                "give job.exec, or --exec bash process.sh {file}");
  check.Require(!job.needs_browser() || check.values().browser().enabled(), "job.needs_browser",
                "true, but browser.enabled is false", "a worker with a browser: set browser.enabled to true");
  CheckPlaceholders(check);
}

void CheckWorkers(Checker& check) {
  const auto& worker = check.values().worker();
  const uint32_t count = worker.in_process_thread_count();
  const auto last = FillWorkerPattern(worker.id_pattern(), std::max(count, 1u));
  check.Require(last && IsWorkerName(*last), "worker.id_pattern",
                "\"" + Printable(worker.id_pattern()) + "\"",
                "a pattern whose last name, too, has at most 64 characters");
  const auto& browser = check.values().browser();
  check.Require(!browser.enabled() || browser.port_base() + std::max(count, 1u) - 1 <= 65'535,
                "browser.port_base", std::to_string(browser.port_base()),
                "a port with room for " + std::to_string(count) + " workers below 65536");
  const bool own_profiles = browser.profile_dir().find("{worker}") != std::string::npos;
  check.Require(!browser.enabled() || count <= 1 || own_profiles, "browser.profile_dir",
                "\"" + Printable(browser.profile_dir()) + "\"",
                "a path with {worker} in it: two browsers cannot share a profile");
}

void CheckPlaces(Checker& check) {
  const v1::Config& config = check.values();
  const bool kafka = config.log().backend() == "kafka";
  check.Require(!kafka || !config.log().brokers().empty(), "log.brokers", "an empty array",
                "at least one HOST:PORT, since log.backend is \"kafka\"");
  check.Require(
      config.deployment_model() != "DISTRIBUTED" || kafka, "log.backend",
      "\"" + config.log().backend() + "\"",
      "\"kafka\", since deployment_model is \"DISTRIBUTED\": the embedded log belongs to one process");
  check.Require(config.deployment_model() != "FEDERATED", "deployment_model", "\"FEDERATED\"",
                "\"SINGLE_PROCESS\" or \"DISTRIBUTED\": sites cannot be federated in this release");
  check.Require(config.zone().path() != config.log().data(), "log.data",
                "\"" + Printable(config.log().data()) + "\", which is zone.path too", "a folder of its own");
}

void CheckListeners(Checker& check) {
  const auto api = ParseListen(check.values().api().listen());
  const auto metrics = ParseListen(check.values().metrics().listen());
  if (!api || !metrics) return;  // told already
  check.Require(
      api->off || api->Loopback() || check.HasToken(), "api.listen",
      "\"" + api->ToString() + "\" without a token",
      "a loopback address, or a token in api.token: anyone who reaches this address could run programs here",
      "set the token with api.token \"${env:LANEWAY_TOKEN}\" and the variable LANEWAY_TOKEN");
  const bool both = !api->off && !metrics->off && api->port == metrics->port && api->port != 0 &&
                    api->host == metrics->host;
  check.Require(!both, "metrics.listen", "\"" + metrics->ToString() + "\", which is api.listen too",
                "a port of its own, or \"off\" (the API serves /metrics as well)");
}

}  // namespace

void CheckTogether(const ConfigSources& sources, EffectiveConfig& config,
                   std::vector<ConfigProblem>& problems) {
  Checker check(config, problems);
  CheckTimes(check);
  CheckJob(check, sources.zone_jobs);
  CheckWorkers(check);
  CheckPlaces(check);
  CheckListeners(check);
}

}  // namespace laneway::ops
