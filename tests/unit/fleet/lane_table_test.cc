#include "fleet/lane_table.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <ostream>
#include <random>
#include <string>
#include <vector>

namespace laneway {

static void PrintTo(const LaneMove& move, std::ostream* out) {
  *out << move.lane << ":" << (move.from.empty() ? "-" : move.from.name) << "→"
       << (move.to.empty() ? "-" : move.to.name);
}

namespace {

const WorkerId kA("A"), kB("B"), kC("C"), kD("D");

using Capacities = std::map<WorkerId, uint32_t>;
using Owners = std::vector<WorkerId>;

Owners OwnersOf(const LaneTable& table) {
  Owners owners;
  for (Lane lane = 0; lane < table.lanes(); lane++) owners.push_back(table.Owner(lane));
  return owners;
}

std::map<WorkerId, uint32_t> Count(const Owners& owners) {
  std::map<WorkerId, uint32_t> count;
  for (const WorkerId& owner : owners) count[owner]++;
  return count;
}

std::string Words(const Owners& owners) {
  std::string text;
  for (const WorkerId& owner : owners) text += owner.empty() ? "-" : owner.name;
  return text;
}

TEST(LaneTableTest, SharesAreProportionalWithOneEachAtLeast) {
  const struct {
    const char* why;
    uint32_t lanes;
    Capacities capacities;
    std::map<WorkerId, uint32_t> want;
  } rows[] = {
      {"one has all", 4, {{kA, 3}}, {{kA, 4}}},
      {"equals share equally", 6, {{kA, 1}, {kB, 1}, {kC, 1}}, {{kA, 2}, {kB, 2}, {kC, 2}}},
      {"in proportion", 8, {{kA, 1}, {kB, 3}}, {{kA, 2}, {kB, 6}}},
      {"quotas 2.5 and 7.5: equal remainders go by name", 10, {{kA, 1}, {kB, 3}}, {{kA, 3}, {kB, 7}}},
      {"quotas 1.67, 3.33, 5: the largest remainder",
       10,
       {{kA, 1}, {kB, 2}, {kC, 3}},
       {{kA, 2}, {kB, 3}, {kC, 5}}},
      {"a quota of 0.04 is one lane", 4, {{kA, 1}, {kB, 99}}, {{kA, 1}, {kB, 3}}},
      {"who gets one for nothing takes it from all",
       4,
       {{kA, 1}, {kB, 1}, {kC, 99}},
       {{kA, 1}, {kB, 1}, {kC, 2}}},
      {"the rest is shared anew: 9 lanes for 3 and 6, not 10",
       10,
       {{kA, 3}, {kB, 6}, {kC, 0}, {kD, 1}},
       {{kA, 3}, {kB, 6}, {kD, 1}}},
      {"as many as lanes: one each, whatever the capacity",
       3,
       {{kA, 1}, {kB, 50}, {kC, 1000}},
       {{kA, 1}, {kB, 1}, {kC, 1}}},
      {"more than lanes: the last by name have none", 2, {{kA, 1}, {kB, 1}, {kC, 9}}, {{kA, 1}, {kB, 1}}},
      {"the largest numbers do not overflow", 5, {{kA, ~0U}, {kB, ~0U}}, {{kA, 3}, {kB, 2}}},
  };
  for (const auto& row : rows) {
    LaneTable table(row.lanes);
    table.Restore({}, row.capacities);
    table.Grow(row.lanes);
    EXPECT_EQ(Count(OwnersOf(table)), row.want) << row.why;
  }
}

TEST(LaneTableTest, MovesAreFewAndInOrder) {
  LaneTable table(4);
  EXPECT_EQ(table.SetMember(kB, 1),
            (std::vector<LaneMove>{{0, {}, kB}, {1, {}, kB}, {2, {}, kB}, {3, {}, kB}}));
  EXPECT_EQ(table.SetMember(kA, 1), (std::vector<LaneMove>{{2, kB, kA}, {3, kB, kA}}))
      << "the lowest ones stay";
  EXPECT_EQ(table.LanesOf(kA), (std::vector<Lane>{2, 3}));
  EXPECT_EQ(table.SetMember(kA, 1), std::vector<LaneMove>{}) << "nothing has changed";
  EXPECT_EQ(table.Grow(5), (std::vector<LaneMove>{{4, {}, kA}}))
      << "equal remainders, nobody has more yet: by name";
  EXPECT_EQ(table.SetMember(kB, 2), (std::vector<LaneMove>{{4, kA, kB}})) << "quotas 1.67 and 3.33";
  EXPECT_EQ(table.SetMember(kB, 0), (std::vector<LaneMove>{{0, kB, kA}, {1, kB, kA}, {4, kB, kA}}));
  EXPECT_EQ(table.SetMember(kB, 0), std::vector<LaneMove>{}) << "it had left already";
  EXPECT_EQ(table.SetMember(kA, 0).size(), 5U);
  EXPECT_EQ(Words(OwnersOf(table)), "-----") << "nobody is there";
  EXPECT_TRUE(table.LanesOf(kA).empty());
}

TEST(LaneTableTest, AnEqualRemainderDoesNotMoveALane) {
  LaneTable table(5);
  table.SetMember(kB, 1);
  table.SetMember(kA, 1);  // 2.5 each; B keeps three, although A comes first by name
  EXPECT_EQ(Words(OwnersOf(table)), "BBBAA");
}

TEST(LaneTableTest, TooFewLanesAreTold) {
  LaneTable table(2);
  EXPECT_EQ(table.LanesWanted(), 2U);
  table.SetMember(kB, 1);
  table.SetMember(kC, 5);
  table.SetMember(kA, 1);
  EXPECT_EQ(Words(OwnersOf(table)), "BA") << "C, the last by name, has none";
  EXPECT_EQ(table.LanesWanted(), 3U);
  EXPECT_EQ(table.Grow(3), (std::vector<LaneMove>{{2, {}, kC}}));
  EXPECT_EQ(table.Grow(1), std::vector<LaneMove>{}) << "lanes are never removed";
  EXPECT_EQ(table.lanes(), 3U);
  EXPECT_EQ(LaneTable(0).SetMember(kA, 1), std::vector<LaneMove>{});
}

TEST(LaneTableTest, ASuccessorGoesOnWhereTheOldOneStopped) {
  LaneTable old(6);
  old.SetMember(kC, 2);
  old.SetMember(kA, 1);
  std::map<Lane, WorkerId> owners;
  for (Lane lane = 0; lane < old.lanes(); lane++) owners[lane] = old.Owner(lane);
  LaneTable table(6);
  table.Restore(owners, {{kA, 1}, {kC, 2}});
  EXPECT_EQ(table.SetMember(kA, 1), std::vector<LaneMove>{}) << "all is as it should be";
  EXPECT_EQ(OwnersOf(table), OwnersOf(old));

  table.Restore(owners, {{kA, 1}});
  EXPECT_EQ(table.Grow(6).size(), 4U) << "C left while nobody was active";
  table.Restore({{0, kA}, {7, kA}}, {{kA, 1}});
  EXPECT_EQ(table.lanes(), 8U) << "the table knows of more lanes than we were told";
  EXPECT_EQ(table.SetMember(kA, 1).size(), 6U) << "lanes without an owner get one";
}

// Whether these counts are a largest-remainder apportionment with a minimum of one, from the definition: some
// set of members gets one by the minimum, all others divide the rest among themselves with quotas of one and
// more, each gets its quota cut or one more, and one more only before whoever has a smaller remainder.
bool IsApportionment(const std::map<WorkerId, uint32_t>& count, const Capacities& members, uint32_t lanes) {
  const auto of = [&](const WorkerId& worker) { return count.contains(worker) ? count.at(worker) : 0; };
  if (members.size() > lanes) {
    size_t at = 0;
    for (const auto& [worker, capacity] : members) {
      if (of(worker) != (at++ < lanes ? 1U : 0U)) return false;
    }
    return true;
  }
  Capacities sharing = members;
  uint32_t left = lanes;
  for (bool again = true; again;) {
    again = false;
    uint64_t sum = 0;
    for (const auto& [worker, capacity] : sharing) sum += capacity;
    for (const auto& [worker, capacity] : sharing) {
      if (uint64_t{capacity} * left >= sum) continue;
      if (of(worker) != 1) return false;
      left--;
      sharing.erase(WorkerId(worker));
      again = true;
      break;
    }
  }
  uint64_t sum = 0, given = 0;
  for (const auto& [worker, capacity] : sharing) sum += capacity;
  uint64_t least_up = ~uint64_t{0}, most_down = 0;
  for (const auto& [worker, capacity] : sharing) {
    const uint64_t quota = uint64_t{capacity} * left / sum, remainder = uint64_t{capacity} * left % sum;
    if (of(worker) != quota && of(worker) != quota + 1) return false;
    given += of(worker);
    if (of(worker) == quota) most_down = std::max(most_down, remainder);
    if (of(worker) == quota + 1) least_up = std::min(least_up, remainder);
  }
  return given == left && most_down <= least_up;
}

// The fewest moves that lead from `before` to any table that is an apportionment: all tables are tried.
size_t FewestMoves(const Owners& before, const Capacities& members) {
  std::vector<WorkerId> names;
  for (const auto& [worker, capacity] : members) names.push_back(worker);
  size_t fewest = before.size() + 1;
  Owners owners(before.size());
  std::vector<size_t> digits(before.size(), 0);
  for (;;) {
    for (size_t lane = 0; lane < before.size(); lane++) owners[lane] = names[digits[lane]];
    if (IsApportionment(Count(owners), members, static_cast<uint32_t>(before.size()))) {
      size_t moves = 0;
      for (size_t lane = 0; lane < before.size(); lane++) moves += owners[lane] != before[lane] ? 1 : 0;
      fewest = std::min(fewest, moves);
    }
    size_t at = 0;
    while (at < digits.size() && ++digits[at] == names.size()) digits[at++] = 0;
    if (at == digits.size()) return fewest;
  }
}

// Invariants 1 to 5, for all tables of up to 5 lanes whose owners are any of three members or nobody, and all
// changes of one member's capacity.
TEST(LaneTableTest, NoTableThatIsAnApportionmentIsNearer) {
  const WorkerId names[] = {WorkerId(), kA, kB, kC};
  size_t checked = 0;
  for (uint32_t lanes = 1; lanes <= 5; lanes++) {
    for (uint32_t code = 0; code < 1U << (2 * lanes); code++) {
      std::map<Lane, WorkerId> owners;
      for (Lane lane = 0; lane < lanes; lane++) owners[lane] = names[code >> (2 * lane) & 3];
      for (const Capacities& capacities :
           {Capacities{{kA, 1}, {kB, 1}}, Capacities{{kA, 1}, {kB, 3}, {kC, 1}}, Capacities{{kA, 2}, {kC, 5}},
            Capacities{{kA, 9}, {kB, 1}, {kC, 1}, {kD, 3}}}) {
        LaneTable table(lanes);
        table.Restore(owners, capacities);
        const Owners before = OwnersOf(table);
        const std::vector<LaneMove> moves = table.Grow(lanes);
        Owners after = before;
        for (const LaneMove& move : moves) {
          ASSERT_EQ(after[move.lane], move.from);
          ASSERT_NE(move.from, move.to);
          after[move.lane] = move.to;
        }
        ASSERT_EQ(after, OwnersOf(table)) << "the moves are the change";
        ASSERT_TRUE(IsApportionment(Count(after), capacities, lanes)) << Words(before) << " " << Words(after);
        ASSERT_EQ(moves.size(), FewestMoves(before, capacities)) << Words(before) << " " << Words(after);
        ASSERT_TRUE(table.Grow(lanes).empty()) << "at rest";
        checked++;
      }
    }
  }
  EXPECT_EQ(checked, 4U * (4 + 16 + 64 + 256 + 1024));
}

TEST(LaneTableTest, AnyRowOfChangesKeepsTheInvariants) {
  for (uint64_t seed = 1; seed <= 30; seed++) {
    std::mt19937_64 random(seed);
    LaneTable table(1 + static_cast<uint32_t>(random() % 40)), twin(table.lanes());
    Capacities members;
    for (int step = 0; step < 200; step++) {
      const Owners before = OwnersOf(table);
      std::vector<LaneMove> moves;
      if (random() % 20 == 0) {
        const uint32_t lanes = table.lanes() + static_cast<uint32_t>(random() % 3);
        moves = table.Grow(lanes);
        ASSERT_EQ(twin.Grow(lanes), moves);
      } else {
        const WorkerId worker("w" + std::to_string(random() % 12));
        const uint32_t capacity = random() % 3 == 0 ? 0 : 1 + static_cast<uint32_t>(random() % 9);
        if (capacity == 0) {
          members.erase(worker);
        } else {
          members[worker] = capacity;
        }
        moves = table.SetMember(worker, capacity);
        ASSERT_EQ(twin.SetMember(worker, capacity), moves) << "invariant 5, seed " << seed;
      }
      if (members.empty()) continue;
      const Owners after = OwnersOf(table);
      ASSERT_TRUE(IsApportionment(Count(after), members, table.lanes()))
          << "seed " << seed << ": " << Words(after);
      size_t held = 0;
      for (const auto& [worker, capacity] : members) {
        held += table.LanesOf(worker).size();
        ASSERT_TRUE(!table.LanesOf(worker).empty() || members.size() > table.lanes())
            << "invariant 2, seed " << seed;
        for (const Lane lane : table.LanesOf(worker)) ASSERT_EQ(table.Owner(lane), worker) << "invariant 1";
      }
      ASSERT_EQ(held, table.lanes());
    }
  }
}

}  // namespace
}  // namespace laneway
