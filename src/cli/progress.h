// progress.h: how far something is, on stderr: a line drawn anew on a terminal, a plain line every few
// seconds elsewhere.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "ops/clock.h"

namespace laneway::cli {

class ProgressBar {
 public:
  ProgressBar(bool terminal, const ops::Clock& clock) : terminal_(terminal), clock_(clock) {}
  ~ProgressBar() { End(); }
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;

  // What to write now, "" when it is not time yet. `note` follows the figures.
  std::string Draw(uint64_t done, uint64_t total, const std::string& note);
  // Draw, written to stderr.
  void Show(uint64_t done, uint64_t total, const std::string& note);
  // Ends the line of a terminal.
  void End();

 private:
  const bool terminal_;
  const ops::Clock& clock_;
  bool drawn_ = false;
  uint64_t complete_ = 0;  // the last total that was told as complete; 0: none
  bool open_line_ = false;
  ops::SteadyTime last_{};
};

}  // namespace laneway::cli
