#include "fleet/ids.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

namespace laneway {
namespace {

TEST(IdsTest, AnIdIsTheSameAfterEveryWayOfWritingIt) {
  for (const JobId& id :
       {JobId{}, JobId{1, 2}, JobId{0x0123456789abcdefULL, 0xfedcba9876543210ULL}, JobId{~0ULL, ~0ULL}}) {
    EXPECT_EQ(JobId::Parse(id.ToString()), id) << id.ToString();
    EXPECT_EQ(JobId::FromBytes(id.ToBytes()), id) << id.ToString();
    EXPECT_EQ(id.ToString().size(), 26U);
  }
  EXPECT_EQ((JobId{~0ULL, ~0ULL}.ToString()), "7ZZZZZZZZZZZZZZZZZZZZZZZZZ");
}

TEST(IdsTest, WhatIsNoIdIsRefused) {
  for (const char* text : {"", "7ZZZZZZZZZZZZZZZZZZZZZZZZ", "8ZZZZZZZZZZZZZZZZZZZZZZZZZ",
                           "7ZZZZZZZZZZZZZZZZZZZZZZZZU", "7ZZZZZZZZZZZZZZZZZZZZZZZZZZ"}) {
    EXPECT_FALSE(JobId::Parse(text).has_value()) << text;
  }
  EXPECT_FALSE(JobId::FromBytes("fifteen bytes..").has_value());
}

TEST(IdsTest, TaskIdsAreWrittenForPeopleAndForFileNames) {
  const TaskId task{JobId{1, 2}, 30};
  EXPECT_EQ(TaskId::Parse(task.ToString()), task);
  EXPECT_EQ(TaskId::ParseFileName(task.ToFileName()), task);
  EXPECT_FALSE(TaskId::Parse(task.ToFileName()).has_value());
  EXPECT_FALSE(TaskId::Parse(task.job.ToString() + "/0").has_value());
  EXPECT_FALSE(TaskId::Parse(task.job.ToString() + "/").has_value());
  EXPECT_FALSE(TaskId::Parse(task.job.ToString() + "/9999999999").has_value());
}

TEST(IdsTest, WorkerNamesAreSafeAsFoldersAndLabels) {
  for (const char* good : {"DTF-03", "a", "9.b_c"}) EXPECT_TRUE(IsWorkerName(good)) << good;
  for (const char* bad : {"", ".", "..", "-x", "a/b", "a b", "a\n", ".claim-x", "ü"})
    EXPECT_FALSE(IsWorkerName(bad)) << bad;
  EXPECT_FALSE(IsWorkerName(std::string(65, 'a')));
}

TEST(IdsTest, TasksOfJobsThatFollowEachOtherAreHashedApart) {
  std::set<size_t> hashes;
  for (uint64_t job = 0; job < 300; job++) {
    for (uint32_t n = 1; n <= 300; n++) hashes.insert(std::hash<TaskId>()(TaskId{JobId{7, job}, n}));
  }
  EXPECT_EQ(hashes.size(), 300U * 300U);
}

TEST(IdsTest, PartitionsNeverChange) {  // recorded logs depend on them
  EXPECT_EQ(EventPartition(JobId{0x0123456789abcdefULL, 42}, 8), 7U);
  EXPECT_EQ(EventPartition(WorkerId("DTF-03"), 8), 7U);
}

}  // namespace
}  // namespace laneway
