// PlaceFiles: each file into the folder of its task's current attempt.
#include "fleet/planted.h"
#include "zone/zone_internal.h"

namespace laneway::zone {
namespace {

absl::Status Check(const PlaceRequest& request) {
  if (absl::Status status = CheckTask(request.task, request.attempt); !status.ok()) return status;
  if (!IsWorkerName(request.worker.name)) return absl::InvalidArgumentError("a worker's name is not one");
  if (absl::Status status = CheckUserPath(request.file.path); !status.ok()) return status;
  if (absl::Status status = CheckEarlier(request.earlier); !status.ok()) return status;
  return CheckRedrivenFrom(request.redriven_from);
}

}  // namespace

std::vector<PlaceResult> Zone::PlaceFiles(std::span<const PlaceRequest> requests) {
  std::vector<PlaceResult> results(requests.size());
  const auto all = [&](const absl::Status& status) {
    for (PlaceResult& result : results) result = {PlaceOutcome::kRetry, status, {}};
    return results;
  };
  if (absl::Status status = CheckNotFenced(); !status.ok()) return all(status);
  Batch batch;
  for (size_t i = 0; i < requests.size(); i++) results[i] = PlaceOne(requests[i], batch);
  // Rule Z5: what the packets depend on is on disk before anybody is told.
  if (absl::Status status = Sync(batch); !status.ok()) return all(status);
  if (absl::Status status = CheckNotFenced(); !status.ok()) return all(status);
  return results;
}

PlaceResult Zone::PlaceOne(const PlaceRequest& request, Batch& batch) {
  if (absl::Status status = Check(request); !status.ok()) return {PlaceOutcome::kNowhere, status, {}};
  const auto retry = [](const absl::Status& status) { return PlaceResult{PlaceOutcome::kRetry, status, {}}; };
  const std::string folder = AttemptFolder(request.worker, request.task, request.attempt);
  const std::string target = JoinPath(folder, FileNameInAttempt(request.file));

  absl::StatusOr<Seen> there = LookAt(target, request.file);
  if (!there.ok()) return retry(there.status());
  if (there->match == Match::kSame) {  // an earlier call did it, but may not have come to the sync
    if (absl::Status status = MakeFolderFor(request, batch); !status.ok()) return retry(status);
    return {PlaceOutcome::kPlaced, absl::OkStatus(), request.file};
  }
  bool replaced = false;
  // A file that is found may move on before our rename (a predecessor's last one): then it is looked for
  // again.
  for (int look = 0; look < 3; look++) {
    if (look > 0) batch.everything.reset();
    absl::StatusOr<Found> from = FindToPlace(request, batch, replaced);
    if (!from.ok()) return retry(from.status());
    if (from->path.empty()) break;
    absl::StatusOr<bool> moved = MoveOn(request, *from, batch);
    if (!moved.ok()) return retry(moved.status());
    if (*moved) return {PlaceOutcome::kPlaced, absl::OkStatus(), from->identity};
  }
  return {replaced ? PlaceOutcome::kReplaced : PlaceOutcome::kNowhere, absl::OkStatus(), {}};
}

absl::StatusOr<Zone::Found> Zone::FindToPlace(const PlaceRequest& request, Batch& batch, bool& replaced) {
  const Wanted wanted{&request.task, request.attempt, &request.file, &request.earlier};
  absl::StatusOr<Found> found = FindStaged(wanted, batch);
  if (!found.ok() || found->match == Match::kSame) return found;

  absl::StatusOr<Found> earlier = Found{};
  if (!LANEWAY_PLANTED(kRetryForgetsFile)) earlier = FindInAttempts(wanted, request.attempt);
  if (!earlier.ok() || earlier->match == Match::kSame) return earlier;

  if (!request.redriven_from.empty()) {
    found = Take(request.redriven_from, request.task, request.attempt, request.file, batch, replaced);
    if (!found.ok() || found->match == Match::kSame) return found;
  }
  // Rule Z4: what was claimed is never taken from incoming/ again. A file of that identity there is another
  // arrival.
  if (!request.claimed || LANEWAY_PLANTED(kZ4TakeAgain)) {
    const std::string incoming = InPlace(kIncoming, request.file.path);
    if (LANEWAY_PLANTED(kZ2NoStaging)) {
      absl::StatusOr<Seen> seen = LookAt(incoming, request.file);
      if (seen.ok() && seen->match == Match::kSame)
        return Found{incoming, Match::kSame, 0, false, seen->identity};
    }
    found = Take(incoming, request.task, request.attempt, request.file, batch, replaced);
    if (!found.ok() || !found->path.empty()) return found;
  }
  if (LANEWAY_PLANTED(kRetryForgetsFile)) return Found{};
  found = FindAnywhere(wanted, request.attempt, batch);
  if (!found.ok() || found->match != Match::kNone) return found;
  return earlier;  // perhaps one that its script has changed: it is still the task's file, and all there is
                   // of it
}

absl::Status Zone::MakeFolderFor(const PlaceRequest& request, Batch& batch) {
  const std::string folder = AttemptFolder(request.worker, request.task, request.attempt);
  const std::string_view worker_folder = ParentOf(folder);
  if (request.outputs || !TakeSpare(folder, batch)) {
    absl::Status made = fs_->MakeFolder(folder);
    if (absl::IsNotFound(made)) {
      folders_.erase(std::string(worker_folder));
      if (absl::Status status = MakeFolders(worker_folder, batch); !status.ok()) return status;
      made = fs_->MakeFolder(folder);
    }
    if (!made.ok() && !absl::IsAlreadyExists(made)) return made;
  }
  if (request.outputs) {
    const absl::Status output = fs_->MakeFolder(JoinPath(folder, kOutput));
    if (!output.ok() && !absl::IsAlreadyExists(output)) return output;
  }
  batch.Touch(folder);
  batch.Touch(worker_folder);
  batch.Touch(kProcessing);  // the worker's folder may be a crashed predecessor's that was never synced
  return absl::OkStatus();
}

// A folder in which nothing ever ran gets the attempt's name, which was never used (rule Z1). It comes from
// our staging folder: a dispatcher that was fenced has none any more (rule Z3). False: one must be made.
bool Zone::TakeSpare(const std::string& folder, Batch& batch) {
  if (spares_.empty()) return false;
  const absl::Status moved = fs_->Rename(spares_.back(), folder);
  if (absl::IsAlreadyExists(moved)) return false;
  if (absl::IsNotFound(moved) && !folders_.contains(std::string(ParentOf(folder)))) return false;
  spares_.pop_back();
  if (!moved.ok()) return false;
  batch.Touch(Staging());
  return true;
}

// False: it is not there any more, nor at the target.
absl::StatusOr<bool> Zone::MoveOn(const PlaceRequest& request, const Found& from, Batch& batch) {
  if (absl::Status status = MakeFolderFor(request, batch); !status.ok()) return status;
  const std::string target =
      JoinPath(AttemptFolder(request.worker, request.task, request.attempt), FileNameInAttempt(request.file));
  absl::Status moved = fs_->Rename(from.path, target);
  if (absl::IsAlreadyExists(moved)) {
    absl::StatusOr<Seen> seen = LookAt(target, from.identity);
    if (!seen.ok()) return seen.status();
    if (seen->match != Match::kSame) {  // a stranger: rule Z2
      absl::StatusOr<std::string> back = PutBackAs(target, request.file.path, batch);
      if (!back.ok()) return back.status();
      moved = fs_->Rename(from.path, target);
    }
  }
  batch.Touch(ParentOf(from.path));
  // Identity after each rename. It also settles what a lost reply leaves open.
  absl::StatusOr<Seen> seen = LookAt(target, from.identity);
  if (!seen.ok()) return seen.status();
  if (seen->match == Match::kSame || (moved.ok() && LANEWAY_PLANTED(kZ2NoIdentity))) {
    if (from.staged) ForgetStaged(request.task, from.path);
    return true;
  }
  if (!moved.ok() && !absl::IsNotFound(moved)) return moved;
  if (absl::Status status = CheckNotFenced(); !status.ok()) return status;
  if (moved.ok()) return absl::AbortedError("the file at the target is not the one that was moved there");
  if (from.staged) ForgetStaged(request.task, from.path);
  return false;
}

}  // namespace laneway::zone
