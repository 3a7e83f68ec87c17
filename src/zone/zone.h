// zone.h: moves the files of tasks through the dispatch zone: incoming → staging → attempt folders →
// completed, failed or quarantine.
//
// Role:       the rules Z1–Z5, over any Fs. The active dispatcher decides what is to be done; this does it,
//             and says what it found.
// Input:      batches of requests.
// Output:     one result each. Folders of all renames of a batch are synced before a call returns (rule Z5);
//             larger batches cost less a file.
// Invariants: (1) a file is in exactly one place; (2) nothing is overwritten or removed that is not ours; (3)
//             a file only moves forward, and never out of a folder of a newer attempt than the request names
//             (Z1); (4) files leave incoming/ and failed/ only through our own staging folder (Z2); (5) when
//             the staging folder is gone, every call answers FAILED_PRECONDITION: we were succeeded (Z3).
//             Names:      paths that come from outside are checked before use: INVALID_ARGUMENT, never
//             retried. Restart:    every call may be repeated after a crash at any point in it; it continues
//             where it was.
// Threads:    one.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "fleet/ids.h"
#include "laneway/v1/event.pb.h"
#include "zone/fs.h"

namespace laneway::zone {

// One arrival, as rule I1 tells them apart.
struct Identity {
  std::string path{};  // relative to incoming/
  uint64_t size = 0;
  int64_t mtime_ns = 0;
  uint64_t inode = 0;
  friend bool operator==(const Identity&, const Identity&) = default;
};
Identity IdentityOf(const v1::FileIdentity& file);
v1::FileIdentity ToProto(const Identity& identity);

enum class Place { kCompleted, kFailed, kQuarantine };
std::string_view PlaceName(Place place);  // "completed", …

// "processing/<worker>/<job>-<n>.<attempt>": where an attempt has its file (under its own name) and its
// outputs (in "output/").
std::string AttemptFolder(const WorkerId& worker, const TaskId& task, uint32_t attempt);
// What a file is called in its attempt's folder: the last part of its path; "input" when that would be taken
// for the outputs' folder.
std::string FileNameInAttempt(const Identity& file);

// Where an earlier attempt had the file. Attempts that never had a worker are left out.
struct EarlierAttempt {
  uint32_t attempt = 0;
  WorkerId worker{};
};

struct PlaceRequest {
  TaskId task{};
  uint32_t attempt = 0;  // the current one, to which the file shall go
  WorkerId worker{};
  Identity file{};
  bool claimed = false;  // it is known to have left incoming/: never taken from there again (Z4)
  std::vector<EarlierAttempt>
      earlier;                  // may be incomplete: all of processing/ is searched before "nowhere" is said
  std::string redriven_from{};  // where FileMoved said it went, when the task was redriven; empty otherwise
  bool outputs = true;  // false: nothing runs in the folder, and nobody writes to it: it has no output/
};

enum class PlaceOutcome {
  kPlaced,    // the file of this identity is in the attempt's folder, synced
  kNowhere,   // in none of the places it could be: looked everywhere
  kReplaced,  // another file is at its place in incoming/, its own is nowhere: withdrawn or overwritten by
              // its owner
  kRetry,     // the file system said try again, or there is no space: `status` tells
};

struct PlaceResult {
  PlaceOutcome outcome = PlaceOutcome::kRetry;
  absl::Status status;
  // kPlaced: the file as it lies there. It differs from the request's only when the script of an earlier
  // attempt changed its input; then this is what the packet names and the worker verifies.
  Identity found;
};

// A finished job's file leaves for an output folder.
struct FinishRequest {
  TaskId task{};
  uint32_t attempt = 0;         // the last one: folders of higher attempts are left alone
  uint32_t output_attempt = 0;  // whose outputs are published; 0: none
  WorkerId output_worker{};
  std::optional<Identity> file{};         // none: a started job, which has outputs at the most
  bool claimed = false;                   // false: a cancelled job whose file may still be in incoming/
  std::vector<EarlierAttempt> earlier{};  // the current attempt's as well
  // as PlaceRequest: a redriven job that was cancelled before its file was taken from there
  std::string redriven_from{};
  Place place = Place::kCompleted;
  bool outputs = true;  // as in PlaceRequest; should there be any nevertheless, they are not lost
};

enum class FinishOutcome {
  kMoved,    // by this call or, after a crash, by an earlier one; `path` tells where (relative to the root)
  kClaimed,  // a file that was never started is now in staging: append FileClaimed, then ask again with
             // claimed = true (Z4)
  kNowhere,
  kRetry,
};

struct FinishResult {
  FinishOutcome outcome = FinishOutcome::kRetry;
  std::string path;
  std::string outputs;  // the folder of outputs that this call published (relative to the root); empty: none
  absl::Status status;
};

// What a regular look at the folders found. Repairs are the dispatcher's to decide.
struct Leftover {
  std::string path;            // relative to the root: of the file when there is one, else of the folder
  std::string folder;          // the attempt's or staging folder it is in, relative to the root
  std::optional<TaskId> task;  // as its folder (in staging: the file) is named; none: not named by us
  uint32_t attempt = 0;
  bool in_staging = false;       // our own, or a fenced one
  std::optional<FileInfo> file;  // none: a folder that holds nothing but outputs, at the most
};

class Zone {
 public:
  // `own` names our staging folder, processing/.claim-<own>/.
  Zone(Fs* fs, IncarnationId own);

  // Makes the folders that are missing, and verifies that all of them are one file system (a rename is
  // tried): INVALID_ARGUMENT, saying which is not.
  absl::Status Prepare();

  // Rule Z3: once, before EpochOpened is appended. Never again (ALREADY_EXISTS).
  absl::Status MakeStaging();
  // Rule Z3: renames every other staging folder to "….closed". To be called before anything is decided. Their
  // files are found by Place and Finish, and by LookForLeftovers.
  absl::Status FenceOthers();

  std::vector<PlaceResult> PlaceFiles(std::span<const PlaceRequest> requests);
  std::vector<FinishResult> FinishFiles(std::span<const FinishRequest> requests);

  // Everything that lies below processing/, but in staging folders that are neither ours nor fenced.
  absl::StatusOr<std::vector<Leftover>> LookForLeftovers();
  // A stranger in a folder of ours goes back to incoming/ (under a free name), Z2. Returns where, relative to
  // incoming/.
  absl::StatusOr<std::string> PutBack(const Leftover& leftover, std::string_view incoming_path);
  // The folder of an attempt that is over, or a fenced staging folder. FAILED_PRECONDITION when something is
  // in it.
  absl::Status RemoveIfEmpty(const Leftover& leftover);

  // What may not become a job (symlink, FIFO, a name too long, …) leaves incoming/ for quarantine/, through
  // staging, with its name. Returns where, relative to the root. ABORTED: it has become an ordinary file
  // meanwhile, and is back.
  absl::StatusOr<std::string> Refuse(std::string_view incoming_path);

  // The check of a worker before it starts (rule Z5 "checked as well"): is this the file, at its attempt's
  // place? NOT_FOUND, FAILED_PRECONDITION (another file).
  static absl::Status Verify(Fs& fs, const WorkerId& worker, const TaskId& task, uint32_t attempt,
                             const Identity& file);
  // For attempts that have no file: makes the attempt's folder with its output folder. Fine when they are
  // there.
  static absl::Status MakeAttemptFolder(Fs& fs, const WorkerId& worker, const TaskId& task, uint32_t attempt);

 private:
  // Where a file of a task may lie below processing/: a file in staging, or a folder of an attempt.
  struct Spot {
    std::string path;
    uint32_t attempt = 0;
    bool staged = false;
  };
  using Spots = std::multimap<TaskId, Spot>;
  struct Batch;      // what is collected while a batch is worked on
  struct Finishing;  // one FinishRequest on its way
  enum class Match { kNone, kSame, kChanged, kOther };
  struct Seen {
    Match match = Match::kNone;
    Identity identity;  // of what is there
  };

  // zone.cc
  std::string Staging() const;
  absl::Status CheckNotFenced();
  absl::StatusOr<Seen> LookAt(std::string_view path, const Identity& file);
  absl::Status MakeFolders(std::string_view path, Batch& batch);
  absl::StatusOr<std::string> PutBackAs(std::string_view path, std::string_view incoming_path, Batch& batch);
  absl::StatusOr<Spots> ListProcessing();
  absl::StatusOr<std::vector<std::string>> ClosedStaging();
  absl::Status Sync(Batch& batch);

  // find.cc: where a task's file is
  struct Wanted {
    const TaskId* task;
    uint32_t attempt_max;
    const Identity* file;
    const std::vector<EarlierAttempt>* earlier;
  };
  struct Found {
    std::string path;  // empty: not found
    Match match = Match::kNone;
    uint32_t attempt = 0;
    bool staged = false;
    Identity identity;
  };
  absl::StatusOr<Found> FindStaged(const Wanted& wanted, Batch& batch);
  absl::StatusOr<Found> FindInAttempts(const Wanted& wanted, uint32_t below);
  absl::StatusOr<Found> FindAnywhere(const Wanted& wanted, uint32_t not_in_attempt, Batch& batch);
  absl::StatusOr<Found> FindInFolder(const std::string& folder, const Identity& file);
  // Rule Z2: from incoming/ or failed/ into our staging folder, and verified there. Found: the staged file.
  // `replaced` is set when another file was at the place.
  absl::StatusOr<Found> Take(const std::string& from, const TaskId& task, uint32_t attempt,
                             const Identity& file, Batch& batch, bool& replaced);
  void ForgetStaged(const TaskId& task, std::string_view path);

  // place.cc
  PlaceResult PlaceOne(const PlaceRequest& request, Batch& batch);
  absl::StatusOr<Found> FindToPlace(const PlaceRequest& request, Batch& batch, bool& replaced);
  absl::StatusOr<bool> MoveOn(const PlaceRequest& request, const Found& from, Batch& batch);
  absl::Status MakeFolderFor(const PlaceRequest& request, Batch& batch);
  bool TakeSpare(const std::string& folder, Batch& batch);

  // finish.cc
  void MoveOut(Finishing& finishing, Batch& batch);
  void Claim(Finishing& finishing, Batch& batch);
  absl::StatusOr<std::string> MoveToOutput(const Finishing& finishing, const Found& from, Batch& batch);
  absl::StatusOr<Found> FindToFinish(Finishing& finishing, Batch& batch);
  absl::StatusOr<std::string> FindMoved(const FinishRequest& request, Batch& batch);
  absl::StatusOr<std::string> OutputFolder(const FinishRequest& request, bool make, Batch& batch);
  absl::StatusOr<std::string> MoveBeside(const Finishing& finishing, const std::string& from,
                                         std::string_view suffix, Batch& batch);
  void PublishOutputs(std::vector<Finishing>& all, Batch& batch);
  void CleanUp(std::vector<Finishing>& all, Batch& batch);
  bool IsBare(const Finishing& finishing);
  bool KeepAsSpare(const std::string& folder, Batch& batch);

  // leftovers.cc
  absl::Status LookInStaging(const std::string& folder, const FolderItem& entry,
                             std::vector<Leftover>& found);
  absl::Status LookInAttempt(const std::string& folder, const FolderItem& entry,
                             std::vector<Leftover>& found);
  absl::StatusOr<std::string> MoveToQuarantine(const std::string& staged, std::string_view incoming_path,
                                               Batch& batch);

  Fs* fs_;
  IncarnationId own_;
  Spots staged_;  // what we know to lie in fenced staging folders and our own
  std::set<std::string>
      folders_;  // folders we know to exist; wrong at worst, then a rename fails and they are made again
  uint64_t refused_ = 0;  // names what is on its way to quarantine/
  // Empty folders in our staging folder, to become attempts' folders; wrong at worst, then one is made.
  std::vector<std::string> spares_;
  uint64_t spares_named_ = 0;
  // Of fenced dispatchers, with something in them: a power loss kept a file's rename into an attempt's
  // folder, and not the one that had given the folder its name.
  std::vector<std::string> strays_;
};

}  // namespace laneway::zone
