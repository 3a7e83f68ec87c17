#include "ops/units.h"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <limits>

namespace laneway::ops {
namespace {

struct Unit {
  std::string_view name;
  uint64_t factor;
};
// In milliseconds, the largest first.
constexpr std::array kDurationUnits = {Unit{"d", 86'400'000}, Unit{"h", 3'600'000}, Unit{"m", 60'000},
                                       Unit{"s", 1'000}, Unit{"ms", 1}};
constexpr std::array kSizeUnits = {Unit{"TiB", 1ULL << 40}, Unit{"GiB", 1ULL << 30}, Unit{"MiB", 1ULL << 20},
                                   Unit{"KiB", 1ULL << 10}, Unit{"B", 1}};

std::string_view TakeDigits(std::string_view& text) {
  const size_t end = std::min(text.find_first_not_of("0123456789"), text.size());
  const std::string_view digits = text.substr(0, end);
  text.remove_prefix(end);
  return digits;
}

std::string_view TakeLetters(std::string_view& text) {
  const size_t end = std::min(text.find_first_of("0123456789"), text.size());
  const std::string_view letters = text.substr(0, end);
  text.remove_prefix(end);
  return letters;
}

bool MultiplyAdd(uint64_t count, uint64_t factor, uint64_t& total) {
  uint64_t product = 0;
  return !__builtin_mul_overflow(count, factor, &product) &&
         !__builtin_add_overflow(total, product, &total) &&
         total <= static_cast<uint64_t>(std::numeric_limits<int64_t>::max());
}

}  // namespace

std::optional<uint64_t> ParseWhole(std::string_view digits) {
  if (digits.empty() || digits.size() > 20 || (digits.size() > 1 && digits[0] == '0')) return std::nullopt;
  uint64_t value = 0;
  for (char c : digits) {
    if (c < '0' || c > '9') return std::nullopt;
    if (__builtin_mul_overflow(value, uint64_t{10}, &value)) return std::nullopt;
    if (__builtin_add_overflow(value, static_cast<uint64_t>(c - '0'), &value)) return std::nullopt;
  }
  return value;
}

std::optional<std::chrono::milliseconds> ParseDuration(std::string_view text) {
  if (text.empty()) return std::nullopt;
  uint64_t total = 0;
  size_t next_unit = 0;  // units may only grow smaller
  while (!text.empty()) {
    const auto count = ParseWhole(TakeDigits(text));
    const std::string_view name = TakeLetters(text);
    size_t unit = next_unit;
    while (unit < kDurationUnits.size() && kDurationUnits[unit].name != name) unit++;
    if (!count || unit == kDurationUnits.size()) return std::nullopt;
    if (!MultiplyAdd(*count, kDurationUnits[unit].factor, total)) return std::nullopt;
    next_unit = unit + 1;
  }
  return std::chrono::milliseconds(static_cast<int64_t>(total));
}

std::string FormatDuration(std::chrono::milliseconds duration) {
  if (duration.count() < 0) return "-" + FormatDuration(-duration);
  auto rest = static_cast<uint64_t>(duration.count());
  std::string out;
  for (const Unit& unit : kDurationUnits) {
    if (unit.name == "d") continue;  // days are read, hours are written: "24h" is clearer than "1d"
    if (rest >= unit.factor) {
      out += std::to_string(rest / unit.factor).append(unit.name);
      rest %= unit.factor;
    }
  }
  return out.empty() ? "0s" : out;
}

std::optional<uint64_t> ParseSize(std::string_view text) {
  const auto count = ParseWhole(TakeDigits(text));
  const auto unit =
      std::find_if(kSizeUnits.begin(), kSizeUnits.end(), [&](const Unit& u) { return u.name == text; });
  uint64_t total = 0;
  if (!count || unit == kSizeUnits.end() || !MultiplyAdd(*count, unit->factor, total)) return std::nullopt;
  return total;
}

std::string FormatSize(uint64_t bytes) {
  for (const Unit& unit : kSizeUnits) {
    if (bytes >= unit.factor && bytes % unit.factor == 0)
      return std::to_string(bytes / unit.factor).append(unit.name);
  }
  return "0B";
}

std::optional<Rate> ParseRate(std::string_view text) {
  const auto count = ParseWhole(TakeDigits(text));
  if (!count || *count == 0 || text.size() != 2 || text[0] != '/') return std::nullopt;
  for (const Unit& unit : kDurationUnits) {
    if (unit.name == text.substr(1)) return Rate{*count, std::chrono::milliseconds(unit.factor)};
  }
  return std::nullopt;
}

bool ListenAddress::Loopback() const {
  in_addr four{};
  in6_addr six{};
  if (inet_pton(AF_INET, host.c_str(), &four) == 1) return (ntohl(four.s_addr) >> 24) == 127;
  if (inet_pton(AF_INET6, host.c_str(), &six) == 1) return IN6_IS_ADDR_LOOPBACK(&six) != 0;
  return host == "localhost";
}

std::string ListenAddress::ToString() const {
  if (off) return "off";
  const bool brackets = host.find(':') != std::string::npos;
  return (brackets ? "[" + host + "]" : host) + ":" + std::to_string(port);
}

std::optional<ListenAddress> ParseListen(std::string_view text) {
  if (text == "off") return ListenAddress{.host = "", .port = 0, .off = true};
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return std::nullopt;
  std::string host(text.substr(0, colon));
  const auto port = ParseWhole(text.substr(colon + 1));
  if (!port || *port > 65535) return std::nullopt;
  const bool bracketed = host.size() > 2 && host.front() == '[' && host.back() == ']';
  if (bracketed) host = host.substr(1, host.size() - 2);
  in_addr four{};
  in6_addr six{};
  const bool is_six = inet_pton(AF_INET6, host.c_str(), &six) == 1;
  const bool is_four = inet_pton(AF_INET, host.c_str(), &four) == 1;
  if (bracketed ? !is_six : !(is_four || host == "localhost")) return std::nullopt;
  return ListenAddress{.host = host, .port = static_cast<uint16_t>(*port), .off = false};
}

std::optional<std::string> FillWorkerPattern(std::string_view pattern, uint32_t n) {
  const size_t begin = pattern.find('{');
  const size_t end = pattern.find('}');
  if (begin == std::string_view::npos || end == std::string_view::npos || end < begin) return std::nullopt;
  const std::string_view rest = pattern.substr(end + 1);
  if (rest.find_first_of("{}") != std::string_view::npos) return std::nullopt;
  const std::string_view inside = pattern.substr(begin + 1, end - begin - 1);
  size_t width = 1;
  if (inside.size() == 4 && inside.substr(0, 3) == "n:0" && inside[3] >= '1' && inside[3] <= '9') {
    width = static_cast<size_t>(inside[3] - '0');
  } else if (inside != "n") {
    return std::nullopt;
  }
  std::string digits = std::to_string(n);
  if (digits.size() < width) digits.insert(0, width - digits.size(), '0');
  return std::string(pattern.substr(0, begin)) + digits + std::string(rest);
}

}  // namespace laneway::ops
