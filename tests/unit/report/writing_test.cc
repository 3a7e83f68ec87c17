// The three ways to write a report: whole, and closed to whatever a name can hold.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ops/strict_json.h"
#include "report/html.h"
#include "report/json.h"
#include "report/markdown.h"
#include "run.h"

namespace laneway::report {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kEvil[] = "<script>alert(1)</script>|`x`[a](http://e.vil)\n# \"'&*_.csv";

std::vector<Run> EvilRuns() {
  TestRun run({.keep_inputs = true});
  run.File(1, kEvil).At(100).Start(1, "DTF-01");
  v1::Event failed = testing::Fail(1, "DTF-01", v1::EXIT_CODE, {TestRun::Job(1)});
  failed.mutable_task_failed()->set_message("<img src=x onerror=alert(1)>");
  run.At(400).Take(failed).At(2000).Start(1, "DTF-02", 2).At(2500).Succeed(1, "DTF-02", 2);
  return {{"<b>three</b>", run.Finish()}, {"one", SteadyRun(1, 3)}};
}

struct Written {
  std::string markdown;
  std::string html;
  std::string json;
};

Written Write(const std::vector<Run>& runs) {
  const Comparison comparison = runs.size() > 1 ? Compare(runs) : Comparison{};
  const Subject subject{runs, comparison, LogTime{TestRun::kBegin}, "0.1"};
  const Document document = Compose(subject);
  return {ToMarkdown(document), ToHtml(document), ToJson(subject)};
}

size_t CountOf(const std::string& text, const std::string& what) {
  size_t count = 0;
  for (size_t at = 0; (at = text.find(what, at)) != std::string::npos; at += what.size()) count++;
  return count;
}

TEST(WritingTest, NamesAndMessagesAreNoMarkup) {
  const Written written = Write(EvilRuns());
  EXPECT_THAT(written.html, HasSubstr("&lt;script&gt;alert(1)&lt;/script&gt;"));
  for (const char* tag : {"<script", "<img", "<b>three", "javascript:"}) {
    EXPECT_THAT(written.html, Not(HasSubstr(tag)));
    EXPECT_THAT(written.markdown, Not(HasSubstr(tag)));
  }
  EXPECT_THAT(written.markdown, HasSubstr("\\|\\`x\\`\\[a\\](http&#58;//e.vil)\\\\n\\# "));
  EXPECT_TRUE(ops::ParseStrictJson(written.json).problems.empty());
}

TEST(WritingTest, TheHtmlIsOneFileThatForbidsScriptsAndClosesWhatItOpens) {
  const std::string html = Write(EvilRuns()).html;
  EXPECT_THAT(html, HasSubstr("default-src 'none'"));
  for (const char* outside : {"<link", "<iframe", "<a ", "url(", "@import"})
    EXPECT_THAT(html, Not(HasSubstr(outside)));
  for (const std::string tag : {"section", "figure", "table", "tr", "svg", "details", "div", "ul", "dl"}) {
    EXPECT_EQ(CountOf(html, "<" + tag + ">") + CountOf(html, "<" + tag + " "),
              CountOf(html, "</" + tag + ">"))
        << tag;
  }
  EXPECT_EQ(CountOf(html, "<svg"), CountOf(html, "role=\"img\"")) << "each chart has a name";
}

TEST(WritingTest, SpeedUpIsSaid) {
  const Written written = Write({{"three", SteadyRun(3, 12)}, {"one", SteadyRun(1, 12)}});
  for (const std::string* text : {&written.markdown, &written.html}) {
    EXPECT_THAT(
        *text,
        HasSubstr("3 workers finished 12 of 12 files in 4.00 s, 3.00/s: 3.00× the throughput of 1 worker."));
    EXPECT_THAT(*text, HasSubstr("All runs had the same 12 files, by name and size."));
  }
  EXPECT_TRUE(ops::ParseStrictJson(written.json).problems.empty());
  EXPECT_THAT(written.json, HasSubstr("\"speed_up\": 3"));
  EXPECT_THAT(written.json, HasSubstr("\"same_files\": true"));
}

TEST(WritingTest, WhatIsUnknownIsADashOrNull) {
  TestRun run;
  run.File(1, "a");
  const Written written = Write({{"x", run.Finish()}});
  for (const std::string* text : {&written.markdown, &written.html, &written.json}) {
    EXPECT_THAT(*text, Not(HasSubstr("nan")));
    EXPECT_THAT(*text, Not(HasSubstr("inf")));
  }
  EXPECT_THAT(written.json, HasSubstr("\"steady_per_second\": null"));
}

TEST(WritingTest, ManyWorkersAndBuckets) {
  TestRun run;
  for (uint64_t n = 1; n <= 60; n++) {
    const std::string worker = "DTF-" + std::to_string(100 + n);
    run.At(static_cast<int64_t>(n) * 60'000).File(n, "f" + std::to_string(n));
    run.Do(n, worker, static_cast<int64_t>(n) * 60'000, static_cast<int64_t>(n) * 60'000 + 30'000);
  }
  const Written written = Write({{"x", run.Finish()}});
  EXPECT_THAT(written.html, HasSubstr("others"));
  EXPECT_THAT(written.html, HasSubstr("The chart shows the first 40 of 60 workers."));
}

}  // namespace
}  // namespace laneway::report
