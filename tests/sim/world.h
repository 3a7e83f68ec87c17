// world.h: the one thread, the virtual clock, the disk and the file system a simulated fleet lives in.
//
// Role:       scheduler: events in the order of their virtual time, ties broken by the seed. Whatever the
//             fleet does happens in one of them.
// Output:     a hash over everything that happened (the same seed gives the same hash), counters, the first
//             violation.
// Threads:    one.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <queue>
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/str_cat.h"
#include "fleet/log_time.h"
#include "log/sim_log.h"
#include "sim/plan.h"
#include "sim/rng.h"
#include "support/memory_fs.h"
#include "zone/fs.h"

namespace laneway::sim {

inline constexpr int64_t kEpochMs = 1'800'000'000'000;  // of the log's clock at virtual time 0

// A process: dead once crashed; its successor is another Proc.
struct Proc {
  std::string name;
  bool alive = true;
  bool cut_off = false;
  int64_t paused_until = 0;
  int64_t cut_off_since = 0;
  int64_t in_touch_since = 0;  // neither cut off nor paused for long since then
  std::unique_ptr<log::SimClient> client;
  bool fetches = false;  // what it is to see next is planned
};
using ProcRef = std::shared_ptr<Proc>;

// The clock of a machine; it outlives the processes on it.
struct HostClock {
  int64_t offset_ms = 0;
  int64_t drift_ppm = 0;
};

class World {
 public:
  World(const Plan& plan, bool tracing);

  const Plan& plan() const { return plan_; }
  Rng& rng() { return rng_; }
  log::SimDisk& disk() { return disk_; }
  testing::MemoryFs& fs() { return fs_; }

  int64_t now() const { return now_; }
  LogTime log_now() const { return {kEpochMs + now_}; }
  bool faults() const { return now_ < plan_.work_ms; }

  void At(int64_t time, std::function<void()> run);
  void After(int64_t delay, std::function<void()> run) { At(now_ + delay, std::move(run)); }
  // In a process: not when it has died, not before its pause is over.
  void Post(const ProcRef& proc, int64_t delay, std::function<void()> run);
  // One event; false when there is none.
  bool RunOne();
  // From within an event: others act until then.
  void RunNested(int64_t until);
  bool nested_too_deep() const { return depth_ >= 4; }

  // `reads`: of the log; on Kafka it follows it.
  ProcRef Start(const std::string& name, bool reads);
  void Kill(const ProcRef& proc);
  void Pause(const ProcRef& proc, int64_t ms);
  void CutOff(const ProcRef& proc, bool cut_off);

  // Called after records were appended.
  std::function<void()> on_appended;
  // One of the appends that were answered UNKNOWN arrives now, or once more.
  void AppendLate();
  // A broker goes: some partitions are without a leader for about so long.
  void LoseLeaders(int64_t ms);
  void FindLeaders(bool all);

  // The story. `text` is made only when somebody reads it.
  template <class Text>
  void Tell(uint64_t hash, Text text) {
    Mix(hash);
    if (tracing_) Line(text());
  }
  void Mix(uint64_t value) { hash_ = Mix64(hash_ ^ value) + static_cast<uint64_t>(now_); }
  bool tracing() const { return tracing_; }
  uint64_t hash() const { return hash_; }
  const std::deque<std::string>& lines() const { return lines_; }

  void Count(std::string_view what, uint64_t n = 1) { counters_[what] += n; }
  const std::map<std::string_view, uint64_t>& counters() const { return counters_; }

  // The first one counts; the run ends.
  void Fail(std::string_view property, const std::string& text);
  bool failed() const { return !violation_.empty(); }
  const std::string& violation() const { return violation_; }

 private:
  struct Event {
    int64_t at = 0;
    uint64_t tie = 0;
    uint64_t number = 0;
    std::function<void()> run;
    bool operator<(const Event& other) const {  // the queue gives the largest first
      if (at != other.at) return at > other.at;
      if (tie != other.tie) return tie > other.tie;
      return number > other.number;
    }
  };
  // Appends of one client come in their order; on Kafka, in each partition. Whoever comes behind one that
  // waits for a leader waits as well.
  struct Order {
    int64_t until = 0;
    int64_t held_until = 0;
  };
  void PumpDisk();
  Order& OrderOf(const log::SimDisk::Waiting& call);
  void Complete(const log::SimDisk::Waiting& call, bool was_held);
  bool IsBehindHeld(const log::SimDisk::Waiting& call, bool was_held);
  void Hold(const log::SimDisk::Waiting& call);
  log::SimFate FateWithoutLeader();
  log::SimFate Fate();
  void Appended();
  void PlanFetch(const ProcRef& proc);
  void Line(std::string text);

  const Plan plan_;
  Rng rng_;
  log::SimDisk disk_;
  testing::MemoryFs fs_;
  int64_t now_ = 0;
  int depth_ = 0;
  uint64_t numbers_ = 0;
  std::priority_queue<Event> events_;
  uint64_t pumped_ = 0;  // ids of the disk's calls up to here are planned
  std::map<std::pair<std::string, log::TopicPartition>, Order> orders_;  // by owner
  std::map<log::TopicPartition, int64_t> leader_back_;                   // those without a leader
  std::vector<ProcRef> followers_;
  bool tracing_ = false;
  uint64_t hash_ = 0;
  std::deque<std::string> lines_;
  std::map<std::string_view, uint64_t> counters_;
  std::string violation_;
};

// The file system as one process sees it: others act between its calls, calls fail, the process dies in the
// middle of them.
class ProcFs : public zone::Fs {
 public:
  using Renamed = std::function<void(std::string_view from, std::string_view to, uint64_t inode)>;
  ProcFs(World* world, ProcRef proc, bool others_act, std::function<void()> crash, Renamed renamed)
      : world_(world),
        proc_(std::move(proc)),
        others_act_(others_act),
        crash_(std::move(crash)),
        renamed_(std::move(renamed)) {}

  absl::StatusOr<zone::FileInfo> Stat(std::string_view path) override;
  absl::StatusOr<std::vector<zone::FolderEntry>> List(std::string_view folder) override;
  absl::StatusOr<std::vector<zone::FolderItem>> ListWithInfo(std::string_view folder) override;
  absl::Status MakeFolder(std::string_view path) override;
  absl::Status RemoveFolder(std::string_view path) override;
  absl::Status RemoveTree(std::string_view path) override;
  absl::Status Rename(std::string_view from, std::string_view to) override;
  absl::Status SyncFolders(std::span<const std::string> folders) override;
  bool OpenForWriting(std::string_view path) override;
  absl::StatusOr<uint64_t> FreeBytes() override { return uint64_t{1} << 40; }

 private:
  absl::Status Before(bool changes);
  absl::Status Dead() const { return absl::UnavailableError("this process has died"); }

  World* world_;
  ProcRef proc_;
  bool others_act_;
  std::function<void()> crash_;
  Renamed renamed_;
};

}  // namespace laneway::sim
