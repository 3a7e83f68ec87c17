// text.h: text of others made harmless for a line of output, times as people write them, and near misses.
//
// Role:       pure helpers.
// Invariants: what these functions return holds no control character and only valid UTF-8, whatever bytes
//             went in: a file's name cannot begin a line of the log or move a terminal's cursor.
// Threads:    functions.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "fleet/log_time.h"

namespace laneway::ops {

// Length of the valid UTF-8 sequence at the beginning of `bytes` (1 to 4), 0 when there is none. Refuses
// overlong forms and surrogates.
size_t Utf8Sequence(std::string_view bytes);
bool IsUtf8(std::string_view bytes);

// Control characters (C0, DEL, C1), line separators, direction overrides and bytes that are no UTF-8 become
// \n, \t, \xNN, \u{NNNN}; a backslash is doubled. At most `bytes_max` bytes, then "…".
std::string Printable(std::string_view bytes, size_t bytes_max = 4096);
// The same for a value in a line of `key=value` pairs: quoted when it holds a space, a quote or an equals
// sign, or nothing.
std::string PrintableValue(std::string_view bytes, size_t bytes_max = 4096);
// The same for JSON: bytes that are no UTF-8 become \xNN (as text), so that the result is a valid JSON
// string, quotes included.
void AppendJsonString(std::string& out, std::string_view bytes);

// "2026-11-21T06:15:02.123Z"
std::string FormatTime(LogTime time);
// RFC 3339, any offset, fraction cut to milliseconds; also "2026-11-21". Nothing when it is not a time.
std::optional<LogTime> ParseTime(std::string_view text);

// Edit distance (insert, delete, replace, swap neighbours), not above `max + 1`.
size_t EditDistance(std::string_view a, std::string_view b, size_t max);
// The candidate nearest to `text` when near enough to be meant; case, '-' and '_' hardly count. Empty when
// none is.
std::string Nearest(std::string_view text, std::span<const std::string> candidates);
// " (did you mean X?)" or "".
std::string DidYouMean(std::string_view text, std::span<const std::string> candidates);

}  // namespace laneway::ops
