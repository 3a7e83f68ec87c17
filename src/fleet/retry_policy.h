// retry_policy.h: when a failed task is tried again, and when it is not.
//
// Role:       pure. The fold derives retries from it, so it may never change for a recorded failure: same
//             input, same answer, for ever.
// Invariants: (1) a later failure never waits less; (2) no delay exceeds the policy's maximum, whatever the
//             numbers; (3) no task is tried for ever: every ending counts towards one of two limits (rule
//             L1).
// Threads:    functions of their arguments.
#pragma once

#include <cstdint>
#include <string_view>

#include "fleet/log_time.h"
#include "laneway/v1/event.pb.h"

namespace laneway {

enum class RetryDecision : uint8_t { kRetry, kDead };

struct RetryAnswer {
  RetryDecision decision = RetryDecision::kRetry;
  Millis delay{0};  // until it is due again
};

// After an attempt ended badly. `failures` and `losses` count it already.
// max_attempts and max_losses of 0 mean 3. BAD_INPUT is dead at once, and so is BROWSER_GONE where the job
// says so; an attempt of which CountsAsLoss(ending) is true is judged as a loss.
RetryAnswer AfterFailure(const v1::JobSpec& spec, v1::Ending ending, uint32_t failures, uint32_t losses);
// After a started attempt was lost with its worker or browser. A loss is due at once: the task is not to
// blame, until max_losses.
RetryAnswer AfterLoss(const v1::JobSpec& spec, uint32_t losses);
// initial * factor^(n-1), at most max. n from 1 (0 is taken for 1). What is 0 has its default: 1 s, 2, 5 min.
// The factor is rounded to thousandths; one below 1 counts as 1, one that is not a number as not given. Whole
// milliseconds, cut.
Millis BackoffDelay(const v1::Backoff& backoff, uint32_t n);
// True: counts towards max_losses, not towards max_attempts (INTERRUPTED, BROWSER_GONE, STOPPED: not the
// task's fault).
bool CountsAsLoss(v1::Ending ending);
std::string_view EndingName(v1::Ending ending);  // "exit code", "timeout", … for people

}  // namespace laneway
