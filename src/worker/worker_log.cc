#include "worker/worker_log.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <ctime>

#include "absl/strings/str_cat.h"

namespace laneway::worker {
namespace {

constexpr size_t kWaitingBytesMax = 4 << 20;

void AppendEscaped(std::string_view text, std::string* out) {
  constexpr char kHex[] = "0123456789abcdef";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x20 && byte != 0x7f) {
      out->push_back(c);
    } else {
      out->append("\\x");
      out->push_back(kHex[byte >> 4]);
      out->push_back(kHex[byte & 15]);
    }
  }
}

}  // namespace

std::string FormatTime(LogTime time) {
  const int64_t ms = ((time.ms % 1000) + 1000) % 1000;
  const std::time_t seconds = static_cast<std::time_t>((time.ms - ms) / 1000);
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  char text[40];
  const size_t length = std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &parts);
  char fraction[8];
  std::snprintf(fraction, sizeof fraction, ".%03dZ", static_cast<int>(ms));
  return std::string(text, length) + fraction;
}

std::string FormatLine(LogTime time, const WorkerId& worker, const Line& line) {
  std::string out = absl::StrCat(FormatTime(time), " ", worker.name, " – ");
  AppendEscaped(line.text, &out);
  if (line.key) {
    absl::StrAppend(&out, " job=", line.key->task.job.ToString());
    if (line.key->task.n != 1) absl::StrAppend(&out, " task=", line.key->task.n);
    absl::StrAppend(&out, " attempt=", line.key->attempt);
  }
  if (!line.file.empty()) {
    out.append(" file=");
    AppendEscaped(line.file, &out);
  }
  return out;
}

WorkerLog::WorkerLog(std::string folder, WorkerId worker, uint64_t bytes_max)
    : folder_(std::move(folder)), worker_(std::move(worker)), bytes_max_(bytes_max) {}

WorkerLog::~WorkerLog() {
  Flush();
  if (fd_ >= 0) close(fd_);
}

void WorkerLog::Add(LogTime time, const Line& line) {
  if (folder_.empty()) return;
  if (waiting_.size() > kWaitingBytesMax) {
    lost_++;
    return;
  }
  waiting_.append(FormatLine(time, worker_, line));
  waiting_.push_back('\n');
  waiting_lines_++;
}

bool WorkerLog::Open() {
  if (fd_ >= 0) return true;
  fd_ = open((folder_ + "/worker.log").c_str(),
             O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0644);
  if (fd_ < 0) return false;
  struct stat info {};
  size_ = fstat(fd_, &info) == 0 ? static_cast<uint64_t>(info.st_size) : 0;
  return true;
}

void WorkerLog::Flush() {
  if (waiting_.empty() || folder_.empty()) return;
  if (Open() && size_ > 0 && size_ + waiting_.size() > bytes_max_) {
    close(fd_);
    fd_ = -1;
    rename((folder_ + "/worker.log").c_str(), (folder_ + "/worker.log.1").c_str());
  }
  std::string_view rest = waiting_;
  if (Open()) {
    while (!rest.empty()) {
      const ssize_t written = write(fd_, rest.data(), rest.size());
      if (written < 0 && errno == EINTR) continue;
      if (written <= 0) break;
      size_ += static_cast<uint64_t>(written);
      rest.remove_prefix(static_cast<size_t>(written));
    }
  }
  if (!rest.empty()) lost_ += waiting_lines_;  // at the most
  waiting_.clear();
  waiting_lines_ = 0;
}

}  // namespace laneway::worker
