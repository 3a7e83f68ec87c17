#include "zone/zone.h"

#include <algorithm>

#include "zone/zone_internal.h"

#include "fleet/planted.h"

namespace laneway::zone {

Identity IdentityOf(const v1::FileIdentity& file) {
  return {.path = file.path(), .size = file.size(), .mtime_ns = file.mtime_ns(), .inode = file.inode()};
}

v1::FileIdentity ToProto(const Identity& identity) {
  v1::FileIdentity file;
  file.set_path(identity.path);
  file.set_size(identity.size);
  file.set_mtime_ns(identity.mtime_ns);
  file.set_inode(identity.inode);
  return file;
}

std::string_view PlaceName(Place place) {
  switch (place) {
    case Place::kCompleted:
      return "completed";
    case Place::kFailed:
      return kFailed;
    case Place::kQuarantine:
      return kQuarantine;
  }
  return kFailed;
}

std::string AttemptFolder(const WorkerId& worker, const TaskId& task, uint32_t attempt) {
  return Concat({kProcessing, "/", worker.name, "/", ToAttemptName(task, attempt)});
}

std::string FileNameInAttempt(const Identity& file) {
  const std::string_view name = NameOf(file.path);
  return std::string(name == kOutput ? "input" : name);
}

absl::Status CheckTask(const TaskId& task, uint32_t attempt) {
  if (task.n == 0 || task.n > 999'999'999) return absl::InvalidArgumentError("task number out of range");
  if (attempt == 0 || attempt > 999'999'999) return absl::InvalidArgumentError("attempt out of range");
  return absl::OkStatus();
}

absl::Status CheckEarlier(const std::vector<EarlierAttempt>& earlier) {
  for (const EarlierAttempt& attempt : earlier) {
    if (!IsWorkerName(attempt.worker.name)) return absl::InvalidArgumentError("a worker's name is not one");
  }
  return absl::OkStatus();
}

absl::Status CheckRedrivenFrom(std::string_view path) {
  if (path.empty()) return absl::OkStatus();
  if (absl::Status status = CheckPath(path); !status.ok()) return status;
  for (Place place : {Place::kCompleted, Place::kFailed, Place::kQuarantine}) {
    if (IsBelow(path, PlaceName(place))) return absl::OkStatus();
  }
  return absl::InvalidArgumentError("a redriven file is below completed/, failed/ or quarantine/");
}

std::string InPlace(std::string_view place, std::string_view path) { return Concat({place, "/", path}); }

std::string TaskMark(const TaskId& task) { return "~" + task.ToFileName(); }

Identity IdentityOf(std::string_view path, const FileInfo& info) {
  return {.path = std::string(path), .size = info.size, .mtime_ns = info.mtime_ns, .inode = info.inode};
}

absl::Status Fenced() {
  return absl::FailedPreconditionError(
      "our staging folder is gone: another dispatcher has taken over (rule Z3)");
}

Zone::Zone(Fs* fs, IncarnationId own) : fs_(fs), own_(own) {}

std::string Zone::Staging() const { return Concat({kProcessing, "/", kClaimPrefix, own_.ToString()}); }

// Rule Z3: a dispatcher whose staging folder is gone steps down.
absl::Status Zone::CheckNotFenced() {
  const absl::StatusOr<FileInfo> staging = fs_->Stat(Staging());
  if (absl::IsNotFound(staging.status())) return Fenced();
  return staging.status();
}

absl::Status Zone::Prepare() {
  Batch batch;
  for (std::string_view folder : {"incoming", "processing", "completed", "failed", "quarantine", "logs"}) {
    const absl::Status made = fs_->MakeFolder(folder);
    if (!made.ok() && !absl::IsAlreadyExists(made)) return made;
    const absl::StatusOr<FileInfo> info = fs_->Stat(folder);
    if (!info.ok()) return info.status();
    if (info->kind != FileKind::kFolder) {
      return absl::InvalidArgumentError(
          Concat({folder, " in the dispatch zone is not a folder: move it away"}));
    }
    folders_.emplace(folder);
  }
  // st_dev does not tell everything (bind mounts, exports): only a rename does. A folder is sent round.
  const std::string probe_name = Concat({".probe-", own_.ToString()});
  std::string at = JoinPath(kProcessing, probe_name);
  const absl::Status made = fs_->MakeFolder(at);
  if (!made.ok() && !absl::IsAlreadyExists(made)) return made;
  absl::Status result;
  for (std::string_view folder : {"incoming", "completed", "failed", "quarantine"}) {
    const std::string to = JoinPath(folder, probe_name);
    const absl::Status moved = fs_->Rename(at, to);
    if (!moved.ok()) {
      const absl::Status error(moved.code(),
                               Concat({folder,
                                       "/ and processing/ must be on one file system, where files can be "
                                       "renamed from one to the other: ",
                                       std::string(moved.message())}));
      result = error;
      break;
    }
    at = to;
  }
  const absl::Status removed = fs_->RemoveFolder(at);
  if (!result.ok()) return result;
  if (!removed.ok() && !absl::IsNotFound(removed)) return removed;
  batch.Touch("");
  batch.Touch(kProcessing);
  return Sync(batch);
}

absl::Status Zone::MakeStaging() {
  const absl::Status made = fs_->MakeFolder(Staging());
  if (!made.ok()) return made;
  Batch batch;
  batch.Touch(kProcessing);
  return Sync(batch);
}

absl::StatusOr<std::vector<std::string>> Zone::ClosedStaging() {
  absl::StatusOr<std::vector<FolderEntry>> entries = fs_->List(kProcessing);
  if (!entries.ok()) return entries.status();
  std::vector<std::string> closed;
  for (const FolderEntry& entry : *entries) {
    if (entry.name.starts_with(kClaimPrefix) && entry.name.ends_with(kClosedSuffix))
      closed.push_back(entry.name);
  }
  std::sort(closed.begin(), closed.end());
  return closed;
}

absl::Status Zone::FenceOthers() {
  absl::StatusOr<std::vector<FolderEntry>> entries = fs_->List(kProcessing);
  if (!entries.ok()) return entries.status();
  const std::string own = std::string(NameOf(Staging()));
  Batch batch;
  for (const FolderEntry& entry : *entries) {
    if (!entry.name.starts_with(kClaimPrefix) || entry.name.ends_with(kClosedSuffix) || entry.name == own)
      continue;
    if (LANEWAY_PLANTED(kZ3NoFence)) continue;
    const std::string path = JoinPath(kProcessing, entry.name);
    absl::Status renamed = fs_->Rename(path, path + std::string(kClosedSuffix));
    for (uint32_t i = 2; absl::IsAlreadyExists(renamed) && i < kFreeNamesMax; i++) {
      renamed = fs_->Rename(path, Concat({path, ".", std::to_string(i), kClosedSuffix}));
    }
    if (!renamed.ok() && !absl::IsNotFound(renamed)) return renamed;  // gone: somebody else fenced it
    batch.Touch(kProcessing);
  }
  if (absl::Status status = Sync(batch); !status.ok()) return status;

  // From here on nothing enters the fenced folders any more: what is in them now is all there is.
  absl::StatusOr<std::vector<std::string>> closed = ClosedStaging();
  if (!closed.ok()) return closed.status();
  staged_.clear();
  strays_.clear();
  for (std::string folder : *closed) {
    folder = JoinPath(kProcessing, folder);
    absl::StatusOr<std::vector<FolderEntry>> files = fs_->List(folder);
    if (absl::IsNotFound(files.status())) continue;
    if (!files.ok()) return files.status();
    for (const FolderEntry& file : *files) {
      if (file.name.starts_with(kSparePrefix)) {
        const std::string spare = JoinPath(folder, file.name);
        if (absl::IsFailedPrecondition(fs_->RemoveFolder(spare))) strays_.push_back(spare);
        continue;
      }
      const std::optional<AttemptName> name = ParseAttemptName(file.name);
      if (name) staged_.emplace(name->task, Spot{JoinPath(folder, file.name), name->attempt, true});
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<Zone::Seen> Zone::LookAt(std::string_view path, const Identity& file) {
  const absl::StatusOr<FileInfo> info = fs_->Stat(path);
  if (absl::IsNotFound(info.status())) return Seen{};
  if (!info.ok()) return info.status();
  Seen seen;
  seen.identity = IdentityOf(file.path, *info);
  if (info->kind != FileKind::kRegular) {
    seen.match = Match::kOther;
  } else if (seen.identity == file) {
    seen.match = Match::kSame;
  } else {
    seen.match = Match::kChanged;  // another regular file, or the same with other contents: the place decides
  }
  return seen;
}

// Each folder of `path` that is missing.
absl::Status Zone::MakeFolders(std::string_view path, Batch& batch) {
  if (path.empty() || folders_.contains(std::string(path))) return absl::OkStatus();
  if (absl::Status status = MakeFolders(ParentOf(path), batch); !status.ok()) return status;
  const absl::Status made = fs_->MakeFolder(path);
  if (absl::IsAlreadyExists(made)) {
    const absl::StatusOr<FileInfo> info = fs_->Stat(path);
    if (!info.ok()) return info.status();
    if (info->kind != FileKind::kFolder) return made;
  } else if (!made.ok()) {
    return made;
  }
  // Also when it was there: its maker may have crashed before it was synced.
  batch.Touch(ParentOf(path));
  if (folders_.size() >= kKnownFoldersMax) folders_.clear();
  folders_.emplace(path);
  return absl::OkStatus();
}

// Rule Z2: another file goes back where it came from, or beside what has arrived there meanwhile.
absl::StatusOr<std::string> Zone::PutBackAs(std::string_view path, std::string_view incoming_path,
                                            Batch& batch) {
  for (uint32_t i = 0; i < kFreeNamesMax; i++) {
    const std::string name =
        i == 0 ? std::string(incoming_path) : WithMark(incoming_path, "~" + std::to_string(i));
    const std::string to = InPlace(kIncoming, name);
    absl::Status moved = fs_->Rename(path, to);
    if (absl::IsNotFound(moved)) {  // the sub-folder was removed, or there is nothing to put back
      if (absl::Status status = MakeFolders(ParentOf(to), batch); !status.ok()) return status;
      // A user's folders: they may be removed at any time.
      for (std::string_view f = ParentOf(to); !f.empty(); f = ParentOf(f)) folders_.erase(std::string(f));
      moved = fs_->Rename(path, to);
    }
    if (absl::IsAlreadyExists(moved)) continue;
    if (!moved.ok()) return moved;
    batch.TouchParents(path, to);
    return name;
  }
  return absl::ResourceExhaustedError(Concat({"no free name in incoming/ for ", Printable(incoming_path)}));
}

// Names only: which tasks have a file in staging or a folder of an attempt.
absl::StatusOr<Zone::Spots> Zone::ListProcessing() {
  absl::StatusOr<std::vector<FolderEntry>> entries = fs_->List(kProcessing);
  if (!entries.ok()) return entries.status();
  const std::string own = std::string(NameOf(Staging()));
  Spots spots;
  for (const FolderEntry& entry : *entries) {
    const bool staging = entry.name.starts_with(kClaimPrefix);
    if (staging && entry.name != own && !entry.name.ends_with(kClosedSuffix))
      continue;  // a successor's, perhaps
    if (!staging && !IsWorkerName(entry.name)) continue;
    const std::string folder = JoinPath(kProcessing, entry.name);
    absl::StatusOr<std::vector<FolderEntry>> inside = fs_->List(folder);
    if (absl::IsNotFound(inside.status())) continue;
    if (!inside.ok()) return inside.status();
    for (const FolderEntry& item : *inside) {
      const std::optional<AttemptName> name = ParseAttemptName(item.name);
      if (name) spots.emplace(name->task, Spot{JoinPath(folder, item.name), name->attempt, staging});
    }
  }
  return spots;
}

absl::Status Zone::Sync(Batch& batch) {
  if (LANEWAY_PLANTED(kZ5NoSync)) return absl::OkStatus();
  const std::vector<std::string> folders(batch.touched.begin(), batch.touched.end());
  batch.touched.clear();
  return folders.empty() ? absl::OkStatus() : fs_->SyncFolders(folders);
}

absl::Status Zone::Verify(Fs& fs, const WorkerId& worker, const TaskId& task, uint32_t attempt,
                          const Identity& file) {
  if (!IsWorkerName(worker.name)) return absl::InvalidArgumentError("a worker's name is not one");
  if (absl::Status status = CheckPath(file.path); !status.ok()) return status;
  const absl::StatusOr<FileInfo> info =
      fs.Stat(JoinPath(AttemptFolder(worker, task, attempt), FileNameInAttempt(file)));
  if (!info.ok()) return info.status();
  if (info->kind != FileKind::kRegular || IdentityOf(file.path, *info) != file) {
    return absl::FailedPreconditionError(
        Concat({"the file at the place of ", task.ToString(), " is not the one that arrived"}));
  }
  return absl::OkStatus();
}

absl::Status Zone::MakeAttemptFolder(Fs& fs, const WorkerId& worker, const TaskId& task, uint32_t attempt) {
  if (!IsWorkerName(worker.name)) return absl::InvalidArgumentError("a worker's name is not one");
  if (absl::Status status = CheckTask(task, attempt); !status.ok()) return status;
  const std::string folder = AttemptFolder(worker, task, attempt);
  const std::string worker_folder(ParentOf(folder));
  for (const std::string& path : {worker_folder, folder, JoinPath(folder, kOutput)}) {
    const absl::Status made = fs.MakeFolder(path);
    if (!made.ok() && !absl::IsAlreadyExists(made)) return made;
  }
  return absl::OkStatus();
}

}  // namespace laneway::zone
