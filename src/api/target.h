// target.h: the target of a request ("/api/v1/jobs/01J…?state=FAILED&limit=5") taken apart, and the patterns
// it is held against.
//
// Role:       pure helper of the HTTP server.
// Errors:     nothing, when the text is not a target we accept: it must begin with '/', be at most 8 KiB,
//             hold only visible ASCII and complete percent escapes, and no NUL behind them.
// Threads:    functions; values.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace laneway::api {

using NamedValues = std::vector<std::pair<std::string, std::string>>;

struct Target {
  std::vector<std::string> segments;  // decoded; "/" has none, "/a/" has "a" and ""
  NamedValues query;                  // decoded, '+' is a space; in the order given
};
std::optional<Target> ParseTarget(std::string_view text);

// "%41" → "A". Nothing when an escape is incomplete or gives NUL.
std::optional<std::string> PercentDecode(std::string_view text, bool plus_is_space);
// Everything but letters, digits and - . _ ~ is escaped.
std::string PercentEncode(std::string_view text);

// "/api/v1/jobs/{id}/cancel": literal segments and named ones.
class PathPattern {
 public:
  explicit PathPattern(std::string_view pattern);
  // The named segments when it matches; a named segment is never empty.
  std::optional<NamedValues> Match(const Target& target) const;

 private:
  struct Segment {
    std::string text;
    bool named = false;
  };
  std::vector<Segment> segments_;
};

}  // namespace laneway::api
