// fold_driver.h: a process's fold in the simulation: the same order of calls as src/fold/fleet_fold.cc, on
// virtual time.
//
// Role:       reads events, heartbeats, browser health and control of the simulated log into the real Ledger
//             and Members; tells one listener; keeps closed jobs in the real FinishedStore and snapshots in
//             the process's simulated store.
// Threads:    one.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "fleet/ledger.h"
#include "fleet/members.h"
#include "fold/finished_store.h"
#include "fold/fleet_fold.h"
#include "sim/world.h"

namespace laneway::sim {

class FoldDriver {
 public:
  FoldDriver(World* world, ProcRef proc, const HostClock* clock, fold::FoldListener* listener);

  // Restores the snapshot and reads up to the end. An error: the process ends, and is started again.
  absl::Status Open();
  void Follow();

  const Ledger& ledger() const { return *ledger_; }
  const Members& members() const { return members_; }
  LogTime Now() const;
  bool caught_up() const { return caught_up_; }
  // It had to give up (it fell behind the end of retention).
  std::function<void()> on_fatal;

 private:
  struct Reader {
    log::TopicPartition from;
    Offset next = 0;
  };
  absl::Status Restore();
  absl::Status Position();
  void Wake();
  void Turn();
  void Probe();
  absl::StatusOr<size_t> ReadSome(Reader& reader, size_t bytes_max);
  void Take(const log::TopicPartition& from, const log::RecordView& record);
  void MaybeSnapshot();

  World* world_;
  ProcRef proc_;
  const HostClock* clock_;
  fold::FoldListener* listener_;
  fold::FinishedStore finished_;
  std::unique_ptr<Ledger> ledger_;
  Members members_;
  std::vector<Reader> readers_;
  std::unique_ptr<log::Watch> watch_;
  bool woken_ = false;
  bool caught_up_ = false;
  bool in_touch_ = true;
  fold::LogClock log_clock_;
  std::vector<Change> changes_;
  std::vector<Offset> snapshot_at_;
  std::vector<uint64_t> generation_;
};

}  // namespace laneway::sim
