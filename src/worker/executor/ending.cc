#include "worker/executor/ending.h"

#include "worker/executor/text.h"

namespace laneway::worker {
namespace {

std::string DurationText(std::chrono::milliseconds time) {
  return time.count() % 1000 == 0 ? std::to_string(time.count() / 1000) + " s"
                                  : std::to_string(time.count()) + " ms";
}

v1::Ending EndingOf(const ExitFacts& facts) {
  if (facts.cause == StopCause::kStop) return v1::STOPPED;
  if (facts.cause == StopCause::kTimeout) return v1::TIMEOUT;
  if (facts.out_of_memory) return v1::OUT_OF_MEMORY;
  if (facts.signal != 0) return v1::SIGNAL;
  if (facts.exit_code == kExitBadInput) return v1::BAD_INPUT;
  if (facts.exit_code == kExitTryAgain) return v1::TRY_AGAIN;
  if (facts.exit_code != 0 || facts.cause != StopCause::kNone) return v1::EXIT_CODE;
  return v1::ENDING_UNSPECIFIED;
}

std::string ReasonOf(const ExitFacts& facts) {
  std::string how =
      facts.signal != 0 ? "killed by " + SignalName(facts.signal) : "exit " + std::to_string(facts.exit_code);
  if (facts.core_dumped) how += " (core dumped)";
  switch (facts.cause) {
    case StopCause::kTimeout:
      return "stopped after " + DurationText(facts.timeout) + " (timeout; " + how + ")";
    case StopCause::kStop:
      return "stopped: " + std::string(StopReasonText(facts.stop_reason)) + " (" + how + ")";
    case StopCause::kTooManyProcesses:
      return "more than " + std::to_string(facts.processes_max) + " processes (" + how + ")";
    case StopCause::kNone:
      break;
  }
  if (facts.out_of_memory) return "out of memory: the kernel killed it (" + how + ")";
  if (facts.signal == 0 && facts.exit_code == kExitBadInput) return how + ": bad input";
  if (facts.signal == 0 && facts.exit_code == kExitTryAgain) return how + ": try again";
  return how;
}

}  // namespace

std::string_view StopReasonText(StopReason reason) {
  switch (reason) {
    case StopReason::kCancelled:
      return "cancelled";
    case StopReason::kSuperseded:
      return "superseded";
    case StopReason::kShutdown:
      return "the worker shuts down";
    case StopReason::kBrowserGone:
      return "the browser is gone";
  }
  return "asked to";
}

void Judge(const ExitFacts& facts, std::string_view output_tail, Ended* ended) {
  ended->exit_code = facts.exit_code;
  ended->signal = facts.signal;
  ended->ending = EndingOf(facts);
  ended->ok = ended->ending == v1::ENDING_UNSPECIFIED;
  ended->message.clear();
  if (ended->ok) return;
  std::string message = ReasonOf(facts);
  if (facts.stuck) message += "; a process of it cannot be killed (it waits in the kernel)";
  std::string tail = CleanText(output_tail);
  while (tail.ends_with('\n')) tail.pop_back();
  if (!tail.empty()) {
    message += '\n';
    message += TailOf(tail, kMessageBytesMax - message.size());
  }
  ended->message = std::move(message);
}

}  // namespace laneway::worker
