#include "reaper/reaper.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "fleet/planted.h"

namespace laneway::reaper {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

struct Held {
  uint32_t attempt = 1;
  bool started = true;
  bool needs_browser = false;
};

class FakeHeld : public HeldTasks {
 public:
  void ForEach(const WorkerId& worker, const Each& each) const override {
    const auto it = held.find(worker);
    if (it == held.end()) return;
    for (const auto& [task, what] : it->second) each(task, what.attempt, what.started, what.needs_browser);
  }
  std::map<WorkerId, std::map<TaskId, Held>> held;
};

const WorkerId kWorker("DTF-03");
TaskId Task(uint64_t n) { return {JobId{1, n}, 1}; }

// A reaper, and a fold that does what it is told.
class ReaperTest : public ::testing::Test {
 protected:
  ReaperTest() : reaper({}, &held) { reaper.OnCaughtUp(now); }

  void Beat() {
    v1::Heartbeat beat;
    beat.set_worker(kWorker.name);
    beat.set_incarnation(IncarnationId{2, 2}.ToBytes());
    beat.set_has_browser(true);
    beat.set_browser_port(9224);
    reaper.OnHeartbeat(beat, offset++, now);
    Step();
  }
  void Step() {
    Commands out;
    reaper.Step(now, &out);
    for (Append& append : out.appends) appends.push_back(std::move(append));
    for (Line& line : out.lines) {
      lines.push_back(line.worker.name + " – " + line.text);
      if (line.good) good.push_back(line.text);
    }
    for (v1::Alert& alert : out.alerts) alerts.push_back(std::move(alert));
  }
  // As its shell does, which looks every second.
  void Advance(Millis by) {
    for (const LogTime end = now + by; now < end;) {
      now = std::min(now + Millis(1000), end);
      Step();
    }
  }
  // "Lost", "Returned", "Republished 1.1 worker_lost", …
  std::vector<std::string> Last() const {
    std::vector<std::string> out;
    if (appends.empty()) return out;
    for (const v1::Event& event : appends.back().events) {
      if (event.has_worker_lost()) out.push_back("Lost " + event.worker_lost().reason());
      if (event.has_worker_returned()) out.push_back("Returned");
      if (event.has_task_republished()) {
        out.push_back("Republished " + std::to_string(JobId::FromBytes(event.job_id())->lo) + "." +
                      std::to_string(event.attempt()) + " " + event.task_republished().reason());
      }
    }
    return out;
  }
  void Answer(const absl::Status& status = absl::OkStatus()) {
    reaper.OnAppended(appends.back().token, status, now);
    Step();
  }
  void FoldSaysLost(bool lost, const std::string& reason = "silent") {
    reaper.OnFoldSays({kWorker, lost, false}, reason, now);
    Step();
  }

  LogTime now{100000};
  Offset offset = 0;
  FakeHeld held;
  Reaper reaper;
  std::vector<Append> appends;
  std::vector<std::string> lines, good;
  std::vector<v1::Alert> alerts;
};

// With a timeout shorter than any fixed measure of a gap too.
TEST_F(ReaperTest, AProcessThatWasFrozenJudgesNobodyByWhatItDidNotHear) {
  reaper = Reaper({.limits = {.heartbeat_timeout = Millis(3000)}}, &held);
  reaper.OnCaughtUp(now);
  Beat();
  const auto step_when_due = [this](LogTime until) {
    for (auto due = reaper.NextDeadline(); due && *due <= until; due = reaper.NextDeadline()) {
      now = std::max(now, *due);
      Step();
    }
    now = until;
  };
  step_when_due(now + Millis(500));
  now = now + Millis(4000);  // nothing of it ran meanwhile
  Step();
  EXPECT_THAT(appends, IsEmpty());
  step_when_due(now + Millis(2900));
  EXPECT_THAT(appends, IsEmpty());
  step_when_due(now + Millis(200));  // but a full timeout in touch and still no word
  EXPECT_THAT(Last(), ElementsAre("Lost silent"));
}

TEST_F(ReaperTest, RuleR2ASilentWorkerIsCalledLostAndCalledReturnedWhenItBeats) {
  Beat();
  Advance(Millis(29000));
  EXPECT_THAT(appends, IsEmpty());
  Advance(Millis(2000));
  ASSERT_THAT(Last(), ElementsAre("Lost silent"));
  EXPECT_EQ(appends.back().events[0].worker_lost().heartbeat_offset(), 1u) << "1 + the offset it judges";
  EXPECT_THAT(lines, IsEmpty()) << "nothing is told before the fold agrees";
  Answer();
  FoldSaysLost(true);
  EXPECT_THAT(lines, ElementsAre("DTF-03 – Worker Lost (silent for 30 s)"));
  Beat();
  EXPECT_THAT(Last(), ElementsAre("Returned"));
  Answer();
  FoldSaysLost(false);
  EXPECT_EQ(lines.back(), "DTF-03 – Worker Returned");
  EXPECT_THAT(good, ElementsAre("Worker Returned"));
  ASSERT_THAT(alerts, SizeIs(2));
  EXPECT_TRUE(alerts[1].resolved());
}

// What was given to a worker just before its farewell is taken back; who left with nothing is not spoken of.
TEST_F(ReaperTest, WhoLeftIsCalledLostOnlyWhenItWasGivenSomethingMeanwhile) {
  v1::Heartbeat beat;
  beat.set_worker(kWorker.name);
  beat.set_incarnation(IncarnationId{2, 2}.ToBytes());
  beat.set_leaving(true);
  reaper.OnHeartbeat(beat, offset++, now);
  Advance(Millis(100000));
  EXPECT_THAT(appends, IsEmpty()) << "it left in good order";
  held.held[kWorker][Task(1)] = {1, false};
  Advance(Millis(30000));
  ASSERT_THAT(Last(), ElementsAre("Lost left"));
  Answer();
  FoldSaysLost(true, "left");
  EXPECT_THAT(Last(), ElementsAre("Republished 1.1 worker_lost"));
  ASSERT_THAT(alerts, SizeIs(1));
  EXPECT_EQ(alerts[0].severity(), v1::INFO) << "nobody need get up at night";
}

// Until a fresh record is read nobody knows what time it is at the log: after a start it seems to be that of
// the last record there was.
TEST_F(ReaperTest, AClockThatIsSetGivesAFullTimeoutAgain) {
  Beat();
  Advance(Millis(4000));
  now = now + Millis(26000);  // the first fresh record
  Step();
  Advance(Millis(29000));
  EXPECT_THAT(appends, IsEmpty()) << "it was not the worker that was silent";
  Advance(Millis(2000));
  EXPECT_THAT(Last(), ElementsAre("Lost silent"));
  now = now - Millis(60000);  // our own clock, which served until then, was ahead
  Step();
  FoldSaysLost(false);
  appends.clear();
  Advance(Millis(29000));
  EXPECT_THAT(appends, IsEmpty());
}

// Rule R1: a level, not an instant.
TEST_F(ReaperTest, RuleR1EveryTaskIsRepublishedForAsLongAsTheWorkerIsLostWheneverItWasAssigned) {
  held.held[kWorker][Task(1)] = {1, true};
  held.held[kWorker][Task(2)] = {3, false};
  FoldSaysLost(true, "process_died");
  EXPECT_THAT(Last(), ElementsAre("Republished 1.1 worker_lost", "Republished 2.3 worker_lost"));
  EXPECT_THAT(lines, ElementsAre("DTF-03 – Worker Lost (process died)"));
  Advance(Millis(1000));
  EXPECT_THAT(appends, SizeIs(1)) << "while the answer is open nothing is said twice";
  Answer();
  held.held[kWorker].clear();
  held.held[kWorker][Task(9)] = {1, false};  // assigned by a dispatcher that had not read the verdict
  Advance(Millis(1000));
  EXPECT_THAT(Last(), ElementsAre("Republished 9.1 worker_lost"));
  Answer();
  Advance(Millis(1000));
  EXPECT_THAT(appends, SizeIs(2)) << "answered OK: the fold is on its way";
  Advance(Millis(5000));
  EXPECT_THAT(appends, SizeIs(3)) << "… but it is a level: what still stands there is said again";
  Answer();
  FoldSaysLost(false);
  held.held[kWorker][Task(10)] = {1, false};
  Advance(Millis(10000));
  EXPECT_THAT(appends, SizeIs(3));
}

TEST_F(ReaperTest, AFailedAppendIsMadeAgain) {
  held.held[kWorker][Task(1)] = {1, true};
  for (const absl::Status& status : {absl::UnavailableError("no"), absl::UnknownError("who knows")}) {
    FoldSaysLost(true);
    const size_t before = appends.size();
    Answer(status);
    Advance(Millis(1000));
    ASSERT_THAT(appends, SizeIs(before + 1)) << status;
    EXPECT_THAT(Last(), ElementsAre("Republished 1.1 worker_lost"));
  }
}

TEST_F(ReaperTest, AVerdictWhoseAppendFailedIsMadeAgain) {
  Beat();
  Advance(Millis(31000));
  ASSERT_THAT(Last(), ElementsAre("Lost silent"));
  Answer(absl::UnavailableError("no"));
  Advance(Millis(1000));
  ASSERT_THAT(appends, SizeIs(2));
  EXPECT_THAT(Last(), ElementsAre("Lost silent"));
}

TEST_F(ReaperTest, NothingIsSaidWhileOutOfTouchAndAFullTimeoutIsGivenAfterwards) {
  Beat();
  held.held[kWorker][Task(1)] = {1, true};
  reaper.OnLostTouch(now);
  Advance(Millis(60000));
  FoldSaysLost(true);
  EXPECT_THAT(appends, IsEmpty());
  FoldSaysLost(false);
  reaper.OnCaughtUp(now);
  Advance(Millis(29000));
  EXPECT_THAT(appends, IsEmpty());
  Advance(Millis(2000));
  EXPECT_THAT(Last(), ElementsAre("Lost silent"));
}

TEST_F(ReaperTest, ABrowserThatIsLostTakesOnlyTheTasksThatNeedIt) {
  Beat();
  held.held[kWorker][Task(1)] = {1, true, true};
  held.held[kWorker][Task(2)] = {1, true, false};
  reaper.OnFoldSays({kWorker, false, true}, "browser_away", now);
  Step();
  EXPECT_THAT(Last(), ElementsAre("Republished 1.1 browser_lost"));
  EXPECT_EQ(appends.back().events.back().task_republished().ending(), v1::BROWSER_GONE)
      << "whether it is tried again is its job's to say (on_browser_loss)";
  EXPECT_THAT(lines, ElementsAre("DTF-03 – Browser Disconnected (Browser 9224)"));
}

TEST_F(ReaperTest, AnAppendIsBoundedAndTheRestFollows) {
  for (uint64_t n = 1; n <= 2500; n++) held.held[kWorker][Task(n)] = {1, true};
  FoldSaysLost(true);
  size_t said = 0;
  for (int i = 0; i < 3; i++) {
    ASSERT_THAT(appends, SizeIs(i + 1));
    EXPECT_LE(appends.back().events.size(), 1000u);
    said += appends.back().events.size();
    for (const v1::Event& event : appends.back().events)
      held.held[kWorker].erase({*JobId::FromBytes(event.job_id()), event.task()});
    Answer();
  }
  EXPECT_EQ(said, 2500u);
}

#if LANEWAY_PLANTED_BUGS
TEST_F(ReaperTest, ThePlantedInstantOfRuleR1IsFound) {
  planted::switched_on[planted::kR1Instant] = true;
  held.held[kWorker][Task(1)] = {1, true};
  FoldSaysLost(true);
  Answer();
  held.held[kWorker][Task(9)] = {1, false};
  Advance(Millis(1000));
  Advance(Millis(1000));
  planted::switched_on[planted::kR1Instant] = false;
  EXPECT_THAT(appends, SizeIs(1)) << "the bug shows: what was assigned after the verdict stays there";
}
#endif

}  // namespace
}  // namespace laneway::reaper
