// directives.h: finds `::progress 40 text`, `::checkpoint VALUE`, `::output {json}` and `::records N` in what
// a script prints.
//
// Role:       pure.
// Input:      the bytes of stdout as they come.
// Output:     what was told, merged: the last value of each kind.
// Invariants: (1) memory is bounded, whatever comes; (2) a line that is not exactly a directive is ordinary
//             output; (3) how the bytes were cut into pieces makes no difference.
// Threads:    one owner.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "worker/executor.h"

namespace laneway::worker {

inline constexpr size_t kLineBytesMax = 64 << 10;  // a longer line is never a directive
inline constexpr size_t kProgressTextMax = 1024;

struct Progress {
  uint32_t percent = 0;  // at most 100
  std::string message;
  friend bool operator==(const Progress&, const Progress&) = default;
};
struct Checkpoint {
  std::string value;
  friend bool operator==(const Checkpoint&, const Checkpoint&) = default;
};
struct Output {
  std::string json;  // valid
  friend bool operator==(const Output&, const Output&) = default;
};
struct Records {
  uint64_t count = 0;
  friend bool operator==(const Records&, const Records&) = default;
};
using Directive = std::variant<Progress, Checkpoint, Output, Records>;

// One line without its newline.
std::optional<Directive> ParseDirective(std::string_view line);

// Into what was reported since the last event.
void Merge(Directive directive, Reported* report);

class DirectiveScanner {
 public:
  // True when a directive was merged into `report`.
  bool Feed(std::string_view bytes, Reported* report);
  // The last line, when it came without a newline.
  bool Finish(Reported* report);

 private:
  bool Line(std::string_view line, Reported* report);

  std::string partial_;    // of a line that may be a directive
  bool ignoring_ = false;  // until the next newline
};

}  // namespace laneway::worker
