// notes.h: what a worker's journal says after a crash: the notes of its steps, folded.
//
// Role:       pure. The worker writes one WorkerNotes a step (worker.h, Batch); this reads them back in
//             order.
// Input:      the values of the journal, in the order of their numbers.
// Output:     what the worker holds.
// Invariants: (1) a worker has one step in flight at a time, so a later value proves that the one before it
//             was answered OK: only the results of the last one are in doubt, and only they are sent again;
//             (2) what is STARTING was interrupted by the crash: it never runs again.
// Threads:    one owner.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "fleet/ids.h"
#include "fleet/log_time.h"
#include "laneway/v1/store.pb.h"
#include "worker/executor.h"

namespace laneway::worker {

// An attempt that was open.
struct RestoredAttempt {
  AttemptKey key;
  v1::HeldStage stage = v1::HELD_UNSPECIFIED;  // QUEUED, STARTING, FINISHED
  v1::WorkPacket packet;                       // with QUEUED
  v1::Event result;                            // with FINISHED: to be sent again
  Lane lane = 0;
  Offset offset = 0;
};

struct RestoredLane {
  Offset next_offset = 0;
  Epoch epoch = 0;
  bool released = false;
};

struct Restored {
  uint64_t next_seq = 1;                  // of the next step
  std::vector<RestoredAttempt> attempts;  // in the order they were taken
  std::map<Lane, RestoredLane> lanes;
  std::vector<AttemptKey> tombstones;  // oldest first: the highest attempt had of each task that is over
  bool drained = false;
  std::optional<Millis> away;  // since the log was last in reach, as far as that is known
};

class NotesFold {
 public:
  // Values must come in rising order of `seq`.
  void Fold(uint64_t seq, const v1::WorkerNotes& notes);
  Restored Take() &&;

 private:
  struct Open {
    uint64_t order = 0;
    RestoredAttempt attempt;
  };
  void Forget(const AttemptKey& key);

  uint64_t last_seq_ = 0;
  uint64_t order_ = 0;
  std::map<AttemptKey, Open> open_;
  std::vector<AttemptKey> in_doubt_;  // FINISHED by the last step
  std::map<TaskId, uint32_t> had_;    // the highest attempt that is over
  std::deque<TaskId> over_;           // in the order they ended; a task may stand here more than once
  std::map<Lane, RestoredLane> lanes_;
  bool drained_ = false;
};

// A journal value is `w/<worker>/j/<seq, 8 bytes, highest first>`.
std::string JournalPrefix(const WorkerId& worker);
std::string JournalKey(const WorkerId& worker, uint64_t seq);
std::optional<uint64_t> JournalSeq(std::string_view key);

}  // namespace laneway::worker
