// checker.h: watches a simulated fleet from outside and says which promise was broken.
//
// Role:       reads every record as it is written, sees every rename, every start and end of a script; keeps
//             the Model of what counts and one Ledger of its own (the oracle), which must agree. Properties
//             (a)–(g) are those of ARCHITECTURE.md; "fold" means that two folds disagree.
// Threads:    one.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "dispatcher/dispatcher.h"
#include "fleet/ledger.h"
#include "fold/finished_store.h"
#include "laneway/v1/lane.pb.h"
#include "laneway/v1/member.pb.h"
#include "sim/fold_driver.h"
#include "sim/model.h"
#include "sim/witness.h"
#include "sim/world.h"

namespace laneway::sim {

// A file that a user put into incoming/, once or (the same again) several times.
struct Arrival {
  std::string path;  // below incoming/
  std::string content;
  uint64_t inode = 0;
  uint64_t size = 0;
  int64_t mtime_ns = 0;
  uint32_t arrivals = 1;   // how often it was put there with this identity
  bool removed = false;    // its owner took it away
  bool withdrawn = false;  // its owner took it away or wrote over it: it may have made a job or not
};

// Jobs closed, kept in memory.
class MemoryFinished : public FinishedJobs {
 public:
  void Put(const JobId& job, Offset at, std::string state, bool was_reopened) override;
  std::optional<std::string> Get(const JobId& job, Offset as_of) override;
  bool Contains(const JobId& job, Offset as_of) override { return Get(job, as_of).has_value(); }
  void Reopen(const JobId& job, Offset at) override;

 private:
  struct Version {
    Offset closed = 0;
    Offset reopened = ~Offset{0};
    std::string state;
  };
  std::map<JobId, std::vector<Version>> jobs_;
};

class Checker : public Witness {
 public:
  explicit Checker(World* world);

  // What users did.
  Arrival& Arrived(const std::string& path, const std::string& content);
  // nobody wrote over it
  bool IsLast(const Arrival& arrival) { return by_inode_[arrival.inode].back() == &arrival; }
  std::vector<std::unique_ptr<Arrival>>& arrivals() { return arrivals_; }

  // Reads on; every new record is judged.
  void ReadOn();
  // Everything that takes long: where each file is.
  void CheckFiles();
  // A live fold that has read everything must be what the oracle is.
  void CompareFold(const std::string& name, const Ledger& ledger);
  // Rules L2, E1: what an active dispatcher has read.
  void CheckActive(const std::string& name, const dispatcher::Dispatcher& core, const FoldDriver& fold);
  // A Ledger that reads everything from the beginning, and one that goes on from the oracle's snapshot.
  void CheckReplay();
  // What may last for a while and not longer: rules R1 (while a reaper has been able to hear since then), P2
  // and P1 (once faults have been over for so long).
  void CheckLevels(int64_t watched_since, int64_t healed_for_ms);
  // Nothing is left to be done. `why` says what is.
  bool AllDone(std::string* why);
  void CheckEnd();

  bool reads_late = false;  // what is read just now was appended long after it was said

  Model& model() { return model_; }
  const Ledger& oracle() const { return *oracle_; }
  bool script_runs() const { return !running_.empty(); }
  // No later job was made of its file, and its file was not put back for one.
  bool IsNewest(const ModelJob& job);
  // Accepted scripts of a task that ended badly by themselves.
  uint32_t failures(const TaskId& task) const;

  void OnPrepared(const WorkerId& worker, const v1::WorkPacket& packet, const absl::Status& found) override;
  Script OnScriptStart(const WorkerId& worker, const IncarnationId& incarnation, const StoreId& store,
                       const v1::WorkPacket& packet) override;
  void OnScriptEnd(const WorkerId& worker, const worker::AttemptKey& key) override;
  void OnScriptKilled(const WorkerId& worker, const worker::AttemptKey& key) override;
  void OnTrim(Lane lane, Offset below) override;
  // The worker has lost its memory.
  void OnStoreLost(const std::string& worker) {
    std::erase_if(interrupted_, [&](const auto& run) { return run.first == worker; });
  }
  // What has been told to stop does stop, when its worker can hear.
  void CheckObsolete(const std::string& worker, int64_t in_touch_for_ms);
  void OnRename(std::string_view who, std::string_view from, std::string_view to, uint64_t inode) override;
  void OnSilenceSaid(const std::string& worker, int64_t in_touch_for_ms) override;
  void OnBrowserLostSaid(const v1::BrowserLost& lost, int64_t in_touch_for_ms) override;
  void OnBrowserScript(const WorkerId& worker, const v1::WorkPacket& packet,
                       const worker::BrowserState& told) override;
  void OnBrowserOver(const WorkerId& worker, const worker::AttemptKey& key, bool stopped) override;
  void OnBrowserRecycled(const WorkerId& worker) override;
  // What waits on a worker that can be heard does not wait for long.
  void CheckWaiting(const std::string& worker, int64_t in_touch_for_ms);

 private:
  struct StoredEvent {
    Offset offset;
    LogTime time;
    log::RecordType type;
    std::string value;
  };
  struct Run {
    WorkerId worker;
    worker::AttemptKey key;
    int64_t obsolete_since = -1;
  };
  void OnEvent(uint32_t partition, const log::RecordView& record);
  void Compare(const v1::Event& event, bool counts, FoldVerdict verdict);
  void OnAccepted(const v1::Event& event);
  void Look(uint32_t partition, const v1::Heartbeat& beat, Offset offset);
  void Look(uint32_t lane, const v1::LaneRecord& record, Offset offset);
  void Look(uint32_t partition, const v1::ControlRecord& record, Offset offset);
  void Look(uint32_t partition, const v1::BrowserHealth& health, Offset offset);
  void LookAtBrowser(const v1::Heartbeat& beat);
  void CheckBrowsers(int64_t watched_since, int64_t healed_for_ms);
  bool NeedsBrowser(const JobId& id);
  // It is held by a worker whose browser is lost, and cannot go on without.
  bool WithoutItsBrowser(const ModelJob& job, const ModelTask& task, const std::string& worker) const;
  // Rule P1: what a worker has read of its lanes and may take, it holds.
  void CheckHeld(const v1::Heartbeat& beat);
  // Its attempt, when that is assigned and not started.
  std::optional<ModelAttempt> AssignedAttempt(const v1::Event& event);
  // Rule W2: what is only assigned is taken away for a reason.
  void CheckRepublished(const v1::Event& event, const ModelAttempt& attempt);
  std::string PathOf(uint64_t inode);
  Arrival* Find(const v1::FileIdentity& file);
  std::string Text(const v1::Event& event) const;
  void Check(bool holds, std::string_view property, const std::string& text) {
    world_->Count("checks");
    if (!holds) world_->Fail(property, text);
  }

  World* world_;
  std::unique_ptr<log::SimClient> client_;
  std::vector<Offset> next_;
  Offset heartbeats_next_ = 0;
  Offset control_next_ = 0;
  Offset health_next_ = 0;
  std::vector<Offset> lanes_next_;
  std::vector<std::vector<StoredEvent>> history_;
  Model model_;
  MemoryFinished finished_;
  std::unique_ptr<Ledger> oracle_;
  std::vector<Change> changes_;
  std::vector<std::unique_ptr<Arrival>> arrivals_;
  std::map<uint64_t, std::vector<Arrival*>> by_inode_;
  std::set<std::tuple<TaskId, uint32_t, std::string, std::string, std::string>> started_records_;
  std::map<worker::AttemptKey, uint32_t> runs_;
  std::vector<Run> running_;
  std::map<TaskId, uint32_t> ended_badly_;
  std::set<std::pair<std::string, worker::AttemptKey>> interrupted_;  // and not reported yet
  std::map<Lane, Offset> read_;                                // as far as anybody has said to have read it
  std::map<Lane, std::pair<std::string, Epoch>> handed_over_;  // the last mark
  std::pair<Epoch, uint64_t> table_read_;
  std::map<Lane, std::string> table_;  // as last told
  struct Packet {
    std::string worker;
    Lane lane = 0;
    Offset offset = 0;
    bool is_void = false;  // of an epoch before the lane's
  };
  std::map<worker::AttemptKey, std::vector<Packet>> packets_;
  // Stands in a lane behind the mark that handed the lane over; its worker may be about to get the lane back.
  struct BehindMark {
    std::string worker;
    Lane lane = 0;
    worker::AttemptKey key;
    int64_t since = 0;
  };
  std::vector<BehindMark> behind_mark_;
  std::map<Lane, Epoch> lane_epochs_;
  std::map<std::string, std::map<std::string, int64_t>> stores_;  // by worker: when each was last heard of
  std::map<std::string, int64_t> lost_until_;                     // by worker: the last moment it was lost
  std::map<std::string, std::set<worker::AttemptKey>> held_;      // by worker, as it said last
  struct Stuck {
    bool seen = false;
    int64_t since = 0;
  };
  std::map<worker::AttemptKey, Stuck> with_lost_;  // held by a worker that is lost
  std::map<worker::AttemptKey, Stuck> unheld_;     // assigned, and not with its worker
  uint32_t sent_again_ = 0;
  std::vector<std::pair<Epoch, std::string>> elections_;
  std::map<worker::AttemptKey, bool> outcome_;
  struct Health {
    bool connected = false;
    int64_t at = 0;
    int64_t since = 0;  // it has been so
  };
  struct Beating {
    std::string incarnation;
    int64_t since = 0;  // its first beat
    int64_t at = 0;     // its last
    bool browser = false;
  };
  std::map<std::string, std::map<Offset, Health>> health_;                     // by worker
  std::map<std::string, Beating> beating_;                                     // by worker
  std::map<std::string, int64_t> browser_lost_until_;                          // by worker
  std::map<std::pair<std::string, worker::AttemptKey>, uint32_t> begun_with_;  // generation of the browser
  std::map<std::string, std::map<worker::AttemptKey, int64_t>> waiting_;       // by worker: since when
};

}  // namespace laneway::sim
