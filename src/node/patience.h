// patience.h: asks once more what brokers answered too late.
//
// Role:       pure but for its ports; for a start, when nobody waits for us yet. Later whoever asks has
//             better to do than to wait.
// Output:     the answer, whichever came last: after `bound` of answers that pass, the last of them.
// Errors:     CANCELLED when it was to end meanwhile. UNAVAILABLE and DEADLINE_EXCEEDED pass; all others (a
//             wrong password, missing rights, a topic that is not there) are told at once.
// Threads:    one.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "fleet/log_time.h"

namespace laneway::node {

struct PatiencePorts {
  std::function<Millis()> now;       // of a clock that only goes forward
  std::function<bool(Millis)> wait;  // for at most so long; true: we are to end. None: nothing is asked twice
  std::function<void(const std::string&)> note;  // for people; may be empty
};

class Patience {
 public:
  explicit Patience(PatiencePorts ports, Millis bound = Millis(60'000), Millis pause = Millis(500))
      : ports_(std::move(ports)), bound_(bound), pause_(pause) {}

  // `ask` returns a Status or a StatusOr.
  template <class Ask>
  auto Asked(const Ask& ask) {
    std::optional<Millis> since;
    while (true) {
      auto answer = ask();
      if (Again(StatusOf(answer), &since)) continue;
      if (stopped_) answer = absl::CancelledError("stopped while it waited for the brokers");
      return answer;
    }
  }

 private:
  static const absl::Status& StatusOf(const absl::Status& status) { return status; }
  template <class T>
  static const absl::Status& StatusOf(const absl::StatusOr<T>& answer) {
    return answer.status();
  }
  // Whether to ask once more; has waited then. `since`: when the first such answer came.
  bool Again(const absl::Status& answer, std::optional<Millis>* since);

  const PatiencePorts ports_;
  const Millis bound_;
  const Millis pause_;
  bool told_ = false;
  bool stopped_ = false;
};

}  // namespace laneway::node
