// What lies where it should not: looked for regularly, put back, put away.
#include "zone/zone_internal.h"

namespace laneway::zone {
namespace {

Leftover LeftoverOf(const std::string& folder, const FolderItem& item) {
  Leftover leftover;
  leftover.folder = folder;
  leftover.path = JoinPath(folder, item.name);
  leftover.file = item.info;
  return leftover;
}

}  // namespace

absl::StatusOr<std::vector<Leftover>> Zone::LookForLeftovers() {
  absl::StatusOr<std::vector<FolderItem>> top = fs_->ListWithInfo(kProcessing);
  if (!top.ok()) return top.status();
  const std::string own = std::string(NameOf(Staging()));
  std::vector<Leftover> found;
  for (const FolderItem& item : *top) {
    const std::string folder = JoinPath(kProcessing, item.name);
    if (item.info.kind != FileKind::kFolder) {
      found.push_back(LeftoverOf(std::string(kProcessing), item));
      continue;
    }
    const bool staging = item.name.starts_with(kClaimPrefix);
    if (item.name.starts_with(".") && item.name != own && !(staging && item.name.ends_with(kClosedSuffix)))
      continue;
    absl::StatusOr<std::vector<FolderItem>> inside = fs_->ListWithInfo(folder);
    if (absl::IsNotFound(inside.status())) continue;
    if (!inside.ok()) return inside.status();
    if (staging && inside->empty() && item.name != own) {
      Leftover empty;
      empty.path = empty.folder = folder;
      empty.in_staging = true;
      found.push_back(std::move(empty));
    }
    for (const FolderItem& entry : *inside) {
      absl::Status status =
          staging ? LookInStaging(folder, entry, found) : LookInAttempt(folder, entry, found);
      if (!status.ok()) return status;
    }
  }
  return found;
}

absl::Status Zone::LookInStaging(const std::string& folder, const FolderItem& entry,
                                 std::vector<Leftover>& found) {
  if (entry.info.kind != FileKind::kFolder) {
    Leftover leftover = LeftoverOf(folder, entry);
    leftover.in_staging = true;
    if (const std::optional<AttemptName> name = ParseAttemptName(entry.name)) {
      leftover.task = name->task;
      leftover.attempt = name->attempt;
    }
    found.push_back(std::move(leftover));
    return absl::OkStatus();
  }
  // What was on its way to quarantine/ lies in a folder of its own, with its name.
  const std::string path = JoinPath(folder, entry.name);
  absl::StatusOr<std::vector<FolderItem>> inside = fs_->ListWithInfo(path);
  if (absl::IsNotFound(inside.status())) return absl::OkStatus();
  if (!inside.ok()) return inside.status();
  for (const FolderItem& item : *inside) {
    found.push_back(LeftoverOf(path, item));
    found.back().in_staging = true;
  }
  const bool own_spare = folder == Staging() && entry.name.starts_with(kSparePrefix);
  if (inside->empty() && !own_spare) {
    Leftover empty;
    empty.path = empty.folder = path;
    empty.in_staging = true;
    found.push_back(std::move(empty));
  }
  return absl::OkStatus();
}

absl::Status Zone::LookInAttempt(const std::string& folder, const FolderItem& entry,
                                 std::vector<Leftover>& found) {
  const std::optional<AttemptName> name = ParseAttemptName(entry.name);
  if (entry.info.kind != FileKind::kFolder || !name) {  // not a folder of ours
    if (entry.info.kind != FileKind::kFolder) found.push_back(LeftoverOf(folder, entry));
    return absl::OkStatus();
  }
  const std::string path = JoinPath(folder, entry.name);
  absl::StatusOr<std::vector<FolderItem>> inside = fs_->ListWithInfo(path);
  if (absl::IsNotFound(inside.status())) return absl::OkStatus();
  if (!inside.ok()) return inside.status();
  const size_t before = found.size();
  for (const FolderItem& item : *inside) {
    if (item.name == kOutput && item.info.kind == FileKind::kFolder) continue;
    found.push_back(LeftoverOf(path, item));
  }
  if (found.size() == before) {
    Leftover empty;
    empty.path = empty.folder = path;
    found.push_back(std::move(empty));
  }
  for (size_t i = before; i < found.size(); i++) {
    found[i].task = name->task;
    found[i].attempt = name->attempt;
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> Zone::PutBack(const Leftover& leftover, std::string_view incoming_path) {
  if (absl::Status status = CheckPath(incoming_path); !status.ok()) return status;
  if (absl::Status status = CheckPath(leftover.path); !status.ok()) return status;
  if (!IsBelow(leftover.path, kProcessing) || !leftover.file) {
    return absl::InvalidArgumentError("only files below processing/ are put back");
  }
  if (absl::Status status = CheckNotFenced(); !status.ok()) return status;
  Batch batch;
  absl::StatusOr<std::string> back = PutBackAs(leftover.path, incoming_path, batch);
  if (!back.ok()) return back.status();
  if (leftover.task) ForgetStaged(*leftover.task, leftover.path);
  if (absl::Status status = Sync(batch); !status.ok()) return status;
  return back;
}

absl::Status Zone::RemoveIfEmpty(const Leftover& leftover) {
  if (absl::Status status = CheckPath(leftover.folder); !status.ok()) return status;
  if (!IsBelow(leftover.folder, kProcessing) || leftover.folder == Staging()) {
    return absl::InvalidArgumentError("only folders of attempts and fenced staging folders are removed");
  }
  if (absl::Status status = CheckNotFenced(); !status.ok()) return status;
  if (!leftover.in_staging) {
    const absl::Status output = fs_->RemoveFolder(JoinPath(leftover.folder, kOutput));
    if (!output.ok() && !absl::IsNotFound(output)) return output;
  }
  const absl::Status removed = fs_->RemoveFolder(leftover.folder);
  if (!removed.ok() && !absl::IsNotFound(removed)) return removed;
  Batch batch;
  batch.Touch(ParentOf(leftover.folder));
  return Sync(batch);
}

absl::StatusOr<std::string> Zone::Refuse(std::string_view incoming_path) {
  if (absl::Status status = CheckPath(incoming_path); !status.ok()) return status;
  if (absl::Status status = CheckNotFenced(); !status.ok()) return status;
  Batch batch;
  const std::string folder = Concat({Staging(), "/", kRefusedPrefix, std::to_string(++refused_)});
  if (absl::Status made = fs_->MakeFolder(folder); !made.ok() && !absl::IsAlreadyExists(made)) return made;
  const std::string from = InPlace(kIncoming, incoming_path);
  const std::string staged = JoinPath(folder, NameOf(incoming_path));
  if (absl::Status moved = fs_->Rename(from, staged); !moved.ok()) {
    fs_->RemoveFolder(folder).IgnoreError();
    return moved;
  }
  batch.TouchParents(from, staged);
  batch.Touch(Staging());
  absl::StatusOr<std::string> result = MoveToQuarantine(staged, incoming_path, batch);
  const absl::Status synced = Sync(batch);
  fs_->RemoveFolder(folder).IgnoreError();
  if (!synced.ok()) return synced;
  return result;
}

absl::StatusOr<std::string> Zone::MoveToQuarantine(const std::string& staged, std::string_view incoming_path,
                                                   Batch& batch) {
  const absl::StatusOr<FileInfo> info = fs_->Stat(staged);
  if (!info.ok()) return info.status();
  if (info->kind == FileKind::kRegular && info->links <= 1 && CheckUserPath(incoming_path).ok()) {
    absl::StatusOr<std::string> back = PutBackAs(staged, incoming_path, batch);
    if (!back.ok()) return back.status();
    return absl::AbortedError("there is an ordinary file now");
  }
  std::string folder(kQuarantine);
  if (DepthOf(incoming_path) <= kDepthMax && !ParentOf(incoming_path).empty()) {
    const std::string wanted = InPlace(kQuarantine, ParentOf(incoming_path));
    const absl::Status made = MakeFolders(wanted, batch);
    if (made.ok()) folder = wanted;  // else the name alone must do
  }
  const std::string plain = JoinPath(folder, NameOf(incoming_path));
  for (uint32_t i = 0; i < kFreeNamesMax; i++) {
    const std::string to = i == 0 ? plain : WithMark(plain, "~" + std::to_string(i));
    const absl::Status moved = fs_->Rename(staged, to);
    if (absl::IsAlreadyExists(moved)) continue;
    if (!moved.ok()) return moved;
    batch.TouchParents(staged, to);
    return to;
  }
  return absl::ResourceExhaustedError("no free name in quarantine/");
}

}  // namespace laneway::zone
