#include "zone/check_zone.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <string_view>
#include <utility>

#include "zone/path.h"
#include "zone/posix_fs.h"

namespace laneway::zone {
namespace {

constexpr std::array<std::string_view, 6> kFolders = {"incoming", "processing", "completed",
                                                      "failed",   "quarantine", "logs"};

// Of linux/magic.h, which does not name them all.
struct NetworkKind {
  uint64_t magic;
  std::string_view name;
};
constexpr NetworkKind kNetworkKinds[] = {
    {0x6969, "NFS"},      {0xff534d42, "CIFS"}, {0xfe534d42, "SMB2"}, {0x517b, "SMB"},
    {0x65735546, "FUSE"}, {0x01021997, "9P"},   {0x00c36400, "Ceph"}, {0x5346414f, "AFS"},
};

// Renames a folder back and forth with the flag that every move of a file needs.
void CheckNoReplace(int root, std::vector<Problem>& problems) {
  const std::string from = Concat({".probe-", std::to_string(getpid()), "-a"});
  const std::string to = Concat({".probe-", std::to_string(getpid()), "-b"});
  if (mkdirat(root, from.c_str(), 0700) != 0) return;  // reported as not writable
  const bool renamed = renameat2(root, from.c_str(), root, to.c_str(), RENAME_NOREPLACE) == 0;
  if (!renamed && (errno == EINVAL || errno == ENOSYS)) {
    problems.push_back(
        {"the file system of the zone cannot rename without replacing: hard links are used instead",
         "let only one dispatcher run at a time, or use a local disk", false});
  }
  unlinkat(root, renamed ? to.c_str() : from.c_str(), AT_REMOVEDIR);
}

void CheckFolder(int root, std::string_view name, dev_t device, std::vector<Problem>& problems) {
  const std::string folder(name);
  struct stat found = {};
  if (fstatat(root, folder.c_str(), &found, AT_SYMLINK_NOFOLLOW) != 0) return;  // it is made at start
  if (!S_ISDIR(found.st_mode)) {
    problems.push_back({folder + " in the zone is not a folder", "move it away; a folder is made at start"});
    return;
  }
  if (found.st_dev != device) {
    problems.push_back({folder + "/ is on another device than the zone",
                        "keep all folders of the zone on one file system: files are renamed, never copied"});
  }
  if (faccessat(root, folder.c_str(), R_OK | W_OK | X_OK, AT_EACCESS) != 0) {
    problems.push_back({folder + "/ cannot be read and written by this user",
                        Concat({"chown or chmod it for user id ", std::to_string(geteuid())})});
  }
}

// Only a rename tells whether two folders are one file system: bind mounts and exports share a device number.
void CheckRenames(const std::string& path, std::vector<Problem>& problems) {
  absl::StatusOr<std::unique_ptr<PosixFs>> fs = PosixFs::Open(path);
  if (!fs.ok()) return;
  const std::string probe = Concat({".probe-", std::to_string(getpid())});
  for (std::string_view folder : {"processing", "completed", "failed", "quarantine"}) {
    const std::string from = JoinPath("incoming", probe);
    const std::string to = JoinPath(folder, probe);
    if (absl::IsNotFound((*fs)->Stat("incoming").status()) || absl::IsNotFound((*fs)->Stat(folder).status()))
      continue;
    if (const absl::Status made = (*fs)->MakeFolder(from); !made.ok()) {
      if (absl::IsInvalidArgument(made)) {
        problems.push_back({Concat({"incoming/ is another mount: ", std::string(made.message())}),
                            "keep all folders of the zone on one file system, in one mount and one export"});
      }
      return;  // else it was reported as not writable
    }
    const absl::Status moved = (*fs)->Rename(from, to);
    (*fs)->RemoveFolder(moved.ok() ? to : from).IgnoreError();
    if (moved.ok() || absl::IsPermissionDenied(moved)) continue;
    problems.push_back(
        {Concat({"a file cannot be renamed from incoming/ to ", folder, "/: ", std::string(moved.message())}),
         "keep all folders of the zone on one file system, in one mount and one export"});
  }
}

void CheckKindAndSpace(int root, uint64_t free_bytes_min, std::vector<Problem>& problems) {
  struct statfs found = {};
  if (fstatfs(root, &found) != 0) return;
  const auto magic = static_cast<uint32_t>(found.f_type);
  for (const NetworkKind& kind : kNetworkKinds) {
    if (magic != kind.magic) continue;
    problems.push_back(
        {Concat({"the zone is on a network share (", kind.name,
                 "): changes made by other hosts are seen at the next regular look, not at once"}),
         "keep zone.rescan short; mount it with actimeo=1 where that exists", false});
  }
  const uint64_t free = static_cast<uint64_t>(found.f_bavail) * static_cast<uint64_t>(found.f_bsize);
  if (free < free_bytes_min) {
    problems.push_back({Concat({"only ", std::to_string(free >> 20), " MiB are free for the zone"}),
                        Concat({"free at least ", std::to_string(free_bytes_min >> 20), " MiB"})});
  }
}

}  // namespace

std::vector<Problem> CheckZone(const std::string& root, uint64_t free_bytes_min) {
  std::vector<Problem> problems;
  const int fd = open(root.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) {
    const absl::Status status = StatusOfErrno(errno, "open", root);
    problems.push_back(
        {Concat({"the zone cannot be used: ", std::string(status.message())}),
         errno == ENOENT ? "make the folder, or set zone.path" : "set zone.path to a folder of ours"});
    return problems;
  }
  struct stat zone = {};
  if (fstat(fd, &zone) == 0) {
    if (faccessat(fd, ".", R_OK | W_OK | X_OK, AT_EACCESS) != 0) {
      problems.push_back({"the zone's folder cannot be read and written by this user",
                          Concat({"chown or chmod it for user id ", std::to_string(geteuid())})});
    }
    for (std::string_view folder : kFolders) CheckFolder(fd, folder, zone.st_dev, problems);
  }
  CheckNoReplace(fd, problems);
  CheckRenames(root, problems);
  CheckKindAndSpace(fd, free_bytes_min, problems);
  close(fd);
  return problems;
}

}  // namespace laneway::zone
