// messages.h: what the main process and the companion tell each other.
//
// Role:       pure; the wire format of their socket.
// Shapes:     a frame is its length (4 bytes), a type (1 byte) and the fields in order; integers are little
//             endian, strings and lists begin with their length (4 bytes). Both ends are the same program, so
//             there are no versions.
// Errors:     FrameReader answers DATA_LOSS for anything that Append cannot have written: the connection is
//             then given up.
// Threads:    values; a FrameReader has one owner.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"
#include "worker/executor.h"

namespace laneway::worker::wire {

inline constexpr size_t kFrameBytesMax = 16 << 20;

// Main to companion.
struct Configure {
  std::string dir;  // of the lock file and the last words
  IncarnationId incarnation;
  std::string teller;  // what who tells the last words to the log needs to know; empty: nobody does
};
struct AddWorker {
  std::string worker;
  IncarnationId incarnation;
};
struct StartRun {
  uint64_t run = 0;  // the main process's number for the attempt, never used again
  TaskId task;
  uint32_t attempt = 0;
  std::string worker;
  std::vector<std::string> argv;
  std::vector<std::string> environment;
  std::string log_path;
  uint64_t timeout_ms = 0;
  uint64_t kill_grace_ms = 0;
  uint64_t log_bytes_max = 0;
  uint32_t processes_max = 0;
};
struct StopRun {
  uint64_t run = 0;
  uint32_t reason = 0;  // StopReason
};
struct Quit {};

// Companion to main.
struct Configured {
  std::string error;       // empty: the folder is ours
  uint32_t survivors = 0;  // processes of a companion that was killed, stopped now
};
struct RunStarted {
  uint64_t run = 0;
  int32_t pid = 0;
  uint64_t pid_start = 0;
};
struct RunReported {
  uint64_t run = 0;
  Reported report;  // without its key
};
struct RunEnded {
  uint64_t run = 0;
  Ended ended;  // without its key
};

using Message = std::variant<Configure, AddWorker, StartRun, StopRun, Quit, Configured, RunStarted,
                             RunReported, RunEnded>;

// Appends the message's frame. False, and nothing appended, when it would be longer than kFrameBytesMax.
bool Append(const Message& message, std::string* out);

// Takes bytes as they come, gives messages.
class FrameReader {
 public:
  void Feed(std::string_view bytes);
  // Nothing: more bytes are needed.
  absl::StatusOr<std::optional<Message>> Next();

 private:
  std::string buffer_;
  size_t begin_ = 0;
};

}  // namespace laneway::worker::wire
