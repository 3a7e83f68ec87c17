#include "api/job_definition.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "api/target.h"
#include "ops/browser_loss.h"
#include "ops/config.h"

namespace laneway::api {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

v1::JobConfig Defaults() {
  v1::JobConfig config;
  config.add_exec("process.sh");
  config.set_max_attempts(3);
  config.set_timeout_ms(1000);
  return config;
}

TEST(JobDefinitionTest, OneTaskForEachDataSourceAndPhaseInPhaseOrder) {
  const auto result = ParseJobDefinition(R"({
    "name": "nightly", "idempotency_key": "n-1", "handler": "noop", "phases": ["fetch", "load"],
    "data_sources": ["london", {"name": "paris", "payload": {"ms": 5}}], "priority": -3,
    "not_before": "2026-11-21T06:15:02Z",
    "labels": ["gpu"], "resources": ["db"], "ordering_key": "k", "timeout": "2m", "max_attempts": 7,
    "needs_browser": true, "payload": {"a": [1]}})",
                                         Defaults());
  ASSERT_TRUE(result.definition) << testing::PrintToString(result.errors);
  const v1::JobSubmitted& job = result.definition->job;
  EXPECT_EQ(result.definition->idempotency_key, "n-1");
  EXPECT_EQ(job.task_count(), 4u);
  ASSERT_EQ(job.tasks_size(), 4);
  EXPECT_EQ(job.tasks(1).data_source(), "paris");
  EXPECT_EQ(job.tasks(1).payload(), R"({"ms": 5})");
  EXPECT_EQ(job.tasks(1).phase(), 0u);
  EXPECT_EQ(job.tasks(2).phase(), 1u);
  EXPECT_EQ(job.spec().exec_size(), 0) << "a handler replaces the configuration's exec";
  EXPECT_EQ(job.spec().handler(), "noop");
  EXPECT_EQ(job.spec().payload(), R"({"a": [1]})");
  EXPECT_EQ(job.spec().priority(), -3);
  EXPECT_EQ(job.spec().timeout_ms(), 120'000u);
  EXPECT_EQ(job.not_before_ms(), 1795241702000);
}

TEST(JobDefinitionTest, AnEmptyObjectIsOneTaskOfTheConfiguredScript) {
  const auto result = ParseJobDefinition("{}", Defaults());
  ASSERT_TRUE(result.definition);
  EXPECT_EQ(result.definition->job.tasks_size(), 1);
  EXPECT_THAT(result.definition->job.spec().exec(), ElementsAre("process.sh"));
  EXPECT_EQ(result.definition->job.spec().max_attempts(), 3u);
}

struct Row {
  std::string json;
  std::vector<std::string> want;
};

TEST(JobDefinitionTest, MistakesAreToldAllAtOnce) {
  const Row rows[] = {
      {"", {"not JSON"}},
      {"[]", {"found an array; allowed: an object"}},
      {R"({"nam": "x"})", {"nam: an unknown field (did you mean name?)"}},
      {R"({"name": "a", "name": "b"})", {"name: the key appears twice in one object (line 1, column 15)"}},
      {R"({"exec": ["a"], "handler": "noop"})", {"exactly one of exec and handler"}},
      {R"({"exec": []})", {"exec: found an array; allowed: the program"}},
      {R"({"exec": "ls"})", {"exec: found \"ls\"; allowed: an array"}},
      {R"({"exec": ["a", 1]})", {"exec[1]: found 1; allowed: an argument"}},
      {R"({"handler": "nop"})", {"did you mean noop?"}},
      {R"({"data_sources": []})", {"at least one data source"}},
      {R"({"data_sources": ["a", "", {"nme": 1}]})", {"data_sources[1]", "data_sources[2]"}},
      {R"({"data_sources": [{"name": "a", "x": 1}]})", {"data_sources[0].x: an unknown field"}},
      {R"({"phases": ["a", "a"]})", {"\"a\" appears twice"}},
      {R"({"max_attempts": 0, "timeout": 5, "priority": 1.5, "labels": ["a b"], "needs_browser": 1,
          "not_before": "soon", "late_success": "maybe", "name": "a\nb"})",
       {"name: found", "not_before: found \"soon\"",
        "max_attempts: found 0; allowed: a whole number from 1 to 1000", "priority: found 1.5",
        "timeout: found 5", "late_success", "labels[0]: found \"a b\"",
        "needs_browser: found 1; allowed: true or false"}},
      {R"({"on_browser_loss": "weep"})",
       {"on_browser_loss: found \"weep\"; allowed: one of \"retry\", \"continue\", \"fail\""}},
      {R"({"payload": ")" + std::string(300'000, 'x') + "\"}", {"payload: larger than 256KiB"}},
  };
  for (const Row& row : rows) {
    const auto result = ParseJobDefinition(row.json, Defaults());
    EXPECT_FALSE(result.definition) << row.json.substr(0, 200);
    ASSERT_EQ(result.errors.size(), row.want.size())
        << row.json.substr(0, 200) << testing::PrintToString(result.errors);
    for (size_t i = 0; i < row.want.size(); i++) EXPECT_THAT(result.errors[i], HasSubstr(row.want[i]));
  }
}

TEST(JobDefinitionTest, AJobSaysInTheWordsOfTheConfigurationWhatBecomesOfItWithoutItsBrowser) {
  for (const auto& [word, meaning] : ops::kBrowserLossWords) {
    const auto result = ParseJobDefinition(
        R"({"handler": "noop", "on_browser_loss": ")" + std::string(word) + "\"}", Defaults());
    ASSERT_TRUE(result.definition) << testing::PrintToString(result.errors);
    EXPECT_EQ(result.definition->job.spec().on_browser_loss(), meaning);
    v1::JobConfig config;
    config.set_on_browser_loss(std::string(word));
    EXPECT_EQ(SpecFromConfig(config).on_browser_loss(), meaning);
    ops::ConfigSources sources;
    sources.flags.push_back({"job.on_browser_loss=" + std::string(word), "--set"});
    const auto loaded = ops::LoadConfig(sources);
    EXPECT_TRUE(loaded.config) << word;
  }
}

std::string WithSources(size_t count, const std::string& more = "") {
  std::string json = "{" + more + "\"data_sources\":[";
  for (size_t i = 0; i < count; i++) json += (i ? ",\"s" : "\"s") + std::to_string(i) + "\"";
  return json + "]}";
}

TEST(JobDefinitionTest, AHundredThousandTasksAndNotOneMore) {
  EXPECT_TRUE(ParseJobDefinition(WithSources(100'000), Defaults()).definition);
  EXPECT_THAT(ParseJobDefinition(WithSources(100'001), Defaults()).errors,
              ElementsAre(HasSubstr("at most 100000")));
  EXPECT_THAT(ParseJobDefinition(WithSources(50'001, R"("phases":["a","b"],)"), Defaults()).errors,
              ElementsAre(HasSubstr("are 100002 tasks")));
}

TEST(SplitSubmissionTest, PartsAreSmallAndTogetherAreTheJob) {
  const auto result = ParseJobDefinition(WithSources(50'000), Defaults());
  ASSERT_TRUE(result.definition);
  const auto parts = SplitSubmission(result.definition->job);
  ASSERT_GT(parts.size(), 1u);
  int at = 0;
  for (size_t i = 0; i < parts.size(); i++) {
    EXPECT_LE(parts[i].ByteSizeLong(), 256u << 10);
    EXPECT_EQ(parts[i].part(), i);
    EXPECT_EQ(parts[i].parts(), parts.size());
    EXPECT_EQ(parts[i].task_count(), 50'000u);
    EXPECT_EQ(parts[i].has_spec(), i == 0);
    for (const auto& task : parts[i].tasks())
      EXPECT_EQ(task.data_source(), result.definition->job.tasks(at++).data_source());
  }
  EXPECT_EQ(at, 50'000);
}

TEST(TargetTest, DecodesPathsAndQueries) {
  const auto target = ParseTarget("/a%2Fb/c?x=1+2&y=%41&x=3&flag");
  ASSERT_TRUE(target);
  EXPECT_THAT(target->segments, ElementsAre("a/b", "c"));
  EXPECT_THAT(target->query, ElementsAre(testing::Pair("x", "1 2"), testing::Pair("y", "A"),
                                         testing::Pair("x", "3"), testing::Pair("flag", "")));
  EXPECT_TRUE(PathPattern("/").Match(*ParseTarget("/?a=b")));
  EXPECT_TRUE(PathPattern("/{id}/c").Match(*target));
  EXPECT_FALSE(PathPattern("/{id}").Match(*target));
  EXPECT_EQ(PercentEncode("01J/1 ü"), "01J%2F1%20%C3%BC");
  EXPECT_EQ(PercentDecode(PercentEncode("\x01\xff%/?"), false), "\x01\xff%/?");
}

}  // namespace
}  // namespace laneway::api
