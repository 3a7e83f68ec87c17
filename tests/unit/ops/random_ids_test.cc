#include "ops/random_ids.h"

#include <gtest/gtest.h>

#include <limits>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "ops/clock.h"

namespace laneway::ops {
namespace {

TEST(NewIdTest, GrowsWithinAProcessFromManyThreadsAndCarriesTheTime) {
  std::set<JobId> all;
  std::mutex mutex;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; t++) {
    threads.emplace_back([&] {
      std::vector<JobId> mine;
      for (int i = 0; i < 10'000; i++) mine.push_back(NewJobId());
      for (size_t i = 1; i < mine.size(); i++) ASSERT_LT(mine[i - 1], mine[i]);
      std::lock_guard lock(mutex);
      all.insert(mine.begin(), mine.end());
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(all.size(), 40'000u);

  const int64_t before = RealClock::Get().Wall().ms;
  const auto id = NewIncarnationId();
  const int64_t ms = static_cast<int64_t>(id.hi >> 16);
  EXPECT_GE(ms, before);
  EXPECT_LE(ms, RealClock::Get().Wall().ms);
  EXPECT_FALSE(NewStoreId().empty());
  EXPECT_EQ(id.ToString().size(), 26u);
}

// Expected values from Python's hashlib over the encoding written down in random_ids.cc. They must never
// change: an id is how a fleet knows a job again after an upgrade.
TEST(HashedIdTest, GoldenKeys) {
  EXPECT_EQ(JobIdFromKey("api", "invoice-2026-11").ToString(), "31PF1575DG2EM3E8APN07AMYS2");
  EXPECT_EQ(JobIdFromKey("", "").ToString(), "083JRX82VVQ58A3NKS4N8KK488");
  EXPECT_EQ(JobIdFromKey("api", std::string("\0\xff", 2)).ToString(), "4N7TJHXX89PTZ2BA8AZES2VHWG");
}

TEST(HashedIdTest, GoldenFileArrivalsRuleI1) {
  FileArrival arrival{"agency/a b.csv", 1234, 1763708102123456789, 987654, 0};
  EXPECT_EQ(FileJobId(arrival).ToString(), "1B9E5A1C0FBFH7C5MHVSB8JENH");
  arrival.closed_count = 1;  // put back on purpose: another job
  EXPECT_EQ(FileJobId(arrival).ToString(), "61P6KGDAMV00B4MPE545J6JRNA");
  EXPECT_EQ(FileJobId({"", 0, -1, 0, 0}).ToString(), "2HV4QBS3FM06M5533XMCJNFG86");
  EXPECT_EQ(FileJobId({"\xff\n", UINT64_MAX, INT64_MIN, UINT64_MAX, 7}).ToString(),
            "69HBZE732VJC0Z6NJVS2PHS8WQ");
}

TEST(HashedIdTest, EveryPartOfAnArrivalMattersRuleI1) {
  const FileArrival base{"a", 1, 2, 3, 4};
  std::set<JobId> ids = {FileJobId(base)};
  for (const FileArrival& other :
       {FileArrival{"b", 1, 2, 3, 4}, FileArrival{"a", 9, 2, 3, 4}, FileArrival{"a", 1, 9, 3, 4},
        FileArrival{"a", 1, 2, 9, 4}, FileArrival{"a", 1, 2, 3, 9}}) {
    EXPECT_TRUE(ids.insert(FileJobId(other)).second);
  }
}

TEST(HashedIdTest, WhereOneValueEndsAndTheNextBeginsMatters) {
  EXPECT_NE(JobIdFromKey("ab", "c"), JobIdFromKey("a", "bc"));
  EXPECT_NE(JobIdFromKey("abc", ""), JobIdFromKey("", "abc"));
}

}  // namespace
}  // namespace laneway::ops
