// worker_store.h: a worker's own keys: its identity, its journal, its orphan ledger, and when it last heard
// from the log.
//
// Role:       shell over log::Store; the conversions are pure.
// Keys:       w/<worker>/id          StoreIdentity, made once (rule L3: a lost store makes another)
//             w/<worker>/j/<seq>     WorkerNotes, one a step (notes.h)
//             w/<worker>/c/<slot>    AttemptNote with pid and start time of the child that ran there last:
//                                    unsynced, it outlives us, not the power
//             w/<worker>/seen        wall time of the last answer of the log, milliseconds: unsynced
// Errors:     those of the store; DATA_LOSS: a value that cannot be read: the worker must not start.
// Threads:    one owner.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "fleet/ids.h"
#include "fleet/log_time.h"
#include "log/log.h"
#include "log/store.h"
#include "worker/notes.h"
#include "worker/worker.h"

namespace laneway::worker {

struct Opened {
  StoreId store;
  bool made = false;  // just now
  Restored restored;
  std::vector<ChildNote> children;  // may have outlived the worker: to be stopped before it starts
};

// Reads everything. `fresh` is the id a new store gets; it is durable when this returns.
absl::StatusOr<Opened> OpenWorkerStore(log::Store& store, const WorkerId& worker, StoreId fresh, LogTime now);

// A step as Journal::Commit takes it.
std::vector<log::StoreOp> NoteOps(const WorkerId& worker, const Batch& batch);
std::vector<log::NewRecord> EventRecords(const Batch& batch, uint32_t event_partitions);

log::StoreOp ChildOp(const WorkerId& worker, const ChildNote& child);
log::StoreOp SeenOp(const WorkerId& worker, LogTime wall);
// Once the survivors were stopped.
log::StoreOp ForgetChildrenOp(const WorkerId& worker);

log::NewRecord HeartbeatRecord(const v1::Heartbeat& beat, uint32_t partitions);
log::NewRecord BrowserHealthRecord(const v1::BrowserHealth& health, uint32_t partitions);
log::NewRecord AlertRecord(const v1::Alert& alert, uint32_t partitions);

}  // namespace laneway::worker
