// Crashes, pauses, power losses and strangers at every single call of a task's way through the zone.
#include <algorithm>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <random>
#include <thread>

#include "unit/zone/fixture.h"

namespace laneway::zone {
namespace {

using ::testing::ElementsAre;
using ::testing::IsSubsetOf;

constexpr char kName[] = "sub/f.csv";

// A task's way: placed, lost and placed again at another worker, outputs written, finished.
enum class Step { kPlaceOther, kFinishOther, kPlaceFirst, kPlaceSecond, kFinish, kDone };

struct Way {
  MemoryFs fs;
  Task task;
  Task other;  // went before it, when nothing runs in their folders: leaves one to be used again
  Step step = Step::kPlaceFirst;  // as far as the fold knows
  uint64_t inode = 0;

  explicit Way(const std::string& folder_conflict = "") {
    task.workers = {WorkerId("DTF-01"), WorkerId("DTF-02")};
    task.bytes = "the task's bytes";
    task.file = Arrives(fs, kName, task.bytes);
    inode = task.file.inode;
    if (!folder_conflict.empty()) fs.Write(folder_conflict, "older");
  }

  // A dispatcher goes on from where the fold is. False: it was stopped.
  bool Continue(Zone& zone) {
    if (step == Step::kPlaceOther) {
      if (PlaceIt(zone, other).outcome != PlaceOutcome::kPlaced) return false;
      other.claimed = true;
      step = Step::kFinishOther;
    }
    if (step == Step::kFinishOther) {
      if (FinishIt(zone, other, 1).outcome != FinishOutcome::kMoved) return false;
      step = Step::kPlaceFirst;
    }
    if (step == Step::kPlaceFirst) {
      if (!Placed(zone, 1)) return false;
      step = Step::kPlaceSecond;
      task.claimed = true;  // TaskStarted
      task.attempt = 2;     // TaskRepublished
    }
    if (step == Step::kPlaceSecond) {
      if (!Placed(zone, 2)) return false;
      step = Step::kFinish;
      if (task.outputs) fs.Write(task.folder(2) + "/output/sum", "40");
    }
    if (step == Step::kFinish) {
      const FinishResult result = FinishIt(zone, task, 2);
      if (result.outcome != FinishOutcome::kMoved) {
        last = result.status;
        return false;
      }
      EXPECT_THAT(fs.PathsOf(inode), ElementsAre(result.path));
      step = Step::kDone;
    }
    return true;
  }
  bool Placed(Zone& zone, uint32_t attempt) {
    const PlaceResult result = PlaceIt(zone, task);
    last = result.status;
    if (result.outcome != PlaceOutcome::kPlaced) return false;
    // What the worker would open is the task's file.
    EXPECT_THAT(fs.PathsOf(inode), ElementsAre(task.path(attempt)));
    auto hook = std::move(fs.before_call);  // the worker's call, not the dispatcher's
    fs.before_call = {};
    EXPECT_TRUE(Zone::Verify(fs, task.worker(), task.id, attempt, task.file).ok());
    fs.before_call = std::move(hook);
    return true;
  }

  void ExpectOnePlace(const std::string& when) {
    const std::vector<std::string> paths = fs.PathsOf(inode);
    ASSERT_EQ(paths.size(), 1U) << when;
    EXPECT_EQ(fs.Read(paths[0]), task.bytes) << when;
  }
  void ExpectCompleted(const std::string& when) {
    const std::vector<std::string> paths = fs.PathsOf(inode);
    ASSERT_EQ(paths.size(), 1U) << when;
    EXPECT_TRUE(paths[0].starts_with("completed/sub/f")) << paths[0] << " " << when;
    EXPECT_EQ(fs.Read(paths[0]), task.bytes) << when;
    if (task.outputs) {
      EXPECT_EQ(fs.Read(paths[0] + ".output/sum"), "40") << when;
    }
    EXPECT_EQ(fs.Has(paths[0] + ".output"), task.outputs) << when;
  }
  void ExpectNoFolders(const std::string& when) {
    EXPECT_FALSE(fs.Has(task.folder(1))) << when;
    EXPECT_FALSE(fs.Has(task.folder(2))) << when;
  }

  absl::Status last;
};

// Runs the way with something done before each n-th call in turn, until there is no n-th call any more.
// `at_call` is told when the n-th call is due; what it returns is the call's answer, and that of all later
// ones when it is an error.
void AtEachCall(const std::function<std::unique_ptr<Way>()>& make,
                const std::function<absl::Status(Way&)>& at_call,
                const std::function<void(Way&, const std::string&)>& afterwards) {
  for (int n = 1;; n++) {
    const std::unique_ptr<Way> way = make();
    Zone zone = Starts(&way->fs, 1);
    int calls = 0;
    absl::Status answer;
    way->fs.before_call = [&](const MemoryFs::Call&) {
      if (!answer.ok()) return answer;
      if (++calls == n) {
        auto hook = std::move(way->fs.before_call);  // what happens now is not counted
        way->fs.before_call = {};
        answer = at_call(*way);
        way->fs.before_call = std::move(hook);
      }
      return answer;
    };
    way->Continue(zone);
    way->fs.before_call = {};
    const std::string when = "before call " + std::to_string(n);
    if (calls < n) {
      EXPECT_EQ(way->step, Step::kDone);
      EXPECT_GT(n, 40);
      return;
    }
    afterwards(*way, when);
    if (::testing::Test::HasFailure()) return;
  }
}

std::unique_ptr<Way> Plain() { return std::make_unique<Way>(); }

// Nothing runs in the attempts' folders: they are used again, under another name.
std::unique_ptr<Way> Bare() {
  auto way = std::make_unique<Way>();
  way->step = Step::kPlaceOther;
  way->task.outputs = way->other.outputs = false;
  way->other.id = TaskId{JobId{2, 2}, 1};
  way->other.file = Arrives(way->fs, "sub/before.csv", "older");
  return way;
}

void Resume(Way& way, const std::string& when) {
  way.ExpectOnePlace(when);
  Zone next = Starts(&way.fs, 2);
  EXPECT_TRUE(way.Continue(next)) << when << " " << way.last;
  way.ExpectCompleted(when);
  way.ExpectNoFolders(when);
  way.fs.PowerLoss();  // an empty folder may be back then; it is found again and removed
  way.ExpectCompleted(when + ", then a power loss");
}

TEST(ZoneCrashTest, ADispatcherMayDieBeforeAnyCall) {
  for (const auto make : {Plain, Bare})
    AtEachCall(
        make, [](Way&) { return absl::UnavailableError("crashed"); }, Resume);
}

TEST(ZoneCrashTest, AlsoWhenTheNamesInTheOutputFoldersAreTaken) {
  for (const char* taken : {"completed/sub/f.csv", "completed/sub/f.csv.output/x"}) {
    AtEachCall([&] { return std::make_unique<Way>(taken); },
               [](Way&) { return absl::UnavailableError("crashed"); },
               [&](Way& way, const std::string& when) {
                 Zone next = Starts(&way.fs, 2);
                 EXPECT_TRUE(way.Continue(next)) << when << " " << way.last;
                 way.ExpectOnePlace(when);
                 EXPECT_EQ(way.fs.Read(taken), "older") << when;
                 EXPECT_EQ(way.fs.Files().size(), 3U) << when;
               });
  }
}

TEST(ZoneCrashTest, ThePowerMayFailBeforeAnyCall) {  // rule Z5: what the fold believes is on disk
  for (const auto make : {Plain, Bare}) {
    AtEachCall(
        make,
        [](Way& way) {
          way.fs.PowerLoss();
          return absl::UnavailableError("power lost");
        },
        Resume);
  }
}

TEST(ZoneCrashTest, ThePowerMayFailWithAnyPartWrittenAlready) {
  std::mt19937 random(7);
  for (int round = 0; round < 40; round++) {
    AtEachCall(
        round % 2 == 0 ? Plain : Bare,
        [&](Way& way) {
          way.fs.PowerLoss([&] { return random() % 2 == 0; });
          return absl::UnavailableError("power lost");
        },
        Resume);
  }
}

TEST(ZoneCrashTest, ADiskMayBeFullAtAnyCallAndThenHaveSpaceAgain) {
  AtEachCall(
      Plain,
      [](Way& way) {
        way.fs.full = true;
        return absl::OkStatus();
      },
      [](Way& way, const std::string& when) {
        way.ExpectOnePlace(when);
        way.fs.full = false;
        Zone next = Starts(&way.fs, 2);
        EXPECT_TRUE(way.Continue(next)) << when << " " << way.last;
        way.ExpectOnePlace(when);
        EXPECT_TRUE(way.fs.PathsOf(way.inode)[0].starts_with("completed/")) << when;
      });
}

TEST(ZoneCrashTest, TheSameDispatcherMayTryAgainAfterOneFailedCall) {
  for (int n = 1;; n++) {
    Way way;
    Zone zone = Starts(&way.fs, 1);
    int calls = 0;
    way.fs.before_call = [&](const MemoryFs::Call&) {
      return ++calls == n ? absl::UnavailableError("ESTALE") : absl::OkStatus();
    };
    for (int i = 0; i < 4 && !way.Continue(zone); i++) way.ExpectOnePlace("call " + std::to_string(n));
    way.fs.before_call = {};
    way.ExpectOnePlace("call " + std::to_string(n));
    EXPECT_EQ(way.step, Step::kDone) << n << " " << way.last;
    EXPECT_TRUE(way.fs.PathsOf(way.inode)[0].starts_with("completed/sub/f.csv")) << n;
    if (calls < n) break;
  }
}

// Rule Z2: whatever arrives under the file's name, and whenever, is never taken for it, and never lost.
TEST(ZoneStrangerTest, AFileOfTheSameNameMayArriveBeforeAnyCall) {
  for (const bool crash : {false, true}) {
    uint64_t stranger = 0;
    AtEachCall(
        Plain,
        [&](Way& way) {
          // Over the file while that is still there (its owner overwrites it), else as a new one.
          way.fs.Write("new", "the stranger's bytes");
          stranger = way.fs.Stat("new")->inode;
          if (!way.fs.Has(std::string("incoming/") + kName))
            way.fs.Move("new", std::string("incoming/") + kName);
          return crash ? absl::UnavailableError("crashed") : absl::OkStatus();
        },
        [&](Way& way, const std::string& when) {
          Zone next = Starts(&way.fs, 2);
          EXPECT_TRUE(way.Continue(next)) << when << " " << way.last;
          way.ExpectCompleted(when);
          EXPECT_THAT(way.fs.PathsOf(stranger),
                      IsSubsetOf({std::string("incoming/") + kName, std::string("new")}))
              << when;
          EXPECT_EQ(way.fs.PathsOf(stranger).size(), 1U) << when;
        });
  }
}

TEST(ZoneStrangerTest, AFileMayBeOverwrittenByItsOwnerBeforeAnyCall) {
  for (const bool crash : {false, true}) {
    uint64_t stranger = 0;
    bool overwritten = false;
    AtEachCall(
        Plain,
        [&](Way& way) {
          way.fs.Write("new", "the stranger's bytes");
          stranger = way.fs.Stat("new")->inode;
          overwritten = way.fs.Has(std::string("incoming/") + kName);
          way.fs.Move("new", std::string("incoming/") + kName);
          return crash ? absl::UnavailableError("crashed") : absl::OkStatus();
        },
        [&](Way& way, const std::string& when) {
          Zone next = Starts(&way.fs, 2);
          if (overwritten) {
            EXPECT_EQ(way.step, Step::kPlaceFirst) << when;
            EXPECT_EQ(PlaceIt(next, way.task).outcome, PlaceOutcome::kReplaced) << when;
          } else {
            EXPECT_TRUE(way.Continue(next)) << when << " " << way.last;
            way.ExpectCompleted(when);
          }
          const std::vector<std::string> paths = way.fs.PathsOf(stranger);
          ASSERT_EQ(paths.size(), 1U) << when;
          EXPECT_TRUE(paths[0].starts_with("incoming/sub/f")) << paths[0] << " " << when;
        });
  }
}

// Lets two dispatchers take turns at single calls: the first runs `before` calls, then the second `between`,
// then the first to its end (it was paused, and wakes up), then the second to its end.
class Turns {
 public:
  Turns(int before, int between) : left_{before, between} {}

  // On the thread of dispatcher `who`, before each of its calls.
  void Wait(int who) {
    std::unique_lock<std::mutex> lock(mutex_);
    if (turn_ == who && left_[who] == 0 && !over_[1 - who]) {
      left_[who] = -1;  // next time it runs to its end
      turn_ = 1 - who;
      changed_.notify_all();
    }
    changed_.wait(lock, [&] { return turn_ == who; });
    if (left_[who] > 0) left_[who]--;
    calls_[who]++;
  }
  void Over(int who) {
    const std::lock_guard<std::mutex> lock(mutex_);
    over_[who] = true;
    turn_ = 1 - who;
    changed_.notify_all();
  }
  int calls(int who) const { return calls_[who]; }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int turn_ = 0;
  int left_[2];
  bool over_[2] = {false, false};
  int calls_[2] = {0, 0};
};

// Each dispatcher sees the file system through its own turns.
class TurnFs : public Fs {
 public:
  TurnFs(MemoryFs* fs, Turns* turns, int who) : fs_(fs), turns_(turns), who_(who) {}
  absl::StatusOr<FileInfo> Stat(std::string_view path) override { return Turn(), fs_->Stat(path); }
  absl::StatusOr<std::vector<FolderEntry>> List(std::string_view folder) override {
    return Turn(), fs_->List(folder);
  }
  absl::Status MakeFolder(std::string_view path) override { return Turn(), fs_->MakeFolder(path); }
  absl::Status RemoveFolder(std::string_view path) override { return Turn(), fs_->RemoveFolder(path); }
  absl::Status RemoveTree(std::string_view path) override { return Turn(), fs_->RemoveTree(path); }
  absl::Status Rename(std::string_view from, std::string_view to) override {
    return Turn(), fs_->Rename(from, to);
  }
  absl::Status SyncFolders(std::span<const std::string> folders) override {
    return Turn(), fs_->SyncFolders(folders);
  }
  bool OpenForWriting(std::string_view path) override { return Turn(), fs_->OpenForWriting(path); }
  absl::StatusOr<uint64_t> FreeBytes() override { return Turn(), fs_->FreeBytes(); }

 private:
  void Turn() { turns_->Wait(who_); }
  MemoryFs* fs_;
  Turns* turns_;
  int who_;
};

// Rules Z1 to Z3: a dispatcher is paused before any of its calls, its successor fences it and works; the old
// one wakes up in the middle of that.
class ZonePauseTest : public ::testing::TestWithParam<Step> {};

TEST_P(ZonePauseTest, AnOldDispatcherMayBePausedAndWakeUpAtAnyCall) {
  bool first_ended = false;
  for (int before = 0; !first_ended; before++) {
    bool second_ended = false;
    for (int between = 1; !second_ended; between += 1) {
      Way way;
      {
        Zone earlier = Starts(&way.fs, 9);  // brings the task as far as the parameter says
        if (GetParam() != Step::kPlaceFirst) {
          ASSERT_TRUE(way.Placed(earlier, 1));
        }
        if (GetParam() == Step::kFinish) {
          way.task.claimed = true;
          way.task.attempt = 2;
          ASSERT_TRUE(way.Placed(earlier, 2));
          way.fs.Write(way.task.folder(2) + "/output/sum", "40");
        } else if (GetParam() == Step::kPlaceSecond) {
          way.task.claimed = true;
          way.task.attempt = 2;
        }
      }
      Zone prepared = Starts(&way.fs, 1);
      Turns turns(before, between);
      TurnFs first_fs(&way.fs, &turns, 0);
      TurnFs second_fs(&way.fs, &turns, 1);
      const Task task = way.task;  // what both folds know
      std::thread first([&] {
        Zone zone(&first_fs, IncarnationId{1, 1});
        if (GetParam() == Step::kFinish) {
          FinishIt(zone, task, 2);
        } else {
          PlaceIt(zone, task);
        }
        turns.Over(0);
      });
      bool second_did_it = false;
      std::thread second([&] {
        Zone zone(&second_fs, IncarnationId{2, 2});
        // The successor may find that the old one was faster with a file whose job is over; it repeats what
        // it decided.
        second_did_it = zone.MakeStaging().ok() && zone.FenceOthers().ok();
        if (GetParam() == Step::kFinish) {
          second_did_it &= FinishIt(zone, task, 2).outcome == FinishOutcome::kMoved;
        } else {
          second_did_it &= PlaceIt(zone, task).outcome == PlaceOutcome::kPlaced;
        }
        turns.Over(1);
      });
      first.join();
      second.join();
      const std::string when = std::to_string(before) + " calls, then " + std::to_string(between);
      ASSERT_TRUE(second_did_it) << when;
      way.ExpectOnePlace(when);
      if (GetParam() != Step::kFinish) {
        ASSERT_THAT(way.fs.PathsOf(way.inode), ElementsAre(task.path(task.attempt))) << when;
      }
      second_ended = turns.calls(1) <= between;
      first_ended = turns.calls(0) <= before;
      Zone last = Starts(&way.fs, 3);
      way.step = GetParam();
      EXPECT_TRUE(way.Continue(last)) << when << " " << way.last;
      way.ExpectCompleted(when);
      ASSERT_FALSE(::testing::Test::HasFailure()) << when;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Steps, ZonePauseTest,
                         ::testing::Values(Step::kPlaceFirst, Step::kPlaceSecond, Step::kFinish),
                         [](const auto& step) {
                           return step.param == Step::kPlaceFirst    ? "PlaceFirst"
                                  : step.param == Step::kPlaceSecond ? "PlaceSecond"
                                                                     : "Finish";
                         });

}  // namespace
}  // namespace laneway::zone
