// The committer of an embedded log: takes what waits, writes it as one batch, answers.
#include <algorithm>
#include <chrono>
#include <utility>

#if defined(__GLIBC__)
#include <malloc.h>
#endif

#include "log/embedded_impl.h"
#include "log/keys.h"
#include "log/text.h"

namespace laneway::log {
namespace {

constexpr std::string_view kGoesOn =
    "; what is to be written waits, and goes on by itself when there is space";
constexpr auto kRecoverEvery = std::chrono::milliseconds(100);
constexpr auto kIdleAfter = std::chrono::seconds(5);
constexpr uint64_t kIdleRecentBytes = 1 << 20;
// Large enough that puts cost little, small enough that a reader who wants one record does not decode a
// megabyte.
constexpr size_t kGroupValueBytes = 128 << 10;
constexpr size_t kBuildersKept = 64;

bool OnlyDeletes(const std::vector<StoreOp>& ops) {
  return std::all_of(ops.begin(), ops.end(),
                     [](const StoreOp& op) { return op.kind != StoreOp::Kind::kPut; });
}

}  // namespace

void Engine::RunCommitter() {
  std::vector<Request> group;
  while (Take(group)) {
    if (background_error_.exchange(false)) {
      rocksdb::Status status;
      {
        const std::lock_guard lock(health_mutex_);
        status = background_status_;
      }
      if (IsNoSpace(status) && !file_system_->sync_failed()) {
        reopen_needed_ = true;
        SetDiskFull(true, Cat("the disk of ", options_.folder, " is full", kGoesOn));
      } else {
        Fail(Cat("the record log in ", options_.folder, " failed in the background: ", status.ToString()));
      }
    }
    if (disk_full_ && !failed_) TryToRecover();
    if (!group.empty()) {
      Commit(group);
      group.clear();
      idle_done_ = false;
    } else if (!disk_full_ && !idle_done_) {
      AfterIdle();
    }
  }
}

// Waits for requests, at the most as long as there is something else to do. False: stop.
bool Engine::Take(std::vector<Request>& group) {
  std::unique_lock lock(queue_mutex_);
  const auto ready = [this] { return !queue_.empty() || stopping_ || background_error_; };
  if (disk_full_ && !failed_) {
    queue_changed_.wait_for(lock, kRecoverEvery, ready);
  } else if (!idle_done_) {
    queue_changed_.wait_for(lock, kIdleAfter, ready);
  } else {
    queue_changed_.wait(lock, ready);
  }
  uint64_t bytes = 0;
  while (!queue_.empty() && (group.empty() || bytes + queue_.front().bytes <= options_.group_bytes_max)) {
    bytes += queue_.front().bytes;
    group.push_back(std::move(queue_.front()));
    queue_.pop_front();
  }
  return !group.empty() || !stopping_;
}

void Engine::Commit(std::vector<Request>& group) {
  batch_.Clear();
  offsets_.clear();
  now_ = options_.clock();
  for (size_t topic = 1; topic < kTopicsMax; topic++)
    topics_pending_[topic] = table_.Count(static_cast<Topic>(topic));
  bool synced = false;
  const uint64_t free_bytes = FreeBytes();
  for (Request& request : group) {
    Admit(request, free_bytes);
    if (!request.status.ok()) continue;
    Encode(request);
    synced = synced || (request.status.ok() && request.synced);
  }
  for (Partition* partition : touched_) FinishGroup(*partition);
  absl::Status status;
  CommitInfo info{.records = offsets_.size(), .bytes = batch_.GetDataSize(), .synced = synced};
  if (batch_.Count() > 0) {
    const auto before = std::chrono::steady_clock::now();
    status = Conclude(Write(synced), synced);
    info.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - before).count();
  }
  if (status.ok()) {
    for (size_t topic = 1; topic < kTopicsMax; topic++)
      table_.Grow(static_cast<Topic>(topic), topics_pending_[topic]);
    PublishAll();
  } else {
    RollbackAll();
    for (Request& request : group) request.status.Update(status);
  }
  Answer(group);
  if (status.ok() && info.bytes > 0 && options_.on_commit) options_.on_commit(info);
}

// What deletes is let through when nothing else is: it is how space comes back. Journal and store come next:
// a fleet that may take nothing new can still finish what it holds.
void Engine::Admit(Request& request, uint64_t free_bytes) {
  if (!request.status.ok()) return;
  request.status = Usable();
  if (!request.status.ok()) return;
  uint64_t reserve = reserve_bytes_;
  switch (request.kind) {
    case Request::Kind::kAppend:
      break;
    case Request::Kind::kEnsureTopic:
    case Request::Kind::kJournal:
      reserve /= 2;
      break;
    case Request::Kind::kCommit:
      reserve = OnlyDeletes(request.ops) ? 0 : reserve / 2;
      break;
    case Request::Kind::kTrim:
      reserve = 0;
      break;
  }
  if (!reopen_needed_ && free_bytes >= reserve) return;
  if (!disk_full_) {
    SetDiskFull(true, Cat("the disk of ", options_.folder, " is full: ", free_bytes, " bytes are free, ",
                          reserve_bytes_, " are kept in reserve", kGoesOn));
  }
  request.status = absl::ResourceExhaustedError(Health().message);
}

void Engine::Encode(Request& request) {
  switch (request.kind) {
    case Request::Kind::kAppend:
      return EncodeRecords(request);
    case Request::Kind::kCommit:
      return EncodeOps(request.ops);
    case Request::Kind::kJournal:
      EncodeOps(request.ops);
      return EncodeRecords(request);
    case Request::Kind::kTrim:
      return EncodeTrim(request);
    case Request::Kind::kEnsureTopic: {
      uint32_t& pending = topics_pending_[static_cast<size_t>(request.partition.topic)];
      if (request.value <= pending) return;
      pending = static_cast<uint32_t>(request.value);
      batch_.Put(TopicKey(request.partition.topic), Cat(pending));
      return;
    }
  }
}

Partition& Engine::Touch(TopicPartition id) {
  Partition& partition = *table_.Find(id);
  if (!partition.touched) {
    partition.touched = true;
    touched_.push_back(&partition);
  }
  return partition;
}

void Engine::EncodeRecords(Request& request) {
  request.first_offset = offsets_.size();
  Partition* partition = nullptr;
  for (const NewRecord& record : request.records) {
    if (partition == nullptr || partition->id != record.to) partition = &Touch(record.to);
    if (partition->builder != nullptr && partition->builder->count() > 0 &&
        partition->builder->bytes() + EncodedBytesMax(record, request.writer) > kGroupValueBytes) {
      FinishGroup(*partition);
    }
    if (partition->builder == nullptr) {
      if (builders_used_ == builders_.size()) builders_.push_back(std::make_unique<GroupBuilder>());
      partition->builder = builders_[builders_used_++].get();
      partition->time_pending = std::max(now_, partition->last_time);
      partition->builder->Start(partition->id, partition->next_pending, partition->time_pending);
    }
    partition->builder->Add(record, request.writer);
    offsets_.push_back(partition->next_pending++);
  }
}

void Engine::FinishGroup(Partition& partition) {
  if (partition.builder == nullptr) return;
  Group group{partition.builder->base(), partition.builder->count(),
              std::make_shared<const std::string>(partition.builder->Finish())};
  partition.builder = nullptr;
  batch_.Put(GroupKey(partition.id, group.base), *group.value);
  partition.record_bytes = (7 * partition.record_bytes + group.value->size() / group.count) / 8 + 1;
  partition.groups_pending.push_back(std::move(group));
}

void Engine::EncodeOps(const std::vector<StoreOp>& ops) {
  for (const StoreOp& op : ops) {
    const std::string key = StoreKey(op.key);
    switch (op.kind) {
      case StoreOp::Kind::kPut:
        batch_.Put(key, op.value);
        break;
      case StoreOp::Kind::kDelete:
        batch_.Delete(key);
        break;
      case StoreOp::Kind::kDeleteRange:
        if (op.key < op.value) batch_.DeleteRange(key, StoreKey(op.value));
        break;
    }
  }
}

void Engine::EncodeTrim(Request& request) {
  Partition& partition = Touch(request.partition);
  const Offset below = request.value;
  if (below > partition.next_pending) {
    request.status =
        absl::OutOfRangeError(Cat("cannot trim below offset ", below, " of ", TopicName(partition.id.topic),
                                  "/", partition.id.partition, ": it ends at ", partition.next_pending));
    return;
  }
  if (below <= partition.first_pending) return;
  partition.first_pending = below;
  batch_.Put(PartitionKey(kWatermarkPrefix, partition.id), Cat(below));
  if ((below - partition.deleted_pending) * partition.record_bytes >= options_.trim_bytes)
    DeleteTrimmed(partition);
}

// Deletes whole groups below the watermark, but never the group of the last record: it tells where the
// partition ends.
void Engine::DeleteTrimmed(Partition& partition) {
  const Offset end = partition.range.next;  // pending groups are not in the database yet
  if (end == 0) return;
  const auto base = BaseOfGroupWith(*db_, partition.id, std::min(partition.first_pending, end - 1));
  if (!base.ok() || *base <= partition.deleted_pending) return;
  std::string from = GroupKey(partition.id, partition.deleted_pending);
  std::string to = GroupKey(partition.id, *base);
  batch_.DeleteRange(from, to);
  deleted_bytes_ += (*base - partition.deleted_pending) * partition.record_bytes;
  partition.deleted_pending = *base;
  deleted_ranges_.emplace_back(std::move(from), std::move(to));
}

rocksdb::Status Engine::Write(bool synced) {
  rocksdb::WriteOptions options;
  options.sync = synced;
  return db_->Write(options, &batch_);
}

// What the outcome of a write means for those who wait and for the engine.
absl::Status Engine::Conclude(const rocksdb::Status& written, bool synced) {
  commits_++;
  if (written.ok()) {
    last_sequence_ = db_->GetLatestSequenceNumber();
    if (synced) {
      folder_->StoreAcked(last_sequence_);
      syncs_++;
    }
    return absl::OkStatus();
  }
  if (IsNoSpace(written) && !file_system_->sync_failed()) {
    // The batch is one record of the write-ahead log: without its end it does not count. The log's file is
    // not written to any more.
    background_error_ = false;
    reopen_needed_ = true;
    SetDiskFull(true, Cat("the disk of ", options_.folder, " is full", kGoesOn));
    return absl::ResourceExhaustedError(Health().message);
  }
  Fail(Cat(
      "the record log in ", options_.folder, " could not be written: ", written.ToString(),
      ". What was being written may be on the disk or not; the process must end and open the folder again"));
  return absl::UnknownError(Health().message);
}

void Engine::PublishAll() {
  for (Partition* partition : touched_) table_.Publish(*partition);
  records_ += offsets_.size();
  recent_bytes_ = table_.recent_bytes();
  if (deleted_bytes_ == 0) return;
  uint64_t table_bytes = 0;
  db_->GetIntProperty(rocksdb::DB::Properties::kTotalSstFilesSize, &table_bytes);
  if (deleted_bytes_ < std::max(options_.trim_bytes, std::min<uint64_t>(table_bytes / 4, 1 << 30))) return;
  const std::lock_guard lock(compact_mutex_);
  for (auto& range : deleted_ranges_) to_compact_.push_back(std::move(range));
  deleted_ranges_.clear();
  deleted_bytes_ = 0;
  compact_changed_.notify_one();
}

void Engine::RollbackAll() {
  for (Partition* partition : touched_) PartitionTable::Rollback(*partition);
}

void Engine::Answer(std::vector<Request>& group) {
  uint64_t bytes = 0;
  for (Request& request : group) {
    bytes += request.bytes;
    if (request.commit_done) request.commit_done(request.status);
    if (!request.append_done) continue;
    std::span<const Offset> offsets;
    if (request.status.ok())
      offsets = std::span(offsets_).subspan(request.first_offset, request.records.size());
    request.append_done(request.status, offsets);
  }
  {
    const std::lock_guard lock(queue_mutex_);
    queued_bytes_ -= bytes;
  }
  std::vector<TopicPartition> grown;
  for (Partition* partition : touched_) {
    partition->touched = false;
    if (partition->has_news) grown.push_back(partition->id);
    partition->has_news = false;
  }
  touched_.clear();
  builders_used_ = 0;
  if (builders_.size() > kBuildersKept) builders_.resize(kBuildersKept);
  if (!grown.empty()) watches_->Wake(grown);
}

// Memory that a burst has left behind goes back to the system.
void Engine::AfterIdle() {
  idle_done_ = true;
  table_.ShrinkRecent(kIdleRecentBytes);
  recent_bytes_ = table_.recent_bytes();
  batch_ = rocksdb::WriteBatch(0, 0, 8, 0);
  builders_.clear();
  offsets_ = {};
#if defined(__GLIBC__)
  ::malloc_trim(0);
#endif
}

uint64_t Engine::FreeBytes() const {
  if (options_.free_bytes) return options_.free_bytes();
  return folder_->FreeBytes().value_or(0);
}

void Engine::SetDiskFull(bool full, std::string message) {
  disk_full_ = full;
  SetHealth({.ok = !full, .disk_full = full, .failed = false, .message = std::move(message)});
}

void Engine::SetHealth(EngineHealth health) {
  {
    const std::lock_guard lock(health_mutex_);
    if (health_.failed) return;
    const bool same = health.ok == health_.ok && health.failed == health_.failed;
    health_ = health;
    if (same) return;
  }
  if (options_.on_health) options_.on_health(health);
}

void Engine::Fail(std::string message) {
  if (failed_) return;
  SetHealth({.ok = false, .disk_full = false, .failed = true, .message = std::move(message)});
  failed_ = true;
}

// RocksDB's own way back from a full disk goes on with the same write-ahead log behind a torn record; opening
// again is what a restart does, and what every other test proves.
void Engine::TryToRecover() {
  // Opening writes out what the write-ahead log holds, and a new manifest.
  if (FreeBytes() < std::max(reserve_bytes_, reopen_needed_ ? 2 * write_buffer_bytes_ : 0)) return;
  if (reopen_needed_) {
    compact_cancelled_ = true;
    const std::unique_lock lock(db_mutex_);
    compact_cancelled_ = false;
    if (db_ != nullptr) (void)db_->Close();
    db_.reset();
    absl::Status status = OpenDb(false);
    if (status.ok() && db_->GetLatestSequenceNumber() != last_sequence_) {
      status =
          absl::DataLossError(Cat("after a full disk the record log in ", options_.folder, " ends at write ",
                                  db_->GetLatestSequenceNumber(), " instead of ", last_sequence_));
    }
    background_error_ = false;
    if (absl::IsResourceExhausted(status)) return;  // and again later
    if (!status.ok()) return Fail(std::string(status.message()));
    reopen_needed_ = false;
  }
  SetDiskFull(false, "");
}

void Engine::RunCompactor() {
  std::unique_lock lock(compact_mutex_);
  while (true) {
    compact_changed_.wait(lock, [this] { return compact_stop_ || !to_compact_.empty(); });
    if (compact_stop_) return;
    const auto ranges = std::exchange(to_compact_, {});
    lock.unlock();
    for (const auto& [from, to] : ranges) {
      const std::shared_lock db_lock(db_mutex_);
      if (db_ == nullptr || compact_cancelled_) break;
      rocksdb::CompactRangeOptions options;
      options.exclusive_manual_compaction = false;
      options.canceled = &compact_cancelled_;
      const rocksdb::Slice from_slice(from);
      const rocksdb::Slice to_slice(to);
      // A failure is heard by the listener; what was not compacted now takes its space a little longer.
      db_->CompactRange(options, &from_slice, &to_slice).PermitUncheckedError();
    }
    lock.lock();
  }
}

}  // namespace laneway::log
