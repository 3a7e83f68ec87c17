// sim_log.h: a record log and stores in memory, for the simulator: nothing completes before the simulator
// says so, and how.
//
// Role:       implements log.h and store.h deterministically. A SimDisk is what survives; SimClients are the
//             processes that use it.
// Input:      the clients' calls wait in order; Complete() ends one with a fate of the simulator's choice.
//             With auto_complete each call is done before it returns, for tests that need no faults. By
//             default log and stores are one disk, as the embedded log's; with SetRemote the log is
//             elsewhere, as Kafka is, and its records reach each partition by themselves.
// Invariants: as log.h promises: dense offsets, records readable only when durable, a Journal commit happens
//             whole or not at all. What was completed as kBuffered is lost in a power loss unless something
//             synced by the same owner was completed after it.
// Threads:    one owner. Callbacks and wakes run inside Complete().
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "log/log.h"
#include "log/store.h"
#include "log/watches.h"

namespace laneway::log {

// How a waiting call ends.
enum class SimFate : uint8_t {
  kDone,         // it happens, and the client is told
  kReplyLost,    // it happens, and the client is told UNKNOWN
  kRequestLost,  // it does not happen, and the client is told UNKNOWN; AppendLate may still make it happen
  kCutShort,     // its first or its last records happen, the others do not, and the client is told UNKNOWN
  kUnavailable,  // it does not happen: UNAVAILABLE
  kDiskFull,     // it does not happen: RESOURCE_EXHAUSTED
};

class SimClient;

class SimDisk {
 public:
  explicit SimDisk(std::function<LogTime()> now) : now_(std::move(now)) {}
  SimDisk(const SimDisk&) = delete;
  SimDisk& operator=(const SimDisk&) = delete;

  // A process that uses the disk. `owner` names its store (one for each owner; it outlives the client) and
  // signs its records.
  std::unique_ptr<SimClient> Connect(std::string owner);

  // What waits, in the order of the calls.
  struct Waiting {
    uint64_t id = 0;
    std::string_view owner;
    size_t records = 0;
    size_t ops = 0;
    TopicPartition to;            // of its first record
    bool client_is_dead = false;  // nobody will be told; it may happen or not
  };
  std::vector<Waiting> ListWaiting(uint64_t after_id = 0) const;
  size_t waiting() const { return waiting_.size(); }
  // Ends the call that waits longest, or the one with this id. False when there is none. Calls of one client
  // to its store complete in order: an id behind another store call of its client completes that one first,
  // with the same fate.
  bool CompleteNext(SimFate fate = SimFate::kDone);
  bool Complete(uint64_t id, SimFate fate = SimFate::kDone);
  size_t CompleteAll();
  void SetAutoComplete(bool automatic) { auto_complete_ = automatic; }
  // Of an append (not of a Journal's commit) the records of each partition wait, and end, by themselves. It
  // is answered when all have ended: OK when all are done, UNKNOWN when some may be. And it syncs no store:
  // on one disk every append does.
  void SetRemote(bool remote) { remote_ = remote; }

  // What clients were told UNKNOWN about: the records may still arrive (a delayed request) or arrive once
  // more (a repeated one).
  size_t unknown() const { return unknown_.size(); }
  bool AppendLate(size_t index);  // appends them now; the entry is used up. Not without a leader.
  void ForgetUnknown() { unknown_.clear(); }

  // While its leader is away a partition cannot be read by those who follow it. What becomes of the appends
  // that wait for it is the simulator's choice: they wait longer, or end as one of the fates says.
  void SetLeader(TopicPartition partition, bool has_leader);
  bool HasLeader(TopicPartition partition) const;
  std::vector<TopicPartition> AllPartitions() const;

  // Everything unsynced is gone, and what waits has not happened. Callers kill the clients first: a power
  // loss leaves no process.
  void PowerLoss();
  // The owner's disk was replaced by an empty one.
  void LoseStore(std::string_view owner);
  // Refuse all writes until it is over, whatever fate Complete names.
  void SetDiskFull(bool full) { disk_full_ = full; }
  // Readers get these bytes instead of the record's value from now on. False when there is no such record.
  bool ReplaceValue(TopicPartition partition, Offset offset, std::string value);

  uint64_t appended() const { return appended_; }
  // A number that is the same when, and practically only when, two disks hold the same records and stores.
  uint64_t Digest() const;

 private:
  friend class SimClient;
  struct Record {
    RecordType type;
    LogTime time;
    std::shared_ptr<const std::string> bytes;  // key, then value; shared by one append
    uint32_t key_at, key_bytes, value_bytes;
    std::shared_ptr<const std::string> writer;  // its Owned's: lives as long as the disk
  };
  struct Part {
    Offset first = 0;
    std::deque<Record> records;  // from `first`
    LogTime last_time;
    bool has_leader = true;
    Offset next() const { return first + records.size(); }
  };
  using Values = std::map<std::string, std::string, std::less<>>;
  struct Owned {
    std::shared_ptr<const std::string> name;
    Values now;  // as read
    std::vector<StoreOp> unsynced;
    Values synced;  // as after a power loss
  };
  struct Alive {
    bool alive = true;
    bool cut_off = false;
  };
  // To whoever called, when all parts of the call have ended.
  struct Answer {
    AppendDone done;
    std::vector<Offset> offsets;
    size_t parts = 1;  // that have not ended
    bool some_done = false;
    absl::Status error;
  };
  struct Call {
    uint64_t id = 0;
    Owned* owner = nullptr;
    std::shared_ptr<Alive> client;
    std::vector<StoreOp> ops;
    std::vector<NewRecord> records;
    std::vector<size_t> places;  // of the records, among those of the whole append
    bool synced = true;
    std::shared_ptr<Answer> answer;
    absl::Status status;  // an error: refused, only to be answered
  };
  struct Unknown {
    std::vector<NewRecord> records;
    Owned* owner = nullptr;
  };

  void Submit(Call call, AppendDone done);
  static std::vector<Call> Split(Call call);
  static void SplitInHalves(std::vector<NewRecord>& first, std::vector<NewRecord>& rest);
  void End(Call call, SimFate fate);
  static void Tell(const Call& call, const absl::Status& status, std::span<const Offset> offsets = {});
  std::vector<Offset> Happen(const Call& call);
  std::vector<Offset> AppendNow(const std::vector<NewRecord>& records, const Owned& owner);
  const Part* Find(TopicPartition partition) const;
  Part* Find(TopicPartition partition) { return const_cast<Part*>(std::as_const(*this).Find(partition)); }
  absl::Status CheckRecords(const std::vector<NewRecord>& records);
  static void Apply(const StoreOp& op, Values& values);

  const std::function<LogTime()> now_;
  std::map<Topic, std::vector<Part>> topics_;
  std::map<std::string, Owned, std::less<>> owners_;
  std::deque<Call> waiting_;
  std::deque<Unknown> unknown_;
  const std::shared_ptr<Watches> watches_ = std::make_shared<Watches>();
  uint64_t next_id_ = 1;
  uint64_t appended_ = 0;
  bool auto_complete_ = false;
  bool remote_ = false;
  bool disk_full_ = false;
};

// One process's view of the disk: its log, its store, its journal.
class SimClient final : public Log, public Store, public Journal {
 public:
  ~SimClient() override { Kill(); }

  // Log
  void Append(std::vector<NewRecord> records, AppendDone done) override;
  absl::StatusOr<RecordBatch> Read(TopicPartition partition, Offset from, size_t bytes_max) override;
  absl::StatusOr<OffsetRange> Range(TopicPartition partition) override;
  absl::Status EnsureTopic(Topic topic, uint32_t partitions) override;
  absl::StatusOr<uint32_t> Partitions(Topic topic) override;
  absl::Status Trim(TopicPartition partition, Offset below) override;
  std::unique_ptr<Watch> WatchPartitions(std::vector<TopicPartition> partitions,
                                         std::function<void()> wake) override;
  // Store
  void Commit(std::vector<StoreOp> ops, Durability durability, CommitDone done) override;
  absl::StatusOr<std::optional<std::string>> Get(std::string_view key) override;
  absl::Status Scan(std::string_view begin, std::string_view end, bool backwards,
                    const std::function<bool(std::string_view key, std::string_view value)>& each) override;
  // Journal
  void Commit(std::vector<StoreOp> notes, std::vector<NewRecord> records, AppendDone done) override;

  // From now on it reads as a consumer of Kafka does: of each partition it sees what there is now, and later
  // what it was shown, and nothing while the leader is away (UNAVAILABLE).
  void Follow();
  // An answer to its fetches: of each partition `more(unseen)` of the records it has not seen are readable
  // now. Its watches wake. Whether there is more to be shown.
  bool Show(const std::function<size_t(size_t unseen)>& more);

  // New log calls and journal commits are UNAVAILABLE, replies to those that wait are lost (UNKNOWN when
  // completed), and no watch wakes. The store is its own disk's and goes on.
  void CutOff(bool cut_off) { alive_->cut_off = cut_off; }
  // The process is dead: none of its callbacks and wakes runs any more. What waits may still happen.
  void Kill() { alive_->alive = false; }

 private:
  friend class SimDisk;
  SimClient(SimDisk& disk, SimDisk::Owned& owner) : disk_(disk), owner_(owner) {}
  absl::Status Reachable() const;
  absl::StatusOr<SimDisk::Part*> Reach(TopicPartition partition) const;

  SimDisk& disk_;
  SimDisk::Owned& owner_;
  const std::shared_ptr<SimDisk::Alive> alive_ = std::make_shared<SimDisk::Alive>();
  // Of a follower: the end of each partition as it sees it, and who is woken when that moves.
  std::map<TopicPartition, Offset> seen_;
  std::shared_ptr<Watches> watches_;  // null: no follower
};

}  // namespace laneway::log
