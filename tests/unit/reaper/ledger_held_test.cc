// What a reaper takes back from a worker, as the ledger tells it.
#include "reaper/ledger_held.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

namespace laneway::reaper {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class LedgerHeldTest : public ::testing::Test {
 protected:
  struct NoFinished : FinishedJobs {
    void Put(const JobId&, Offset, std::string, bool) override {}
    std::optional<std::string> Get(const JobId&, Offset) override { return std::nullopt; }
    bool Contains(const JobId&, Offset) override { return false; }
    void Reopen(const JobId&, Offset) override {}
  };

  LedgerHeldTest() {
    v1::Event opened;
    opened.mutable_epoch_opened()->set_epoch(1);
    Apply(opened);
  }

  void Apply(const v1::Event& event) {
    std::vector<Change> changes;
    ASSERT_EQ(ledger.Apply(0, offset++, LogTime{1000}, event, &changes), FoldVerdict::kAccepted)
        << event.ShortDebugString();
  }
  v1::Event Of(uint64_t job) const {
    v1::Event event;
    event.set_job_id(JobId{1, job}.ToBytes());
    event.set_task(1);
    event.set_attempt(1);
    return event;
  }
  // Assigned to DTF-03, and started there.
  void Give(uint64_t job, bool needs_browser, v1::OnBrowserLoss policy, bool started) {
    v1::Event submitted;
    submitted.set_job_id(JobId{1, job}.ToBytes());
    submitted.mutable_job_submitted()->mutable_spec()->set_needs_browser(needs_browser);
    submitted.mutable_job_submitted()->mutable_spec()->set_on_browser_loss(policy);
    Apply(submitted);
    v1::Event assigned = Of(job);
    assigned.mutable_task_assigned()->set_worker("DTF-03");
    assigned.mutable_task_assigned()->set_epoch(1);
    assigned.mutable_task_assigned()->set_store(StoreId{3, 3}.ToBytes());
    Apply(assigned);
    if (!started) return;
    v1::Event start = Of(job);
    start.mutable_task_started()->set_worker("DTF-03");
    start.mutable_task_started()->set_store(StoreId{3, 3}.ToBytes());
    start.mutable_task_started()->set_incarnation(IncarnationId{4, 4}.ToBytes());
    Apply(start);
  }
  // "1 running browser", …
  std::vector<std::string> Held(const char* worker) const {
    std::vector<std::string> out;
    LedgerHeld(&ledger).ForEach(
        WorkerId(worker), [&](const TaskId& task, uint32_t, bool started, bool needs_browser) {
          out.push_back(std::to_string(task.job.lo) + (started ? " running" : " assigned") +
                        (needs_browser ? " browser" : ""));
        });
    std::sort(out.begin(), out.end());
    return out;
  }

  NoFinished finished;
  Ledger ledger{{.partitions = 1}, &finished};
  Offset offset = 0;
};

TEST_F(LedgerHeldTest, WhatNeedsABrowserIsTakenBackUnlessItMayGoOnWithoutTheOneItBeganWith) {
  Give(1, false, v1::RETRY_TASK, true);
  Give(2, true, v1::RETRY_TASK, true);
  Give(3, true, v1::FAIL_TASK, true);
  Give(4, true, v1::CONTINUE_TASK, true);
  Give(5, true, v1::CONTINUE_TASK, false);
  Give(6, true, v1::RETRY_TASK, false);
  EXPECT_THAT(Held("DTF-03"), ElementsAre("1 running", "2 running browser", "3 running browser", "4 running",
                                          "5 assigned browser", "6 assigned browser"))
      << "one that only waits has begun with none: it cannot begin where none is";
  EXPECT_THAT(Held("DTF-04"), IsEmpty());
}

TEST_F(LedgerHeldTest, WhatTheFoldSaysOfABrowserNamesTheHealthItJudged) {
  v1::Event lost;
  lost.mutable_browser_lost()->set_worker("DTF-03");
  lost.mutable_browser_lost()->set_health_offset(8);
  Apply(lost);
  const FoldSays says = SaysOf("DTF-03", *ledger.Verdicts("DTF-03"));
  EXPECT_TRUE(says.browser_lost);
  EXPECT_FALSE(says.lost);
  EXPECT_EQ(says.browser_judged, 8u);
  EXPECT_EQ(says.judged, 0u);
}

}  // namespace
}  // namespace laneway::reaper
