#include "worker/executor/attempt_log.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

namespace laneway::worker {
namespace {

constexpr size_t kRecentMax = 2 << 10;

// Returns how much was written; less than all only when the file takes no more.
size_t WriteAll(int fd, std::string_view bytes) {
  size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t n = write(fd, bytes.data() + done, bytes.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    done += static_cast<size_t>(n);
  }
  return done;
}

// O_NONBLOCK: should somebody have put a FIFO there, opening it must fail, not wait.
int OpenLog(const std::string& path, int flags) {
  return open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | flags, 0644);
}

}  // namespace

AttemptLog::AttemptLog(std::string path, uint64_t bytes_max) : path_(std::move(path)) {
  if (bytes_max == 0) bytes_max = kLogBytesDefault;
  tail_max_ = std::min(bytes_max / 2, kLogTailBytesMax);
  head_max_ = bytes_max - tail_max_;
}

AttemptLog::~AttemptLog() { Close(); }

bool AttemptLog::Open() {
  if (fd_ >= 0) return true;
  if (path_.empty()) return false;
  fd_ = OpenLog(path_, O_APPEND);
  if (fd_ < 0 && errno == ENOENT) {
    mkdir(path_.substr(0, path_.rfind('/')).c_str(), 0755);
    fd_ = OpenLog(path_, O_APPEND);
  }
  return fd_ >= 0;
}

void AttemptLog::WriteHead(std::string_view bytes) {
  const size_t written = Open() ? WriteAll(fd_, bytes) : 0;
  head_written_ += written;
  lost_ += bytes.size() - written;
}

void AttemptLog::AppendToTail(std::string_view bytes) {
  tail_total_ += bytes.size();
  tail_changed_ = true;
  if (bytes.size() >= tail_max_) {
    tail_ = bytes.substr(bytes.size() - tail_max_);
    tail_begin_ = 0;
    return;
  }
  const size_t room = tail_max_ - tail_.size();
  tail_.append(bytes.substr(0, room));
  if (bytes.size() <= room) return;
  bytes.remove_prefix(room);
  const size_t first = std::min(bytes.size(), tail_.size() - tail_begin_);
  std::copy_n(bytes.data(), first, tail_.data() + tail_begin_);
  std::copy_n(bytes.data() + first, bytes.size() - first, tail_.data());
  tail_begin_ = (tail_begin_ + bytes.size()) % tail_.size();
}

std::string AttemptLog::Tail() const { return tail_.substr(tail_begin_) + tail_.substr(0, tail_begin_); }

void AttemptLog::Write(std::string_view bytes) {
  bytes_ += bytes.size();
  recent_.append(bytes.size() > kRecentMax ? bytes.substr(bytes.size() - kRecentMax) : bytes);
  if (recent_.size() > 4 * kRecentMax) recent_.erase(0, recent_.size() - kRecentMax);
  if (tail_total_ == 0) {
    const uint64_t room = head_max_ - std::min(head_max_, head_written_ + lost_);
    const std::string_view head = bytes.substr(0, room);
    if (!head.empty()) WriteHead(head);
    bytes.remove_prefix(head.size());
  }
  if (!bytes.empty()) AppendToTail(bytes);
}

void AttemptLog::Sync() {
  if (!tail_changed_ || path_.empty()) return;
  tail_changed_ = false;
  const int fd = OpenLog(path_ + ".1", O_TRUNC);
  if (fd < 0) return;
  tail_file_ = true;
  WriteAll(fd, Tail());
  close(fd);
}

void AttemptLog::Close() {
  if (tail_total_ > 0 && Open()) {
    const uint64_t left_out = tail_total_ - tail_.size();
    if (left_out > 0)
      WriteAll(fd_, "\n[laneway: " + std::to_string(left_out) + " bytes of output are left out here]\n");
    lost_ += tail_.size() - WriteAll(fd_, Tail());
    tail_total_ = 0;
    tail_.clear();
    tail_begin_ = 0;
  }
  if (lost_ > 0 && Open()) {
    WriteAll(fd_, "\n[laneway: " + std::to_string(lost_) + " bytes of output could not be written]\n");
    lost_ = 0;
  }
  if (tail_file_) unlink((path_ + ".1").c_str());
  tail_file_ = false;
  if (fd_ >= 0) close(fd_);
  fd_ = -1;
  path_.clear();  // what should still come is dropped
}

std::string_view AttemptLog::recent() const {
  const std::string_view recent = recent_;
  return recent.substr(recent.size() - std::min(recent.size(), kRecentMax));
}

}  // namespace laneway::worker
