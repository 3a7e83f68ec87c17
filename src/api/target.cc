#include "api/target.h"

#include <algorithm>

namespace laneway::api {
namespace {

constexpr size_t kTargetMax = 8192;
constexpr size_t kSegmentsMax = 32;
constexpr size_t kQueryMax = 64;

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

bool ParseQuery(std::string_view text, NamedValues& out) {
  while (!text.empty()) {
    const size_t end = std::min(text.find('&'), text.size());
    const std::string_view pair = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (pair.empty()) continue;
    const size_t equals = std::min(pair.find('='), pair.size());
    auto name = PercentDecode(pair.substr(0, equals), true);
    auto value = PercentDecode(pair.substr(std::min(equals + 1, pair.size())), true);
    if (!name || !value || name->empty() || out.size() >= kQueryMax) return false;
    out.emplace_back(std::move(*name), std::move(*value));
  }
  return true;
}

}  // namespace

std::optional<std::string> PercentDecode(std::string_view text, bool plus_is_space) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size(); i++) {
    if (text[i] == '+' && plus_is_space) {
      out.push_back(' ');
    } else if (text[i] != '%') {
      out.push_back(text[i]);
    } else {
      const int high = i + 2 < text.size() ? HexDigit(text[i + 1]) : -1;
      const int low = i + 2 < text.size() ? HexDigit(text[i + 2]) : -1;
      if (high < 0 || low < 0 || (high == 0 && low == 0)) return std::nullopt;
      out.push_back(static_cast<char>(high << 4 | low));
      i += 2;
    }
  }
  return out;
}

std::string PercentEncode(std::string_view text) {
  static constexpr char kHex[] = "0123456789ABCDEF";
  std::string out;
  for (char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       std::string_view("-._~").find(c) != std::string_view::npos;
    if (plain) {
      out.push_back(c);
    } else {
      out += {'%', kHex[byte >> 4], kHex[byte & 15]};
    }
  }
  return out;
}

std::optional<Target> ParseTarget(std::string_view text) {
  if (text.empty() || text.size() > kTargetMax || text[0] != '/') return std::nullopt;
  if (!std::all_of(text.begin(), text.end(), [](char c) { return c > 0x20 && c < 0x7F && c != '#'; }))
    return std::nullopt;
  Target target;
  const size_t question = std::min(text.find('?'), text.size());
  if (!ParseQuery(text.substr(std::min(question + 1, text.size())), target.query)) return std::nullopt;
  std::string_view path = text.substr(1, question - 1);
  if (question == 1) return target;  // "/"
  while (true) {
    const size_t slash = std::min(path.find('/'), path.size());
    auto segment = PercentDecode(path.substr(0, slash), false);
    if (!segment || target.segments.size() >= kSegmentsMax) return std::nullopt;
    target.segments.push_back(std::move(*segment));
    if (slash == path.size()) return target;
    path.remove_prefix(slash + 1);
  }
}

PathPattern::PathPattern(std::string_view pattern) {
  while (!pattern.empty() && pattern != "/") {
    pattern.remove_prefix(1);  // the slash
    const size_t slash = std::min(pattern.find('/'), pattern.size());
    const std::string_view text = pattern.substr(0, slash);
    const bool named = text.size() > 2 && text.front() == '{' && text.back() == '}';
    segments_.push_back({std::string(named ? text.substr(1, text.size() - 2) : text), named});
    pattern.remove_prefix(slash);
  }
}

std::optional<NamedValues> PathPattern::Match(const Target& target) const {
  if (target.segments.size() != segments_.size()) return std::nullopt;
  NamedValues named;
  for (size_t i = 0; i < segments_.size(); i++) {
    const std::string& given = target.segments[i];
    if (segments_[i].named ? given.empty() : given != segments_[i].text) return std::nullopt;
    if (segments_[i].named) named.emplace_back(segments_[i].text, given);
  }
  return named;
}

}  // namespace laneway::api
