// units.h: durations ("30s", "1h30m"), sizes ("64MiB"), rates ("100/m") and listen addresses, read strictly
// and written back.
//
// Role:       pure helpers for configuration, command line and API.
// Errors:     nothing, when the text is not what it should be; each kind has one sentence that says what it
//             should be.
// Threads:    functions.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace laneway::ops {

inline constexpr std::string_view kDurationForm =
    "a duration such as \"250ms\", \"30s\", \"5m\", \"24h\" or \"1h30m\"";
inline constexpr std::string_view kSizeForm = "a size such as \"512KiB\", \"64MiB\" or \"2GiB\"";
inline constexpr std::string_view kRateForm = "a rate such as \"10/s\", \"100/m\" or \"5000/h\"";
inline constexpr std::string_view kListenForm =
    "HOST:PORT, as \"127.0.0.1:3000\" or \"[::1]:3000\", or \"off\"";

// Whole numbers with a unit (ms s m h d), the larger unit first, each once.
std::optional<std::chrono::milliseconds> ParseDuration(std::string_view text);
std::string FormatDuration(std::chrono::milliseconds duration);  // "1h30m", "0s"

// A whole number with B, KiB, MiB, GiB or TiB.
std::optional<uint64_t> ParseSize(std::string_view text);
std::string FormatSize(uint64_t bytes);  // exact: "64MiB", "1025B"

struct Rate {
  uint64_t count = 0;
  std::chrono::milliseconds per{0};
  friend bool operator==(const Rate&, const Rate&) = default;
};
std::optional<Rate> ParseRate(std::string_view text);

struct ListenAddress {
  std::string host;   // without brackets
  uint16_t port = 0;  // 0: any free one
  bool off = false;
  bool Loopback() const;         // 127.0.0.0/8, ::1, localhost
  std::string ToString() const;  // with brackets where needed
};
std::optional<ListenAddress> ParseListen(std::string_view text);

// `{n}` or `{n:0W}` (W digits at least, 1 to 9) exactly once. Nothing when the pattern has none or several,
// or another brace.
std::optional<std::string> FillWorkerPattern(std::string_view pattern, uint32_t n);

// Decimal digits only, no sign, no leading zero (but "0"). Nothing on overflow.
std::optional<uint64_t> ParseWhole(std::string_view digits);

}  // namespace laneway::ops
