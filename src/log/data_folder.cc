#include "log/data_folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <ctime>

#include "absl/strings/numbers.h"
#include "absl/strings/strip.h"
#include "fleet/ids.h"
#include "log/text.h"

namespace laneway::log {
namespace {

constexpr char kFormatName[] = "laneway-log";
constexpr int kFormatVersion = 1;
constexpr size_t kAckedBytes = 4096;
constexpr uint64_t kAckedSalt = 0x6c616e65776179ULL;

std::string ErrnoText(int error) { return std::strerror(error); }

absl::Status FromErrno(int error, std::string_view what) {
  const std::string text = Cat(what, ": ", ErrnoText(error));
  if (error == ENOSPC || error == EDQUOT) return absl::ResourceExhaustedError(text);
  if (error == EACCES || error == EPERM || error == EROFS) return absl::PermissionDeniedError(text);
  return absl::UnavailableError(text);
}

uint64_t AckedCheck(uint64_t sequence) { return Mix64(sequence ^ kAckedSalt); }

std::string ReadSmallFile(int fd) {
  char buffer[1024];
  const ssize_t n = ::pread(fd, buffer, sizeof(buffer), 0);
  return std::string(buffer, n > 0 ? static_cast<size_t>(n) : 0);
}

bool WriteAll(int fd, std::string_view text) {
  return ::pwrite(fd, text.data(), text.size(), 0) == static_cast<ssize_t>(text.size());
}

std::string DescribeThisProcess() {
  char when[32] = "";
  char host[256] = "";
  const std::time_t now = std::time(nullptr);
  std::tm utc{};
  gmtime_r(&now, &utc);
  std::strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", &utc);
  ::gethostname(host, sizeof(host) - 1);
  return Cat("pid ", ::getpid(), ", since ", when, ", on ", host, "\n");
}

}  // namespace

std::string NetworkFileSystemName(int64_t magic) {
  static constexpr struct {
    int64_t magic;
    const char* name;
  } kNames[] = {{0x6969, "NFS"},        {0x517b, "SMB"},        {0xff534d42, "CIFS"}, {0xfe534d42, "SMB2"},
                {0x65735546, "FUSE"},   {0x01021997, "9P"},     {0x5346414f, "AFS"},  {0x73757245, "Coda"},
                {0x00c36400, "CephFS"}, {0x0bd00bd0, "Lustre"}, {0x47504653, "GPFS"}, {0x786f4256, "vboxsf"}};
  for (const auto& row : kNames) {
    // f_type is a signed 32-bit number on some machines.
    if (static_cast<uint32_t>(magic) == static_cast<uint32_t>(row.magic)) return row.name;
  }
  return "";
}

absl::StatusOr<std::unique_ptr<DataFolder>> DataFolder::Open(const DataFolderOptions& options) {
  std::unique_ptr<DataFolder> folder(new DataFolder);
  folder->path_ = options.path;
  if (::mkdir(options.path.c_str(), 0700) != 0 && errno != EEXIST) {
    return FromErrno(errno, Cat("cannot make the data folder ", options.path));
  }
  folder->folder_fd_ = ::open(options.path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder->folder_fd_ < 0) return FromErrno(errno, Cat("cannot open the data folder ", options.path));
  int64_t magic = 0;
  struct statfs info {};
  if (options.file_system_magic) {
    magic = options.file_system_magic(options.path);
  } else if (::fstatfs(folder->folder_fd_, &info) == 0) {
    magic = static_cast<int64_t>(info.f_type);
  }
  const std::string network = NetworkFileSystemName(magic);
  if (!network.empty() && !options.allow_network) {
    return absl::FailedPreconditionError(
        Cat("the data folder ", options.path, " is on a network file system (", network,
            "), whose locks and syncs cannot be relied upon; choose a folder on a local disk"));
  }
  for (const auto step : {&DataFolder::TakeLock, &DataFolder::ReadFormat, &DataFolder::MapAcked}) {
    if (absl::Status status = (folder.get()->*step)(); !status.ok()) return status;
  }
  return folder;
}

DataFolder::~DataFolder() {
  if (slots_ != nullptr) ::munmap(slots_, kAckedBytes);
  if (folder_fd_ >= 0) ::close(folder_fd_);
  // The lock goes last, and with the file left in place: removing it would let two processes lock two files
  // of one name.
  if (lock_fd_ >= 0) ::close(lock_fd_);
}

absl::Status DataFolder::TakeLock() {
  // O_CLOEXEC: a flock belongs to the open file, which a child would keep beyond our death.
  lock_fd_ = ::openat(folder_fd_, "LOCK", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (lock_fd_ < 0) return FromErrno(errno, Cat("cannot open ", path_, "/LOCK"));
  if (::flock(lock_fd_, LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return FromErrno(errno, Cat("cannot lock ", path_, "/LOCK"));
    const std::string holder = ReadSmallFile(lock_fd_);
    return absl::FailedPreconditionError(
        Cat("the data folder ", path_, " is in use by another process (",
            holder.empty() ? "which has just started" : std::string(absl::StripSuffix(holder, "\n")),
            "); stop it first, or choose another folder"));
  }
  // Who holds it is for people; a full disk must not keep an old folder from being opened.
  if (::ftruncate(lock_fd_, 0) == 0) (void)WriteAll(lock_fd_, DescribeThisProcess());
  return absl::OkStatus();
}

absl::Status DataFolder::ReadFormat() {
  const int fd = ::openat(folder_fd_, "FORMAT", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
  if (fd < 0) {
    if (errno != ENOENT) return FromErrno(errno, Cat("cannot open ", path_, "/FORMAT"));
    is_new_ = true;
    return absl::OkStatus();
  }
  const std::string text = ReadSmallFile(fd);
  ::close(fd);
  absl::string_view rest = text;
  int version = 0;
  if (!absl::ConsumePrefix(&rest, kFormatName) || !absl::ConsumePrefix(&rest, " ") ||
      !absl::SimpleAtoi(absl::StripSuffix(rest, "\n"), &version)) {
    return absl::DataLossError(Cat(path_, "/FORMAT does not say \"", kFormatName,
                                   " <version>\": the folder is "
                                   "damaged or not Laneway's; restore it from a backup or choose another"));
  }
  if (version != kFormatVersion) {
    return absl::FailedPreconditionError(Cat(
        "the data folder ", path_, " has format ", version, ", this program reads format ", kFormatVersion,
        version > kFormatVersion ? "; use the newer program that wrote it" : "; it must be converted first"));
  }
  return absl::OkStatus();
}

absl::Status DataFolder::WriteFormat() {
  const int fd =
      ::openat(folder_fd_, "FORMAT.new", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) return FromErrno(errno, Cat("cannot make ", path_, "/FORMAT.new"));
  const bool written = WriteAll(fd, Cat(kFormatName, " ", kFormatVersion, "\n")) && ::fsync(fd) == 0;
  const int error = errno;
  ::close(fd);
  if (!written) return FromErrno(error, Cat("cannot write ", path_, "/FORMAT.new"));
  if (::renameat(folder_fd_, "FORMAT.new", folder_fd_, "FORMAT") != 0) {
    return FromErrno(errno, Cat("cannot write ", path_, "/FORMAT"));
  }
  return SyncFolder();
}

absl::Status DataFolder::MapAcked() {
  const int fd = ::openat(folder_fd_, "ACKED", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) return FromErrno(errno, Cat("cannot open ", path_, "/ACKED"));
  struct stat info {};
  int error = ::fstat(fd, &info) == 0 ? 0 : errno;
  // The page is allocated now: a mapped store into a hole would be a SIGBUS on a full disk.
  if (error == 0 && info.st_size < static_cast<off_t>(kAckedBytes)) {
    const std::string zeros(kAckedBytes, '\0');
    if (!WriteAll(fd, zeros) || ::fsync(fd) != 0) error = errno;
  }
  void* page = MAP_FAILED;
  if (error == 0) {
    page = ::mmap(nullptr, kAckedBytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (page == MAP_FAILED) error = errno;
  }
  ::close(fd);
  if (error != 0) return FromErrno(error, Cat("cannot prepare ", path_, "/ACKED"));
  slots_ = static_cast<uint64_t*>(page);
  for (unsigned slot = 0; slot < 2; slot++) {
    if (slots_[2 * slot + 1] != AckedCheck(slots_[2 * slot]) || slots_[2 * slot] < acked_) continue;
    acked_ = slots_[2 * slot];
    next_slot_ = 1 - slot;
  }
  return absl::OkStatus();
}

void DataFolder::StoreAcked(uint64_t sequence) {
  uint64_t* const slot = slots_ + 2 * next_slot_;
  // A kill between the two stores leaves this slot invalid and the other one whole.
  std::atomic_ref<uint64_t>(slot[1]).store(0, std::memory_order_release);
  std::atomic_ref<uint64_t>(slot[0]).store(sequence, std::memory_order_release);
  std::atomic_ref<uint64_t>(slot[1]).store(AckedCheck(sequence), std::memory_order_release);
  next_slot_ = 1 - next_slot_;
}

absl::Status DataFolder::SyncFolder() const {
  return ::fsync(folder_fd_) == 0 ? absl::OkStatus() : FromErrno(errno, Cat("cannot sync ", path_));
}

absl::StatusOr<uint64_t> DataFolder::FreeBytes() const {
  struct statvfs info {};
  if (::fstatvfs(folder_fd_, &info) != 0)
    return FromErrno(errno, Cat("cannot ask for the free space of ", path_));
  return static_cast<uint64_t>(info.f_bavail) * info.f_frsize;
}

absl::StatusOr<uint64_t> DataFolder::VolumeBytes() const {
  struct statvfs info {};
  if (::fstatvfs(folder_fd_, &info) != 0) return FromErrno(errno, Cat("cannot ask for the size of ", path_));
  return static_cast<uint64_t>(info.f_blocks) * info.f_frsize;
}

}  // namespace laneway::log
