#include "zone/inotify.h"

#include <dirent.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "zone/path.h"
#include "zone/posix_fs.h"

namespace laneway::zone {
namespace {

// Removals are not asked for: most are our own, and a file that was withdrawn can wait for the next full
// look.
constexpr uint32_t kEvents = IN_CREATE | IN_CLOSE_WRITE | IN_MOVED_TO | IN_DELETE_SELF | IN_MOVE_SELF |
                             IN_EXCL_UNLINK | IN_ONLYDIR | IN_DONT_FOLLOW;

}  // namespace

InotifyWatcher::InotifyWatcher(std::string incoming) : incoming_(std::move(incoming)) {
  fd_ = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
  if (fd_ < 0) {
    status_ = StatusOfErrno(errno, "watch", incoming_);
    return;
  }
  News ignored;  // the first full look is done anyway
  Watch("", false, ignored);
  if (!folders_.empty()) return;
  status_ = absl::UnavailableError(Concat({"cannot watch ", Printable(incoming_), ": ", ignored.problem}));
  close(std::exchange(fd_, -1));
}

InotifyWatcher::~InotifyWatcher() {
  if (fd_ >= 0) close(fd_);
}

void InotifyWatcher::Tell(std::string path, bool complete, News& news) {
  if (!news.hints.empty() && news.hints.back().path == path) {  // made and closed at once
    news.hints.back().complete |= complete;
  } else if (news.hints.size() >= kHintsMax) {
    news.rescan = true;
  } else {
    news.hints.push_back({std::move(path), complete});
  }
}

// The folder and all below it. `tell`: what is in there already came before the watch.
void InotifyWatcher::Watch(const std::string& folder, bool tell, News& news) {
  std::vector<std::string> folders = {folder};
  while (!folders.empty()) {
    const std::string at = std::move(folders.back());
    folders.pop_back();
    const std::string full = at.empty() ? incoming_ : JoinPath(incoming_, at);
    const int watch = inotify_add_watch(fd_, full.c_str(), kEvents);
    if (watch < 0) {
      if (errno == ENOENT || errno == ENOTDIR) {
        if (!at.empty()) continue;
        lost_ = true;
      }
      if (!told_) {
        const absl::Status why = StatusOfErrno(errno, "watch", full);
        news.problem = errno == ENOSPC ? "too many folders to watch: raise fs.inotify.max_user_watches"
                                       : std::string(why.message());
        told_ = true;
      }
      continue;
    }
    folders_[watch] = at;
    DIR* const stream = opendir(full.c_str());
    if (stream == nullptr) continue;
    while (const struct dirent* const entry = readdir(stream)) {
      if (entry->d_name[0] == '.') continue;
      std::string path = JoinPath(at, entry->d_name);
      const bool is_folder = entry->d_type == DT_DIR || entry->d_type == DT_UNKNOWN;
      if (is_folder && DepthOf(path) < kDepthMax) {
        folders.push_back(std::move(path));
      } else if (tell) {
        Tell(std::move(path), false, news);
      }
    }
    closedir(stream);
  }
}

void InotifyWatcher::StartAgain(News& news) {
  for (const auto& [watch, folder] : folders_) inotify_rm_watch(fd_, watch);
  folders_.clear();
  lost_ = false;
  Watch("", false, news);
  lost_ = folders_.empty();
  news.rescan = true;
}

void InotifyWatcher::Handle(int watch, unsigned mask, std::string_view name, News& news) {
  if ((mask & IN_Q_OVERFLOW) != 0) {
    // Folders may have come and gone unseen: their watches are made anew.
    lost_ = true;
    return;
  }
  const auto folder = folders_.find(watch);
  if (folder == folders_.end()) return;
  if ((mask & (IN_MOVE_SELF | IN_UNMOUNT)) != 0) {
    lost_ = true;  // it, and all below it, have another path now
    return;
  }
  if ((mask & (IN_IGNORED | IN_DELETE_SELF)) != 0) {
    if (folder->second.empty()) lost_ = true;
    if ((mask & IN_IGNORED) != 0) folders_.erase(folder);
    return;
  }
  if (name.empty() || name[0] == '.') return;
  std::string path = JoinPath(folder->second, name);
  if ((mask & IN_ISDIR) != 0) {
    if ((mask & (IN_CREATE | IN_MOVED_TO)) != 0 && DepthOf(path) < kDepthMax) Watch(path, true, news);
    return;
  }
  Tell(std::move(path), (mask & (IN_CLOSE_WRITE | IN_MOVED_TO)) != 0, news);
}

InotifyWatcher::News InotifyWatcher::Read() {
  News news;
  if (fd_ < 0) return news;
  alignas(struct inotify_event) std::array<char, 65'536> buffer;
  while (news.hints.size() < kHintsMax) {
    const ssize_t bytes = read(fd_, buffer.data(), buffer.size());
    if (bytes < 0 && errno == EINTR) continue;
    if (bytes <= 0) break;
    for (ssize_t at = 0; at < bytes;) {
      struct inotify_event event = {};
      std::memcpy(&event, buffer.data() + at, sizeof event);
      const char* const name = buffer.data() + at + sizeof event;
      Handle(event.wd, event.mask, std::string_view(name, strnlen(name, event.len)), news);
      at += static_cast<ssize_t>(sizeof event + event.len);
    }
  }
  if (lost_) StartAgain(news);
  return news;
}

}  // namespace laneway::zone
