// dispatcher_driver.h: a dispatcher's process in the simulation: the calls of
// src/dispatcher/dispatcher_runner.cc, on virtual time.
//
// Role:       shell of the real Dispatcher, Zone and Scanner. The zone's work is done one batch at a time;
//             others act in the middle of it.
// Threads:    one.
#pragma once

#include <deque>
#include <functional>
#include <memory>

#include "dispatcher/dispatcher.h"
#include "sim/fold_driver.h"
#include "sim/witness.h"
#include "sim/world.h"

namespace laneway::sim {

class DispatcherDriver : public fold::FoldListener {
 public:
  DispatcherDriver(World* world, ProcRef proc, const HostClock* clock, Witness* witness,
                   std::function<void()> crash);
  absl::Status Start();
  // Whether it owns the control partition, as it has heard.
  void SetOwner(bool owner);

  void OnEvent(uint32_t partition, Offset offset, LogTime time, const v1::Event& event, FoldVerdict verdict,
               std::span<const Change> changes) override;
  void OnHeartbeat(const Member& member) override;
  void OnControl(const v1::ControlRecord& record, Offset offset, const Member* member) override;
  void OnBatchEnd(bool caught_up) override;

  const dispatcher::Dispatcher& core() const { return *core_; }
  const FoldDriver& fold() const { return fold_; }
  const ProcRef& proc() const { return proc_; }

 private:
  // What has an incarnation: made anew when it was stepped down.
  struct Term {
    Term(zone::Fs* fs, IncarnationId own, int64_t settle_ms)
        : zone(fs, own), scanner(fs, Millis(settle_ms)) {}
    zone::Zone zone;
    zone::Scanner scanner;
    bool over = false;
  };
  struct Answers;

  void MakeCore();
  void Flush();
  void SendRecords();
  void Appended(const dispatcher::Commands& sent, const absl::Status& status,
                const std::vector<Offset>& offsets);
  void MaybeWorkZone();
  void InZone(std::function<void()> work);
  std::shared_ptr<Answers> DoZoneWork(Term& term, const dispatcher::ZoneWork& work);
  void TakeAnswers(const Answers& answers);
  void Look();
  void Tick();
  LogTime Now() const { return fold_.Now(); }

  World* world_;
  ProcRef proc_;
  Witness* witness_;
  ProcFs fs_;
  FoldDriver fold_;
  std::shared_ptr<Term> term_;
  std::unique_ptr<dispatcher::Dispatcher> core_;
  std::vector<std::unique_ptr<dispatcher::Dispatcher>> old_cores_;
  dispatcher::Commands commands_;
  dispatcher::ZoneWork pending_;
  std::deque<std::function<void()>> zone_queue_;
  bool zone_runs_ = false;
  bool zone_busy_ = false;
  bool looking_ = false;
  bool look_wanted_ = true;
  bool started_ = false;
  bool owner_ = false;
  uint64_t tick_ = 0;
};

}  // namespace laneway::sim
