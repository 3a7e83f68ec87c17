#include "worker/executor/attempt_log.h"

#include <gtest/gtest.h>

#include "support/run_executor.h"

namespace laneway::worker {
namespace {

std::string Numbers(int from, int to) {
  std::string text;
  for (int i = from; i < to; i++) text += std::to_string(i) + "\n";
  return text;
}

TEST(AttemptLogTest, MadeAtTheFirstByteTogetherWithItsFolder) {
  TestFolder folder;
  const std::string path = folder.path + "/DTF-01/x.log";
  {
    AttemptLog log(path, 0);
    EXPECT_FALSE(Exists(folder.path + "/DTF-01"));
    log.Write("hello\n");
    log.Write("there\n");
    EXPECT_EQ(log.bytes(), 12u);
    EXPECT_EQ(log.recent(), "hello\nthere\n");
  }
  EXPECT_EQ(ReadFile(path), "hello\nthere\n");
}

TEST(AttemptLogTest, KeepsHeadAndTailHoweverItIsCut) {
  const std::string text = Numbers(0, 5000);  // 23,890 bytes
  for (const size_t piece : {size_t{1}, size_t{7}, size_t{500}, size_t{501}, size_t{4096}, text.size()}) {
    TestFolder folder;
    const std::string path = folder.path + "/x.log";
    AttemptLog log(path, 1000);
    for (size_t at = 0; at < text.size(); at += piece) log.Write(std::string_view(text).substr(at, piece));
    log.Sync();
    EXPECT_EQ(ReadFile(path), text.substr(0, 500));
    EXPECT_EQ(ReadFile(path + ".1"), text.substr(text.size() - 500)) << "while it runs";
    EXPECT_EQ(log.recent(), std::string_view(text).substr(text.size() - 2048)) << piece;
    log.Close();
    EXPECT_EQ(ReadFile(path), text.substr(0, 500) + "\n[laneway: 22890 bytes of output are left out here]\n" +
                                  text.substr(text.size() - 500))
        << piece;
    EXPECT_FALSE(Exists(path + ".1"));
  }
}

TEST(AttemptLogTest, WhatJustFitsIsWhole) {
  TestFolder folder;
  const std::string text = Numbers(100, 350);  // 1,000 bytes
  AttemptLog log(folder.path + "/x.log", 1000);
  log.Write(text);
  log.Close();
  EXPECT_EQ(ReadFile(folder.path + "/x.log"), text);
}

TEST(AttemptLogTest, WhatCannotBeWrittenIsDropped) {
  AttemptLog full("/dev/full", 1000);
  full.Write(Numbers(0, 1000));
  full.Sync();
  full.Close();
  EXPECT_EQ(full.bytes(), 3890u);
  AttemptLog nowhere("/proc/none/x.log", 1000);
  nowhere.Write("x");
  AttemptLog none;
  none.Write("x");
  EXPECT_EQ(none.recent(), "x");
}

}  // namespace
}  // namespace laneway::worker
