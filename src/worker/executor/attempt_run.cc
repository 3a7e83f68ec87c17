#include "worker/executor/attempt_run.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

namespace laneway::worker {
namespace {

constexpr size_t kReadBytes = 64 << 10;
// A pipe can be enlarged to 1 MiB by its user; more than that is left only when a stranger writes to it.
constexpr int kDrainReadsMax = 32;

void CloseFd(int* fd) {
  if (*fd >= 0) close(*fd);
  *fd = -1;
}

// A child that is just being started has a copy of all our files until its execve. So closing alone does not
// end the watch: the poll would report what we hold no more, without end.
void Unwatch(int epoll_fd, int* fd) {
  if (*fd >= 0) epoll_ctl(epoll_fd, EPOLL_CTL_DEL, *fd, nullptr);
  CloseFd(fd);
}

uint64_t Microseconds(const timeval& time) {
  return static_cast<uint64_t>(time.tv_sec) * 1000000 + static_cast<uint64_t>(time.tv_usec);
}

}  // namespace

AttemptRun::AttemptRun(wire::StartRun spec, int epoll, SteadyTime now)
    : start(std::move(spec)),
      epoll_fd(epoll),
      started_at(now),
      log(start.log_path, start.log_bytes_max),
      report_not_before_(now) {
  facts.timeout = std::chrono::milliseconds(start.timeout_ms);
  facts.processes_max = start.processes_max;
}

AttemptRun::~AttemptRun() {
  Unwatch(epoll_fd, &pidfd);
  Unwatch(epoll_fd, &stdout_fd);
  Unwatch(epoll_fd, &stderr_fd);
}

void AttemptRun::ClosePidfd() { Unwatch(epoll_fd, &pidfd); }

int AttemptRun::MakePipes(int* stdout_write, int* stderr_write) {
  int out[2], err[2];
  if (pipe2(out, O_CLOEXEC) != 0) return errno;
  if (pipe2(err, O_CLOEXEC) != 0) {
    const int error = errno;
    close(out[0]);
    close(out[1]);
    return error;
  }
  fcntl(out[0], F_SETFL, O_NONBLOCK);
  fcntl(err[0], F_SETFL, O_NONBLOCK);
  stdout_fd = out[0];
  stderr_fd = err[0];
  *stdout_write = out[1];
  *stderr_write = err[1];
  return 0;
}

bool AttemptRun::ReadPipe(bool is_stdout) {
  int* fd = is_stdout ? &stdout_fd : &stderr_fd;
  if (*fd < 0) return false;
  static char bytes[kReadBytes];
  const ssize_t size = read(*fd, bytes, sizeof bytes);
  if (size < 0 && (errno == EAGAIN || errno == EINTR)) return true;
  if (size <= 0) {
    Unwatch(epoll_fd, fd);
    return false;
  }
  const std::string_view piece(bytes, static_cast<size_t>(size));
  log.Write(piece);
  if (is_stdout && scanner_.Feed(piece, &report_)) report_waits_ = true;
  return true;
}

void AttemptRun::Drain() {
  for (bool is_stdout : {true, false}) {
    int* fd = is_stdout ? &stdout_fd : &stderr_fd;
    uint64_t before = 0;
    int reads = 0;
    do {
      before = log.bytes();
    } while (ReadPipe(is_stdout) && log.bytes() != before && ++reads < kDrainReadsMax);
    Unwatch(epoll_fd, fd);
  }
  if (scanner_.Finish(&report_)) report_waits_ = true;
}

std::optional<Reported> AttemptRun::TakeReport(SteadyTime now, bool at_once) {
  if (!report_waits_ || (!at_once && now < report_not_before_)) return std::nullopt;
  report_waits_ = false;
  report_not_before_ = now + kReportInterval;
  return std::exchange(report_, {});
}

std::optional<SteadyTime> AttemptRun::Deadline() const {
  std::optional<SteadyTime> first;
  const auto consider = [&first](const std::optional<SteadyTime>& at) {
    if (at && (!first || *at < *first)) first = at;
  };
  if (stage == RunStage::kRunning && !leader_gone()) consider(timeout_at);
  if (stage == RunStage::kTerminating) consider(kill_at);
  consider(give_up_at);
  if (report_waits_) consider(report_not_before_);
  return first;
}

Ended AttemptRun::MakeEnded() {
  Ended ended;
  facts.signal = WIFSIGNALED(wait_status) ? WTERMSIG(wait_status) : 0;
  facts.core_dumped = WIFSIGNALED(wait_status) && WCOREDUMP(wait_status);
  facts.exit_code = WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : 0;
  Judge(facts, log.recent(), &ended);
  ended.duration =
      std::chrono::duration_cast<std::chrono::milliseconds>(leader_gone_at.value_or(started_at) - started_at);
  ended.cpu_us = Microseconds(usage.ru_utime) + Microseconds(usage.ru_stime);
  ended.memory_peak_kib = static_cast<uint64_t>(std::max(usage.ru_maxrss, 0L));
  ended.output_bytes = log.bytes();
  return ended;
}

}  // namespace laneway::worker
