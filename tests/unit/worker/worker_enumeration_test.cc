// Every short sequence (six inputs with one slot, five with three) of inputs, answers and crashes, checked
// step by step and after healing. What must hold is written so that it is obviously right: sets of what
// ran, what was recorded and what ended.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <functional>

#include "fixture.h"
#include "fleet/planted.h"

namespace laneway::worker {
namespace {

enum Input : uint8_t {
  kBurst,      // packets of two tasks, for one slot
  kHigher,     // a packet of the next attempt of the first
  kForeign,    // a packet for another store
  kCancel,     // of the first attempt of the first task
  kOk,         // the commit in flight is answered
  kLost,       // … with an error: it did not happen
  kKept,       // … with an error, but it happened
  kEnd,        // the script that has run longest ends well
  kCrashDrop,  // the process dies, and the commit in flight with it
  kCrashKeep,  // the process dies, the commit in flight happens
  kShutdown,
  kInputs
};
constexpr const char* kNames[] = {"burst", "higher", "foreign",    "cancel",     "ok",      "lost",
                                  "kept",  "end",    "crash-drop", "crash-keep", "shutdown"};

class Trial {
 public:
  explicit Trial(uint32_t capacity) : rig_(capacity) {}
  // False: the input means nothing here, and every sequence that goes on from it is another one's.
  bool Apply(Input input) {
    switch (input) {
      case kBurst:
        if (std::exchange(burst_, true)) return false;
        rig_.Send(Key(1, 1));
        rig_.Send(Key(2, 1));
        sent_ = {Key(1, 1), Key(2, 1)};
        rig_.Pump();
        break;
      case kHigher:
        if (std::exchange(higher_, true)) return false;
        rig_.Send(Key(1, 2));
        rig_.Pump();
        break;
      case kForeign: {
        if (std::exchange(foreign_, true)) return false;
        v1::LaneRecord record = rig_.Packet(Key(3, 1));
        record.mutable_packet()->set_store(StoreId{5, 5}.ToBytes());
        rig_.Put(record);
        rig_.Pump();
        break;
      }
      case kCancel: {
        if (std::exchange(cancelled_, true)) return false;
        const bool running = rig_.running.contains(Key(1, 1));
        rig_.Cancel(Key(1, 1));
        rig_.Pump();
        if (running && std::none_of(rig_.stops.begin(), rig_.stops.end(),
                                    [](const Stop& s) { return s.key == Key(1, 1); })) {
          Fail("a cancelled attempt was not stopped");
        }
        break;
      }
      case kOk:
      case kLost:
      case kKept:
        if (!rig_.HasCommit()) return false;
        rig_.AnswerCommit(input == kOk ? Answer::kOk : input == kLost ? Answer::kLost : Answer::kUnknownKept);
        if (input != kOk) rig_.Advance(Millis(1000));
        break;
      case kEnd: {
        if (rig_.running.empty()) return false;
        const auto first = std::find_if(rig_.runs.begin(), rig_.runs.end(),
                                        [&](const AttemptKey& key) { return rig_.running.contains(key); });
        rig_.End(*first);
        break;
      }
      case kCrashDrop:
      case kCrashKeep:
        if (input == kCrashKeep && !rig_.HasCommit()) return false;
        rig_.Crash(input == kCrashKeep);
        crashed_ = true;
        break;
      case kShutdown:
        if (std::exchange(shutdown_, true)) return false;
        rig_.worker->BeginShutdown(Shutdown::kDrain, Millis(30000), rig_.now);
        rig_.Pump();
        break;
      case kInputs:
        return false;
    }
    CheckStep();
    return true;
  }

  // No more faults: everything is answered, every script ends.
  void Heal() {
    for (int i = 0; i < 20; i++) {
      rig_.Advance(Millis(1000));
      rig_.Settle();
      if (rig_.running.empty() && rig_.worker->idle()) break;
      if (!rig_.running.empty()) rig_.End(*rig_.running.begin());
      CheckStep();
    }
    CheckStep();
    if (!rig_.worker->idle()) Fail("something is held for ever");
    for (const AttemptKey& key : rig_.started) {
      if (!Ended(key)) Fail("property (e), L3: a started attempt has no end on record: " + Name(key));
    }
    for (const AttemptKey& key : sent_) {
      const bool excused = key == Key(1, 1) && (cancelled_ || higher_);
      if (!excused && !rig_.started.contains(key) && !Released(key))
        Fail("a packet was dropped: " + Name(key));
    }
  }
  const std::string& failure() const { return failure_; }

 private:
  static std::string Name(const AttemptKey& key) {
    return std::to_string(key.task.job.lo) + "." + std::to_string(key.attempt);
  }
  void Fail(const std::string& what) {
    if (failure_.empty()) failure_ = what;
  }
  bool Ended(const AttemptKey& key) const {
    return std::any_of(rig_.events.begin(), rig_.events.end(), [&](const v1::Event& event) {
      return Rig::KeyOf(event) == key && (event.has_task_succeeded() || event.has_task_failed());
    });
  }
  bool Released(const AttemptKey& key) const {
    return std::any_of(rig_.events.begin(), rig_.events.end(), [&](const v1::Event& event) {
      return Rig::KeyOf(event) == key && event.has_task_released();
    });
  }
  void CheckStep() {
    for (; seen_ < rig_.runs.size(); seen_++) {
      const AttemptKey& key = rig_.runs[seen_];
      if (!ran_.insert(key).second) Fail("property (c): an attempt ran twice: " + Name(key));
      if (!rig_.run_started_recorded[seen_])
        Fail("rule W1: it ran before its start was on record: " + Name(key));
      if (key == Key(3, 1)) Fail("rule L3: a packet for another store was started");
      if (Released(key)) Fail("rule W3: a released attempt ran: " + Name(key));
      const AttemptKey lower{key.task, key.attempt - 1};
      if (rig_.started.contains(lower) && !Ended(lower))
        Fail("rule W3: a lower attempt was not reported yet: " + Name(key));
    }
  }

  Rig rig_;
  std::vector<AttemptKey> sent_;
  std::set<AttemptKey> ran_;
  size_t seen_ = 0;
  bool burst_ = false, higher_ = false, foreign_ = false, cancelled_ = false, shutdown_ = false,
       crashed_ = false;
  std::string failure_;
};

struct Found {
  uint64_t sequences = 0;
  std::string failure;
};

// Depth first; sequences that hold a meaningless input are left out with everything behind them.
Found Enumerate(uint32_t capacity, size_t length) {
  Found found;
  std::vector<Input> sequence;
  const std::function<bool()> go = [&]() -> bool {
    Trial trial(capacity);
    for (const Input input : sequence) {
      if (!trial.Apply(input)) return true;
    }
    trial.Heal();
    found.sequences++;
    if (!trial.failure().empty()) {
      found.failure = trial.failure() + " after:";
      for (const Input input : sequence) found.failure += std::string(" ") + kNames[input];
      return false;
    }
    if (sequence.size() == length) return true;
    for (uint8_t input = 0; input < kInputs; input++) {
      sequence.push_back(static_cast<Input>(input));
      const bool on = go();
      sequence.pop_back();
      if (!on) return false;
    }
    return true;
  };
  go();
  return found;
}

#if LANEWAY_SANITIZED
constexpr size_t kInputsInARow = 5;  // sanitizers look for other mistakes
#else
constexpr size_t kInputsInARow = 6;
#endif

TEST(WorkerEnumerationTest, EverySequenceOfUpToSixInputsKeepsTheRules) {
  for (const uint32_t capacity : {1U, 3U}) {
    const Found found = Enumerate(capacity, capacity == 1 ? kInputsInARow : 5);
    EXPECT_EQ(found.failure, "") << "capacity " << capacity;
    EXPECT_GT(found.sequences, 10000u);
    RecordProperty("sequences_" + std::to_string(capacity), std::to_string(found.sequences));
  }
}

#if LANEWAY_PLANTED_BUGS
TEST(WorkerEnumerationTest, EveryPlantedBugOfTheWorkerIsFound) {
  for (const planted::Bug bug :
       {planted::kL3AnyStore, planted::kW1StartBeforeAck, planted::kW3HigherFirst, planted::kW3ReleaseUnnoted,
        planted::kOutboxForgets, planted::kQueueDrops, planted::kCancelIgnored,
        planted::kInterruptedUnreported, planted::kRunsAgainAfterRestart}) {
    planted::switched_on[bug] = true;
    Found found = Enumerate(1, 6);
    if (found.failure.empty()) found = Enumerate(3, 5);
    planted::switched_on[bug] = false;
    EXPECT_NE(found.failure, "") << planted::kBugs[bug].name;
  }
}
#endif

}  // namespace
}  // namespace laneway::worker
