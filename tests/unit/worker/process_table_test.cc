#include "worker/executor/process_table.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include "worker/executor/pids_limit.h"

namespace laneway::worker {
namespace {

TEST(ProcessTableTest, Stat) {
  const std::string rest = " 7 10 11 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 424242 99 100";
  const auto plain = ParseStat("12 (bash) S" + rest);
  ASSERT_TRUE(plain);
  EXPECT_EQ(plain->pid, 12);
  EXPECT_EQ(plain->state, 'S');
  EXPECT_EQ(plain->parent, 7);
  EXPECT_EQ(plain->group, 10);
  EXPECT_EQ(plain->session, 11);
  EXPECT_EQ(plain->start, 424242u);
  EXPECT_EQ(ParseStat("12 (evil) Z 1 1) \n (x) S" + rest)->parent, 7) << "a name may hold anything";
  for (const char* bad : {"", "12", "12 (bash)", "12 (bash) S", "12 (bash) SS 1 2 3", "x (bash) S 1 2 3",
                          "12 (bash) S a b c"}) {
    EXPECT_FALSE(ParseStat(bad)) << bad;
  }
}

TEST(ProcessTableTest, OurselvesAndOurParent) {
  const auto table = ReadProcesses();
  const auto self = ReadProcess(getpid());
  ASSERT_TRUE(self);
  EXPECT_EQ(self->parent, getppid());
  EXPECT_EQ(table.at(getpid()).start, self->start);
  EXPECT_FALSE(ReadProcess(0x7ffffff0));
}

TEST(ProcessTableTest, Descendants) {
  std::map<pid_t, Process> table;
  const int rows[][2] = {{2, 1}, {3, 2}, {4, 3},
                         {5, 1}, {6, 7}, {7, 6}};  // the last two: a circle, as a torn read may give
  for (const auto& row : rows) table[row[0]] = Process{row[0], 'S', row[1], 0, 0, 0};
  EXPECT_EQ(CountDescendants(table, 2), 2u);
  EXPECT_EQ(CountDescendants(table, 1), 4u);
  EXPECT_EQ(CountDescendants(table, 4), 0u);
  EXPECT_FALSE(Descends(table, 6, 1));
}

TEST(PidsLimitTest, WhereTheCgroupIs) {
  const char* v1_mounts =
      "30 25 0:26 / /sys/fs/cgroup/memory rw shared:9 - cgroup cgroup rw,memory\n"
      "31 25 0:27 / /sys/fs/cgroup/pids rw shared:10 - cgroup cgroup rw,pids\n";
  const char* v2_mounts = "30 25 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n";
  const struct {
    const char *cgroup, *mounts, *want, *why;
  } rows[] = {
      {"8:pids:/\n4:memory:/x\n0::/\n", v1_mounts, "/sys/fs/cgroup/pids", "version 1, at the root"},
      {"8:cpu,pids:/user.slice/a:b\n0::/\n", v1_mounts, "/sys/fs/cgroup/pids/user.slice/a:b",
       "a path with a colon"},
      {"0::/system.slice/laneway.service\n", v2_mounts, "/sys/fs/cgroup/system.slice/laneway.service",
       "version 2"},
      {"0::/docker/abc/x\n", "30 25 0:26 /docker/abc /sys/fs/cgroup rw - cgroup2 none rw\n",
       "/sys/fs/cgroup/x", "a mount of a part"},
      {"8:pids:/\n", "", "", "nothing mounted"},
      {"", v1_mounts, "", "nothing told"},
      {"junk\n8\n8:pids", "30 25 x\n\n", "", "nonsense"},
  };
  for (const auto& row : rows) EXPECT_EQ(FindPidsCgroup(row.cgroup, row.mounts), row.want) << row.why;
}

}  // namespace
}  // namespace laneway::worker
