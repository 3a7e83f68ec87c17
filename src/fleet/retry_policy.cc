#include "fleet/retry_policy.h"

#include <algorithm>
#include <cmath>

#include "fleet/planted.h"

namespace laneway {
namespace {

__extension__ using Uint128 = unsigned __int128;

constexpr uint32_t kDefaultAttempts = 3;
constexpr uint32_t kDefaultLosses = 3;
constexpr uint64_t kDefaultInitialMs = 1000;
constexpr uint64_t kDefaultMaxMs = 5 * 60 * 1000;
constexpr uint64_t kDefaultFactor = 2000;
constexpr uint64_t kFactorOne = 1000;
constexpr double kFactorMax = 1e6;
constexpr int kFractionBits = 28;  // of a millisecond, so that a short delay still grows under a small factor

// The factor in thousandths. Only here is a double looked at; from here on whole numbers alone decide, the
// same on every machine.
uint64_t FactorInThousandths(double factor) {
  if (std::isnan(factor) || factor == 0) return kDefaultFactor;  // not given
  if (factor < 1) return kFactorOne;                             // a delay never shrinks
  return static_cast<uint64_t>(std::min(factor, kFactorMax) * static_cast<double>(kFactorOne) + 0.5);
}

}  // namespace

Millis BackoffDelay(const v1::Backoff& backoff, uint32_t n) {
  const uint64_t max_ms = backoff.max_ms() != 0 ? backoff.max_ms() : kDefaultMaxMs;
  const uint64_t initial_ms = backoff.initial_ms() != 0 ? backoff.initial_ms() : kDefaultInitialMs;
  const uint64_t factor = FactorInThousandths(backoff.factor());
  // Fits: max_ms < 2^32, so delay < 2^60; the factor is at most 10^9.
  const uint64_t most = max_ms << kFractionBits;
  uint64_t delay = std::min(initial_ms, max_ms) << kFractionBits;
  if (factor == kFactorOne) n = 1;
  // Ends after at most 22,200 rounds however large n is: 1.001^22,200 > 2^32.
  for (uint32_t i = 1; i < n && delay < most; i++) {
    delay = static_cast<uint64_t>(std::min<Uint128>(most, Uint128{delay} * factor / kFactorOne));
  }
  return Millis(static_cast<int64_t>(delay >> kFractionBits));
}

bool CountsAsLoss(v1::Ending ending) {
  // The worker, its browser or an order from outside ended it: the task is not to blame.
  return ending == v1::INTERRUPTED || ending == v1::BROWSER_GONE || ending == v1::STOPPED;
}

RetryAnswer AfterLoss(const v1::JobSpec& spec, uint32_t losses) {
  const uint32_t max = spec.max_losses() != 0 ? spec.max_losses() : kDefaultLosses;
  return {losses >= max ? RetryDecision::kDead : RetryDecision::kRetry, Millis(0)};
}

RetryAnswer AfterFailure(const v1::JobSpec& spec, v1::Ending ending, uint32_t failures, uint32_t losses) {
  if (ending == v1::BAD_INPUT) return {RetryDecision::kDead, Millis(0)};
  const bool fails = ending == v1::BROWSER_GONE && spec.on_browser_loss() == v1::FAIL_TASK;
  if (fails && !LANEWAY_PLANTED(kBrowserFailRetried)) return {RetryDecision::kDead, Millis(0)};
  if (CountsAsLoss(ending)) return AfterLoss(spec, losses);
  const uint32_t max = spec.max_attempts() != 0 ? spec.max_attempts() : kDefaultAttempts;
  if (failures >= max) return {RetryDecision::kDead, Millis(0)};
  return {RetryDecision::kRetry, BackoffDelay(spec.backoff(), failures)};
}

std::string_view EndingName(v1::Ending ending) {
  switch (static_cast<int>(ending)) {  // a number: a newer writer may know endings that we do not
    case v1::EXIT_CODE:
      return "exit code";
    case v1::SIGNAL:
      return "signal";
    case v1::TIMEOUT:
      return "timeout";
    case v1::OUT_OF_MEMORY:
      return "out of memory";
    case v1::CANNOT_START:
      return "cannot start";
    case v1::BAD_INPUT:
      return "bad input";
    case v1::TRY_AGAIN:
      return "try again";
    case v1::INTERRUPTED:
      return "interrupted";
    case v1::FILE_MISSING:
      return "file missing";
    case v1::BROWSER_GONE:
      return "browser gone";
    case v1::STOPPED:
      return "stopped";
    default:
      return "unknown";
  }
}

}  // namespace laneway
