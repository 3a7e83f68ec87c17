#include "ops/text.h"

#include <algorithm>
#include <cctype>
#include <cstdio>
#include <vector>

namespace laneway::ops {
namespace {

bool Continues(std::string_view bytes, size_t at) {
  return at < bytes.size() && (static_cast<uint8_t>(bytes[at]) & 0xC0) == 0x80;
}

uint32_t CodePoint(std::string_view sequence) {
  const auto byte = [&](size_t i) { return static_cast<uint32_t>(static_cast<uint8_t>(sequence[i])); };
  switch (sequence.size()) {
    case 2:
      return (byte(0) & 0x1F) << 6 | (byte(1) & 0x3F);
    case 3:
      return (byte(0) & 0x0F) << 12 | (byte(1) & 0x3F) << 6 | (byte(2) & 0x3F);
    case 4:
      return (byte(0) & 0x07) << 18 | (byte(1) & 0x3F) << 12 | (byte(2) & 0x3F) << 6 | (byte(3) & 0x3F);
    default:
      return byte(0);
  }
}

// Characters that would change how the rest of a line is shown.
bool IsHarmful(uint32_t code) {
  return code < 0x20 || (code >= 0x7F && code < 0xA0) || code == 0x2028 || code == 0x2029 ||
         (code >= 0x200E && code <= 0x200F) || (code >= 0x202A && code <= 0x202E) ||
         (code >= 0x2066 && code <= 0x2069) || code == 0xFEFF;
}

void AppendHex(std::string& out, const char* format, uint32_t value) {
  char buffer[16];
  std::snprintf(buffer, sizeof buffer, format, value);
  out += buffer;
}

std::string Folded(std::string_view text) {
  std::string out;
  for (char c : text) {
    if (c != '-' && c != '_') out.push_back(static_cast<char>(std::tolower(static_cast<unsigned char>(c))));
  }
  return out;
}

// Days since 1970-01-01 of a civil date. Source: Howard Hinnant, "chrono-Compatible Low-Level Date
// Algorithms".
int64_t DaysFromCivil(int64_t year, int64_t month, int64_t day) {
  year -= month <= 2;
  const int64_t era = (year >= 0 ? year : year - 399) / 400;
  const int64_t of_era = year - era * 400;
  const int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
  return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + day_of_year - 719468;
}

// Reads `digits` decimal digits at `at` and moves on.
std::optional<int64_t> Digits(std::string_view text, size_t& at, size_t digits) {
  if (at + digits > text.size()) return std::nullopt;
  int64_t value = 0;
  for (size_t end = at + digits; at < end; at++) {
    if (text[at] < '0' || text[at] > '9') return std::nullopt;
    value = value * 10 + (text[at] - '0');
  }
  return value;
}

bool Take(std::string_view text, size_t& at, char c) {
  if (at >= text.size() || text[at] != c) return false;
  at++;
  return true;
}

std::optional<int64_t> DateMs(std::string_view text, size_t& at) {
  const auto year = Digits(text, at, 4);
  if (!year || !Take(text, at, '-')) return std::nullopt;
  const auto month = Digits(text, at, 2);
  if (!month || *month < 1 || *month > 12 || !Take(text, at, '-')) return std::nullopt;
  const auto day = Digits(text, at, 2);
  const bool leap = (*year % 4 == 0 && *year % 100 != 0) || *year % 400 == 0;
  constexpr int kDays[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  const int days = *month == 2 && leap ? 29 : kDays[*month - 1];
  if (!day || *day < 1 || *day > days) return std::nullopt;
  return DaysFromCivil(*year, *month, *day) * 86'400'000;
}

std::optional<int64_t> ClockMs(std::string_view text, size_t& at) {
  const auto hour = Digits(text, at, 2);
  if (!hour || *hour > 23 || !Take(text, at, ':')) return std::nullopt;
  const auto minute = Digits(text, at, 2);
  if (!minute || *minute > 59 || !Take(text, at, ':')) return std::nullopt;
  const auto second = Digits(text, at, 2);
  if (!second || *second > 60) return std::nullopt;  // 60: a leap second, read as the next second
  int64_t ms = ((*hour * 60 + *minute) * 60 + *second) * 1000;
  if (!Take(text, at, '.')) return ms;
  const size_t begin = at;
  for (int64_t unit = 100; at < text.size() && std::isdigit(static_cast<unsigned char>(text[at]));
       at++, unit /= 10) {
    ms += (text[at] - '0') * unit;
  }
  return at == begin ? std::nullopt : std::optional(ms);
}

std::optional<int64_t> OffsetMs(std::string_view text, size_t& at) {
  if (Take(text, at, 'Z') || Take(text, at, 'z')) return 0;
  const bool minus = at < text.size() && text[at] == '-';
  if (!minus && !(at < text.size() && text[at] == '+')) return std::nullopt;
  at++;
  const auto hour = Digits(text, at, 2);
  if (!hour || *hour > 23 || !Take(text, at, ':')) return std::nullopt;
  const auto minute = Digits(text, at, 2);
  if (!minute || *minute > 59) return std::nullopt;
  const int64_t ms = (*hour * 60 + *minute) * 60'000;
  return minus ? -ms : ms;
}

}  // namespace

size_t Utf8Sequence(std::string_view bytes) {
  if (bytes.empty()) return 0;
  const auto first = static_cast<uint8_t>(bytes[0]);
  if (first < 0x80) return 1;
  size_t length = 0;
  if (first >= 0xC2 && first <= 0xDF) length = 2;
  if (first >= 0xE0 && first <= 0xEF) length = 3;
  if (first >= 0xF0 && first <= 0xF4) length = 4;
  for (size_t i = 1; i < length; i++) {
    if (!Continues(bytes, i)) return 0;
  }
  if (length < 3) return length;
  const uint32_t code = CodePoint(bytes.substr(0, length));
  const bool overlong = code < (length == 3 ? 0x800u : 0x10000u);
  const bool impossible = (code >= 0xD800 && code <= 0xDFFF) || code > 0x10FFFF;
  return overlong || impossible ? 0 : length;
}

bool IsUtf8(std::string_view bytes) {
  while (!bytes.empty()) {
    const size_t length = Utf8Sequence(bytes);
    if (length == 0) return false;
    bytes.remove_prefix(length);
  }
  return true;
}

std::string Printable(std::string_view bytes, size_t bytes_max) {
  std::string out;
  out.reserve(std::min(bytes.size(), bytes_max) + 8);
  while (!bytes.empty()) {
    if (out.size() >= bytes_max) return out + "…";
    const size_t length = Utf8Sequence(bytes);
    if (length == 0) {
      AppendHex(out, "\\x%02X", static_cast<uint8_t>(bytes[0]));
    } else if (const uint32_t code = CodePoint(bytes.substr(0, length)); bytes[0] == '\\') {
      out += "\\\\";
    } else if (bytes[0] == '\n') {
      out += "\\n";
    } else if (bytes[0] == '\r') {
      out += "\\r";
    } else if (bytes[0] == '\t') {
      out += "\\t";
    } else if (IsHarmful(code)) {
      AppendHex(out, code < 0x80 ? "\\x%02X" : "\\u{%04X}", code);
    } else {
      out.append(bytes.substr(0, length));
    }
    bytes.remove_prefix(std::max<size_t>(length, 1));
  }
  return out;
}

std::string PrintableValue(std::string_view bytes, size_t bytes_max) {
  std::string plain = Printable(bytes, bytes_max);
  if (!plain.empty() && plain.find_first_of(" \"=") == std::string::npos) return plain;
  std::string out = "\"";
  for (char c : plain) {
    if (c == '"') out.push_back('\\');
    out.push_back(c);
  }
  return out + "\"";
}

void AppendJsonString(std::string& out, std::string_view bytes) {
  out.push_back('"');
  while (!bytes.empty()) {
    const size_t length = Utf8Sequence(bytes);
    const auto first = static_cast<uint8_t>(bytes[0]);
    if (length == 0) {
      AppendHex(out, "\\\\x%02X", first);
    } else if (first == '"' || first == '\\') {
      out.push_back('\\');
      out.push_back(bytes[0]);
    } else if (first == '\n') {
      out += "\\n";
    } else if (first < 0x20 || first == 0x7F) {
      AppendHex(out, "\\u%04X", first);
    } else {
      out.append(bytes.substr(0, length));
    }
    bytes.remove_prefix(std::max<size_t>(length, 1));
  }
  out.push_back('"');
}

std::string FormatTime(LogTime time) {
  int64_t days = time.ms / 86'400'000;
  int64_t rest = time.ms % 86'400'000;
  if (rest < 0) {
    rest += 86'400'000;
    days--;
  }
  const int64_t z = days + 719468;  // civil date from days: the inverse of DaysFromCivil, same source
  const int64_t era = (z >= 0 ? z : z - 146096) / 146097;
  const int64_t of_era = z - era * 146097;
  const int64_t year_of_era = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
  const int64_t day_of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  const int64_t shifted = (5 * day_of_year + 2) / 153;
  const int64_t day = day_of_year - (153 * shifted + 2) / 5 + 1;
  const int64_t month = shifted + (shifted < 10 ? 3 : -9);
  const int64_t year = year_of_era + era * 400 + (month <= 2);
  char buffer[64];
  std::snprintf(buffer, sizeof buffer, "%04lld-%02lld-%02lldT%02lld:%02lld:%02lld.%03lldZ",
                static_cast<long long>(year), static_cast<long long>(month), static_cast<long long>(day),
                static_cast<long long>(rest / 3'600'000), static_cast<long long>(rest / 60'000 % 60),
                static_cast<long long>(rest / 1000 % 60), static_cast<long long>(rest % 1000));
  return buffer;
}

std::optional<LogTime> ParseTime(std::string_view text) {
  size_t at = 0;
  const auto date = DateMs(text, at);
  if (!date) return std::nullopt;
  if (at == text.size()) return LogTime{*date};
  if (!Take(text, at, 'T') && !Take(text, at, 't') && !Take(text, at, ' ')) return std::nullopt;
  const auto clock = ClockMs(text, at);
  if (!clock) return std::nullopt;
  const auto offset = OffsetMs(text, at);
  if (!offset || at != text.size()) return std::nullopt;
  return LogTime{*date + *clock - *offset};
}

size_t EditDistance(std::string_view a, std::string_view b, size_t max) {
  if (a.size() > 256 || b.size() > 256) return max + 1;  // no near miss is that long
  std::vector<size_t> before_last(b.size() + 1);
  std::vector<size_t> last(b.size() + 1);
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); j++) last[j] = j;
  for (size_t i = 1; i <= a.size(); i++) {
    row[0] = i;
    for (size_t j = 1; j <= b.size(); j++) {
      row[j] = std::min({last[j] + 1, row[j - 1] + 1, last[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1)});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        row[j] = std::min(row[j], before_last[j - 2] + 1);
    }
    before_last.swap(last);
    last.swap(row);
  }
  return std::min(last[b.size()], max + 1);
}

std::string Nearest(std::string_view text, std::span<const std::string> candidates) {
  const std::string folded = Folded(text);
  const size_t max = std::max<size_t>(1, folded.size() / 3);
  size_t best = max + 1;
  std::string nearest;
  for (const std::string& candidate : candidates) {
    const size_t distance = EditDistance(folded, Folded(candidate), max);
    if (distance < best) {
      best = distance;
      nearest = candidate;
    }
  }
  return nearest;
}

std::string DidYouMean(std::string_view text, std::span<const std::string> candidates) {
  const std::string nearest = Nearest(text, candidates);
  return nearest.empty() ? "" : " (did you mean " + nearest + "?)";
}

}  // namespace laneway::ops
