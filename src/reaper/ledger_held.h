// ledger_held.h: HeldTasks as a Ledger tells them.
//
// Role:       adapter; pure.
// Threads:    the ledger's.
#pragma once

#include "fleet/ledger.h"
#include "reaper/reaper.h"

namespace laneway::reaper {

// The fold's word on a worker, as the reaper is told.
FoldSays SaysOf(const std::string& worker, const WorkerVerdicts& verdicts);

class LedgerHeld : public HeldTasks {
 public:
  explicit LedgerHeld(const Ledger* ledger) : ledger_(ledger) {}
  void ForEach(const WorkerId& worker, const Each& each) const override;

 private:
  const Ledger* ledger_;
};

}  // namespace laneway::reaper
