#include "worker/browser/profile.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "worker/executor/process_table.h"
#include "worker/executor/text.h"

namespace laneway::worker {
namespace {

constexpr char kAside[] = ".aside-";

absl::Status Error(const char* what, const std::string& path) {
  return absl::UnavailableError(absl::StrCat(what, " ", path, ": ", std::strerror(errno)));
}

absl::Status MakeFolders(const std::string& path) {
  for (size_t slash = path.find('/', 1); slash != std::string::npos; slash = path.find('/', slash + 1))
    mkdir(path.substr(0, slash).c_str(), 0755);
  if (mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) return Error("cannot make", path);
  return absl::OkStatus();
}

std::string OwnHost() {
  char name[256] = {};
  return gethostname(name, sizeof name - 1) == 0 ? name : "";
}

// The folders set aside, oldest first.
std::vector<std::string> SetAside(const std::string& profile) {
  const size_t slash = profile.rfind('/');
  const std::string parent = profile.substr(0, slash);
  const std::string prefix = absl::StrCat(profile.substr(slash + 1), kAside);
  std::vector<std::string> found;
  const std::unique_ptr<DIR, int (*)(DIR*)> folder(opendir(parent.c_str()), closedir);
  while (const dirent* entry = folder ? readdir(folder.get()) : nullptr) {
    if (std::string_view(entry->d_name).starts_with(prefix))
      found.push_back(absl::StrCat(parent, "/", entry->d_name));
  }
  std::sort(found.begin(), found.end());
  return found;
}

}  // namespace

std::string KeeperFolder(const std::string& profile) { return profile + ".keeper"; }

absl::StatusOr<int> LockProfile(const std::string& profile) {
  const std::string folder = KeeperFolder(profile);
  for (const std::string& path : {profile, folder}) {
    if (absl::Status status = MakeFolders(path); !status.ok()) return status;
  }
  const std::string path = folder + "/lock";
  const int fd = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) return Error("cannot open", path);
  if (flock(fd, LOCK_EX | LOCK_NB) == 0) return fd;
  close(fd);
  return absl::FailedPreconditionError(absl::StrCat("the profile ", profile, " is in use"));
}

// A link named after host and pid. Dangling by nature: lstat, not stat.
absl::Status ClearSingleton(const std::string& profile) {
  const std::string path = profile + "/SingletonLock";
  char target[512];
  const ssize_t size = readlink(path.c_str(), target, sizeof target);
  if (size < 0) return errno == ENOENT || errno == ENOTDIR ? absl::OkStatus() : Error("cannot read", path);
  const std::string owner(target, static_cast<size_t>(size));
  const size_t dash = owner.rfind('-');
  const std::string host(owner.substr(0, dash));
  pid_t pid = 0;
  if (dash == std::string::npos || !absl::SimpleAtoi(owner.substr(dash + 1), &pid)) pid = 0;
  // A file of ours is there only when a keeper of ours was there before: then the host was this one under
  // another name (a container made anew), and its keeper, who held our lock, is gone.
  const bool ours = !ReadSmallFile(KeeperFolder(profile) + "/generation").empty();
  if (host != OwnHost() && !ours)
    return absl::FailedPreconditionError(
        absl::StrCat("the profile ", profile, " is in use by a browser on ", CleanText(host),
                     ": end it there; if that machine is gone for good, delete ", path));
  const std::string command = ReadSmallFile(absl::StrCat("/proc/", pid, "/cmdline"));
  if (host == OwnHost() && pid > 0 && command.find(profile) != std::string::npos)
    return absl::FailedPreconditionError(absl::StrCat("the profile ", profile, " is in use by process ", pid,
                                                      ": end that browser, or give this worker another "
                                                      "browser.profile_dir"));
  for (const char* name : {"/SingletonLock", "/SingletonSocket", "/SingletonCookie"})
    unlink((profile + name).c_str());
  return absl::OkStatus();
}

absl::Status Apply(ProfileStep step, const std::string& profile, LogTime now) {
  if (step == ProfileStep::kKeep) return absl::OkStatus();
  const std::vector<std::string> before = SetAside(profile);
  if (step == ProfileStep::kPutBack && before.empty()) return absl::OkStatus();
  const std::string away = absl::StrCat(profile, kAside, now.ms);
  if (rename(profile.c_str(), away.c_str()) != 0) return Error("cannot rename", profile);
  if (step == ProfileStep::kPutBack && rename(before.back().c_str(), profile.c_str()) != 0)
    return Error("cannot put back", before.back());
  return MakeFolders(profile);
}

}  // namespace laneway::worker
