#include "cli/job_files.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "ops/random_ids.h"
#include "ops/text.h"

namespace laneway::cli {
namespace {

class Fd {
 public:
  explicit Fd(int fd) : fd_(fd) {}
  ~Fd() {
    if (fd_ >= 0) close(fd_);
  }
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  int get() const { return fd_; }

 private:
  int fd_;
};

absl::Status Failure(const std::string& what, const std::string& path) {
  const int error = errno;
  const std::string text = what + " " + ops::Printable(path) + ": " + std::strerror(error);
  if (error == ENOENT) return absl::NotFoundError(text);
  if (error == EEXIST) return absl::AlreadyExistsError(text + "; rename it, or wait until it was taken");
  return absl::UnavailableError(text);
}

bool Copy(int from, int to) {
  char buffer[1 << 16];
  while (true) {
    const ssize_t got = read(from, buffer, sizeof buffer);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return got == 0;
    for (ssize_t at = 0; at < got;) {
      const ssize_t wrote = write(to, buffer + at, static_cast<size_t>(got - at));
      if (wrote < 0 && errno == EINTR) continue;
      if (wrote <= 0) return false;
      at += wrote;
    }
  }
}

}  // namespace

absl::StatusOr<std::string> SubmitFile(const std::string& zone, const std::string& file) {
  const std::string folder = zone + "/incoming";
  const std::string name = file.substr(file.rfind('/') + 1);  // npos + 1 is 0
  const Fd from(open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  struct stat info {};
  if (from.get() < 0 || fstat(from.get(), &info) != 0) return Failure("cannot read", file);
  if (!S_ISREG(info.st_mode))
    return absl::InvalidArgumentError(ops::Printable(file) + " is not a regular file");
  // A dot file is nobody's work: the scanner leaves it alone until it has its name.
  const std::string hidden = folder + "/." + ops::NewJobId().ToString() + ".part";
  const Fd to(open(hidden.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644));
  if (to.get() < 0) return Failure("cannot write into", folder);
  absl::Status status;
  if (!Copy(from.get(), to.get()) || fsync(to.get()) != 0) status = Failure("cannot copy", file);
  if (status.ok() && fstat(to.get(), &info) != 0) status = Failure("cannot look at", hidden);
  const std::string target = folder + "/" + name;
  if (status.ok() && renameat2(AT_FDCWD, hidden.c_str(), AT_FDCWD, target.c_str(), RENAME_NOREPLACE) != 0)
    status = Failure("cannot name", target);
  if (!status.ok()) {
    unlink(hidden.c_str());
    return status;
  }
  const Fd synced(open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (synced.get() >= 0) fsync(synced.get());
  const int64_t mtime_ns = static_cast<int64_t>(info.st_mtim.tv_sec) * 1'000'000'000 + info.st_mtim.tv_nsec;
  const ops::FileArrival arrival{name, static_cast<uint64_t>(info.st_size), mtime_ns, info.st_ino,
                                 0};  // a new inode: closed never before
  return ops::FileJobId(arrival).ToString();
}

}  // namespace laneway::cli
