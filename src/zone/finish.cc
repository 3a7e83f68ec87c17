// FinishFiles: the file of a finished job into an output folder, its outputs beside it, and nothing left
// behind.
#include <algorithm>

#include "fleet/planted.h"
#include "zone/zone_internal.h"

namespace laneway::zone {
namespace {

constexpr std::string_view kOutputsSuffix = ".output";  // the folder of what a script wrote to output/
constexpr std::string_view kLeftSuffix = ".left";       // what it left beside its input
constexpr size_t kReserve = 16;                         // for these behind a name

absl::Status Check(const FinishRequest& request) {
  if (absl::Status status = CheckTask(request.task, request.attempt); !status.ok()) return status;
  if (absl::Status status = CheckEarlier(request.earlier); !status.ok()) return status;
  if (request.output_attempt != 0 && !IsWorkerName(request.output_worker.name)) {
    return absl::InvalidArgumentError("a worker's name is not one");
  }
  if (absl::Status status = CheckRedrivenFrom(request.redriven_from); !status.ok()) return status;
  return request.file ? CheckUserPath(request.file->path) : absl::OkStatus();
}

// The n-th name to try: the plain one, then with the task's mark, then numbered.
std::string NameToTry(const std::string& path, const TaskId& task, uint32_t n) {
  if (n == 0) return path;
  std::string mark = TaskMark(task);
  if (n > 1) mark += "~" + std::to_string(n);
  return WithMark(path, mark, kReserve);
}

}  // namespace

std::vector<FinishResult> Zone::FinishFiles(std::span<const FinishRequest> requests) {
  std::vector<Finishing> all(requests.size());
  Batch batch;
  absl::Status status = CheckNotFenced();
  if (status.ok()) {
    for (size_t i = 0; i < requests.size(); i++) {
      all[i].request = &requests[i];
      MoveOut(all[i], batch);
    }
    PublishOutputs(all, batch);
    // Rule Z5. First where the files went to, then where they are missed: should only the first survive, the
    // rename is still one thing to every journal.
    status = Sync(batch);
  }
  if (status.ok()) {
    CleanUp(all, batch);
    status = Sync(batch);
  }
  if (status.ok()) status = CheckNotFenced();
  std::vector<FinishResult> results;
  results.reserve(all.size());
  for (Finishing& finishing : all) {
    if (!status.ok()) finishing.result = {FinishOutcome::kRetry, {}, {}, status};
    results.push_back(std::move(finishing.result));
  }
  return results;
}

// Where a job's file or outputs go: the sub-folders of its path below the place. A part that is taken by
// something else gets the task's mark. With `make` they are made.
absl::StatusOr<std::string> Zone::OutputFolder(const FinishRequest& request, bool make, Batch& batch) {
  std::string at(PlaceName(request.place));
  if (!request.file) return at;
  const std::string_view folder = ParentOf(request.file->path);
  std::string whole = folder.empty() ? at : JoinPath(at, folder);
  if (folders_.contains(whole)) return whole;
  for (size_t begin = 0; begin < folder.size();) {
    const size_t end = std::min(folder.find('/', begin), folder.size());
    std::string next = JoinPath(at, folder.substr(begin, end - begin));
    const absl::StatusOr<FileInfo> info = fs_->Stat(next);
    if (!info.ok() && !absl::IsNotFound(info.status())) return info.status();
    if (info.ok() && info->kind != FileKind::kFolder) next += TaskMark(request.task);
    at = std::move(next);
    begin = end + 1;
  }
  if (make) {
    if (absl::Status status = MakeFolders(at, batch); !status.ok()) return status;
  }
  return at;
}

void Zone::MoveOut(Finishing& finishing, Batch& batch) {
  const FinishRequest& request = *finishing.request;
  FinishResult& result = finishing.result;
  const auto retry = [&](const absl::Status& status) { result = {FinishOutcome::kRetry, {}, {}, status}; };
  if (absl::Status status = Check(request); !status.ok()) {
    result = {FinishOutcome::kNowhere, {}, {}, status};
    return;
  }
  for (const EarlierAttempt& attempt : request.earlier) {
    if (attempt.attempt > request.attempt) continue;  // rule Z1
    finishing.attempt_folders.push_back(AttemptFolder(attempt.worker, request.task, attempt.attempt));
  }
  if (request.output_attempt != 0) {
    finishing.output_folder = AttemptFolder(request.output_worker, request.task, request.output_attempt);
    finishing.attempt_folders.push_back(finishing.output_folder);
  }
  std::sort(finishing.attempt_folders.begin(), finishing.attempt_folders.end());
  finishing.attempt_folders.erase(
      std::unique(finishing.attempt_folders.begin(), finishing.attempt_folders.end()),
      finishing.attempt_folders.end());
  if (!request.file) {
    result.outcome = FinishOutcome::kMoved;
    finishing.outputs_due = true;
    return;
  }
  if (!request.claimed && !LANEWAY_PLANTED(kZ4OutputUnclaimed)) return Claim(finishing, batch);

  for (int look = 0; look < 3; look++) {
    absl::StatusOr<Found> from = FindToFinish(finishing, batch);
    if (!from.ok()) return retry(from.status());
    if (result.outcome == FinishOutcome::kMoved) return;  // by an earlier call
    if (from->path.empty()) break;
    absl::StatusOr<std::string> to = MoveToOutput(finishing, *from, batch);
    if (absl::IsNotFound(to.status())) {  // it went elsewhere between our look and our rename
      batch.everything.reset();
      continue;
    }
    if (!to.ok()) return retry(to.status());
    if (from->staged) ForgetStaged(request.task, from->path);
    result = {FinishOutcome::kMoved, *std::move(to), {}, absl::OkStatus()};
    finishing.outputs_due = true;
    return;
  }
  result = {FinishOutcome::kNowhere, {}, {}, absl::OkStatus()};
  finishing.outputs_due = true;
}

absl::StatusOr<Zone::Found> Zone::FindToFinish(Finishing& finishing, Batch& batch) {
  const FinishRequest& request = *finishing.request;
  const Wanted wanted{&request.task, request.attempt, &*request.file, &request.earlier};
  absl::StatusOr<Found> found = FindInAttempts(wanted, request.attempt + 1);
  if (!found.ok() || found->match == Match::kSame) return found;
  const Found changed = *found;
  found = FindStaged(wanted, batch);
  if (!found.ok() || found->match == Match::kSame) return found;

  absl::StatusOr<std::string> moved = FindMoved(request, batch);
  if (!moved.ok()) return moved.status();
  if (!moved->empty()) {
    finishing.result = {FinishOutcome::kMoved, *std::move(moved), {}, absl::OkStatus()};
    finishing.outputs_due = true;
    return Found{};
  }
  found = FindAnywhere(wanted, 0, batch);
  if (!found.ok() || found->match != Match::kNone) return found;
  if (!changed.path.empty()) return changed;
  if (!request.redriven_from.empty()) {
    bool other = false;
    return Take(request.redriven_from, request.task, request.attempt, *request.file, batch, other);
  }
  if (request.claimed) return changed;
  bool replaced = false;  // only with the planted bug: an unclaimed file
  return Take(InPlace(kIncoming, request.file->path), request.task, request.attempt, *request.file, batch,
              replaced);
}

// Rule Z4: the claim must be in the fold before the file goes to an output folder.
void Zone::Claim(Finishing& finishing, Batch& batch) {
  const FinishRequest& request = *finishing.request;
  const Wanted wanted{&request.task, request.attempt, &*request.file, &request.earlier};
  bool replaced = false;
  absl::StatusOr<Found> found = FindStaged(wanted, batch);
  if (found.ok() && found->match == Match::kNone) found = FindInAttempts(wanted, request.attempt + 1);
  if (found.ok() && found->match == Match::kNone) {
    found = Take(InPlace(kIncoming, request.file->path), request.task, request.attempt, *request.file, batch,
                 replaced);
  }
  if (found.ok() && found->match == Match::kNone) found = FindAnywhere(wanted, 0, batch);
  if (!found.ok()) {
    finishing.result = {FinishOutcome::kRetry, {}, {}, found.status()};
  } else if (found->match == Match::kNone) {
    finishing.result = {FinishOutcome::kNowhere, {}, {}, absl::OkStatus()};
  } else {
    batch.TouchParents(InPlace(kIncoming, request.file->path), found->path);
    finishing.result = {FinishOutcome::kClaimed, {}, {}, absl::OkStatus()};
  }
}

absl::StatusOr<std::string> Zone::MoveToOutput(const Finishing& finishing, const Found& from, Batch& batch) {
  const FinishRequest& request = *finishing.request;
  absl::StatusOr<std::string> folder = OutputFolder(request, true, batch);
  if (!folder.ok()) return folder.status();
  const std::string plain = JoinPath(*folder, NameOf(request.file->path));
  bool made_again = false;
  // A file that its script has changed takes the marked name at once: only that tells a later call whose it
  // is.
  for (uint32_t n = from.match == Match::kChanged ? 1 : 0; n < kFreeNamesMax; n++) {
    const std::string to = NameToTry(plain, request.task, n);
    absl::Status moved = fs_->Rename(from.path, to);
    if (absl::IsNotFound(moved) && !made_again) {  // somebody tidied the output folders
      made_again = true;
      for (std::string_view gone = *folder; !gone.empty(); gone = ParentOf(gone))
        folders_.erase(std::string(gone));
      if (absl::Status status = MakeFolders(*folder, batch); !status.ok()) return status;
      moved = fs_->Rename(from.path, to);
    }
    absl::StatusOr<Seen> seen = LookAt(to, from.identity);  // identity after each rename
    if (!seen.ok()) return seen.status();
    if (seen->match == Match::kSame) {
      batch.Touch(ParentOf(to));
      if (from.staged) batch.Touch(ParentOf(from.path));
      return to;
    }
    if (moved.ok())
      return absl::AbortedError("the file in the output folder is not the one that was moved there");
    if (!absl::IsAlreadyExists(moved)) return moved;
  }
  return absl::ResourceExhaustedError(Concat({"no free name for ", Printable(plain)}));
}

// Where an earlier call moved it to, that did not come to its end. Empty: nowhere.
absl::StatusOr<std::string> Zone::FindMoved(const FinishRequest& request, Batch& batch) {
  absl::StatusOr<std::string> folder = OutputFolder(request, false, batch);
  if (!folder.ok()) return folder.status();
  const std::string plain = JoinPath(*folder, NameOf(request.file->path));
  for (uint32_t n = 0; n < kFreeNamesMax; n++) {
    std::string path = NameToTry(plain, request.task, n);
    absl::StatusOr<Seen> seen = LookAt(path, *request.file);
    if (!seen.ok()) return seen.status();
    if (seen->match == Match::kNone && n > 0) break;
    if (seen->match != Match::kSame && (seen->match != Match::kChanged || n == 0)) continue;
    if (absl::Status status = MakeFolders(*folder, batch); !status.ok()) return status;
    batch.Touch(*folder);
    return path;
  }
  return std::string();
}

// Moves a folder beside the job's file, or to where that would be, as "<name><suffix>".
absl::StatusOr<std::string> Zone::MoveBeside(const Finishing& finishing, const std::string& from,
                                             std::string_view suffix, Batch& batch) {
  const FinishRequest& request = *finishing.request;
  std::string base = finishing.result.path;
  if (base.empty()) {
    absl::StatusOr<std::string> folder = OutputFolder(request, true, batch);
    if (!folder.ok()) return folder.status();
    base = JoinPath(*folder, request.file ? NameOf(request.file->path) : request.task.ToFileName());
  }
  for (uint32_t n = 0; n < kFreeNamesMax; n++) {
    std::string to = NameToTry(base, request.task, n) + std::string(suffix);
    const absl::Status moved = fs_->Rename(from, to);
    if (absl::IsAlreadyExists(moved)) continue;
    if (!moved.ok()) return moved;
    batch.TouchParents(from, to);
    return to;
  }
  return absl::ResourceExhaustedError(Concat({"no free name for the outputs of ", Printable(base)}));
}

// Nothing ran in the attempts' folders, and nothing is in them. What somebody put there all the same goes the
// way of outputs.
bool Zone::IsBare(const Finishing& finishing) {
  if (finishing.request->outputs) return false;
  return std::all_of(finishing.attempt_folders.begin(), finishing.attempt_folders.end(),
                     [this](const std::string& folder) {
                       const absl::StatusOr<std::vector<FolderEntry>> entries = fs_->List(folder);
                       return entries.ok() ? entries->empty() : absl::IsNotFound(entries.status());
                     });
}

// To make and to remove a folder costs file systems more than anything else here: they note each inode, and
// shun those that were freed lately. True: it is gone from its place.
bool Zone::KeepAsSpare(const std::string& folder, Batch& batch) {
  if (spares_.size() >= kSparesMax) return false;
  std::string spare = Concat({Staging(), "/", kSparePrefix, std::to_string(++spares_named_)});
  const absl::Status moved = fs_->Rename(folder, spare);
  if (absl::IsNotFound(moved)) return true;
  if (!moved.ok()) return false;
  batch.TouchParents(folder, spare);
  spares_.push_back(std::move(spare));
  return true;
}

void Zone::PublishOutputs(std::vector<Finishing>& all, Batch& batch) {
  std::vector<std::string> folders;
  std::vector<Finishing*> owners;
  for (Finishing& finishing : all) {
    if (!finishing.outputs_due || finishing.output_folder.empty()) continue;
    finishing.bare = IsBare(finishing);
    if (finishing.bare) continue;
    folders.push_back(JoinPath(finishing.output_folder, kOutput));
    owners.push_back(&finishing);
  }
  const std::vector<absl::Status> removed = fs_->RemoveFolders(folders);
  for (size_t i = 0; i < folders.size(); i++) {
    absl::Status status = removed[i];
    if (status.ok() || absl::IsNotFound(status)) continue;  // empty; or published by an earlier call
    if (absl::IsFailedPrecondition(status)) {
      absl::StatusOr<std::string> to = MoveBeside(*owners[i], folders[i], kOutputsSuffix, batch);
      if (to.ok()) owners[i]->result.outputs = *to;
      status = to.status();
    }
    if (status.ok() || absl::IsNotFound(status)) continue;
    owners[i]->result = {FinishOutcome::kRetry, {}, {}, status};
    owners[i]->outputs_due = false;
  }
}

// Folders of attempts that are over. What cannot be removed stays, and LookForLeftovers tells of it.
void Zone::CleanUp(std::vector<Finishing>& all, Batch& batch) {
  std::vector<std::string> superseded;
  std::vector<std::string> folders;
  std::vector<Finishing*> owners;
  for (Finishing& finishing : all) {
    if (!finishing.outputs_due) continue;
    for (const std::string& folder : finishing.attempt_folders) {
      if (finishing.bare && KeepAsSpare(folder, batch)) continue;
      if (folder != finishing.output_folder) superseded.push_back(JoinPath(folder, kOutput));
      folders.push_back(folder);
      owners.push_back(&finishing);
    }
  }
  const std::vector<absl::Status> emptied = fs_->RemoveFolders(superseded);
  for (size_t i = 0; i < superseded.size(); i++) {
    // Outputs of an attempt that does not count: nothing of a user's.
    if (absl::IsFailedPrecondition(emptied[i])) fs_->RemoveTree(superseded[i]).IgnoreError();
  }
  const std::vector<absl::Status> removed = fs_->RemoveFolders(folders);
  for (size_t i = 0; i < folders.size(); i++) {
    if (absl::IsFailedPrecondition(removed[i])) {
      // The script wrote beside its input. It may be worth something to somebody: it goes along, as it is.
      MoveBeside(*owners[i], folders[i], kLeftSuffix, batch).status().IgnoreError();
    }
    if (!absl::IsNotFound(removed[i])) batch.Touch(ParentOf(folders[i]));
  }
}

}  // namespace laneway::zone
