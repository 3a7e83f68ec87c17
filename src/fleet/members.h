// members.h: what the fleet's members say of themselves, and what was agreed about them: the fold of
// `heartbeats`, `browser-health` and `control`.
//
// Role:       pure core; dispatcher, reaper and API run the same one beside the Ledger.
// Input:      records of the three topics, in order.
// Output:     Member, readable by everyone.
// Invariants: (1) a heartbeat older than the newest one read changes nothing; (2) operator intents outlive
//             the incarnation they were given to.
// Threads:    one owner.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "fleet/ids.h"
#include "fleet/log_time.h"
#include "laneway/v1/member.pb.h"

namespace laneway {

// BrowserHealth.note when the browser ends in good order: with its worker, or to be started anew (the reason
// follows).
inline constexpr char kWorkerStops[] = "the worker stops";
inline constexpr char kRecycled[] = "recycled: ";

struct LaneRead {
  Offset next = 0;  // everything below was read and is durable in the worker's store
  Offset finished_below = 0;
};

struct Member {
  WorkerId id;
  IncarnationId incarnation;
  StoreId store;
  uint32_t capacity = 1;
  std::vector<std::string> labels;  // sorted
  bool registered = false;          // it belongs to the fleet
  bool removed = false;             // it left for good
  bool beats = false;               // at least one heartbeat was read
  uint64_t heartbeat = 0;           // 1 + offset of the newest
  LogTime last_beat;
  Millis lane_poll_age{0};
  std::set<std::pair<TaskId, uint32_t>> held;     // attempts it says it has
  std::set<std::pair<TaskId, uint32_t>> running;  // those of them that have started
  std::map<Lane, LaneRead> lanes;
  bool has_browser = false;
  bool browser_connected = false;
  uint32_t browser_port = 0;
  uint32_t browser_generation = 0;
  std::string browser_note;  // why it is not connected
  bool draining_done = false;
  bool paused_by_itself = false;
  bool leaving = false;
  bool stopping = false;  // until another incarnation beats
  std::string note;
  uint64_t memory_kib = 0;
  uint64_t cpu_us = 0;
  std::string host;
  std::string version;
  v1::Intent intent = v1::INTENT_NONE;
  uint64_t intent_at = 0;  // 1 + its offset in `control`
  std::string intent_reason;
  std::string intent_by;
};

class Members {
 public:
  // The member that beat; nullptr when the record says nothing new or cannot be understood.
  const Member* OnHeartbeat(const v1::Heartbeat& beat, Offset offset, LogTime time);
  const Member* OnBrowserHealth(const v1::BrowserHealth& health);
  // The member it is about; nullptr for what is not about one.
  const Member* OnControl(const v1::ControlRecord& record, Offset offset);

  const Member* Find(const WorkerId& worker) const;
  const std::map<WorkerId, Member>& all() const { return members_; }
  const std::map<Lane, WorkerId>& lane_owners() const { return lane_owners_; }
  Epoch lane_table_epoch() const { return lane_table_epoch_; }
  // the highest epoch in `control`: 1 + offset of the newest election
  Epoch elected() const { return elected_; }

 private:
  Member& Get(const std::string& name);
  std::map<WorkerId, Member> members_;
  std::map<Lane, WorkerId> lane_owners_;
  Epoch lane_table_epoch_ = 0;
  uint64_t lane_table_version_ = 0;
  Epoch elected_ = 0;
};

}  // namespace laneway
