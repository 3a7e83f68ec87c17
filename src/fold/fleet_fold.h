// fleet_fold.h: the one fold of a process: reads `events`, `heartbeats`, `browser-health` and `control`, and
// tells everyone who lives on it.
//
// Role:       shell of Ledger and Members on a Loop. Dispatcher, reaper and API of a process are its
//             listeners.
// Promises:   (1) listeners hear of each record once, in the order of its partition, after it was folded; (2)
//             OnBatchEnd follows what was read together; (3) a restart reads on from the last snapshot, which
//             names the offsets it covers and was written in one piece.
// Errors:     a record that cannot be parsed is counted, told to on_bad_record and passed over; DATA_LOSS and
//             OUT_OF_RANGE reach on_fatal.
// Threads:    everything on the loop, but for lag() and Wake().
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "fleet/ledger.h"
#include "fleet/members.h"
#include "fold/finished_store.h"
#include "fold/log_clock.h"
#include "laneway/v1/report.pb.h"
#include "log/log.h"
#include "log/store.h"
#include "ops/clock.h"
#include "ops/loop.h"

namespace laneway::fold {

class FoldListener {
 public:
  virtual ~FoldListener() = default;
  virtual void OnEvent(uint32_t partition, Offset offset, LogTime time, const v1::Event& event,
                       FoldVerdict verdict, std::span<const Change> changes) = 0;
  virtual void OnHeartbeat(const Member& member) { (void)member; }
  virtual void OnBrowserHealth(const v1::BrowserHealth& health, Offset offset, LogTime time) {
    (void)health, (void)offset, (void)time;
  }
  virtual void OnControl(const v1::ControlRecord& record, Offset offset, const Member* member) {
    (void)record, (void)offset, (void)member;
  }
  virtual void OnAlert(const v1::Alert& alert, LogTime time) { (void)alert, (void)time; }
  // Everything that was there has been read (caught_up), or as much as one turn takes.
  virtual void OnBatchEnd(bool caught_up) = 0;
  // Whether the log answers.
  virtual void OnTouch(bool in_touch) { (void)in_touch; }
};

struct FoldOptions {
  uint32_t event_partitions = 8;
  uint64_t snapshot_after_records = 100000;  // since a partition's last one; more when many jobs are open
  std::function<void(const absl::Status&)> on_fatal;
  std::function<void(log::TopicPartition, Offset)> on_bad_record;
};

// What came of an append that was waited for: the verdicts, one for each event.
using VerdictsDone = std::function<void(const absl::Status&, std::span<const FoldVerdict>)>;

class FleetFold {
 public:
  FleetFold(FoldOptions options, ops::Loop* loop, log::Log* log, log::Store* store, const ops::Clock* clock);
  ~FleetFold();

  // Before the loop starts: listeners, then Open, which restores the snapshot and folds everything up to the
  // end of the log as it is now.
  void AddListener(FoldListener* listener) { listeners_.push_back(listener); }
  absl::Status Open();
  // On the loop: begins to follow the log.
  void Follow();
  // On the loop: stops following, and writes a snapshot of what is not covered by one.
  void Close(std::function<void()> done);

  // Appends events (each to the partition of its job or worker) and answers when the fold has read all of
  // them back.
  void AppendAndAwait(std::vector<v1::Event> events, VerdictsDone done);

  const Ledger& ledger() const { return *ledger_; }
  const Members& members() const { return members_; }
  FinishedStore& finished() { return finished_; }
  // The log's time, as far as it is known: never before the newest record read.
  LogTime Now() const;
  bool caught_up() const { return caught_up_; }
  uint64_t records_folded() const { return folded_.load(std::memory_order_relaxed); }
  uint64_t bad_records() const { return bad_records_; }
  const std::array<uint64_t, kVerdicts>& verdicts() const { return verdicts_; }
  // The newest snapshot covers the partition below this offset.
  Offset SnapshotCovers(uint32_t partition) const { return snapshot_at_[partition]; }
  uint64_t Lag() const;  // records of `events` that are in the log and not folded

 private:
  struct Reader {
    log::TopicPartition from;
    Offset next = 0;
  };
  struct Waiting {
    VerdictsDone done;
    std::vector<FoldVerdict> verdicts;
    size_t missing = 0;
  };

  absl::Status Restore();
  absl::Status Position();
  void Wake();
  void Turn();
  void Probe();
  absl::StatusOr<size_t> ReadSome(Reader& reader);
  void Take(const log::TopicPartition& from, const log::RecordView& record);
  void TakeEvent(uint32_t partition, const log::RecordView& record);
  void Answer(uint32_t partition, Offset offset, FoldVerdict verdict);
  void MaybeSnapshot();
  void WriteSnapshot(uint32_t partition, log::CommitDone done);

  FoldOptions options_;
  ops::Loop* loop_;
  log::Log* log_;
  log::Store* store_;
  const ops::Clock* clock_;
  FinishedStore finished_;
  std::unique_ptr<Ledger> ledger_;
  Members members_;
  std::vector<FoldListener*> listeners_;
  std::vector<Reader> readers_;
  std::unique_ptr<log::Watch> watch_;
  ops::Loop::TimerId probe_;
  uint64_t turns_ = 0;
  uint64_t turns_probed_ = 0;
  std::atomic<bool> woken_{false};
  std::atomic<uint64_t> folded_{0};
  bool following_ = false;
  bool caught_up_ = false;
  bool in_touch_ = true;
  LogClock log_clock_;
  uint64_t bad_records_ = 0;
  std::array<uint64_t, kVerdicts> verdicts_{};
  v1::Event event_;  // used again for each record
  std::vector<Change> changes_;
  std::vector<Offset> snapshot_at_;  // next_offset of each partition's last snapshot
  std::vector<uint64_t> snapshot_generation_;
  static constexpr size_t kVerdictsKept = 1 << 14;
  std::vector<std::vector<FoldVerdict>> recent_;  // by partition, by offset % kVerdictsKept
  std::map<std::pair<uint32_t, Offset>, std::pair<std::shared_ptr<Waiting>, size_t>> waiting_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

// The partition of `events` that an event belongs to.
uint32_t PartitionOf(const v1::Event& event, uint32_t partitions);
log::NewRecord RecordOf(const v1::Event& event, uint32_t partition);
// `control` is compacted: the newest record of a key stays. So each thing that is said has a key of its own.
log::NewRecord RecordOf(const v1::ControlRecord& control);

}  // namespace laneway::fold
