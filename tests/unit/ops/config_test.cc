#include "ops/config.h"

#include <gmock/gmock.h>
#include <google/protobuf/descriptor.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdio>
#include <fstream>
#include <set>
#include <string>
#include <vector>

#include "ops/config_rules.h"

namespace laneway::ops {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kContractExample[] = R"({
  "deployment_model": "SINGLE_PROCESS",
  "zone": { "path": "dispatch", "settle": "2s", "rescan": "1s" },
  "log": { "backend": "embedded", "data": "data", "brokers": [], "prefix": "laneway.",
           "event_partitions": 8 },
  "job": { "exec": ["bash", "process.sh", "{file}"], "timeout": "30m", "max_attempts": 3,
           "max_losses": 3, "backoff": { "initial": "1s", "factor": 2, "max": "5m" },
           "needs_browser": false },
  "worker": { "in_process_thread_count": 3, "id_pattern": "DTF-{n:02}", "capacity": 1, "labels": [] },
  "browser": { "enabled": false, "command": "",
               "port_base": 9222,
               "profile_dir": "data/browser/{worker}", "restart_backoff": "1s" },
  "health": { "heartbeat_interval": "15s", "heartbeat_timeout": "30s", "browser_timeout": "60s" },
  "placement": { "policy": "least-loaded", "resources": {
    "ds_london_01": { "max_concurrent": 4, "rate": "100/m" } } },
  "api": { "listen": "127.0.0.1:3000", "token": "${env:LANEWAY_TOKEN}" },
  "metrics": { "listen": "127.0.0.1:9464" }
})";

ConfigResult Load(const std::string& text, ConfigSources sources = {}) {
  sources.file = "laneway.json";
  return LoadConfigText(text, sources);
}

std::vector<std::string> Lines(const ConfigResult& result) {
  std::vector<std::string> lines;
  for (const ConfigProblem& problem : result.problems) lines.push_back(problem.ToString());
  return lines;
}

TEST(ConfigTest, TheDocumentedExampleLoads) {
  const ConfigResult result = Load(kContractExample);
  ASSERT_TRUE(result.config) << testing::PrintToString(Lines(result));
  const v1::Config& config = result.config->values;
  EXPECT_EQ(config.zone().settle_ms(), 2000u);
  EXPECT_EQ(config.job().timeout_ms(), 1'800'000u);
  EXPECT_EQ(config.job().exec(2), "{file}");
  EXPECT_EQ(config.placement().resources().at("ds_london_01").max_concurrent(), 4u);
  EXPECT_EQ(config.placement().resources().at("ds_london_01").rate(), "100/m");
  EXPECT_TRUE(result.config->api_token.empty());
  EXPECT_THAT(WorkerNames(config.worker()), ElementsAre("DTF-01", "DTF-02", "DTF-03"));
}

TEST(ConfigTest, DefaultsAloneAreAConfigurationAndExecIsEmpty) {
  const ConfigResult result = LoadConfigText("", {});
  ASSERT_TRUE(result.config) << testing::PrintToString(Lines(result));
  EXPECT_EQ(result.config->values.job().exec_size(), 0);
  EXPECT_EQ(result.config->values.health().heartbeat_timeout_ms(), 30'000u);
  EXPECT_EQ(result.config->origins.at("zone.path"), "default");
}

void CollectFields(const google::protobuf::Descriptor* message, const std::string& prefix,
                   std::set<std::string>& out) {
  for (int i = 0; i < message->field_count(); i++) {
    const auto* field = message->field(i);
    if (field->is_map()) {
      CollectFields(field->message_type()->map_value()->message_type(), prefix + field->name() + ".*.", out);
    } else if (field->message_type() != nullptr) {
      CollectFields(field->message_type(), prefix + field->name() + ".", out);
    } else {
      out.insert(prefix + field->name());
    }
  }
}

TEST(ConfigRulesTest, EveryFieldOfTheSchemaHasARuleAndEveryRuleAField) {
  std::set<std::string> fields;
  CollectFields(v1::Config::descriptor(), "", fields);
  std::set<std::string> ruled;
  for (const ConfigRule& rule : ConfigRules()) {
    ruled.insert(std::string(rule.path.substr(0, rule.path.rfind('.') + 1)) + rule.ProtoName());
    EXPECT_FALSE(rule.doc.empty()) << rule.path;
    EXPECT_FALSE(rule.Allowed().empty()) << rule.path;
  }
  EXPECT_EQ(fields, ruled);
}

struct Row {
  const char* text;
  std::vector<std::string> want;  // each a part of one line, in order
};

const Row kBadFiles[] = {
    {R"({"zone": {"path": "z", "setle": "2s"}})",
     {"laneway.json:1:24: zone.setle: found an unknown field; allowed: one of path, rescan, settle (did "
      "you mean settle?)"}},
    {R"({"zones": {}})", {"laneway.json:1:2: zones: found an unknown field; allowed: one of api, browser,"}},
    {R"({"timeout": "3s"})", {"(did you mean job.timeout?)"}},
    {R"({"job": {"timeout": 30}})",
     {"laneway.json:1:21: job.timeout: found 30; allowed: a duration such as \"250ms\", \"30s\", \"5m\", "
      "\"24h\" or \"1h30m\", from 0s to 720h (did you mean \"30s\"?)"}},
    {R"({"job": {"timeout": "30 sec"}})", {"found \"30 sec\"; allowed: a duration"}},
    {R"({"job": {"timeout": "30 sec"}})", {"(did you mean \"30s\"?)"}},
    {R"({"worker": {"log_size_max": "64mb"}})", {"(did you mean \"64MiB\"?)"}},
    {R"({"worker": {"capacity": 0}})", {"worker.capacity: found 0; allowed: a whole number from 1 to 10000"}},
    {R"({"worker": {"capacity": "3"}})",
     {"found \"3\"; allowed: a whole number from 1 to 10000 (did you mean 3 (without quotes)?)"}},
    {R"({"worker": {"capacity": 1.5}})", {"found 1.5; allowed: a whole number"}},
    {R"({"worker": {"capacity": 99999999999999999999999}})", {"found 99999999999999999999999; allowed"}},
    {R"({"worker": {"in_process_thread_count": 1001}})", {"from 0 to 1000"}},
    {R"({"worker": {"in_process_thread_count": -1}})", {"found -1"}},
    {R"({"worker": {"id_pattern": "DTF"}})",
     {"worker.id_pattern: found \"DTF\"; allowed: a worker's name with {n}"}},
    {R"({"worker": {"id_pattern": "../{n}"}})", {"found \"../{n}\""}},
    {R"({"worker": {"labels": "gpu"}})", {"found \"gpu\"; allowed: an array of labels"}},
    {R"({"worker": []})", {"laneway.json:1:12: worker: found an array; allowed: an object"}},
    {R"({"job": {"needs_browser": "true"}})",
     {"found \"true\"; allowed: true or false (did you mean true (without quotes)?)"}},
    {R"({"job": {"needs_browser": true}})", {"browser.enabled is false"}},
    {R"({"job": {"exec": ["sh", 3]}})", {"found 3 at [1]; allowed: an array of strings"}},
    {R"({"job": {"exec": ["sh"], "handler": "noop"}})", {"exactly one of job.exec and job.handler"}},
    {R"({"job": {"exec": ["sh", "{flie}"]}})",
     {
         "found \"{flie}\"",
     }},
    {R"({"job": {"handler": "nop"}})", {"did you mean \"noop\"?"}},
    {R"({"job": {"backoff": {"initial": "10m"}}})",
     {"job.backoff.max: found \"5m\"; allowed: at least job.backoff.initial"}},
    {R"({"job": {"backoff": {"factor": 0.5}}})", {"a number from 1 to 100"}},
    {R"({"health": {"heartbeat_timeout": "10s"}})",
     {"laneway.json:1:34: health.heartbeat_timeout: found \"10s\"; allowed: more than "
      "health.heartbeat_interval, which is \"15s\""}},
    {R"({"placement": {"policy": "leastloaded"}})", {"did you mean \"least-loaded\"?"}},
    {R"({"placement": {"resources": {"a": {"rate": "100"}}}})",
     {"placement.resources.a.rate: found \"100\"; allowed: a rate such as"}},
    {R"({"placement": {"resources": {"a": {"rat": "1/s"}}}})",
     {"one of max_concurrent, rate (did you mean rate?)"}},
    {R"({"placement": {"resources": {"a b": {}}}})", {"a resource's name"}},
    {R"({"api": {"listen": "3000"}})", {"did you mean \"127.0.0.1:3000\"?"}},
    {R"({"api": {"listen": "0.0.0.0:3000"}})",
     {"api.listen: found \"0.0.0.0:3000\" without a token; allowed: a loopback address, or a token"}},
    {R"({"metrics": {"listen": "127.0.0.1:3000"}})", {"which is api.listen too"}},
    {R"({"log": {"backend": "kafka"}})", {"at least one HOST:PORT"}},
    {R"({"log": {"brokers": ["kafka", "b:9092", 7]}})",
     {"found \"kafka\" at [0], 7 at [2]; allowed: an array of \"HOST:PORT\""}},
    {R"({"deployment_model": "DISTRIBUTED"})", {"the embedded log belongs to one process"}},
    {R"({"log": {"data": "dispatch"}})", {"which is zone.path too"}},
    {R"({"zone": {"path": ""}})", {"a path: a string that is not empty"}},
    {R"({"zone": {"path": "a"}, "zone": {"path": "b"}})",
     {"laneway.json:1:25: zone: found the key a second time; allowed: each key once"}},
    {R"([])", {"laneway.json:1:1: found an array; allowed: an object"}},
    {"{\n  \"zone\": {,\n}", {"laneway.json:2:12: not JSON: syntax error"}},
    {R"({"zone": {"path": "a",}})", {"not JSON"}},
    {R"({zone: 1})", {"not JSON"}},
    {"", {"laneway.json:1:1: not JSON"}},
    {"{\"zone\": {\"path\": \"\xff\"}}", {"not JSON"}},
    {R"({"zone": {"paht": "a", "settle": 3}, "wroker": {}, "job": {"max_attempts": "many"}})",
     {"did you mean path?", "zone.settle", "did you mean worker?", "job.max_attempts: found \"many\""}},
};

TEST(ConfigTest, BadFilesAreToldExactlyAndAllAtOnce) {
  for (const Row& row : kBadFiles) {
    const ConfigResult result = Load(row.text);
    EXPECT_FALSE(result.config) << row.text;
    const auto lines = Lines(result);
    ASSERT_EQ(lines.size(), row.want.size()) << row.text << "\n" << testing::PrintToString(lines);
    for (size_t i = 0; i < lines.size(); i++) EXPECT_THAT(lines[i], HasSubstr(row.want[i])) << row.text;
  }
}

TEST(ConfigTest, LaterLayersWinAndOriginsSayWhich) {
  ConfigSources sources;
  sources.environment = {{"LANEWAY_ZONE__PATH", "from-env"},
                         {"LANEWAY_JOB__BACKOFF__MAX", "7m"},
                         {"LANEWAY_WORKER__LABELS", "a,b"},
                         {"LANEWAY_PLACEMENT__RESOURCES", R"({"x": {"max_concurrent": 2}})"},
                         {"LANEWAY_API", "http://elsewhere"}};
  sources.flags = {{"worker.capacity=5", "--capacity"},
                   {ListSetting("job.exec", {"sh", "a \"b\",c"}), "--exec"}};
  const ConfigResult result = Load(
      "{\"zone\": {\"path\": \"from-file\", \"settle\": \"3s\"},\n \"worker\": {\"capacity\": 2}}", sources);
  ASSERT_TRUE(result.config) << testing::PrintToString(Lines(result));
  const auto& values = result.config->values;
  EXPECT_EQ(values.zone().path(), "from-env");
  EXPECT_EQ(values.worker().capacity(), 5u);
  EXPECT_EQ(values.job().exec(1), "a \"b\",c");
  EXPECT_THAT(values.worker().labels(), ElementsAre("a", "b"));
  const auto& origins = result.config->origins;
  EXPECT_EQ(origins.at("zone.settle"), "laneway.json:1:42");
  EXPECT_EQ(origins.at("zone.path"), "environment LANEWAY_ZONE__PATH");
  EXPECT_EQ(origins.at("worker.capacity"), "flag --capacity");
  EXPECT_EQ(origins.at("zone.rescan"), "default");
  EXPECT_THAT(result.config->ToTable(), HasSubstr("job.backoff.max = \"7m\""));
  EXPECT_THAT(result.config->ToTable(), HasSubstr("placement.resources.x.max_concurrent = 2"));
}

TEST(ConfigTest, MistakesOfEveryLayerAreToldTogether) {
  ConfigSources sources;
  sources.environment = {{"LANEWAY_ZONE__PAHT", "x"}, {"LANEWAY_WORKER__CAPACITY", "lots"}};
  sources.flags = {{"job.timeot=1s", "--set"}, {"nonsense", "--set"}};
  const auto lines = Lines(Load(R"({"nope": 1})", sources));
  ASSERT_EQ(lines.size(), 5u) << testing::PrintToString(lines);
  EXPECT_THAT(lines[0], HasSubstr("laneway.json:1:2: nope"));
  EXPECT_THAT(lines[1], HasSubstr("environment LANEWAY_WORKER__CAPACITY: worker.capacity: found \"lots\""));
  EXPECT_THAT(lines[2], HasSubstr("environment LANEWAY_ZONE__PAHT: zone.paht: found an unknown field"));
  EXPECT_THAT(lines[2], HasSubstr("did you mean zone.path?"));
  EXPECT_THAT(lines[3], HasSubstr("did you mean job.timeout?"));
  EXPECT_THAT(lines[4], HasSubstr("SECTION.FIELD=VALUE"));
}

TEST(ConfigTest, ASecretIsOnlyEverReferredToAndNeverShown) {
  const ConfigResult literal = Load(R"({"api": {"token": "canary-secret-1"}})");
  ASSERT_FALSE(literal.config);
  EXPECT_THAT(Lines(literal)[0], HasSubstr("found a literal value (not shown)"));
  EXPECT_THAT(Lines(literal)[0], Not(HasSubstr("canary")));

  ConfigSources sources;
  sources.environment = {{"MY_TOKEN", "canary-secret-2"}};
  const ConfigResult good =
      Load(R"({"api": {"listen": "0.0.0.0:3000", "token": "${env:MY_TOKEN}"}})", sources);
  ASSERT_TRUE(good.config) << testing::PrintToString(Lines(good));
  EXPECT_EQ(good.config->api_token.Reveal(), "canary-secret-2");
  EXPECT_THAT(good.config->ToJson() + good.config->ToTable() + good.config->values.DebugString(),
              Not(HasSubstr("canary")));

  sources.environment["MY_TOKEN"] = "can\nary";
  const ConfigResult bad = Load(R"({"api": {"token": "${env:MY_TOKEN}"}})", sources);
  ASSERT_EQ(bad.problems.size(), 1u);
  EXPECT_THAT(Lines(bad)[0], Not(HasSubstr("ary\"")));
}

TEST(ConfigTest, ASecretFromAFile) {
  const std::string path = testing::TempDir() + "/laneway_token";
  std::ofstream(path) << "0123456789abcdef\n";
  chmod(path.c_str(), 0644);
  const ConfigResult result = Load(R"({"api": {"token": "${file:)" + path + R"(}"}})");
  ASSERT_TRUE(result.config) << testing::PrintToString(Lines(result));
  EXPECT_EQ(result.config->api_token.Reveal(), "0123456789abcdef");
  ASSERT_EQ(result.config->warnings.size(), 1u);
  EXPECT_THAT(result.config->warnings[0], HasSubstr("other users may read"));
  const auto lines = Lines(Load(R"({"api": {"token": "${file:/nonexistent/token}"}})"));
  ASSERT_EQ(lines.size(), 1u);
  EXPECT_THAT(lines[0], HasSubstr("No such file or directory"));
}

TEST(ConfigTest, AZoneNeedsSomethingToRun) {
  ConfigSources sources;
  sources.zone_jobs = true;
  const auto lines = Lines(LoadConfigText("", sources));
  ASSERT_EQ(lines.size(), 1u);
  EXPECT_THAT(lines[0], HasSubstr("job.exec: found nothing, and no job.handler"));
  sources.flags = {{"job.handler=noop", "--handler"}};
  EXPECT_TRUE(LoadConfigText("", sources).config);
}

TEST(ConfigTest, WhatIsShownLoadsAgainToTheSame) {
  const ConfigResult first = Load(kContractExample);
  ASSERT_TRUE(first.config);
  const ConfigResult second = Load(first.config->ToJson());
  ASSERT_TRUE(second.config) << first.config->ToJson() << testing::PrintToString(Lines(second));
  EXPECT_EQ(second.config->ToJson(), first.config->ToJson());
}

TEST(ConfigTest, AFileThatCannotBeReadIsToldBesideTheOthersMistakes) {
  ConfigSources sources;
  sources.file = "/nonexistent/laneway.json";
  sources.environment = {{"LANEWAY_JOB__TIMEOUT", "x"}};
  const ConfigResult result = LoadConfig(sources);
  const auto lines = Lines(result);
  ASSERT_EQ(lines.size(), 2u) << testing::PrintToString(lines);
  EXPECT_THAT(lines[0], HasSubstr("/nonexistent/laneway.json: cannot be read: No such file or directory"));
}

}  // namespace
}  // namespace laneway::ops
