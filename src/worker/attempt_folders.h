// attempt_folders.h: what a worker does to the zone before and after an attempt.
//
// Role:       decides by what the Fs says: verifies the attempt's file (rule Z5, "checked as well"), makes
//             the folder of its outputs, leaves no empty folders of tasks without a file behind.
// Input:      a Run before it starts, its key when it is over.
// Invariants: (1) a folder is handed on to another attempt only when it is empty, after its own attempt is
//             over (no process of it lives then: executor/README.md), and under a name of its own meanwhile
//             (processing/<worker>/spare-<n>), since others tidy away what attempts leave; (2) a worker that
//             has nothing to do leaves none behind for long.
// Errors:     Prepared says what the attempt's ending is when it cannot start.
// Threads:    one owner.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "fleet/ids.h"
#include "worker/worker.h"
#include "zone/fs.h"

namespace laneway::worker {

struct Prepared {
  absl::Status status;
  v1::Ending ending = v1::CANNOT_START;  // where status is not OK
};

class AttemptFolders {
 public:
  // `fs` may be null: then only attempts that need no folder can start.
  AttemptFolders(zone::Fs* fs, WorkerId worker) : fs_(fs), worker_(std::move(worker)) {}
  ~AttemptFolders() { RemoveSpares(); }
  AttemptFolders(const AttemptFolders&) = delete;
  AttemptFolders& operator=(const AttemptFolders&) = delete;

  Prepared Prepare(const Run& run);
  // The attempt is over. What a script wrote stays, and is published with its outcome.
  void Release(const AttemptKey& key);
  // The worker has nothing to do.
  void RemoveSpares();

 private:
  absl::Status Make(const AttemptKey& key);
  bool Keep(const std::string& folder);
  bool OnlyEmptyOutputIn(const std::string& folder);
  void Remove(const std::string& folder);
  std::string Spare(size_t n) const;

  zone::Fs* const fs_;
  const WorkerId worker_;
  std::vector<AttemptKey> own_;  // running attempts without a file
  size_t spares_ = 0;            // spare-1 to spare-<spares_>, each with an empty output folder
  bool tidied_ = false;          // those that a predecessor left are gone
};

}  // namespace laneway::worker
