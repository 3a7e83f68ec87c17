// browser_loss.h: the words for what becomes of a task that runs while its worker's browser is lost.
//
// Role:       a table: for the configuration (job.on_browser_loss) and for a job that is started.
// Threads:    constants.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "laneway/v1/event.pb.h"

namespace laneway::ops {

inline constexpr std::array<std::pair<std::string_view, v1::OnBrowserLoss>, 3> kBrowserLossWords = {
    {{"retry", v1::RETRY_TASK}, {"continue", v1::CONTINUE_TASK}, {"fail", v1::FAIL_TASK}}};

inline std::optional<v1::OnBrowserLoss> OnBrowserLossOf(std::string_view word) {
  for (const auto& [known, meaning] : kBrowserLossWords) {
    if (known == word) return meaning;
  }
  return std::nullopt;
}

inline std::vector<std::string> BrowserLossWords() {
  std::vector<std::string> words;
  for (const auto& [word, meaning] : kBrowserLossWords) words.emplace_back(word);
  return words;
}

// "one of \"retry\", …".
inline std::string BrowserLossForm() {
  std::string form;
  for (const auto& [word, meaning] : kBrowserLossWords)
    form += (form.empty() ? "one of \"" : ", \"") + std::string(word) + "\"";
  return form;
}

}  // namespace laneway::ops
