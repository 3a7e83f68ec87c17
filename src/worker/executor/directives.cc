#include "worker/executor/directives.h"

#include <charconv>
#include <nlohmann/json.hpp>
#include <utility>

#include "worker/executor/text.h"

namespace laneway::worker {
namespace {

constexpr size_t kJsonDepthMax = 64;

// All of `text` as a number without sign or leading space.
template <class T>
std::optional<T> Number(std::string_view text) {
  T value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

bool IsJson(std::string_view text) {
  size_t depth = 0;  // of brackets, also within strings: a bound is all that is wanted
  for (char c : text) {
    if (c == '{' || c == '[') depth++;
    if ((c == '}' || c == ']') && depth > 0) depth--;
    if (depth > kJsonDepthMax) return false;
  }
  return nlohmann::json::accept(text);
}

std::optional<Directive> ParseProgress(std::string_view rest) {
  const size_t space = rest.find(' ');
  const auto percent = Number<uint32_t>(rest.substr(0, space));
  if (!percent || *percent > 100) return std::nullopt;
  Progress progress{*percent, {}};
  if (space != std::string_view::npos)
    progress.message = HeadOf(CleanText(rest.substr(space + 1)), kProgressTextMax);
  return progress;
}

bool MayBeDirective(std::string_view begin) {
  return begin.substr(0, 2) == std::string_view("::").substr(0, begin.size());
}

}  // namespace

std::optional<Directive> ParseDirective(std::string_view line) {
  if (line.size() > kLineBytesMax || !line.starts_with("::")) return std::nullopt;
  if (line.ends_with('\r')) line.remove_suffix(1);
  const size_t space = line.find(' ');
  if (space == std::string_view::npos) return std::nullopt;
  const std::string_view word = line.substr(2, space - 2);
  const std::string_view rest = line.substr(space + 1);
  if (word == "progress") return ParseProgress(rest);
  if (word == "checkpoint") return Checkpoint{std::string(rest)};
  if (word == "output")
    return IsJson(rest) ? std::optional<Directive>(Output{std::string(rest)}) : std::nullopt;
  if (word == "records") {
    const auto count = Number<uint64_t>(rest);
    return count ? std::optional<Directive>(Records{*count}) : std::nullopt;
  }
  return std::nullopt;
}

void Merge(Directive directive, Reported* report) {
  if (auto* progress = std::get_if<Progress>(&directive)) {
    report->percent = progress->percent;
    report->message = std::move(progress->message);
  } else if (auto* checkpoint = std::get_if<Checkpoint>(&directive)) {
    report->checkpoint = std::move(checkpoint->value);
  } else if (auto* output = std::get_if<Output>(&directive)) {
    report->output = std::move(output->json);
  } else if (auto* records = std::get_if<Records>(&directive)) {
    report->records = records->count;
  }
}

bool DirectiveScanner::Line(std::string_view line, Reported* report) {
  std::optional<Directive> directive = ParseDirective(line);
  if (!directive) return false;
  Merge(std::move(*directive), report);
  return true;
}

bool DirectiveScanner::Feed(std::string_view bytes, Reported* report) {
  bool found = false;
  while (!bytes.empty()) {
    const size_t newline = bytes.find('\n');
    const std::string_view piece = bytes.substr(0, newline);
    const bool complete = newline != std::string_view::npos;
    bytes.remove_prefix(complete ? newline + 1 : bytes.size());
    if (!ignoring_) {
      if (partial_.empty() && complete) {
        found |= Line(piece, report);
        continue;
      }
      partial_.append(piece.substr(0, kLineBytesMax + 1 - partial_.size()));
      if (complete) {
        found |= Line(partial_, report);
      } else if (partial_.size() > kLineBytesMax || !MayBeDirective(partial_)) {
        ignoring_ = true;
      }
      if (complete || ignoring_) partial_.clear();
    }
    if (complete) ignoring_ = false;
  }
  return found;
}

bool DirectiveScanner::Finish(Reported* report) {
  if (ignoring_ || partial_.empty()) return false;
  return Line(std::exchange(partial_, {}), report);
}

}  // namespace laneway::worker
