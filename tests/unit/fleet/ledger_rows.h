// ledger_rows.h: a table of records with what the ledger says to each, and why.
#pragma once

#include <gtest/gtest.h>

#include <span>
#include <string>

#include "fleet/planted.h"
#include "support/events.h"

namespace laneway::testing {

struct Row {
  const char* why;
  v1::Event event;
  FoldVerdict want;
  std::string task;  // of kJob's first task afterwards; empty: not looked at
};

// What differed first; empty: nothing.
inline std::string Differs(Fold& fold, std::span<const Row> rows) {
  for (const Row& row : rows) {
    const FoldVerdict verdict = fold.Take(row.event);
    if (verdict != row.want) return std::string(row.why) + ": " + std::string(VerdictName(verdict));
    if (!row.task.empty() && fold.TaskIs() != row.task) return std::string(row.why) + ": " + fold.TaskIs();
    MemoryFinished closed = fold.finished;
    if (fold.Restored(&closed)->Digest() != fold.ledger->Digest())
      return std::string(row.why) + ": its snapshot is another state";
  }
  return "";
}

inline std::string Differs(std::span<const Row> rows) {
  Fold fold;
  return Differs(fold, rows);
}

// A rule and the table that proves it. With planted bugs compiled in, each of its bugs must make the table
// fail.
inline void Proves(std::span<const Row> rows, [[maybe_unused]] std::initializer_list<planted::Bug> bugs) {
  EXPECT_EQ(Differs(rows), "");
#if LANEWAY_PLANTED_BUGS
  for (const planted::Bug bug : bugs) {
    planted::switched_on[bug] = true;
    EXPECT_NE(Differs(rows), "") << planted::kBugs[bug].name;
    planted::switched_on[bug] = false;
  }
#endif
}

}  // namespace laneway::testing
