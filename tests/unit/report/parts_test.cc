// The parts of a report's figures: quantiles, buckets, words.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "report/histogram.h"
#include "report/timeline.h"
#include "report/words.h"

namespace laneway::report {
namespace {

TEST(HistogramTest, QuantilesAreWithinOnePercent) {
  Histogram all;
  for (int64_t i = 1; i <= 100'000; i++) all.Add(Millis(i));
  for (const double share : {0.01, 0.5, 0.95, 0.99}) {
    const double want = share * 100'000;
    EXPECT_NEAR(static_cast<double>(all.Quantile(share)->count()), want, want * 0.01) << share;
  }
  EXPECT_EQ(all.Quantile(1), Millis(100'000));
  EXPECT_EQ(all.Mean(), Millis(50'001));
}

TEST(HistogramTest, SmallValuesAreExactAndExtremesAreSafe) {
  Histogram all;
  EXPECT_FALSE(all.Quantile(0.5) || all.Mean() || all.Largest());
  all.Add(Millis(-5));
  EXPECT_EQ(all.Quantile(0.5), Millis(0));
  all.Add(Millis(127));
  all.Add(Millis(std::numeric_limits<int64_t>::max()));
  EXPECT_EQ(all.Quantile(0.5), Millis(127));
  EXPECT_EQ(all.Largest(), Millis(std::numeric_limits<int64_t>::max()));
}

TEST(TimelineTest, BucketsWidenAndKeepTheirSums) {
  Timeline timeline(10);
  for (int64_t i = 0; i < 1000; i++) timeline.Done(0, LogTime{1'000'000 + i * 100});
  timeline.Busy(1, LogTime{1'000'000}, LogTime{1'100'000});
  timeline.Level(LogTime{1'000'000}, 7, 1);
  const auto buckets = timeline.Buckets();
  EXPECT_LE(buckets.size(), 10u);
  EXPECT_GE(buckets.size(), 3u);
  uint64_t done = 0;
  int64_t busy = 0;
  for (const auto& bucket : buckets) {
    done += bucket.done.contains(0) ? bucket.done.at(0) : 0;
    busy += bucket.busy_ms.contains(1) ? bucket.busy_ms.at(1) : 0;
    EXPECT_EQ(bucket.waiting, 7) << "a level holds until it changes";
  }
  EXPECT_EQ(done, 1000u);
  EXPECT_EQ(busy, 100'000);
}

TEST(TimelineTest, AYearBetweenTwoTasksIsStillBounded) {
  Timeline timeline(120);
  timeline.Done(0, LogTime{1});
  timeline.Done(0, LogTime{365LL * 24 * 3600 * 1000});
  EXPECT_LE(timeline.Buckets().size(), 120u);
}

TEST(WordsTest, FiguresAsPeopleWriteThem) {
  const std::pair<std::string, std::string> rows[] = {
      {Duration(Millis(0)), "0 ms"},
      {Duration(Millis(1234)), "1.23 s"},
      {Duration(Millis(12'345)), "12.3 s"},
      {Duration(Millis(59'990)), "1 min 00 s"},
      {Duration(Millis(192'000)), "3 min 12 s"},
      {Duration(Millis(7'500'000)), "2 h 05 min"},
      {Duration(Millis(100LL * 3600 * 1000)), "4 d 4 h"},
      {Duration(std::nullopt), "–"},
      {Width(Millis(200)) + ", " + Width(Millis(10'000)) + ", " + Width(Millis(7'200'000)),
       "200 ms, 10 s, 2 h"},
      {Count(1'234'567), "1,234,567"},
      {Counted(1, "file"), "1 file"},
      {Percent(0.934), "93 %"},
      {Percent(0.004), "0.4 %"},
      {Percent(std::numeric_limits<double>::quiet_NaN()), "–"},
      {Factor(2.871), "2.87×"},
      {Rate(0.83, UnitFor(0.83)), "49.8/min"},
      {Rate(8400, UnitFor(8400)), "8,400/s"},
      {Rate(std::numeric_limits<double>::infinity(), {}), "–"},
      {Bytes(1536), "1.5 KiB"},
      {Tick(LogTime{1'700'000'000'000}, Millis(60'000)), "22:13:20"},
  };
  for (const auto& [got, want] : rows) EXPECT_EQ(got, want);
}

}  // namespace
}  // namespace laneway::report
