// zone.h: moves the files of tasks through the dispatch zone: incoming → staging → attempt folders → completed, failed or quarantine.
//
// Role:       the rules Z1–Z5, over any Fs. The active dispatcher decides what is to be done; this does it, and says what it found.
// Input:      batches of requests. Output: one result each. Folders of all renames of a batch are synced before a call returns (rule Z5).
// Invariants: (1) a file is in exactly one place; (2) nothing is overwritten or removed that is not ours; (3) a file only moves forward, and never out
//             of a folder of a newer attempt than the request names (Z1); (4) files leave incoming/ and failed/ only through our own staging folder (Z2);
//             (5) when the staging folder is gone, every call answers FAILED_PRECONDITION: we were succeeded (Z3).
// Restart:    every call may be repeated after a crash at any point in it; it continues where it was.
// Threads:    one.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "fleet/ids.h"
#include "laneway/v1/event.pb.h"
#include "zone/fs.h"

namespace laneway::zone {

// One arrival, as rule I1 tells them apart.
struct Identity {
  std::string path;  // relative to incoming/
  uint64_t size = 0;
  int64_t mtime_ns = 0;
  uint64_t inode = 0;
  friend bool operator==(const Identity&, const Identity&) = default;
};
Identity IdentityOf(const v1::FileIdentity& file);
v1::FileIdentity ToProto(const Identity& identity);

enum class Place { kCompleted, kFailed, kQuarantine };
std::string_view PlaceName(Place place);  // "completed", …

// "processing/<worker>/<job>-<n>.<attempt>": where an attempt has its file (under its own name) and its outputs (in "output/").
std::string AttemptFolder(const WorkerId& worker, const TaskId& task, uint32_t attempt);
// What a file is called in its attempt's folder: the last part of its path; "input" when that would be taken for the outputs' folder.
std::string FileNameInAttempt(const Identity& file);

// Where an earlier attempt had the file. Attempts that never had a worker are left out.
struct EarlierAttempt {
  uint32_t attempt = 0;
  WorkerId worker;
};

struct PlaceRequest {
  TaskId task;
  uint32_t attempt = 0;  // the current one, to which the file shall go
  WorkerId worker;
  Identity file;
  bool claimed = false;                    // it is known to have left incoming/: never taken from there again (Z4)
  std::vector<EarlierAttempt> earlier;     // may be incomplete: all of processing/ is searched before "nowhere" is said
  std::string redriven_from;               // where FileMoved said it went, when the task was redriven; empty otherwise
};

enum class PlaceOutcome {
  kPlaced,    // the file of this identity is in the attempt's folder, synced
  kNowhere,   // in none of the places it could be: looked everywhere
  kReplaced,  // another file is at its place in incoming/, its own is nowhere: withdrawn or overwritten by its owner
  kRetry,     // the file system said try again, or there is no space: `status` tells
};

struct PlaceResult {
  PlaceOutcome outcome = PlaceOutcome::kRetry;
  absl::Status status;
};

// A finished job's file leaves for an output folder.
struct FinishRequest {
  TaskId task;
  uint32_t attempt = 0;                  // the last one: folders of higher attempts are left alone
  uint32_t output_attempt = 0;           // whose outputs are published; 0: none
  WorkerId output_worker;
  std::optional<Identity> file;          // none: a started job, which has outputs at the most
  bool claimed = false;                  // false: a cancelled job whose file may still be in incoming/
  std::vector<EarlierAttempt> earlier;   // the current attempt's as well
  Place place = Place::kCompleted;
};

enum class FinishOutcome {
  kMoved,     // by this call or, after a crash, by an earlier one; `path` tells where (relative to the root)
  kClaimed,   // a file that was never started is now in staging: append FileClaimed, then ask again with claimed = true (Z4)
  kNowhere,
  kRetry,
};

struct FinishResult {
  FinishOutcome outcome = FinishOutcome::kRetry;
  std::string path;
  absl::Status status;
};

// What a regular look at the folders found. Repairs are the dispatcher's to decide.
struct Leftover {
  std::string path;                 // below processing/
  std::optional<TaskId> task;       // as its folder is named
  uint32_t attempt = 0;
  bool in_staging = false;
  std::optional<FileInfo> file;     // of the file in it, if there is one
};

class Zone {
 public:
  // `own` names our staging folder, processing/.claim-<own>/.
  Zone(Fs* fs, IncarnationId own) : fs_(fs), own_(own) {}

  // Makes the folders that are missing, and verifies that incoming/ and processing/ are one file system (a rename is tried).
  absl::Status Prepare();

  // Rule Z3: once, before EpochOpened is appended. Never again.
  absl::Status MakeStaging();
  // Rule Z3: renames every other staging folder to "….closed". To be called before anything is decided. Their files are found by Place and Finish,
  // and by LookForLeftovers.
  absl::Status FenceOthers();

  std::vector<PlaceResult> PlaceFiles(std::span<const PlaceRequest> requests);
  std::vector<FinishResult> FinishFiles(std::span<const FinishRequest> requests);

  // Everything that lies below processing/.
  absl::StatusOr<std::vector<Leftover>> LookForLeftovers();
  // A stranger in a folder of ours goes back to incoming/ (under a free name), Z2; an empty folder of an attempt that is over is removed.
  absl::Status PutBack(const Leftover& leftover, std::string_view incoming_path);
  absl::Status RemoveIfEmpty(const Leftover& leftover);

  // A file that may not become a job (symlink, FIFO, unreadable name, …) leaves incoming/ for quarantine/, through staging; with its name.
  absl::StatusOr<std::string> Refuse(std::string_view incoming_path);

  // The check of a worker before it starts (rule Z5 "checked as well"): is this the file, at its attempt's place? NOT_FOUND, FAILED_PRECONDITION (another file).
  static absl::Status Verify(Fs& fs, const WorkerId& worker, const TaskId& task, uint32_t attempt, const Identity& file);

 private:
  Fs* fs_;
  IncarnationId own_;
};

}  // namespace laneway::zone
