#include "zone/posix_fs.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <utility>

#include "zone/path.h"

namespace laneway::zone {
namespace {

// What a dispatcher must find at this very path when it acts (rule Z3).
constexpr std::string_view kFencedFolder = "processing";
constexpr size_t kTreeDepthMax = 64;  // of outputs that are removed

FileKind KindOf(mode_t mode) {
  if (S_ISREG(mode)) return FileKind::kRegular;
  if (S_ISDIR(mode)) return FileKind::kFolder;
  if (S_ISLNK(mode)) return FileKind::kSymlink;
  return FileKind::kOther;
}

FileKind KindOfEntry(unsigned char type) {
  switch (type) {
    case DT_REG:
      return FileKind::kRegular;
    case DT_DIR:
      return FileKind::kFolder;
    case DT_LNK:
      return FileKind::kSymlink;
    default:
      return FileKind::kOther;
  }
}

FileInfo InfoOf(const struct stat& found) {
  FileInfo info;
  info.kind = KindOf(found.st_mode);
  info.size = static_cast<uint64_t>(found.st_size);
  info.mtime_ns = static_cast<int64_t>(found.st_mtim.tv_sec) * 1'000'000'000 + found.st_mtim.tv_nsec;
  info.inode = found.st_ino;
  info.links = static_cast<uint32_t>(found.st_nlink);
  return info;
}

bool IsDots(const char* name) { return std::strcmp(name, ".") == 0 || std::strcmp(name, "..") == 0; }

}  // namespace

absl::Status StatusOfErrno(int error, std::string_view what, std::string_view path) {
  const char* const reason = strerrordesc_np(error);
  const std::string text = Concat({what, " ", Printable(path.substr(0, 600)), ": ",
                                   reason != nullptr ? reason : "an error without a name"});
  switch (error) {
    case ENOENT:
    case ENOTDIR:
      return absl::NotFoundError(text);
    case EEXIST:
      return absl::AlreadyExistsError(text);
    case ENOTEMPTY:
      return absl::FailedPreconditionError(text);
    case ENOSPC:
    case EDQUOT:
    case EMLINK:
    case EMFILE:
    case ENFILE:
    case ENOMEM:
      return absl::ResourceExhaustedError(text);
    case EACCES:
    case EPERM:
    case EROFS:
      return absl::PermissionDeniedError(text);
    case ELOOP:
    case EXDEV:
    case ENAMETOOLONG:
    case EINVAL:
    case EISDIR:
      return absl::InvalidArgumentError(text);
    default:  // ESTALE, EIO, EAGAIN, EBUSY, EINTR, ETIMEDOUT, …
      return absl::UnavailableError(text);
  }
}

class PosixFs::Fd {
 public:
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Fd() {
    if (fd_ >= 0) close(fd_);
  }
  int get() const { return fd_; }
  int release() { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

// Where a system call finds the last part of a path: `name` below `folder`. The folder is the open parent, or
// the root when the whole path must be resolved by the call that acts.
struct PosixFs::Place {
  Fd parent{-1};
  int folder = -1;
  std::string name;
};

PosixFs::PosixFs(int root, const Options& options)
    : root_(root), options_(options), crew_(std::max<size_t>(options.parallel_max, 1)) {}

PosixFs::~PosixFs() { close(root_); }

absl::StatusOr<std::unique_ptr<PosixFs>> PosixFs::Open(const std::string& root) {
  return Open(root, Options());
}

absl::StatusOr<std::unique_ptr<PosixFs>> PosixFs::Open(const std::string& root, const Options& options) {
  const int fd = open(root.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return StatusOfErrno(errno, "open", root);
  return std::unique_ptr<PosixFs>(new PosixFs(fd, options));
}

absl::StatusOr<PosixFs::Fd> PosixFs::OpenBelow(std::string_view path, int flags) {
  if (path.empty()) path = ".";
  const std::string text(path);
  if (options_.use_openat2) {
    struct open_how how = {};
    how.flags = static_cast<uint64_t>(flags | O_CLOEXEC | O_NOFOLLOW);
    how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV;
    for (int attempt = 0; attempt < 16; attempt++) {
      const long fd = syscall(SYS_openat2, root_, text.c_str(), &how, sizeof how);
      if (fd >= 0) return Fd(static_cast<int>(fd));
      if (errno != EAGAIN && errno != EINTR) break;  // EAGAIN: a rename raced with the lookup
    }
    if (errno == ENOTDIR && (flags & O_DIRECTORY) != 0) {
      // The kernel says so of a symlink as well; the two mean different things to us.
      how.flags = O_PATH | O_CLOEXEC | O_NOFOLLOW;
      const Fd last(static_cast<int>(syscall(SYS_openat2, root_, text.c_str(), &how, sizeof how)));
      struct stat found = {};
      const bool link = last.get() >= 0 && fstat(last.get(), &found) == 0 && S_ISLNK(found.st_mode);
      return StatusOfErrno(link ? ELOOP : ENOTDIR, "open", path);
    }
    if (errno != ENOSYS && errno != EPERM) return StatusOfErrno(errno, "open", path);
  }
  return OpenByWalking(path, flags);
}

// For kernels before 5.6 and sandboxes that refuse openat2: one part at a time, none of them a symlink.
absl::StatusOr<PosixFs::Fd> PosixFs::OpenByWalking(std::string_view path, int flags) {
  Fd folder(-1);
  int at = root_;
  for (size_t begin = 0;;) {
    const size_t end = std::min(path.find('/', begin), path.size());
    const std::string part(path.substr(begin, end - begin));
    const bool last = end == path.size();
    const int fd =
        openat(at, part.c_str(),
               last ? flags | O_CLOEXEC | O_NOFOLLOW : O_PATH | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) {
      const int error = errno;
      struct stat found = {};
      const bool link = error == ENOTDIR && fstatat(at, part.c_str(), &found, AT_SYMLINK_NOFOLLOW) == 0 &&
                        S_ISLNK(found.st_mode);
      return StatusOfErrno(link ? ELOOP : error, "open", path);
    }
    folder = Fd(fd);
    at = fd;
    if (last) return folder;
    begin = end + 1;
  }
}

absl::StatusOr<PosixFs::Place> PosixFs::Locate(std::string_view path, Trust trust) {
  if (absl::Status status = CheckPath(path); !status.ok()) return status;
  Place place;
  const std::string_view parent = ParentOf(path);
  // Rule Z3: below processing/ the call that acts resolves the whole path.
  const bool fenced = parent == kFencedFolder || IsBelow(parent, kFencedFolder);
  if (!parent.empty() && !(fenced && trust == Trust::kOurs)) {
    absl::StatusOr<Fd> folder = OpenBelow(parent, O_PATH | O_DIRECTORY);
    if (!folder.ok()) return folder.status();
    if (!fenced) {
      place.parent = *std::move(folder);
      place.folder = place.parent.get();
      place.name = std::string(NameOf(path));
      return place;
    }
  }
  place.folder = root_;
  place.name = std::string(path);
  return place;
}

absl::StatusOr<FileInfo> PosixFs::Stat(std::string_view path) {
  if (absl::Status status = CheckPath(path); !status.ok()) return status;
  absl::StatusOr<Fd> fd = OpenBelow(path, O_PATH);
  if (!fd.ok()) return fd.status();
  struct stat found = {};
  if (fstat(fd->get(), &found) != 0) return StatusOfErrno(errno, "stat", path);
  return InfoOf(found);
}

namespace {

// Hands every entry but "." and ".." to `use`. Takes the descriptor over.
template <class Use>
absl::Status ForEachEntry(int fd, std::string_view folder, Use use) {
  DIR* const stream = fdopendir(fd);
  if (stream == nullptr) {
    const int error = errno;
    close(fd);
    return StatusOfErrno(error, "list", folder);
  }
  int error = 0;
  for (;;) {
    errno = 0;
    const struct dirent* const entry = readdir(stream);
    if (entry == nullptr) {
      error = errno;
      break;
    }
    if (!IsDots(entry->d_name)) use(*entry, dirfd(stream));
  }
  closedir(stream);
  return error == 0 ? absl::OkStatus() : StatusOfErrno(error, "list", folder);
}

}  // namespace

absl::StatusOr<std::vector<FolderEntry>> PosixFs::List(std::string_view folder) {
  if (absl::Status status = CheckPath(folder); !status.ok()) return status;
  absl::StatusOr<Fd> fd = OpenBelow(folder, O_RDONLY | O_DIRECTORY);
  if (!fd.ok()) return fd.status();
  std::vector<FolderEntry> entries;
  absl::Status status = ForEachEntry(fd->release(), folder, [&](const struct dirent& entry, int) {
    entries.push_back({entry.d_name, KindOfEntry(entry.d_type)});
  });
  if (!status.ok()) return status;
  return entries;
}

absl::StatusOr<std::vector<FolderItem>> PosixFs::ListWithInfo(std::string_view folder) {
  if (absl::Status status = CheckPath(folder); !status.ok()) return status;
  absl::StatusOr<Fd> fd = OpenBelow(folder, O_RDONLY | O_DIRECTORY);
  if (!fd.ok()) return fd.status();
  std::vector<FolderItem> items;
  int error = 0;
  absl::Status status = ForEachEntry(fd->release(), folder, [&](const struct dirent& entry, int at) {
    struct stat found = {};
    if (fstatat(at, entry.d_name, &found, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT) == 0) {
      items.push_back({entry.d_name, InfoOf(found)});
    } else if (errno != ENOENT) {
      error = errno;
    }
  });
  if (!status.ok()) return status;
  if (error != 0) return StatusOfErrno(error, "look at the files of", folder);
  return items;
}

absl::Status PosixFs::MakeFolder(std::string_view path) {
  absl::StatusOr<Place> place = Locate(path, Trust::kNobody);
  if (!place.ok()) return place.status();
  if (mkdirat(place->folder, place->name.c_str(), 0777) != 0)
    return StatusOfErrno(errno, "make folder", path);
  return absl::OkStatus();
}

absl::Status PosixFs::RemoveFolder(std::string_view path) {
  absl::StatusOr<Place> place = Locate(path, Trust::kNobody);
  if (!place.ok()) return place.status();
  if (unlinkat(place->folder, place->name.c_str(), AT_REMOVEDIR) == 0) return absl::OkStatus();
  // POSIX lets a file system answer EEXIST for a folder that is not empty.
  return StatusOfErrno(errno == EEXIST ? ENOTEMPTY : errno, "remove folder", path);
}

std::vector<absl::Status> PosixFs::RemoveFolders(std::span<const std::string> folders) {
  std::vector<absl::Status> statuses(folders.size());
  crew_.Run(folders.size(), [&](size_t i) { statuses[i] = RemoveFolder(folders[i]); });
  return statuses;
}

namespace {

absl::Status RemoveBelow(int folder, const char* name, std::string_view path, size_t depth) {
  if (depth > kTreeDepthMax) return absl::InvalidArgumentError("too deep to be removed");
  const int fd = openat(folder, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) return StatusOfErrno(errno, "remove", path);
  absl::Status failed;
  absl::Status status = ForEachEntry(fd, path, [&](const struct dirent& entry, int at) {
    if (unlinkat(at, entry.d_name, 0) == 0 || errno == ENOENT) return;
    const absl::Status below = errno == EISDIR || errno == EPERM
                                   ? RemoveBelow(at, entry.d_name, path, depth + 1)
                                   : StatusOfErrno(errno, "remove a file of", path);
    if (!below.ok()) failed = below;
  });
  if (!status.ok()) return status;
  if (!failed.ok()) return failed;
  if (unlinkat(folder, name, AT_REMOVEDIR) != 0) return StatusOfErrno(errno, "remove folder", path);
  return absl::OkStatus();
}

}  // namespace

absl::Status PosixFs::RemoveTree(std::string_view path) {
  absl::StatusOr<Place> place = Locate(path, Trust::kNobody);
  if (!place.ok()) return place.status();
  return RemoveBelow(place->folder, place->name.c_str(), path, 0);
}

absl::Status PosixFs::Rename(std::string_view from, std::string_view to) {
  absl::StatusOr<Place> source = Locate(from, Trust::kOurs);
  if (!source.ok()) return source.status();
  absl::StatusOr<Place> target = Locate(to, Trust::kOurs);
  if (!target.ok()) return target.status();
  if (options_.use_rename_noreplace) {
    if (renameat2(source->folder, source->name.c_str(), target->folder, target->name.c_str(),
                  RENAME_NOREPLACE) == 0) {
      return absl::OkStatus();
    }
    // EINVAL: this file system knows no flags (network shares, some FUSE). It is also the answer to a folder
    // that would move into itself; the other way gives that answer again.
    if (errno != EINVAL && errno != ENOSYS) return StatusOfErrno(errno, "rename", Concat({from, " to ", to}));
  }
  return RenameByLinking(*source, *target, from, to);
}

// Where the kernel cannot refuse to replace: link() does refuse, for files. Between link and unlink the file
// has two names; a crash there is found by the next call (the target is the same inode: only the old name is
// left to remove). Folders cannot be linked; rename() replaces at most an empty folder, which holds nothing
// of anybody's.
absl::Status PosixFs::RenameByLinking(const Place& from, const Place& to, std::string_view from_path,
                                      std::string_view to_path) {
  const auto fail = [&](int error) {
    return StatusOfErrno(error, "rename", Concat({from_path, " to ", to_path}));
  };
  struct stat source = {};
  struct stat target = {};
  if (fstatat(from.folder, from.name.c_str(), &source, AT_SYMLINK_NOFOLLOW) != 0) return fail(errno);
  const bool taken = fstatat(to.folder, to.name.c_str(), &target, AT_SYMLINK_NOFOLLOW) == 0;
  if (!taken && errno != ENOENT) return fail(errno);
  if (S_ISDIR(source.st_mode)) {
    if (taken) return fail(EEXIST);
    if (renameat(from.folder, from.name.c_str(), to.folder, to.name.c_str()) == 0) return absl::OkStatus();
    return fail(errno == ENOTEMPTY ? EEXIST : errno);
  }
  if (taken && (target.st_ino != source.st_ino || target.st_dev != source.st_dev)) return fail(EEXIST);
  if (!taken && linkat(from.folder, from.name.c_str(), to.folder, to.name.c_str(), 0) != 0)
    return fail(errno);
  if (unlinkat(from.folder, from.name.c_str(), 0) != 0) return fail(errno);
  return absl::OkStatus();
}

absl::Status PosixFs::SyncFolder(const std::string& folder) {
  absl::StatusOr<Fd> fd = OpenBelow(folder, O_RDONLY | O_DIRECTORY);
  if (absl::IsNotFound(fd.status()))
    return absl::OkStatus();  // what was in it went elsewhere, and that is synced there
  if (!fd.ok()) return fd.status();
  while (fsync(fd->get()) != 0) {
    if (errno == EINTR) continue;
    if (errno == EINVAL) return absl::OkStatus();  // a file system without anything to sync
    // After a failed sync the kernel may call the lost pages clean: asking again would be answered with a
    // false yes.
    const absl::Status status = StatusOfErrno(errno, "sync folder", folder);
    return errno == ENOSPC || errno == EDQUOT ? status : absl::DataLossError(status.message());
  }
  return absl::OkStatus();
}

absl::Status PosixFs::SyncFolders(std::span<const std::string> folders) {
  std::vector<std::string> distinct(folders.begin(), folders.end());
  std::sort(distinct.begin(), distinct.end());
  distinct.erase(std::unique(distinct.begin(), distinct.end()), distinct.end());
  for (const std::string& folder : distinct) {
    if (folder.empty()) continue;  // the root
    if (absl::Status status = CheckPath(folder); !status.ok()) return status;
  }
  std::vector<absl::Status> statuses(distinct.size());
  crew_.Run(distinct.size(), [&](size_t i) { statuses[i] = SyncFolder(distinct[i]); });
  for (absl::Status& status : statuses) {
    if (!status.ok()) return std::move(status);
  }
  return absl::OkStatus();
}

// A read lease is only given while nobody has the file open for writing. It is dropped at once; should a
// writer come in between, it waits for that, and the kernel's notice is made a signal that does nothing
// (SIGIO would end the process).
bool PosixFs::OpenForWriting(std::string_view path) {
  if (!CheckPath(path).ok()) return false;
  absl::StatusOr<Fd> looked_at = OpenBelow(path, O_PATH);
  if (!looked_at.ok()) return false;
  struct stat found = {};
  if (fstat(looked_at->get(), &found) != 0 || !S_ISREG(found.st_mode)) return false;
  const std::string again = "/proc/self/fd/" + std::to_string(looked_at->get());
  const Fd file(open(again.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY));
  if (file.get() < 0) return false;
  if (fcntl(file.get(), F_SETSIG, SIGURG) != 0) return false;
  if (fcntl(file.get(), F_SETLEASE, F_RDLCK) != 0) return errno == EAGAIN;
  fcntl(file.get(), F_SETLEASE, F_UNLCK);
  return false;
}

absl::StatusOr<uint64_t> PosixFs::FreeBytes() {
  struct statvfs found = {};
  if (fstatvfs(root_, &found) != 0) return StatusOfErrno(errno, "look for free space in", "the zone");
  return static_cast<uint64_t>(found.f_bavail) * static_cast<uint64_t>(found.f_frsize);
}

}  // namespace laneway::zone
