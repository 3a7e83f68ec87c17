// store_then_log.h: a worker's step where store and log are two things: the notes first, synced, then the
// events.
//
// Role:       implements Journal over a Store of this process and a Log that others share.
// Promises:   the notes are durable before the first record is sent (rules W1, W3). An error of the store:
//             nothing happened. An error of the log: the notes are durable, and the records as log.h says of
//             that error; the step is committed again as it is, or reported anew after a restart.
// Threads:    as log.h.
#pragma once

#include "log/log.h"
#include "log/store.h"

namespace laneway::log {

class StoreThenLog : public Journal {
 public:
  StoreThenLog(Store* store, Log* log) : store_(store), log_(log) {}
  void Commit(std::vector<StoreOp> notes, std::vector<NewRecord> records, AppendDone done) override;

 private:
  Store* const store_;
  Log* const log_;
};

}  // namespace laneway::log
