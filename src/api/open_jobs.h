// open_jobs.h: the open jobs in the order in which they were submitted, so that a list can be paged.
//
// Role:       a listener's index beside the Ledger, which has no order of its own.
// Cost:       about 0.2 us and 30 bytes a job; a page of a million jobs costs what the page holds.
// Threads:    the fold's loop.
#pragma once

#include <compare>
#include <functional>
#include <optional>

#include "absl/container/btree_set.h"
#include "fleet/ledger.h"

namespace laneway::api {

class OpenJobs {
 public:
  struct Key {
    LogTime submitted;
    JobId job;
    friend auto operator<=>(const Key&, const Key&) = default;
  };

  // What was open before the changes below are told.
  void Begin(const Ledger& ledger);
  static bool Concerns(Change::Kind kind);
  void OnChange(const Job& job, Change::Kind kind);

  // Newest first, from below `before` on (nothing: from the newest), until `each` says stop. The key at which
  // it stopped, which was not taken; nothing: the end.
  std::optional<Key> ForEach(std::optional<Key> before, const std::function<bool(const Key&)>& each) const;
  size_t size() const { return jobs_.size(); }

 private:
  absl::btree_set<Key> jobs_;
};

}  // namespace laneway::api
