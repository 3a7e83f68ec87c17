// posix_fs.h: the zone's file-system calls on a real folder.
//
// Role:       implementation of Fs below one root folder, which is held open.
// Promises:   (1) never through a symlink, never out of the root, never onto another mount (openat2; where
//             the kernel or a sandbox lacks it, a walk with O_NOFOLLOW); (2) Rename never replaces
//             (renameat2; where the file system cannot, link and unlink: see RenameByLinking); (3) nothing is
//             opened that could block or act: FIFOs and devices are only looked at; (4) everything below
//             `processing/` is resolved inside the one system call that acts. A folder that is held open
//             stays usable when it is renamed away, and would undo the fence of rule Z3; therefore no folder
//             but the root is kept open between calls either (a lookup costs 1.5 µs).
// Threads:    any. SyncFolders and RemoveFolders use a few threads of their own while they run with many
//             folders.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "zone/crew.h"
#include "zone/fs.h"

namespace laneway::zone {

// The one place where errno becomes a status (see fs.h, Errors).
absl::Status StatusOfErrno(int error, std::string_view what, std::string_view path);

class PosixFs : public Fs {
 public:
  struct Options {
    bool use_openat2 = true;           // false: as on a kernel without it (tests)
    bool use_rename_noreplace = true;  // false: as on a file system without it (tests)
    size_t parallel_max = 16;          // threads that wait for the disk together
  };

  // The root must be there. A symlink as the root itself, or above it, is followed: it is the operator's.
  static absl::StatusOr<std::unique_ptr<PosixFs>> Open(const std::string& root);
  static absl::StatusOr<std::unique_ptr<PosixFs>> Open(const std::string& root, const Options& options);
  ~PosixFs() override;
  PosixFs(const PosixFs&) = delete;
  PosixFs& operator=(const PosixFs&) = delete;

  absl::StatusOr<FileInfo> Stat(std::string_view path) override;
  absl::StatusOr<std::vector<FolderEntry>> List(std::string_view folder) override;
  absl::StatusOr<std::vector<FolderItem>> ListWithInfo(std::string_view folder) override;
  absl::Status MakeFolder(std::string_view path) override;
  absl::Status RemoveFolder(std::string_view path) override;
  std::vector<absl::Status> RemoveFolders(std::span<const std::string> folders) override;
  absl::Status RemoveTree(std::string_view path) override;
  absl::Status Rename(std::string_view from, std::string_view to) override;
  absl::Status SyncFolders(std::span<const std::string> folders) override;
  bool OpenForWriting(std::string_view path) override;
  absl::StatusOr<uint64_t> FreeBytes() override;

 private:
  class Fd;
  struct Place;

  PosixFs(int root, const Options& options);
  absl::StatusOr<Fd> OpenBelow(std::string_view path, int flags);
  absl::StatusOr<Fd> OpenByWalking(std::string_view path, int flags);
  // kNobody: folders below processing/ are looked at for symlinks before they are relied upon. Not for
  // renames: the Zone looks at the file before and after each.
  enum class Trust { kNobody, kOurs };
  absl::StatusOr<Place> Locate(std::string_view path, Trust trust);
  absl::Status RenameByLinking(const Place& from, const Place& to, std::string_view from_path,
                               std::string_view to_path);
  absl::Status SyncFolder(const std::string& folder);

  const int root_;
  const Options options_;
  Crew crew_;
};

}  // namespace laneway::zone
