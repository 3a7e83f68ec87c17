// log_clock.h: what the log's clock says just now, told from the records it wrote and a steady clock of our
// own.
//
// Role:       pure. Our own wall clock may be wrong, or be set at any moment; deadlines and silence are the
//             log's to judge.
// Input:      records as they are read, fresh ones (not history), with when they were read.
// Output:     the log's time.
// Invariants: (1) once a record was read the wall clock is not asked again; (2) a record that was read late
//             makes us lag no longer than until the next one that was not; (3) never before the newest
//             record.
// Threads:    one owner.
#pragma once

#include <algorithm>

#include "fleet/log_time.h"

namespace laneway::fold {

class LogClock {
 public:
  // `fresh`: appended while we were reading along, so that its time is that of a moment ago.
  void OnRecord(LogTime time, Millis steady, bool fresh) {
    if (time >= newest_) {
      newest_ = time;
      newest_at_ = steady;
    }
    if (!fresh) return;
    // of the log's clock before ours; less when it was read late
    const Millis ahead(time.ms - steady.count());
    if (!known_ || steady - window_ >= kWindow) {
      before_ = known_ ? within_ : ahead;
      within_ = ahead;
      window_ = steady;
      known_ = true;
    }
    within_ = std::max(within_, ahead);
  }

  LogTime Now(Millis steady, LogTime wall) const {
    // rather behind than ahead: it may only jump forward
    if (!known_) return newest_.ms == 0 ? wall : newest_ + (steady - newest_at_);
    return std::max(LogTime{(steady + std::max(before_, within_)).count()}, newest_);
  }

 private:
  static constexpr Millis kWindow{60000};  // clocks drift: what is older than two windows is forgotten
  bool known_ = false;
  Millis before_{0};
  Millis within_{0};
  Millis window_{0};
  LogTime newest_;
  Millis newest_at_{0};
};

}  // namespace laneway::fold
