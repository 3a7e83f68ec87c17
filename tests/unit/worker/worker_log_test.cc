#include "worker/worker_log.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>

#include "fixture.h"
#include "support/temp_folder.h"

namespace laneway::worker {
namespace {

std::string Read(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

TEST(WorkerLogTest, ALineHasTheFormPeopleSearchFor) {
  const LogTime time{1795241702123};
  EXPECT_EQ(FormatLine(time, WorkerId("DTF-03"), {"Upload Success (Browser 9224)", Key(1, 1), "in/a.csv"}),
            "2026-11-21T06:15:02.123Z DTF-03 – Upload Success (Browser 9224) job=" + Job(1).ToString() +
                " attempt=1 file=in/a.csv");
  EXPECT_EQ(FormatLine(LogTime{0}, WorkerId("W"), {"Task Started", Key(1, 2, 5), ""}),
            "1970-01-01T00:00:00.000Z W – Task Started job=" + Job(1).ToString() + " task=5 attempt=2");
}

TEST(WorkerLogTest, AFileNameCannotForgeALine) {
  const std::string line = FormatLine(
      LogTime{0}, WorkerId("W"), {"Task Started", std::nullopt, "a\n2026 DTF-01 – Task Success\x1b[31m"});
  EXPECT_EQ(line.find('\n'), std::string::npos);
  EXPECT_EQ(line.find('\x1b'), std::string::npos);
}

TEST(WorkerLogTest, IsAppendedToAndTurnedOverAtItsBound) {
  laneway::testing::TempFolder folder;
  {
    WorkerLog log(folder.path(), WorkerId("W"), 1000);
    for (int i = 0; i < 40; i++) {
      log.Add(LogTime{i}, {"Task Started", std::nullopt, ""});
      log.Flush();
    }
    EXPECT_EQ(log.lost(), 0u);
  }
  const std::string now = Read(folder.path() + "/worker.log"), before = Read(folder.path() + "/worker.log.1");
  EXPECT_LE(now.size(), 1000u);
  EXPECT_LE(before.size(), 1000u);
  EXPECT_NE(now.find("00.039Z"), std::string::npos);
  EXPECT_NE(before.find("W – Task Started\n"), std::string::npos);
}

TEST(WorkerLogTest, WhatCannotBeWrittenIsCountedAndStopsNothing) {
  laneway::testing::TempFolder folder;
  WorkerLog log(folder.path() + "/missing", WorkerId("W"));
  log.Add(LogTime{0}, {"Task Started", std::nullopt, ""});
  log.Flush();
  EXPECT_EQ(log.lost(), 1u);
  std::filesystem::create_directory(folder.path() + "/missing");
  log.Add(LogTime{0}, {"Task Success", std::nullopt, ""});
  log.Flush();
  EXPECT_EQ(log.lost(), 1u);
  EXPECT_NE(Read(folder.path() + "/missing/worker.log").find("Task Success"), std::string::npos);
}

}  // namespace
}  // namespace laneway::worker
