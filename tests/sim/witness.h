// witness.h: who saw what: everything the checker is told that is no record.
//
// Role:       interface between the processes of a simulated fleet and the checker.
#pragma once

#include <string_view>

#include "absl/status/status.h"
#include "fleet/ids.h"
#include "laneway/v1/event.pb.h"
#include "laneway/v1/lane.pb.h"
#include "worker/browser_state.h"
#include "worker/executor.h"

namespace laneway::sim {

class Witness {
 public:
  virtual ~Witness() = default;
  // The worker is about to start a script: `found` says whether its file was there.
  virtual void OnPrepared(const WorkerId& worker, const v1::WorkPacket& packet,
                          const absl::Status& found) = 0;
  // How the script of a task ends: told when it starts.
  struct Script {
    int64_t takes_ms = 0;
    bool ok = true;
    v1::Ending ending = v1::EXIT_CODE;
    int32_t exit_code = 0;
    bool reports = false;
  };
  virtual Script OnScriptStart(const WorkerId& worker, const IncarnationId& incarnation, const StoreId& store,
                               const v1::WorkPacket& packet) = 0;
  virtual void OnScriptEnd(const WorkerId& worker, const worker::AttemptKey& key) = 0;
  // It was stopped because its worker's process had died.
  virtual void OnScriptKilled(const WorkerId& worker, const worker::AttemptKey& key) = 0;
  virtual void OnTrim(Lane lane, Offset below) = 0;
  virtual void OnRename(std::string_view who, std::string_view from, std::string_view to, uint64_t inode) = 0;
  // A reaper has decided that a worker is silent.
  virtual void OnSilenceSaid(const std::string& worker, int64_t in_touch_for_ms) = 0;
  // … or that its browser is lost.
  virtual void OnBrowserLostSaid(const v1::BrowserLost& lost, int64_t in_touch_for_ms) = 0;
  // A script that needs a browser starts; `told`: what its worker was told last.
  virtual void OnBrowserScript(const WorkerId& worker, const v1::WorkPacket& packet,
                               const worker::BrowserState& told) = 0;
  // The browser that a script began with is over and its worker was told, and has decided what to do.
  virtual void OnBrowserOver(const WorkerId& worker, const worker::AttemptKey& key, bool stopped) = 0;
  virtual void OnBrowserRecycled(const WorkerId& worker) = 0;
};

}  // namespace laneway::sim
