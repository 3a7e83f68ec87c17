// fs.h: the few file-system calls the zone needs, below one root folder.
//
// Role:       interface to the outside: PosixFs (openat2 below the zone's root, never through a symlink,
//             never out of it), MemoryFs (tests: loses unsynced renames at power loss, lets others act and
//             faults happen before any call).
// Shapes:     paths are relative to the root, "/"-separated bytes, without ".", "..", empty parts or a
//             leading "/".
// Errors:     NOT_FOUND (a source or folder is missing), ALREADY_EXISTS (a target is there),
//             RESOURCE_EXHAUSTED (no space, quota), PERMISSION_DENIED, UNAVAILABLE (try again: ESTALE, EIO,
//             …), INVALID_ARGUMENT (leaves the root, a symlink on the way, too long, another device),
//             DATA_LOSS (a sync failed: what was done may be undone).
// Threads:    any; a Zone uses it from one.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace laneway::zone {

enum class FileKind : uint8_t { kRegular, kFolder, kSymlink, kOther };

struct FileInfo {
  FileKind kind = FileKind::kOther;
  uint64_t size = 0;
  int64_t mtime_ns = 0;
  uint64_t inode = 0;
  uint32_t links = 1;
};

struct FolderEntry {
  std::string name;
  FileKind kind = FileKind::kOther;  // kOther may also mean: not told, ask Stat
};

struct FolderItem {
  std::string name;
  FileInfo info;
};

class Fs {
 public:
  virtual ~Fs() = default;
  virtual absl::StatusOr<FileInfo> Stat(std::string_view path) = 0;  // does not follow symlinks
  virtual absl::StatusOr<std::vector<FolderEntry>> List(std::string_view folder) = 0;
  // The same with what Stat would say of each entry. Entries that vanish meanwhile are left out. In one go
  // where that is cheaper: a look at 100,000 files is mostly this call.
  virtual absl::StatusOr<std::vector<FolderItem>> ListWithInfo(std::string_view folder);
  virtual absl::Status MakeFolder(std::string_view path) = 0;  // one level; ALREADY_EXISTS when it is there
  virtual absl::Status RemoveFolder(
      std::string_view path) = 0;  // only when empty: FAILED_PRECONDITION otherwise
  // RemoveFolder of each, in any order, one status each. Where a removal waits for the disk they wait
  // together.
  virtual std::vector<absl::Status> RemoveFolders(std::span<const std::string> folders);
  // Only for folders that hold nothing of a user's: outputs of superseded attempts.
  virtual absl::Status RemoveTree(std::string_view path) = 0;
  // Never replaces: ALREADY_EXISTS when `to` is there. Files and folders. Both paths are resolved at the
  // moment of the rename: a folder that was renamed away before is NOT_FOUND, however long the caller was
  // paused (rule Z3).
  virtual absl::Status Rename(std::string_view from, std::string_view to) = 0;
  // Makes renames, creations and removals in these folders survive a power loss. One call for many is cheaper
  // than many calls. Folders that are gone are left out.
  virtual absl::Status SyncFolders(std::span<const std::string> folders) = 0;
  // True while somebody has it open for writing, where the file system can tell; false otherwise.
  virtual bool OpenForWriting(std::string_view path) = 0;
  virtual absl::StatusOr<uint64_t> FreeBytes() = 0;
};

}  // namespace laneway::zone
