// words.h: figures as people write them.
//
// Role:       pure helpers. What is not known is a dash.
// Threads:    functions.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "fleet/log_time.h"

namespace laneway::report {

inline constexpr std::string_view kDash = "–";

std::string Count(uint64_t count);                          // "1,234,567"
std::string Counted(uint64_t count, std::string_view one);  // "1 file", "3 files"
std::string Capital(std::string text);                      // the first letter
std::string Decimal(double value, int digits);              // "2.87"
std::string Percent(std::optional<double> share);           // "93 %"
std::string Factor(std::optional<double> factor);           // "2.87×"
std::string Bytes(uint64_t bytes);                          // "12.4 MiB"
std::string Duration(std::optional<Millis> duration);       // "840 ms", "12.3 s", "3 min 12 s", "2 h 05 min"
std::string Width(Millis width);                            // of a bucket, exact: "200 ms", "10 s", "2 h"

// A unit in which the rate is a number that people can read; one for a whole report.
struct RateUnit {
  double seconds = 1;
  std::string_view name = "/s";
};
RateUnit UnitFor(std::optional<double> per_second);
std::string Rate(std::optional<double> per_second, const RateUnit& unit);  // "49.8/min"

// "2026-11-21 06:15:02"; milliseconds only when asked for.
std::string DateAndTime(LogTime at, bool millis = false);
// The same without what all times of a chart have in common: of a day the time, of a long one minutes.
std::string Tick(LogTime at, Millis range);

}  // namespace laneway::report
