// ending.h: what an exit means.
//
// Role:       pure.
// Input:      how the process ended and what we had done to it.
// Output:     the outcome of the attempt, with a reason for people.
// Threads:    functions.
#pragma once

#include <string_view>

#include "worker/executor.h"

namespace laneway::worker {

inline constexpr size_t kMessageBytesMax = 2 << 10;
inline constexpr int kExitBadInput = 65;  // EX_DATAERR
inline constexpr int kExitTryAgain = 75;  // EX_TEMPFAIL

enum class StopCause { kNone, kTimeout, kStop, kTooManyProcesses };

struct ExitFacts {
  int exit_code = 0;
  int signal = 0;  // 0: it exited
  bool core_dumped = false;
  StopCause cause = StopCause::kNone;
  StopReason stop_reason = StopReason::kCancelled;
  bool out_of_memory = false;
  bool stuck = false;  // some of it could not be killed
  std::chrono::milliseconds timeout{0};
  uint32_t processes_max = 0;
};

// Sets ok, ending, exit_code, signal and message. `output_tail` is the last output, as it came.
void Judge(const ExitFacts& facts, std::string_view output_tail, Ended* ended);

std::string_view StopReasonText(StopReason reason);

}  // namespace laneway::worker
