#include "worker/executor/placeholders.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace laneway::worker {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

AttemptFacts Facts() {
  AttemptFacts facts;
  facts.task = {JobId{1, 2}, 3};
  facts.attempt = 2;
  facts.worker = WorkerId("DTF-01");
  facts.file = "/zone/processing/DTF-01/x.2/a b.tar.gz";
  facts.output_dir = "/zone/out";
  facts.browser_port = 9224;
  facts.checkpoint = "page 7";
  return facts;
}

TEST(PlaceholdersTest, EachIsFilledIn) {
  const std::string job = JobId{1, 2}.ToString();
  const struct {
    std::string argument, want;
  } rows[] = {
      {"{file}", "/zone/processing/DTF-01/x.2/a b.tar.gz"},
      {"{dir}", "/zone/processing/DTF-01/x.2"},
      {"{name}", "a b.tar.gz"},
      {"{stem}", "a b.tar"},
      {"{job}", job},
      {"{task}", job + "/3"},
      {"{attempt}", "2"},
      {"{worker}", "DTF-01"},
      {"{browser_port}", "9224"},
      {"{browser_url}", "http://127.0.0.1:9224"},
      {"{output_dir}", "/zone/out"},
      {"--out={output_dir}/{stem}.csv", "--out=/zone/out/a b.tar.csv"},
      {"{{file}} {{{attempt}}}", "{file} {2}"},
      {"", ""},
      {"$(id); `x` *", "$(id); `x` *"},
  };
  for (const auto& row : rows) {
    const auto filled = FillPlaceholders({"bash", row.argument}, Facts());
    ASSERT_TRUE(filled.ok()) << filled.status();
    EXPECT_THAT(*filled, ElementsAre("bash", row.want));
  }
}

TEST(PlaceholdersTest, NamesAreBytesAndAreNotLookedAtAgain) {
  const struct {
    std::string file, name, stem, dir;
  } rows[] = {
      {"/d/{job}", "{job}", "{job}", "/d"},
      {"/d/-rf \n\xff$(id)", "-rf \n\xff$(id)", "-rf \n\xff$(id)", "/d"},
      {"/d/.hidden", ".hidden", ".hidden", "/d"},
      {"/d/.a.b", ".a.b", ".a", "/d"},
      {"/d/x.", "x.", "x", "/d"},
      {"/top", "top", "top", "/"},
      {"", "", "", ""},
  };
  for (const auto& row : rows) {
    AttemptFacts facts = Facts();
    facts.file = row.file;
    const auto filled = FillPlaceholders({"x", "{name}", "{stem}", "{dir}"}, facts);
    ASSERT_TRUE(filled.ok());
    EXPECT_THAT(*filled, ElementsAre("x", row.name, row.stem, row.dir));
  }
}

TEST(PlaceholdersTest, MistakesAreNamed) {
  const struct {
    std::vector<std::string> argv;
    const char* message;
  } rows[] = {
      {{"bash", "{flie}"}, "unknown placeholder {flie} in \"{flie}\"; did you mean {file}?"},
      {{"bash", "x{outputdir}"}, "did you mean {output_dir}?"},
      {{"bash", "{}"}, "unknown placeholder {}"},
      {{"awk", "{print $1}"}, "known are {file} {dir}"},
      {{"bash", "{file"}, "a lone { in \"{file\"; write {{ for the brace itself"},
      {{"bash", "file}"}, "a lone }"},
      {{"bash", "{fi{le}}"}, "unknown placeholder {fi{le}"},
      {{}, "there is no program to start"},
      {{""}, "there is no program to start"},
      {{"bash", std::string("a\0b", 3)}, "a zero byte"},
  };
  for (const auto& row : rows) {
    const absl::Status status = CheckPlaceholders(row.argv);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(status.message()), HasSubstr(row.message));
  }
  EXPECT_TRUE(CheckPlaceholders({"bash", "process.sh", "{file}"}).ok());
}

TEST(EnvironmentTest, WhatIsPassedAndWhatIsNot) {
  const std::vector<std::string> own = {
      "PATH=/bin", "HOME=/root",       "LC_ALL=C",    "LANG=C",      "TZ=UTC",
      "SECRET=1",  "LANEWAY_TOKEN=t",  "KAFKA_KEY=k", "KAFKA=1",     "APP_MODE=x=y",
      "APPLE=no",  "LANEWAY_FILE=old", "MALFORMED",   "TMPDIR=/tmp", "=odd"};
  const auto environment = BuildEnvironment(own, {"APP_*", "LANEWAY_*", "LANEWAY_TOKEN", "KAFKA*"}, Facts());
  const std::string job = JobId{1, 2}.ToString();
  EXPECT_THAT(
      environment,
      ElementsAre("PATH=/bin", "HOME=/root", "LC_ALL=C", "LANG=C", "TZ=UTC", "APP_MODE=x=y", "TMPDIR=/tmp",
                  "LANEWAY_JOB=" + job, "LANEWAY_TASK=" + job + "/3", "LANEWAY_ATTEMPT=2",
                  "LANEWAY_WORKER=DTF-01", "LANEWAY_FILE=/zone/processing/DTF-01/x.2/a b.tar.gz",
                  "LANEWAY_OUTPUT_DIR=/zone/out", "LANEWAY_BROWSER_URL=http://127.0.0.1:9224",
                  "LANEWAY_BROWSER_PORT=9224", "LANEWAY_CHECKPOINT=page 7"));
}

}  // namespace
}  // namespace laneway::worker
