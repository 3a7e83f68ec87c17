// Where a task's file is. A file only moves forward, so the places are looked through in the order of its
// way: it cannot slip past a look while another dispatcher's last rename is carried out.
#include <algorithm>

#include "zone/zone_internal.h"

#include "fleet/planted.h"

namespace laneway::zone {

void Zone::ForgetStaged(const TaskId& task, std::string_view path) {
  const auto [begin, end] = staged_.equal_range(task);
  for (auto it = begin; it != end; ++it) {
    if (it->second.path == path) {
      staged_.erase(it);
      return;
    }
  }
}

absl::StatusOr<Zone::Found> Zone::FindStaged(const Wanted& wanted, Batch& batch) {
  std::vector<Spot> spots;
  for (auto [it, end] = staged_.equal_range(*wanted.task); it != end; ++it) spots.push_back(it->second);
  for (const Spot& spot : spots) {
    if (spot.attempt > wanted.attempt_max) continue;  // rule Z1
    absl::StatusOr<Seen> seen = LookAt(spot.path, *wanted.file);
    if (!seen.ok()) return seen.status();
    if (seen->match == Match::kSame)
      return Found{spot.path, Match::kSame, spot.attempt, true, seen->identity};
    ForgetStaged(*wanted.task, spot.path);
    if (seen->match == Match::kNone) continue;
    // Its dispatcher stopped between the rename and the check: rule Z2, another file goes back.
    absl::StatusOr<std::string> back = PutBackAs(spot.path, wanted.file->path, batch);
    if (!back.ok()) return back.status();
  }
  return Found{};
}

// In the folders that the fold knows of, attempts below `below` only (rule Z1).
absl::StatusOr<Zone::Found> Zone::FindInAttempts(const Wanted& wanted, uint32_t below) {
  std::vector<const EarlierAttempt*> attempts;
  for (const EarlierAttempt& attempt : *wanted.earlier) {
    if (attempt.attempt < below || LANEWAY_PLANTED(kZ1BackwardMove)) attempts.push_back(&attempt);
  }
  std::sort(attempts.begin(), attempts.end(),
            [](const auto* a, const auto* b) { return a->attempt < b->attempt; });
  Found changed;
  for (const EarlierAttempt* attempt : attempts) {
    const std::string path = JoinPath(AttemptFolder(attempt->worker, *wanted.task, attempt->attempt),
                                      FileNameInAttempt(*wanted.file));
    absl::StatusOr<Seen> seen = LookAt(path, *wanted.file);
    if (!seen.ok()) return seen.status();
    if (seen->match == Match::kSame)
      return Found{path, Match::kSame, attempt->attempt, false, seen->identity};
    if (seen->match == Match::kChanged)
      changed = {path, Match::kChanged, attempt->attempt, false, seen->identity};
  }
  return changed;
}

// A script may have renamed its input in place; then only the identity tells.
absl::StatusOr<Zone::Found> Zone::FindInFolder(const std::string& folder, const Identity& file) {
  absl::StatusOr<std::vector<FolderItem>> items = fs_->ListWithInfo(folder);
  if (absl::IsNotFound(items.status())) return Found{};
  if (!items.ok()) return items.status();
  Found changed;
  for (const FolderItem& item : *items) {
    if (item.info.kind != FileKind::kRegular) continue;
    Identity identity = IdentityOf(file.path, item.info);
    if (identity == file)
      return Found{JoinPath(folder, item.name), Match::kSame, 0, false, std::move(identity)};
    if (item.name == FileNameInAttempt(file) || item.info.inode == file.inode) {
      changed = {JoinPath(folder, item.name), Match::kChanged, 0, false, std::move(identity)};
    }
  }
  return changed;
}

// Rule Z5: "nowhere" is only said after a look through all of processing/.
absl::StatusOr<Zone::Found> Zone::FindAnywhere(const Wanted& wanted, uint32_t not_in_attempt, Batch& batch) {
  if (!batch.everything) {
    absl::StatusOr<Spots> spots = ListProcessing();
    if (!spots.ok()) return spots.status();
    batch.everything = *std::move(spots);
  }
  std::vector<Spot> spots;
  for (auto [it, end] = batch.everything->equal_range(*wanted.task); it != end; ++it) {
    const bool newer = it->second.attempt > wanted.attempt_max;
    if (!newer || LANEWAY_PLANTED(kZ1BackwardMove)) spots.push_back(it->second);  // rule Z1
  }
  std::sort(spots.begin(), spots.end(), [](const Spot& a, const Spot& b) {
    return a.staged != b.staged ? a.staged : a.attempt != b.attempt ? a.attempt < b.attempt : a.path < b.path;
  });
  Found changed;
  for (const Spot& spot : spots) {
    absl::StatusOr<Found> found = Found{};
    if (spot.staged) {
      absl::StatusOr<Seen> seen = LookAt(spot.path, *wanted.file);
      if (!seen.ok()) return seen.status();
      if (seen->match == Match::kSame) found = Found{spot.path, Match::kSame, 0, true, seen->identity};
    } else {
      found = FindInFolder(spot.path, *wanted.file);
    }
    if (!found.ok()) return found.status();
    found->attempt = spot.attempt;
    if (found->match == Match::kSame) return found;
    if (found->match == Match::kChanged && spot.attempt != not_in_attempt) changed = *std::move(found);
  }
  for (const std::string& folder : strays_) {
    absl::StatusOr<Found> found = FindInFolder(folder, *wanted.file);
    if (!found.ok() || found->match == Match::kSame) return found;
  }
  return changed;
}

absl::StatusOr<Zone::Found> Zone::Take(const std::string& from, const TaskId& task, uint32_t attempt,
                                       const Identity& file, Batch& batch, bool& replaced) {
  absl::StatusOr<Seen> seen = LookAt(from, file);
  if (!seen.ok()) return seen.status();
  if (seen->match == Match::kNone) return Found{};
  if (seen->match != Match::kSame && !LANEWAY_PLANTED(kZ2NoIdentity)) {
    replaced = true;
    return Found{};
  }
  const std::string staged = JoinPath(Staging(), ToAttemptName(task, attempt));
  absl::Status moved = fs_->Rename(from, staged);
  if (absl::IsAlreadyExists(moved)) {
    // A claim of ours that was not brought to its end (no space, …), and not the file: FindStaged would have
    // found it.
    absl::StatusOr<std::string> back = PutBackAs(staged, file.path, batch);
    if (!back.ok()) return back.status();
    moved = fs_->Rename(from, staged);
  }
  if (!moved.ok() && !absl::IsNotFound(moved) && !absl::IsUnavailable(moved)) return moved;
  if (!moved.ok()) {
    if (absl::Status status = CheckNotFenced(); !status.ok()) return status;
  }
  // Whatever the answer was (a network share may lose the reply of a rename that was done): the place tells.
  batch.TouchParents(from, staged);
  absl::StatusOr<Seen> claimed = LookAt(staged, file);
  if (!claimed.ok()) return claimed.status();
  if (claimed->match == Match::kNone)
    return moved.ok() || absl::IsNotFound(moved) ? Found{} : absl::StatusOr<Found>(moved);
  if (claimed->match != Match::kSame && !LANEWAY_PLANTED(kZ2NoIdentity)) {
    // It was exchanged between the look and the rename.
    replaced = true;
    const bool from_incoming = IsBelow(from, kIncoming);
    if (from_incoming) {
      absl::StatusOr<std::string> back = PutBackAs(staged, from.substr(kIncoming.size() + 1), batch);
      if (!back.ok()) return back.status();
      return Found{};
    }
    for (uint32_t i = 0; i < kFreeNamesMax; i++) {
      const absl::Status back = fs_->Rename(staged, i == 0 ? from : WithMark(from, "~" + std::to_string(i)));
      if (back.ok()) return Found{};
      if (!absl::IsAlreadyExists(back)) return back;
    }
    return absl::ResourceExhaustedError("no free name to put a file back");
  }
  staged_.emplace(task, Spot{staged, attempt, true});
  return Found{staged, Match::kSame, attempt, true, claimed->identity};
}

}  // namespace laneway::zone
