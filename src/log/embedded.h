// embedded.h: the record log, the store and the journal of one process, on one RocksDB with one committer
// thread.
//
// Role:       implements log.h and store.h durably on a local disk.
// Output:     everything that waits is written as one atomic batch with one sync, then answered: the cost of
//             a sync is shared, and nobody is answered before it. Groups of only kBuffered commits are
//             written without a sync.
// Invariants: (1) offsets are given out by the committer, densely, and taken back when a group fails; (2) a
//             group is readable only after its sync; (3) after a failed sync nothing is written or
//             acknowledged any more: only reopening can tell what is on the disk. Disk full:  appends are
//             refused (RESOURCE_EXHAUSTED) while the volume has less than its reserve, journal and store
//             commits below half of it; what only deletes is always tried. If the database hits the wall all
//             the same it is closed and opened again when there is space, by the committer, without losing an
//             acknowledged record.
// Threads:    as log.h. Callbacks run on the committer thread, refusals included. No call may be made after
//             the destructor began.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "log/log.h"
#include "log/store.h"

namespace laneway::log {

struct CommitInfo {
  uint64_t records = 0;
  uint64_t bytes = 0;
  double seconds = 0;  // of the write and its sync
  bool synced = false;
};

struct EngineHealth {
  bool ok = true;
  bool disk_full = false;  // appends are refused until there is space again
  bool failed = false;     // final: the process should end, and open the folder again
  std::string message;
};

struct EmbeddedOptions {
  std::string folder;
  std::string writer = "laneway";        // who appends through log() and journal(), for people
  uint64_t queued_bytes_max = 64 << 20;  // waiting to be committed; more is RESOURCE_EXHAUSTED
  uint64_t group_bytes_max = 4 << 20;    // written with one sync
  uint64_t recent_bytes_max = 32 << 20;  // read from memory
  uint64_t write_buffer_bytes = 0;       // RocksDB's; 0: 1/32 of the volume, 1 to 16 MiB
  uint64_t free_bytes_reserve = 0;       // 0: 1 % of the volume, 16 MiB to 1 GiB
  uint64_t trim_bytes =
      16 << 20;  // trimmed records are deleted, and their space given back, in portions of about this
  uint64_t check_bytes_max = 256 << 20;  // read at Open at the most to check the groups; see embedded_check.h
  bool check_everything = false;         // read every group at Open, however long it takes
  bool allow_network_folder = false;
  bool accept_lost_records =
      false;  // open although acknowledged writes are missing: an operator has seen the message
  std::function<LogTime()> clock;                      // wall clock when empty
  std::function<void(const CommitInfo&)> on_commit;    // on the committer thread; for metrics
  std::function<void(const EngineHealth&)> on_health;  // it has changed; on the committer thread

  // For tests.
  std::function<int64_t(const std::string&)> file_system_magic;  // statfs's f_type
  std::function<int(std::string_view op, std::string_view path)>
      io_hook;                           // "create", "append", "sync" → errno or 0
  std::function<uint64_t()> free_bytes;  // of the volume
};

struct EngineStats {
  uint64_t queued_bytes = 0;
  uint64_t commits = 0;
  uint64_t syncs = 0;
  uint64_t records = 0;
  uint64_t recent_bytes = 0;
};

class EmbeddedEngine {
 public:
  // FAILED_PRECONDITION: in use, on a network file system, of another format. DATA_LOSS: something is missing
  // or damaged; the message says what, where, and what to do. RESOURCE_EXHAUSTED: no space to open.
  static absl::StatusOr<std::unique_ptr<EmbeddedEngine>> Open(EmbeddedOptions options);
  // The records of a folder, to be read only, also beside a running process: as of now. Appends are
  // FAILED_PRECONDITION.
  static absl::StatusOr<std::unique_ptr<Log>> OpenReadOnly(const std::string& folder);

  virtual ~EmbeddedEngine() = default;  // commits what waits, syncs, closes

  virtual Log& log() = 0;
  virtual Store& store() = 0;
  virtual Journal& journal() = 0;
  // The same log and journal under another writer's name. Kept by the engine, one for each name.
  virtual Log& LogAs(std::string_view writer) = 0;
  virtual Journal& JournalAs(std::string_view writer) = 0;

  virtual EngineHealth Health() const = 0;
  virtual EngineStats Stats() const = 0;
};

}  // namespace laneway::log
