#include "report/words.h"

#include <array>
#include <cmath>
#include <cstdio>
#include <utility>

#include "ops/text.h"

namespace laneway::report {
namespace {

std::string Padded(int64_t value) { return (value < 10 ? "0" : "") + std::to_string(value); }

}  // namespace

std::string Count(uint64_t count) {
  std::string digits = std::to_string(count);
  for (size_t at = digits.size(); at > 3;) digits.insert(at -= 3, ",");
  return digits;
}

std::string Counted(uint64_t count, std::string_view one) {
  return Count(count) + " " + std::string(one) + (count == 1 ? "" : "s");
}

std::string Capital(std::string text) {
  if (!text.empty() && text[0] >= 'a' && text[0] <= 'z') text[0] = static_cast<char>(text[0] - 'a' + 'A');
  return text;
}

std::string Decimal(double value, int digits) {
  if (!std::isfinite(value)) return std::string(kDash);
  std::array<char, 64> room{};
  std::snprintf(room.data(), room.size(), "%.*f", digits, value);
  return room.data();
}

std::string Percent(std::optional<double> share) {
  if (!share || !std::isfinite(*share)) return std::string(kDash);
  const double percent = *share * 100;
  return Decimal(percent, percent > 0 && percent < 10 ? 1 : 0) + " %";
}

std::string Factor(std::optional<double> factor) {
  if (!factor || !std::isfinite(*factor)) return std::string(kDash);
  return Decimal(*factor, 2) + "×";
}

std::string Bytes(uint64_t bytes) {
  constexpr std::string_view kUnits[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
  auto value = static_cast<double>(bytes);
  size_t unit = 0;
  for (; value >= 1024 && unit + 1 < std::size(kUnits); unit++) value /= 1024;
  return Decimal(value, unit == 0 ? 0 : 1) + " " + std::string(kUnits[unit]);
}

std::string Duration(std::optional<Millis> duration) {
  if (!duration) return std::string(kDash);
  const int64_t ms = duration->count();
  if (ms < 1000) return std::to_string(ms) + " ms";
  if (ms < 59'950) return Decimal(static_cast<double>(ms) / 1000, ms < 9'995 ? 2 : 1) + " s";
  const int64_t seconds = (ms + 500) / 1000;
  if (seconds < 3600) return std::to_string(seconds / 60) + " min " + Padded(seconds % 60) + " s";
  const int64_t minutes = seconds / 60;
  if (minutes < 24 * 60) return std::to_string(minutes / 60) + " h " + Padded(minutes % 60) + " min";
  return std::to_string(minutes / (24 * 60)) + " d " + std::to_string(minutes / 60 % 24) + " h";
}

std::string Width(Millis width) {
  constexpr std::pair<int64_t, std::string_view> kUnits[] = {
      {86'400'000, " d"}, {3'600'000, " h"}, {60'000, " min"}, {1000, " s"}};
  for (const auto& [ms, unit] : kUnits) {
    if (width.count() >= ms && width.count() % ms == 0)
      return std::to_string(width.count() / ms) + std::string(unit);
  }
  return std::to_string(width.count()) + " ms";
}

RateUnit UnitFor(std::optional<double> per_second) {
  if (!per_second || *per_second >= 1) return {1, "/s"};
  if (*per_second * 60 >= 1) return {60, "/min"};
  return {3600, "/h"};
}

std::string Rate(std::optional<double> per_second, const RateUnit& unit) {
  if (!per_second || !std::isfinite(*per_second)) return std::string(kDash);
  const double value = *per_second * unit.seconds;
  if (value >= 1000) return Count(static_cast<uint64_t>(std::llround(value))) + std::string(unit.name);
  return Decimal(value, value < 10 ? 2 : 1) + std::string(unit.name);
}

std::string DateAndTime(LogTime at, bool millis) {
  if (at.ms == 0) return std::string(kDash);
  std::string text = ops::FormatTime(at);  // "2026-11-21T06:15:02.123Z"
  text[10] = ' ';
  return text.substr(0, millis ? 23 : 19);
}

std::string Tick(LogTime at, Millis range) {
  const std::string text = DateAndTime(at, true);
  if (text.size() < 23) return text;
  if (range > std::chrono::hours(48)) return text.substr(5, 11);   // 11-21 06:15
  if (range > std::chrono::hours(2)) return text.substr(11, 5);    // 06:15
  if (range > std::chrono::seconds(5)) return text.substr(11, 8);  // 06:15:02
  return text.substr(11, 10);                                      // 06:15:02.1
}

}  // namespace laneway::report
