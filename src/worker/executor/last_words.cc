#include "worker/executor/last_words.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "worker/executor/companion.h"
#include "worker/executor/process_table.h"

namespace laneway::worker {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::string_view kWordsEnd = ".pb";
constexpr std::string_view kToldEnd = ".told";

std::string LockPath(const std::string& dir) { return dir + "/companion.lock"; }
std::string WordsDir(const std::string& dir) { return dir + "/last-words"; }

absl::Status Error(const std::string& what, const std::string& path) {
  return absl::UnavailableError(what + " " + path + ": " + std::strerror(errno));
}

absl::Status MakeFolder(const std::string& path) {
  for (size_t slash = path.find('/', 1); slash != std::string::npos; slash = path.find('/', slash + 1)) {
    mkdir(path.substr(0, slash).c_str(), 0755);
  }
  if (mkdir(path.c_str(), 0755) != 0 && errno != EEXIST) return Error("cannot make", path);
  return absl::OkStatus();
}

absl::Status SyncFolder(const std::string& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return Error("cannot open", path);
  const int result = fsync(fd);
  close(fd);
  return result == 0 ? absl::OkStatus() : Error("cannot sync", path);
}

}  // namespace

absl::StatusOr<int> TakeCompanionLock(const std::string& dir, const std::string& token,
                                      std::string* predecessor) {
  if (auto made = MakeFolder(WordsDir(dir)); !made.ok()) return made;
  const std::string path = LockPath(dir);
  const int fd = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) return Error("cannot open", path);
  if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
    close(fd);
    return absl::FailedPreconditionError("another process of this fleet uses " + dir +
                                         " (its companion holds " + path + ")");
  }
  *predecessor = ReadSmallFile(path);
  if (ftruncate(fd, 0) != 0 ||
      pwrite(fd, token.data(), token.size(), 0) != static_cast<ssize_t>(token.size())) {
    const absl::Status error = Error("cannot write", path);
    close(fd);
    return error;
  }
  return fd;
}

void ClearCompanionLock(int fd) {
  if (ftruncate(fd, 0) != 0) return;  // then the next one looks for our processes and finds none
}

absl::Status AwaitCompanionLock(const std::string& dir, std::chrono::milliseconds timeout) {
  const std::string path = LockPath(dir);
  const auto deadline = Clock::now() + timeout;
  const int fd = open(path.c_str(), O_RDWR | O_CLOEXEC);
  if (fd < 0) return errno == ENOENT ? absl::OkStatus() : Error("cannot open", path);
  const int watch = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
  if (watch >= 0) inotify_add_watch(watch, path.c_str(), IN_CLOSE_WRITE);
  bool free = flock(fd, LOCK_EX | LOCK_NB) == 0;
  while (!free && Clock::now() < deadline) {
    // The watch tells of the close; the lock itself goes a moment later, hence the short look as well.
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now());
    pollfd wait{watch, POLLIN, 0};
    poll(&wait, 1, static_cast<int>(std::clamp<int64_t>(left.count(), 1, 10)));
    char events[4096];
    if (wait.revents != 0 && read(watch, events, sizeof events) < 0) wait.revents = 0;
    free = flock(fd, LOCK_EX | LOCK_NB) == 0;
  }
  if (watch >= 0) close(watch);
  close(fd);
  if (free) return absl::OkStatus();
  return absl::DeadlineExceededError("the companion of an earlier process still holds " + path);
}

absl::Status WriteLastWords(const std::string& dir, const IncarnationId& incarnation,
                            const v1::LastWords& words) {
  const std::string path = WordsDir(dir) + "/" + incarnation.ToString() + std::string(kWordsEnd);
  const std::string unfinished = path + ".tmp";
  const std::string bytes = words.SerializeAsString();
  const int fd = open(unfinished.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (fd < 0) return Error("cannot make", unfinished);
  const bool written =
      write(fd, bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size()) && fsync(fd) == 0;
  const absl::Status error = written ? absl::OkStatus() : Error("cannot write", unfinished);
  close(fd);
  if (!written) return error;
  if (rename(unfinished.c_str(), path.c_str()) != 0) return Error("cannot rename", unfinished);
  return SyncFolder(WordsDir(dir));
}

absl::Status StartTeller(const std::string& dir, const std::string& input) {
  // In memory: what it needs to know may hold passwords.
  const int in = memfd_create("last-words", MFD_CLOEXEC);
  if (in < 0 || write(in, input.data(), input.size()) != static_cast<ssize_t>(input.size()) ||
      lseek(in, 0, SEEK_SET) != 0) {
    const absl::Status error = Error("cannot hand on", "the settings of the log");
    if (in >= 0) close(in);
    return error;
  }
  posix_spawn_file_actions_t files;
  posix_spawn_file_actions_init(&files);
  posix_spawn_file_actions_adddup2(&files, in, STDIN_FILENO);
  posix_spawnattr_t how;
  posix_spawnattr_init(&how);
  sigset_t none;
  sigemptyset(&none);
  posix_spawnattr_setsigmask(&how, &none);
  posix_spawnattr_setflags(&how, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK);
  std::string name = "laneway", argument = kTellerArgument, folder = dir;
  char* argv[] = {name.data(), argument.data(), folder.data(), nullptr};
  pid_t pid = 0;
  const int failed = posix_spawn(&pid, "/proc/self/exe", &files, &how, argv, environ);
  posix_spawnattr_destroy(&how);
  posix_spawn_file_actions_destroy(&files);
  close(in);
  if (failed == 0) return absl::OkStatus();
  return absl::UnavailableError(absl::StrCat("cannot start who tells them: ", std::strerror(failed)));
}

std::vector<LastWordsFile> ReadLastWords(const std::string& dir) {
  std::vector<LastWordsFile> files;
  DIR* folder = opendir(WordsDir(dir).c_str());
  if (folder == nullptr) return files;
  while (const dirent* entry = readdir(folder)) {
    const std::string name = entry->d_name;
    const bool told = name.ends_with(kToldEnd);
    if (!told && !name.ends_with(kWordsEnd)) continue;
    LastWordsFile file{.path = WordsDir(dir) + "/" + name, .words = {}, .told = told};
    if (file.words.ParseFromString(ReadSmallFile(file.path))) files.push_back(std::move(file));
  }
  closedir(folder);
  std::sort(files.begin(), files.end(), [](const auto& a, const auto& b) { return a.path < b.path; });
  return files;
}

absl::Status MarkTold(const LastWordsFile& file) {
  const std::string told = file.path.substr(0, file.path.size() - kWordsEnd.size()) + std::string(kToldEnd);
  if (rename(file.path.c_str(), told.c_str()) != 0) return Error("cannot rename", file.path);
  return absl::OkStatus();
}

absl::Status ForgetLastWords(const LastWordsFile& file) {
  if (unlink(file.path.c_str()) != 0 && errno != ENOENT) return Error("cannot remove", file.path);
  return absl::OkStatus();
}

}  // namespace laneway::worker
