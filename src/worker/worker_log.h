// worker_log.h: logs/<worker>/worker.log: one line a state change, for people.
//
// Role:       shell. Lines are gathered and written once a wake; what cannot be written is counted, and stops
//             nothing. Bounds:     at bytes_max the file becomes worker.log.1, replacing the one before it.
// Threads:    one owner.
#pragma once

#include <cstdint>
#include <string>

#include "fleet/log_time.h"
#include "worker/worker.h"

namespace laneway::worker {

// "2026-11-21T06:15:02.123Z"
std::string FormatTime(LogTime time);
// "2026-11-21T06:15:02.123Z DTF-03 – Task Success job=… attempt=1 file=…",
// without a newline. Control characters are escaped.
std::string FormatLine(LogTime time, const WorkerId& worker, const Line& line);

class WorkerLog {
 public:
  // `folder` is absolute; empty: no file.
  WorkerLog(std::string folder, WorkerId worker, uint64_t bytes_max = 16 << 20);
  ~WorkerLog();
  WorkerLog(const WorkerLog&) = delete;
  WorkerLog& operator=(const WorkerLog&) = delete;

  void Add(LogTime time, const Line& line);
  void Flush();
  uint64_t lost() const { return lost_; }

 private:
  bool Open();

  const std::string folder_;
  const WorkerId worker_;
  const uint64_t bytes_max_;
  int fd_ = -1;
  uint64_t size_ = 0;
  std::string waiting_;
  uint64_t waiting_lines_ = 0;
  uint64_t lost_ = 0;
};

}  // namespace laneway::worker
