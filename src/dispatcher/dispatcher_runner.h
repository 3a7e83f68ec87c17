// dispatcher_runner.h: carries out what the dispatcher decides: appends, and the zone's work on a thread of
// its own.
//
// Role:       shell of Dispatcher: a listener of the process's fold, on the same loop.
// Promises:   what fails comes back to the state machine, which decides it again; the zone is asked for one
//             batch at a time, and what is asked for meanwhile waits for the next (so batches grow with the
//             load, and share their syncs).
// Threads:    everything on the fold's loop, but for the zone's work and the care of the lanes, which have
//             loops of their own.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "dispatcher/dispatcher.h"
#include "fold/fleet_fold.h"
#include "log/log.h"
#include "ops/clock.h"
#include "ops/loop.h"
#include "zone/fs.h"
#include "zone/inotify.h"
#include "zone/scanner.h"
#include "zone/zone.h"

namespace laneway::dispatcher {

struct RunnerOptions {
  DispatcherOptions dispatcher;
  std::string zone_root;  // absolute; for inotify
  Millis settle{2000};
  Millis rescan{1000};
  bool watch_zone = true;  // false: no files, only started jobs
  std::function<void(const v1::Alert&)> on_alert;
};

// What the zone looks like from here; for metrics and people.
struct ZoneView {
  uint64_t present = 0;     // regular files in incoming/
  uint64_t waiting = 0;     // of them: not complete yet
  uint64_t unfinished = 0;  // of those: named as unfinished downloads are
  int64_t oldest_mtime_ns = 0;
  uint64_t looks = 0;
  uint64_t refused = 0;
};

class DispatcherRunner : public fold::FoldListener {
 public:
  DispatcherRunner(RunnerOptions options, ops::Loop* loop, fold::FleetFold* fold, log::Log* log, zone::Fs* fs,
                   const ops::Clock* clock);
  ~DispatcherRunner() override;

  absl::Status Start();  // on the loop: follows the fold as a standby
  // On the loop: the control partition is this process's, or not any more (rule E1). As its owner it stands
  // for election, and looks at incoming/ when it is active.
  void SetOwner(bool owner);
  void Stop();  // on the loop: decides nothing more; waits for the zone's work under way

  void OnEvent(uint32_t partition, Offset offset, LogTime time, const v1::Event& event, FoldVerdict verdict,
               std::span<const Change> changes) override;
  void OnHeartbeat(const Member& member) override;
  void OnControl(const v1::ControlRecord& record, Offset offset, const Member* member) override;
  void OnBatchEnd(bool caught_up) override;

  const Dispatcher* dispatcher() const { return core_.get(); }
  const ZoneView& zone_view() const { return view_; }
  // Nothing of a file is under way, and the last look found nothing new.
  // (An unfinished download is somebody else's: it waits for ever if it must, and nobody waits for it.)
  bool quiet() const {
    return !zone_busy_ && pending_.empty() && !looking_ && !look_wanted_ && !hints_wanted_ && !settling_ &&
           view_.looks > 0 && view_.waiting == view_.unfinished;
  }

 private:
  struct Answers;   // of one batch of the zone
  struct Sighting;  // of one look

  void MakeCore();
  void Flush();
  void StandAgainLater();
  void SendRecords();
  void TendLanes(const std::shared_ptr<const Commands>& asked);
  void Appended(std::shared_ptr<Commands> sent, const absl::Status& status, std::span<const Offset> offsets);
  void CollectZoneWork();
  void MaybeWorkZone();
  std::shared_ptr<Answers> DoZoneWork(const ZoneWork& work);  // on the zone's loop
  void TakeAnswers(const Answers& answers);
  void ReadNews();  // on the zone's loop
  void Look();
  std::shared_ptr<Sighting> DoLook(bool full);  // on the zone's loop
  void TakeSighting(const Sighting& seen);
  void WantLook();
  void Tick();
  LogTime Now() const { return fold_->Now(); }

  RunnerOptions options_;
  ops::Loop* loop_;
  fold::FleetFold* fold_;
  log::Log* log_;
  zone::Fs* fs_;
  const ops::Clock* clock_;
  ops::Loop zone_loop_{"zone"};
  ops::Loop admin_loop_{"lanes"};     // trims and adds lanes
  std::unique_ptr<zone::Zone> zone_;  // the zone loop's, as the three below
  std::unique_ptr<zone::Scanner> scanner_;
  std::unique_ptr<zone::InotifyWatcher> watcher_;
  std::vector<zone::InotifyWatcher::Hint> hints_;
  std::unique_ptr<Dispatcher> core_;
  Commands commands_;
  ZoneWork pending_;
  bool started_ = false;
  bool owner_ = false;
  bool stopped_ = false;
  bool growing_ = false;
  bool zone_busy_ = false;
  bool looking_ = false;
  bool look_wanted_ = true;    // a full look
  bool hints_wanted_ = false;  // a look at what inotify told
  bool settling_ = false;      // some file is only waiting for its settle time
  // looks at huge folders keep a distance in proportion to what they cost
  Millis look_pause_{0};
  ops::Loop::TimerId tick_;
  ops::Loop::TimerId rescan_;
  ops::Loop::TimerId settled_;
  ZoneView view_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace laneway::dispatcher
