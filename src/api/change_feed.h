// change_feed.h: what changed, for clients that keep a connection open (GET /api/v1/events).
//
// Role:       keeps the newest changes in a ring, and hands them to the streams that listen.
// Promises:   ids grow, also over a restart; a client that comes back with the last id it saw gets everything
//             after it, or a `resync` when that is too old: then it must read the state anew. Bounds: kRing
//             changes, kClientsMax streams, each with its own bound of waiting bytes.
// Cost:       nothing while nobody has listened for kRecordingKept; text is made only for listeners, on
//             another loop.
// Threads:    the fold's loop, but for what a stream does with its text.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "api/http.h"
#include "fleet/ledger.h"
#include "laneway/v1/report.pb.h"
#include "ops/loop.h"

namespace laneway::api {

class ChangeFeed {
 public:
  static constexpr size_t kRing = 16'384;
  static constexpr size_t kClientsMax = 64;
  static constexpr Millis kRecordingKept{120'000};  // after the last client has gone

  // `writer`: the loop on which text is made and written.
  ChangeFeed(ops::Loop* writer, LogTime started);

  bool recording() const { return recording_; }
  void OnChange(const Job* job, LogTime time, const Change& change);
  void OnAlert(const v1::Alert& alert, LogTime time);
  // Hands over what came since the last time.
  void Flush(const Ledger& ledger, LogTime now);

  // False: there are too many. `last_id`: what the client saw last; empty: from now on.
  bool Join(const Ledger& ledger, LogTime now, const std::shared_ptr<EventStream>& stream,
            const std::string& last_id);
  size_t clients() const { return clients_->size(); }
  void Close();

 private:
  struct Entry {
    uint64_t id = 0;
    LogTime time;
    Change change;
    TaskState state = TaskState::kPending;
    JobPhase job = JobPhase::kPending;
    uint32_t attempt = 0;
    uint32_t percent = 0;
    std::shared_ptr<const v1::Alert> alert;
  };
  struct Text;  // an entry with its names
  Entry& Add(LogTime time);
  std::vector<Text> Since(const Ledger& ledger, uint64_t id) const;
  static std::string Format(const Text& text);

  ops::Loop* writer_;
  std::vector<Entry> ring_;
  uint64_t first_id_;
  uint64_t next_id_;
  uint64_t flushed_;
  bool recording_ = false;
  LogTime listened_;  // when there was a client last
  std::shared_ptr<std::vector<std::shared_ptr<EventStream>>> clients_;
};

}  // namespace laneway::api
