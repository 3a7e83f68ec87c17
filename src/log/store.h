// store.h: durable keys and values beside the log: a worker's notes, the fold's snapshots, the memory of
// finished jobs.
//
// Role:       interface to the outside: EmbeddedStore (the same RocksDB and the same committer as
//             EmbeddedLog), SimStore (tests/sim).
// Promises:   a batch happens whole or not at all; batches happen in the order of their Commit calls; when a
//             batch with kSynced is answered OK, it and every batch before it survive a power loss.
//             kBuffered: survives the process, and the power with the next kSynced.
// Errors:     as log.h.
// Threads:    every function from any thread; `done` runs on a thread of the store's, and must be short.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "log/log.h"

namespace laneway::log {

// One change. Keys are byte strings, ordered as memcmp orders them.
struct StoreOp {
  enum class Kind { kPut, kDelete, kDeleteRange } kind = Kind::kPut;
  std::string key;    // kDeleteRange: the first key
  std::string value;  // kDeleteRange: the first key that stays
};

enum class Durability { kSynced, kBuffered };

using CommitDone = std::function<void(const absl::Status&)>;

class Store {
 public:
  virtual ~Store() = default;
  virtual void Commit(std::vector<StoreOp> ops, Durability durability, CommitDone done) = 0;
  virtual absl::StatusOr<std::optional<std::string>> Get(std::string_view key) = 0;
  // Calls `each` for keys in [begin, end) in order (backwards: from the highest below `end` down) until it
  // returns false. An empty `end` is behind the last key. `each` must not wait for the store.
  virtual absl::Status Scan(
      std::string_view begin, std::string_view end, bool backwards,
      const std::function<bool(std::string_view key, std::string_view value)>& each) = 0;
};

// The step of a worker: its notes, then its events. The notes are durable no later than the events are
// readable. On the embedded log both are one atomic write and cost one sync; on Kafka the store's sync comes
// first (rules W1, W3).
class Journal {
 public:
  virtual ~Journal() = default;
  // `done` gets the offsets of `records`. An error, where both are one write: nothing happened (UNKNOWN: it
  // may have). Where the store comes first: of the records, as log.h says; the notes may be durable, and the
  // same step, committed again, overwrites them.
  virtual void Commit(std::vector<StoreOp> notes, std::vector<NewRecord> records, AppendDone done) = 0;
};

}  // namespace laneway::log
