#include "fleet/retry_policy.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <set>
#include <string>

namespace laneway {
namespace {

constexpr uint32_t kHuge = std::numeric_limits<uint32_t>::max();

v1::Backoff MakeBackoff(uint32_t initial_ms, double factor, uint32_t max_ms) {
  v1::Backoff backoff;
  backoff.set_initial_ms(initial_ms);
  backoff.set_factor(factor);
  backoff.set_max_ms(max_ms);
  return backoff;
}

v1::JobSpec MakeSpec(uint32_t max_attempts, uint32_t max_losses) {
  v1::JobSpec spec;
  spec.set_max_attempts(max_attempts);
  spec.set_max_losses(max_losses);
  return spec;
}

TEST(RetryPolicyTest, DelaysOfRecordedFailuresNeverChange) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const double infinity = std::numeric_limits<double>::infinity();
  const struct {
    const char* why;
    uint32_t initial_ms;
    double factor;
    uint32_t max_ms;
    uint32_t n;
    int64_t want;
  } rows[] = {
      {"nothing given: a second", 0, 0, 0, 1, 1000},
      {"nothing given: doubles", 0, 0, 0, 2, 2000},
      {"nothing given: doubles again", 0, 0, 0, 9, 256000},
      {"nothing given: at most five minutes", 0, 0, 0, 10, 300000},
      {"and stays there", 0, 0, 0, kHuge, 300000},
      {"n 0 is taken for the first", 100, 2, 0, 0, 100},
      {"a given initial", 100, 3, 0, 3, 900},
      {"a factor that binary fractions cannot hold is exact in thousandths", 1000, 1.1, 0, 2, 1100},
      {"and its powers are cut to whole milliseconds", 1000, 1.1, 0, 5, 1464},
      {"fractions are kept between steps: 1.5^4 = 5.06", 1, 1.5, 0, 5, 5},
      {"factor 1 is constant", 700, 1, 0, 50, 700},
      {"factor 1 with a huge n ends at once", 700, 1, 0, kHuge, 700},
      {"a factor below 1 never shrinks a delay", 700, 0.5, 0, 9, 700},
      {"a negative factor neither", 700, -3, 0, 9, 700},
      {"minus infinity neither", 700, -infinity, 0, 9, 700},
      {"not a number is not given", 700, nan, 0, 2, 1400},
      {"an infinite factor: first the initial delay", 700, infinity, 0, 1, 700},
      {"and then the longest", 700, infinity, 5000, 2, 5000},
      {"less than half a thousandth above 1 is 1", 700, 1.0004, 0, kHuge, 700},
      {"the smallest growth ends as well", 1, 1.001, kHuge, kHuge, kHuge},
      {"an initial above the maximum is cut", 9000, 2, 5000, 1, 5000},
      {"the largest numbers do not overflow", kHuge, 1e300, kHuge, kHuge, kHuge},
      {"a denormal factor is below 1", 5, 5e-324, 0, 4, 5},
  };
  for (const auto& row : rows) {
    EXPECT_EQ(BackoffDelay(MakeBackoff(row.initial_ms, row.factor, row.max_ms), row.n).count(), row.want)
        << row.why;
  }
}

TEST(RetryPolicyTest, ALaterFailureNeverWaitsLessAndNeverMoreThanTheMaximum) {
  for (uint32_t initial : {0U, 1U, 7U, 999U, 100000U, kHuge}) {
    for (double factor : {-1.0, 0.0, 0.3, 1.0, 1.001, 1.37, 2.0, 10.0, 1e9}) {
      for (uint32_t max : {0U, 1U, 1000U, 86400000U, kHuge}) {
        Millis before{0};
        for (uint32_t n = 1; n <= 40; n++) {
          const Millis delay = BackoffDelay(MakeBackoff(initial, factor, max), n);
          ASSERT_GE(delay, before) << initial << " " << factor << " " << max << " " << n;
          ASSERT_LE(delay.count(), max != 0 ? max : 300000)
              << initial << " " << factor << " " << max << " " << n;
          before = delay;
        }
      }
    }
  }
}

TEST(RetryPolicyTest,
     WhoIsToBlameDecidesWhatIsCounted) {  // rule L1: failures and losses have limits of their own
  const struct {
    const char* why;
    v1::Ending ending;
    uint32_t max_attempts, max_losses, failures, losses;
    RetryDecision want;
    int64_t delay_ms;
  } rows[] = {
      {"the first failure is tried again after a second", v1::EXIT_CODE, 3, 3, 1, 0, RetryDecision::kRetry,
       1000},
      {"the second after two", v1::SIGNAL, 3, 3, 2, 0, RetryDecision::kRetry, 2000},
      {"the third is the last", v1::EXIT_CODE, 3, 3, 3, 0, RetryDecision::kDead, 0},
      {"0 means 3: two are not enough", v1::TIMEOUT, 0, 0, 2, 0, RetryDecision::kRetry, 2000},
      {"0 means 3: three are", v1::TIMEOUT, 0, 0, 3, 0, RetryDecision::kDead, 0},
      {"one attempt: no retry", v1::OUT_OF_MEMORY, 1, 3, 1, 0, RetryDecision::kDead, 0},
      {"try again is a failure too, else it could go on for ever", v1::TRY_AGAIN, 2, 3, 2, 0,
       RetryDecision::kDead, 0},
      {"bad input stays bad", v1::BAD_INPUT, 9, 9, 1, 0, RetryDecision::kDead, 0},
      {"a program may be installed meanwhile", v1::CANNOT_START, 3, 3, 1, 0, RetryDecision::kRetry, 1000},
      {"a file may come back", v1::FILE_MISSING, 3, 3, 1, 0, RetryDecision::kRetry, 1000},
      {"an interruption is a loss: due at once", v1::INTERRUPTED, 3, 3, 2, 1, RetryDecision::kRetry, 0},
      {"also when the failures are used up to the last", v1::INTERRUPTED, 1, 3, 0, 2, RetryDecision::kRetry,
       0},
      {"but it ends when losses are used up", v1::INTERRUPTED, 3, 3, 0, 3, RetryDecision::kDead, 0},
      {"a browser that went away is a loss", v1::BROWSER_GONE, 1, 2, 0, 1, RetryDecision::kRetry, 0},
      {"an order to stop is not the task's fault", v1::STOPPED, 1, 2, 0, 1, RetryDecision::kRetry, 0},
      {"losses do not shorten the row of failures", v1::EXIT_CODE, 3, 3, 1, 2, RetryDecision::kRetry, 1000},
      {"an ending that a newer writer knows is a failure", static_cast<v1::Ending>(99), 3, 3, 1, 0,
       RetryDecision::kRetry, 1000},
      {"more failures than allowed (the limit was lowered)", v1::EXIT_CODE, 2, 3, 7, 0, RetryDecision::kDead,
       0},
  };
  for (const auto& row : rows) {
    const RetryAnswer got =
        AfterFailure(MakeSpec(row.max_attempts, row.max_losses), row.ending, row.failures, row.losses);
    EXPECT_EQ(got.decision, row.want) << row.why;
    EXPECT_EQ(got.delay.count(), row.delay_ms) << row.why;
  }
}

TEST(RetryPolicyTest, WhatIsToFailWithItsBrowserIsDeadAtOnceAndOnlyThen) {
  v1::JobSpec spec = MakeSpec(9, 9);
  for (const v1::OnBrowserLoss policy : {v1::RETRY_TASK, v1::CONTINUE_TASK}) {
    spec.set_on_browser_loss(policy);
    EXPECT_EQ(AfterFailure(spec, v1::BROWSER_GONE, 0, 1).decision, RetryDecision::kRetry) << policy;
    EXPECT_EQ(AfterFailure(spec, v1::BROWSER_GONE, 0, 1).delay, Millis(0)) << policy;
    EXPECT_EQ(AfterFailure(spec, v1::BROWSER_GONE, 0, 9).decision, RetryDecision::kDead) << policy;
  }
  spec.set_on_browser_loss(v1::FAIL_TASK);
  EXPECT_EQ(AfterFailure(spec, v1::BROWSER_GONE, 0, 1).decision, RetryDecision::kDead);
  EXPECT_EQ(AfterFailure(spec, v1::INTERRUPTED, 0, 1).decision, RetryDecision::kRetry)
      << "its worker died, not its browser";
  EXPECT_EQ(AfterFailure(spec, v1::EXIT_CODE, 1, 0).decision, RetryDecision::kRetry);
}

TEST(RetryPolicyTest, ATaskThatTakesDownMaxLossesWorkersIsPoison) {
  EXPECT_EQ(AfterLoss(MakeSpec(3, 2), 1).decision, RetryDecision::kRetry);
  EXPECT_EQ(AfterLoss(MakeSpec(3, 2), 1).delay, Millis(0));
  EXPECT_EQ(AfterLoss(MakeSpec(3, 2), 2).decision, RetryDecision::kDead);
  EXPECT_EQ(AfterLoss(MakeSpec(3, 0), 2).decision, RetryDecision::kRetry);
  EXPECT_EQ(AfterLoss(MakeSpec(3, 0), 3).decision, RetryDecision::kDead);
}

TEST(RetryPolicyTest, EveryEndingHasANameOfItsOwn) {
  std::set<std::string> names;
  for (int ending = v1::Ending_MIN; ending <= v1::Ending_MAX; ending++) {
    ASSERT_TRUE(v1::Ending_IsValid(ending));
    names.emplace(EndingName(static_cast<v1::Ending>(ending)));
  }
  EXPECT_EQ(names.size(), static_cast<size_t>(v1::Ending_MAX - v1::Ending_MIN + 1));
  EXPECT_EQ(EndingName(static_cast<v1::Ending>(99)), "unknown");
}

}  // namespace
}  // namespace laneway
