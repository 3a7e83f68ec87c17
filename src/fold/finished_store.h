// finished_store.h: the memory of closed jobs in a Store, and the order in which they were closed.
//
// Role:       FinishedJobs in life. Writes are collected and flushed together, buffered: they can be derived
//             again from the events.
// Shapes:     `f/j/<16 bytes>` → v1::FinishedEntry; `f/l/<8 bytes BE>` → v1::FinishedList, one value a flush.
// Errors:     a write that fails is kept and tried again with the next flush; reads that fail stop the
//             process (the fold could not go on truthfully).
// Threads:    one owner; the answers of the store come through `post`.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "fleet/hash_map.h"
#include "fleet/ledger.h"
#include "log/store.h"

namespace laneway::fold {

class FinishedStore : public FinishedJobs {
 public:
  // `post` runs a function on the owner's thread.
  FinishedStore(log::Store* store, std::function<void(std::function<void()>)> post);

  absl::Status Open();  // finds the end of the list

  void Put(const JobId& job, Offset at, std::string state, bool was_reopened) override;
  std::optional<std::string> Get(const JobId& job, Offset as_of) override;
  bool Contains(const JobId& job, Offset as_of) override;
  void Reopen(const JobId& job, Offset at) override;

  // Hands what was collected to the store. Cheap when there is nothing.
  void Flush();
  bool clean() const { return dirty_.empty() && flying_.empty(); }

  // Where a walk through the closed jobs goes on: positions below `below` of list `list`, then the older
  // lists.
  struct Cursor {
    uint64_t list = 0;  // 0: from the newest
    uint32_t below = 0;
  };
  // Newest closing first, each job that is closed as of `as_of` (an offset in its partition) once, until
  // `each` says stop: then the job it was shown was not taken, and is the first of the next call. Nothing:
  // the end.
  using AsOf = std::function<Offset(const JobId&)>;
  using Each = std::function<bool(const JobId&, const std::string& state)>;
  std::optional<Cursor> ForEachRecent(Cursor from, const AsOf& as_of, const Each& each);

  // A replay closes jobs again that were listed before: they are not listed twice. On until told otherwise.
  void SetReplaying(bool replaying) { replaying_ = replaying; }

 private:
  using Entries = HashMap<JobId, v1::FinishedEntry>;
  JobId& GreatestOf(uint64_t season);
  const v1::FinishedEntry* Find(const JobId& job, v1::FinishedEntry* room);
  static const v1::FinishedVersion* Visible(const v1::FinishedEntry& entry, Offset as_of);

  log::Store* store_;
  std::function<void(std::function<void()>)> post_;
  // Of all that were ever put, by season; read from the store when first asked for. Ids of started jobs grow
  // with the time: whether a new one has been before is mostly seen from this alone.
  std::map<uint64_t, JobId> greatest_;
  Entries dirty_;
  using List = std::vector<std::pair<JobId, Offset>>;
  struct Group {
    Entries entries;
    List closed;
    uint64_t list = 0;
  };
  std::vector<std::shared_ptr<Group>> flying_;  // handed to the store, not answered; oldest first
  List closed_;                                 // since the last flush: the list `next_list_`
  bool replaying_ = true;
  uint64_t next_list_ = 1;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace laneway::fold
