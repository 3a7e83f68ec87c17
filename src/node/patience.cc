#include "node/patience.h"

#include <utility>

#include "absl/strings/str_cat.h"

namespace laneway::node {

bool Patience::Again(const absl::Status& answer, std::optional<Millis>* since) {
  if (!absl::IsUnavailable(answer) && !absl::IsDeadlineExceeded(answer)) return false;
  if (!ports_.wait) return false;
  const Millis now = ports_.now();
  if (!*since) *since = now;
  if (now - **since >= bound_) return false;
  if (!std::exchange(told_, true) && ports_.note)
    ports_.note(absl::StrCat("Waits for an answer of the brokers, and asks again: ", answer.message()));
  stopped_ = ports_.wait(pause_);
  return !stopped_;
}

}  // namespace laneway::node
