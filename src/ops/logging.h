// logging.h: lines for people and machines on stderr, and each worker's own worker.log.
//
// Role:       shell around spdlog.
// Output:     text: `2026-11-21T06:15:02.123Z DTF-03 – Task Started job=… attempt=1`; or JSON, one object a
//             line: {"time":…,"level":"info","who":"DTF-03","message":"Task Started","job":…,"attempt":1}.
// Invariants: (1) a message begins with the name of its worker or role; (2) one call, one line: no value can
//             end a line, forge a field or send a terminal a command; (3) a line is at most 8 KiB; (4) a disk
//             that is full never stops the caller.
// Threads:    every function from any thread.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "fleet/log_time.h"

namespace laneway::ops {

enum class LogLevel : uint8_t { kDebug, kInfo, kWarning, kError, kOff };
std::string_view LogLevelName(LogLevel level);

struct LogOptions {
  LogLevel level = LogLevel::kInfo;
  bool json = false;
  bool colour = false;  // warnings yellow, errors red
};

// Before the first line; may be called again. Without it: text, kInfo.
void InitLogging(const LogOptions& options);
// Whether a line of this level would be written: to save the work of making one.
bool LogEnabled(LogLevel level);

// One line, written when the statement ends:
//   Log(LogLevel::kInfo, "DTF-03", "Task Started").With("job", id.ToString()).With("attempt", 1);
class LogLine {
 public:
  LogLine(LogLevel level, std::string_view who, std::string_view message);
  LogLine(LogLine&& other) noexcept;
  LogLine& operator=(LogLine&&) = delete;
  ~LogLine();

  LogLine& With(std::string_view key, std::string_view value);
  LogLine& With(std::string_view key, const char* value) { return With(key, std::string_view(value)); }
  LogLine& With(std::string_view key, const std::string& value) { return With(key, std::string_view(value)); }
  LogLine& With(std::string_view key, int64_t value);
  LogLine& With(std::string_view key, uint64_t value);
  LogLine& With(std::string_view key, int value) { return With(key, static_cast<int64_t>(value)); }
  LogLine& With(std::string_view key, uint32_t value) { return With(key, static_cast<uint64_t>(value)); }
  // The first of its kind (same who and message) is written, the next ones are counted; once a minute one is
  // written with repeated=<count>.
  LogLine& Rarely();

 private:
  struct Field {
    std::string key;
    std::string value;
    bool number;
  };
  LogLevel level_;
  bool enabled_;
  std::string who_;
  std::string message_;
  std::vector<Field> fields_;
  friend class LogWriter;
};

inline LogLine Log(LogLevel level, std::string_view who, std::string_view message) {
  return {level, who, message};
}

// Decides which repetitions are written. Pure but for what it remembers (at most `keys_max` kinds).
class Repetitions {
 public:
  explicit Repetitions(size_t keys_max = 1024) : keys_max_(keys_max) {}
  struct Verdict {
    bool write = false;
    uint64_t repeated = 0;  // how many were kept back since the last one written
  };
  Verdict Seen(const std::string& kind, LogTime now);

 private:
  struct Entry {
    LogTime written;
    uint64_t kept_back = 0;
  };
  const size_t keys_max_;
  std::map<std::string, Entry> entries_;
};

// One line a state change of one worker, in logs/<worker>/worker.log.
class WorkerLog {
 public:
  virtual ~WorkerLog() = default;
  // `fields` come after the message as key=value.
  virtual void Write(LogTime at, std::string_view message,
                     const std::vector<std::pair<std::string, std::string>>& fields) = 0;
  virtual void Flush() = 0;
};

struct WorkerLogOptions {
  std::string path;  // its folder is made when missing
  std::string worker;
  uint64_t bytes_max = 16 << 20;  // of one file, then worker.1.log …
  size_t files_max = 4;           // beside the current one
};
absl::StatusOr<std::unique_ptr<WorkerLog>> OpenWorkerLog(const WorkerLogOptions& options);

}  // namespace laneway::ops
