// embedded_impl.h: the inside of EmbeddedEngine. Internal to src/log.
//
// Role:       one queue, one committer thread (embedded_commit.cc), readers that never wait for it
//             (embedded.cc).
// Invariants: the committer alone writes to the database; `db_mutex_` is held shared by whoever uses `db_`,
//             alone by who replaces it.
#pragma once

#include <array>
#include <atomic>
#include <condition_variable>
#include <deque>
#include <future>
#include <map>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <string>
#include <thread>
#include <vector>

#include "log/data_folder.h"
#include "log/embedded.h"
#include "log/log_db.h"
#include "log/partition_table.h"
#include "log/rocks.h"
#include "log/watches.h"
#include "rocksdb/db.h"
#include "rocksdb/listener.h"
#include "rocksdb/write_batch.h"

namespace laneway::log {

// What waits for the committer. Exactly one of append_done and commit_done is set.
struct Request {
  enum class Kind : uint8_t { kAppend, kCommit, kJournal, kTrim, kEnsureTopic } kind = Kind::kAppend;
  bool synced = true;
  std::vector<NewRecord> records;
  std::vector<StoreOp> ops;
  std::string_view writer;
  AppendDone append_done;
  CommitDone commit_done;
  TopicPartition partition;  // kTrim; kEnsureTopic: its topic
  uint64_t value = 0;        // kTrim: below; kEnsureTopic: partitions
  uint64_t bytes = 0;        // as counted in the queue; 0 when refused at once
  absl::Status status;       // an error: refused, only to be answered
  size_t first_offset = 0;   // the committer's: where its offsets lie
};

class Engine final : public EmbeddedEngine {
 public:
  explicit Engine(EmbeddedOptions options);
  ~Engine() override;
  absl::Status Start();  // once, before anything else

  Log& log() override { return LogAs(options_.writer); }
  Store& store() override { return *store_; }
  Journal& journal() override { return JournalAs(options_.writer); }
  Log& LogAs(std::string_view writer) override;
  Journal& JournalAs(std::string_view writer) override;
  EngineHealth Health() const override;
  EngineStats Stats() const override;

  // Behind the facades.
  void Submit(Request request);
  absl::Status SubmitAndWait(Request request);
  absl::Status CheckRecords(const std::vector<NewRecord>& records, uint64_t& bytes) const;
  absl::StatusOr<RecordBatch> Read(TopicPartition partition, Offset from, size_t bytes_max);
  absl::StatusOr<OffsetRange> Range(TopicPartition partition);
  absl::StatusOr<uint32_t> Partitions(Topic topic);
  absl::StatusOr<std::optional<std::string>> Get(std::string_view key);
  absl::Status Scan(std::string_view begin, std::string_view end, bool backwards,
                    const std::function<bool(std::string_view, std::string_view)>& each);
  Watches& watches() { return *watches_; }

 private:
  class Listener;
  friend class Listener;
  struct Facade;

  // embedded.cc
  absl::Status OpenDb(bool create);
  absl::Status CheckAcked();
  absl::Status Usable() const;

  // embedded_commit.cc: the committer
  void RunCommitter();
  bool Take(std::vector<Request>& group);
  void Commit(std::vector<Request>& group);
  void Admit(Request& request, uint64_t free_bytes);
  void Encode(Request& request);
  void EncodeRecords(Request& request);
  void EncodeOps(const std::vector<StoreOp>& ops);
  void EncodeTrim(Request& request);
  void FinishGroup(Partition& partition);
  Partition& Touch(TopicPartition id);
  rocksdb::Status Write(bool synced);
  absl::Status Conclude(const rocksdb::Status& written, bool synced);
  void PublishAll();
  void RollbackAll();
  void Answer(std::vector<Request>& group);
  void AfterIdle();
  uint64_t FreeBytes() const;
  void SetDiskFull(bool full, std::string message);
  void SetHealth(EngineHealth health);
  void Fail(std::string message);
  void TryToRecover();
  void DeleteTrimmed(Partition& partition);
  // its helper: gives the space of deleted groups back
  void RunCompactor();

  EmbeddedOptions options_;
  std::unique_ptr<DataFolder> folder_;
  std::shared_ptr<WatchedFileSystem> file_system_;
  std::unique_ptr<rocksdb::Env> env_;
  std::shared_ptr<Listener> listener_;
  mutable std::shared_mutex db_mutex_;
  std::unique_ptr<rocksdb::DB> db_;  // null only while it could not be opened again
  PartitionTable table_;
  const std::shared_ptr<Watches> watches_ = std::make_shared<Watches>();
  std::unique_ptr<Store> store_;
  mutable std::mutex facades_mutex_;
  std::map<std::string, std::unique_ptr<Facade>, std::less<>> facades_;

  mutable std::mutex queue_mutex_;
  std::condition_variable queue_changed_;
  std::deque<Request> queue_;
  uint64_t queued_bytes_ = 0;  // also what is being committed
  bool stopping_ = false;

  mutable std::mutex health_mutex_;
  EngineHealth health_;
  rocksdb::Status background_status_;  // under health_mutex_
  std::atomic<bool> failed_ = false;
  std::atomic<bool> background_error_ = false;

  std::atomic<uint64_t> commits_ = 0;
  std::atomic<uint64_t> syncs_ = 0;
  std::atomic<uint64_t> records_ = 0;
  std::atomic<uint64_t> recent_bytes_ = 0;

  // The committer's own.
  rocksdb::WriteBatch batch_;
  std::vector<Offset> offsets_;
  std::vector<Partition*> touched_;
  std::vector<std::unique_ptr<GroupBuilder>> builders_;
  size_t builders_used_ = 0;
  std::array<uint32_t, kTopicsMax> topics_pending_{};
  bool disk_full_ = false;
  bool reopen_needed_ = false;
  bool idle_done_ = true;
  uint64_t last_sequence_ = 0;  // of the last write that succeeded
  LogTime now_;
  uint64_t reserve_bytes_ = 0;
  uint64_t write_buffer_bytes_ = 0;
  uint64_t deleted_bytes_ = 0;  // since the last compaction
  std::vector<std::pair<std::string, std::string>> deleted_ranges_;

  std::mutex compact_mutex_;
  std::condition_variable compact_changed_;
  std::vector<std::pair<std::string, std::string>> to_compact_;
  std::atomic<bool> compact_cancelled_ = false;
  bool compact_stop_ = false;

  std::thread committer_;
  std::thread compactor_;
};

}  // namespace laneway::log
