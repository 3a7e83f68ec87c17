// log_time.h: the only time the decisions know: what the log wrote on a record, in milliseconds since 1970
// UTC.
//
// Role:       pure vocabulary. There is no now() here: whoever steps a core hands the time in.
#pragma once

#include <chrono>
#include <compare>
#include <cstdint>

namespace laneway {

using Millis = std::chrono::milliseconds;

struct LogTime {
  int64_t ms = 0;

  friend auto operator<=>(const LogTime&, const LogTime&) = default;
  friend LogTime operator+(LogTime t, Millis d) { return {t.ms + d.count()}; }
  friend LogTime operator-(LogTime t, Millis d) { return {t.ms - d.count()}; }
  friend Millis operator-(LogTime a, LogTime b) { return Millis(a.ms - b.ms); }
};

}  // namespace laneway
