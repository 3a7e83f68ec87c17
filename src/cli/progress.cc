#include "cli/progress.h"

#include <algorithm>
#include <iostream>

#include "ops/text.h"

namespace laneway::cli {
namespace {

constexpr auto kTerminalPause = std::chrono::milliseconds(100);
constexpr auto kPlainPause = std::chrono::seconds(5);
constexpr uint64_t kWidth = 30;

}  // namespace

std::string ProgressBar::Draw(uint64_t done, uint64_t total, const std::string& note) {
  const ops::SteadyTime now = clock_.Steady();
  const bool complete = total > 0 && done >= total;
  const auto pause =
      terminal_ ? std::chrono::nanoseconds(kTerminalPause) : std::chrono::nanoseconds(kPlainPause);
  // What is complete is told at once, and once.
  const bool told = complete && complete_ == done;
  if (drawn_ && (!complete || told) && now - last_ < pause) return "";
  if (told && !terminal_) return "";
  complete_ = complete ? done : 0;
  drawn_ = true;
  last_ = now;
  const uint64_t shown = std::min(done, total);
  const std::string figures = std::to_string(done) + "/" + std::to_string(total) + " " +
                              std::to_string(total == 0 ? 0 : shown * 100 / total) + "%";
  const std::string end = note.empty() ? "" : "  " + ops::Printable(note, 100);
  if (!terminal_) return figures + end + "\n";
  std::string bar;
  const uint64_t filled = total == 0 ? 0 : shown * kWidth / total;
  for (uint64_t i = 0; i < kWidth; i++) bar += i < filled ? "█" : "░";
  open_line_ = true;
  return "\r\x1b[2K" + bar + " " + figures + end;
}

void ProgressBar::Show(uint64_t done, uint64_t total, const std::string& note) {
  std::cerr << Draw(done, total, note) << std::flush;
}

void ProgressBar::End() {
  if (open_line_) std::cerr << "\n";
  open_line_ = false;
}

}  // namespace laneway::cli
