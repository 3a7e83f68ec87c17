#include "zone/fs.h"

#include <utility>

#include "zone/path.h"

namespace laneway::zone {

absl::StatusOr<std::vector<FolderItem>> Fs::ListWithInfo(std::string_view folder) {
  absl::StatusOr<std::vector<FolderEntry>> entries = List(folder);
  if (!entries.ok()) return entries.status();
  std::vector<FolderItem> items;
  items.reserve(entries->size());
  for (FolderEntry& entry : *entries) {
    absl::StatusOr<FileInfo> info = Stat(JoinPath(folder, entry.name));
    if (absl::IsNotFound(info.status())) continue;
    if (!info.ok()) return info.status();
    items.push_back({std::move(entry.name), *info});
  }
  return items;
}

std::vector<absl::Status> Fs::RemoveFolders(std::span<const std::string> folders) {
  std::vector<absl::Status> statuses;
  statuses.reserve(folders.size());
  for (const std::string& folder : folders) statuses.push_back(RemoveFolder(folder));
  return statuses;
}

}  // namespace laneway::zone
