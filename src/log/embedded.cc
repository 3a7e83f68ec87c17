#include "log/embedded.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "absl/strings/match.h"
#include "log/embedded_impl.h"
#include "log/keys.h"
#include "log/text.h"
#include "rocksdb/convenience.h"

namespace laneway::log {
namespace {

constexpr uint32_t kPartitionsMax = 100'000;
constexpr uint64_t kRequestOverheadBytes = 256;
constexpr uint64_t kOpOverheadBytes = 64;

LogTime WallClock() {
  return {std::chrono::duration_cast<Millis>(std::chrono::system_clock::now().time_since_epoch()).count()};
}

absl::Status NoSuch(TopicPartition partition) {
  return absl::InvalidArgumentError(
      Cat("there is no partition ", partition.partition, " of topic ", TopicName(partition.topic)));
}

uint64_t BytesOf(const std::vector<StoreOp>& ops) {
  uint64_t bytes = 0;
  for (const StoreOp& op : ops) bytes += op.key.size() + op.value.size() + kOpOverheadBytes;
  return bytes;
}

class EngineLog final : public Log {
 public:
  EngineLog(Engine& engine, std::string_view writer) : engine_(engine), writer_(writer) {}

  void Append(std::vector<NewRecord> records, AppendDone done) override {
    Request request;
    request.kind = Request::Kind::kAppend;
    request.status = engine_.CheckRecords(records, request.bytes);
    request.records = std::move(records);
    request.writer = writer_;
    request.append_done = std::move(done);
    engine_.Submit(std::move(request));
  }
  absl::StatusOr<RecordBatch> Read(TopicPartition partition, Offset from, size_t bytes_max) override {
    return engine_.Read(partition, from, bytes_max);
  }
  absl::StatusOr<OffsetRange> Range(TopicPartition partition) override { return engine_.Range(partition); }
  absl::Status EnsureTopic(Topic topic, uint32_t partitions) override {
    const auto number = static_cast<size_t>(topic);
    if (number == 0 || number >= kTopicsMax) return absl::InvalidArgumentError("there is no such topic");
    if (partitions == 0 || partitions > kPartitionsMax) {
      return absl::InvalidArgumentError(
          Cat("a topic has 1 to ", kPartitionsMax, " partitions, not ", partitions));
    }
    if (const auto have = engine_.Partitions(topic); have.ok() && *have >= partitions)
      return absl::OkStatus();
    Request request;
    request.kind = Request::Kind::kEnsureTopic;
    request.partition.topic = topic;
    request.value = partitions;
    return engine_.SubmitAndWait(std::move(request));
  }
  absl::StatusOr<uint32_t> Partitions(Topic topic) override { return engine_.Partitions(topic); }
  absl::Status Trim(TopicPartition partition, Offset below) override {
    const auto range = engine_.Range(partition);
    if (!range.ok()) return range.status();
    if (below <= range->first) return absl::OkStatus();
    Request request;
    request.kind = Request::Kind::kTrim;
    request.synced = false;  // a trim that is forgotten is asked for again
    request.partition = partition;
    request.value = below;
    return engine_.SubmitAndWait(std::move(request));
  }
  std::unique_ptr<Watch> WatchPartitions(std::vector<TopicPartition> partitions,
                                         std::function<void()> wake) override {
    return engine_.watches().Add(std::move(partitions), std::move(wake));
  }

 private:
  Engine& engine_;
  const std::string_view writer_;
};

class EngineStore final : public Store {
 public:
  explicit EngineStore(Engine& engine) : engine_(engine) {}

  void Commit(std::vector<StoreOp> ops, Durability durability, CommitDone done) override {
    Request request;
    request.kind = Request::Kind::kCommit;
    request.synced = durability == Durability::kSynced;
    request.bytes = BytesOf(ops);
    request.ops = std::move(ops);
    request.commit_done = std::move(done);
    engine_.Submit(std::move(request));
  }
  absl::StatusOr<std::optional<std::string>> Get(std::string_view key) override { return engine_.Get(key); }
  absl::Status Scan(std::string_view begin, std::string_view end, bool backwards,
                    const std::function<bool(std::string_view, std::string_view)>& each) override {
    return engine_.Scan(begin, end, backwards, each);
  }

 private:
  Engine& engine_;
};

class EngineJournal final : public Journal {
 public:
  EngineJournal(Engine& engine, std::string_view writer) : engine_(engine), writer_(writer) {}

  void Commit(std::vector<StoreOp> notes, std::vector<NewRecord> records, AppendDone done) override {
    Request request;
    request.kind = Request::Kind::kJournal;
    request.status = engine_.CheckRecords(records, request.bytes);
    request.bytes += BytesOf(notes);
    request.ops = std::move(notes);
    request.records = std::move(records);
    request.writer = writer_;
    request.append_done = std::move(done);
    engine_.Submit(std::move(request));
  }

 private:
  Engine& engine_;
  const std::string_view writer_;
};

// The groups of a folder as they are now; nobody's lock is taken.
class ReadOnlyLog final : public Log {
 public:
  explicit ReadOnlyLog(std::unique_ptr<rocksdb::DB> db) : db_(std::move(db)), table_(0) {}
  absl::Status Load() { return LoadAndCheck(*db_, {.bytes_max = 0, .everything = false}, table_); }

  void Append(std::vector<NewRecord>, AppendDone done) override { done(Refused(), {}); }
  absl::StatusOr<RecordBatch> Read(TopicPartition partition, Offset from, size_t bytes_max) override {
    const auto range = Range(partition);
    if (!range.ok()) return range.status();
    if (from < range->first || from > range->next) return absl::OutOfRangeError(Cat("offset ", from));
    return ReadFromDb(*db_, partition, from, range->next, bytes_max);
  }
  absl::StatusOr<OffsetRange> Range(TopicPartition partition) override {
    const Partition* found = table_.Find(partition);
    if (found == nullptr) return NoSuch(partition);
    return PartitionTable::RangeOf(*found);
  }
  absl::Status EnsureTopic(Topic, uint32_t) override { return Refused(); }
  absl::StatusOr<uint32_t> Partitions(Topic topic) override {
    const uint32_t count = table_.Count(topic);
    if (count == 0) return absl::InvalidArgumentError(Cat("there is no topic ", TopicName(topic)));
    return count;
  }
  absl::Status Trim(TopicPartition, Offset) override { return Refused(); }
  std::unique_ptr<Watch> WatchPartitions(std::vector<TopicPartition> partitions,
                                         std::function<void()> wake) override {
    return watches_->Add(std::move(partitions), std::move(wake));  // nothing ever comes
  }

 private:
  static absl::Status Refused() {
    return absl::FailedPreconditionError("the record log was opened to be read only");
  }

  const std::unique_ptr<rocksdb::DB> db_;
  PartitionTable table_;
  const std::shared_ptr<Watches> watches_ = std::make_shared<Watches>();
};

}  // namespace

absl::StatusOr<std::unique_ptr<Log>> EmbeddedEngine::OpenReadOnly(const std::string& folder) {
  rocksdb::Options options = MakeRocksOptions({}, rocksdb::Env::Default());
  rocksdb::DB* db = nullptr;
  const rocksdb::Status status = rocksdb::DB::OpenForReadOnly(options, folder + "/db", &db);
  if (!status.ok()) return FromRocks(status, Cat("cannot read the record log in ", folder));
  auto log = std::make_unique<ReadOnlyLog>(std::unique_ptr<rocksdb::DB>(db));
  if (absl::Status loaded = log->Load(); !loaded.ok()) return loaded;
  return log;
}

struct Engine::Facade {
  Facade(Engine& engine, std::string_view writer) : log(engine, writer), journal(engine, writer) {}
  EngineLog log;
  EngineJournal journal;
};

// Tells the committer about errors of flushes and compactions.
class Engine::Listener final : public rocksdb::EventListener {
 public:
  explicit Listener(Engine& engine) : engine_(engine) {}
  void OnBackgroundError(rocksdb::BackgroundErrorReason, rocksdb::Status* status) override {
    {
      const std::lock_guard lock(engine_.health_mutex_);
      engine_.background_status_ = *status;
    }
    engine_.background_error_ = true;
    const std::lock_guard lock(engine_.queue_mutex_);
    engine_.queue_changed_.notify_one();
  }
  void OnErrorRecoveryBegin(rocksdb::BackgroundErrorReason, rocksdb::Status, bool* automatic) override {
    *automatic = false;  // the committer recovers, by opening again
  }

 private:
  Engine& engine_;
};

absl::StatusOr<std::unique_ptr<EmbeddedEngine>> EmbeddedEngine::Open(EmbeddedOptions options) {
  auto engine = std::make_unique<Engine>(std::move(options));
  if (absl::Status status = engine->Start(); !status.ok()) return status;
  return engine;
}

Engine::Engine(EmbeddedOptions options)
    : options_(std::move(options)),
      table_(options_.recent_bytes_max),
      store_(std::make_unique<EngineStore>(*this)),
      batch_(0, 0, 8, 0) {
  if (!options_.clock) {
    // It follows the wall clock forward; set back, it goes on at its own pace: silence and retries are judged
    // by it.
    options_.clock = [last = WallClock(), at = std::chrono::steady_clock::now()]() mutable {
      const auto steady = std::chrono::steady_clock::now();
      last = std::max(WallClock(), last + std::chrono::duration_cast<Millis>(steady - at));
      at = steady;
      return last;
    };
  }
}

absl::Status Engine::Start() {
  auto folder =
      DataFolder::Open({options_.folder, options_.allow_network_folder, options_.file_system_magic});
  if (!folder.ok()) return folder.status();
  folder_ = *std::move(folder);
  const auto volume = folder_->VolumeBytes();
  if (!volume.ok()) return volume.status();
  reserve_bytes_ = options_.free_bytes_reserve != 0 ? options_.free_bytes_reserve
                                                    : std::clamp<uint64_t>(*volume / 100, 16 << 20, 1 << 30);
  write_buffer_bytes_ = options_.write_buffer_bytes != 0
                            ? options_.write_buffer_bytes
                            : std::clamp<uint64_t>(*volume / 32, 1 << 20, 16 << 20);
  IoHook hook;
  if (options_.io_hook) {
    hook = [ask = options_.io_hook](IoOp op, std::string_view path) {
      return ask(op == IoOp::kCreate ? "create" : op == IoOp::kAppend ? "append" : "sync", path);
    };
  }
  file_system_ = std::make_shared<WatchedFileSystem>(std::move(hook));
  env_ = rocksdb::NewCompositeEnv(file_system_);
  listener_ = std::make_shared<Listener>(*this);
  if (absl::Status status = OpenDb(folder_->is_new()); !status.ok()) return status;
  if (absl::Status status = CheckAcked(); !status.ok()) return status;
  const CheckLimits limits{options_.check_bytes_max, options_.check_everything};
  if (absl::Status status = LoadAndCheck(*db_, limits, table_); !status.ok()) {
    return absl::Status(status.code(),
                        Cat("the record log in ", options_.folder, " is damaged: ", status.message(),
                            ". Nothing was changed. Restore the folder from a backup, or read what is left "
                            "with the audit commands"));
  }
  if (folder_->is_new()) {
    if (absl::Status status = folder_->WriteFormat(); !status.ok()) return status;
  }
  last_sequence_ = db_->GetLatestSequenceNumber();
  committer_ = std::thread([this] { RunCommitter(); });
  compactor_ = std::thread([this] { RunCompactor(); });
  return absl::OkStatus();
}

absl::Status Engine::OpenDb(bool create) {
  rocksdb::Options options =
      MakeRocksOptions({.write_buffer_bytes = write_buffer_bytes_, .create = create}, env_.get());
  options.listeners = {listener_};
  rocksdb::DB* db = nullptr;
  const rocksdb::Status status = rocksdb::DB::Open(options, folder_->db_path(), &db);
  if (status.ok()) {
    db_.reset(db);
    return absl::OkStatus();
  }
  absl::Status error = FromRocks(status, Cat("cannot open the record log in ", options_.folder));
  if (!create && (absl::IsDataLoss(error) || status.IsInvalidArgument())) {
    return absl::DataLossError(Cat(error.message(),
                                   ". Files of the database are damaged or missing; nothing was changed. "
                                   "Restore the folder from a backup"));
  }
  return error;
}

// ACKED is stored after each sync, so a database that ends before it has lost what it had acknowledged.
absl::Status Engine::CheckAcked() {
  const uint64_t have = db_->GetLatestSequenceNumber();
  if (folder_->acked() <= have) return absl::OkStatus();
  if (options_.accept_lost_records) {
    folder_->StoreAcked(have);
    folder_->StoreAcked(have);  // both slots: the higher one counts
    return absl::OkStatus();
  }
  return absl::DataLossError(Cat(
      "the record log in ", options_.folder, " has lost acknowledged writes: it ends at write ", have,
      ", but write ", folder_->acked(),
      " was acknowledged. The disk did not keep what it had confirmed, or files were removed or "
      "put back from an older copy. Restore the newest copy; to go on without the lost writes, open it with "
      "accept_lost_records"));
}

Engine::~Engine() {
  {
    const std::lock_guard lock(queue_mutex_);
    stopping_ = true;
    queue_changed_.notify_all();
  }
  if (committer_.joinable()) committer_.join();
  {
    const std::lock_guard lock(compact_mutex_);
    compact_stop_ = true;
    compact_cancelled_ = true;
    compact_changed_.notify_all();
  }
  if (compactor_.joinable()) compactor_.join();
  if (db_ == nullptr) return;
  if (!failed_ && !disk_full_) {
    // RocksDB's own Close does not sync. In table files everything is checksummed, and the next start has no
    // log to replay.
    if (db_->SyncWAL().ok() && db_->Flush(rocksdb::FlushOptions()).ok())
      folder_->StoreAcked(db_->GetLatestSequenceNumber());
  }
  rocksdb::CancelAllBackgroundWork(db_.get(), true);
  (void)db_->Close();
}

Log& Engine::LogAs(std::string_view writer) {
  const std::lock_guard lock(facades_mutex_);
  auto found = facades_.find(writer);
  if (found == facades_.end()) {
    found = facades_.emplace(std::string(writer), nullptr).first;
    found->second = std::make_unique<Facade>(*this, found->first);
  }
  return found->second->log;
}

Journal& Engine::JournalAs(std::string_view writer) {
  (void)LogAs(writer);
  const std::lock_guard lock(facades_mutex_);
  return facades_.find(writer)->second->journal;
}

EngineHealth Engine::Health() const {
  const std::lock_guard lock(health_mutex_);
  return health_;
}

EngineStats Engine::Stats() const {
  EngineStats stats{.commits = commits_, .syncs = syncs_, .records = records_, .recent_bytes = recent_bytes_};
  const std::lock_guard lock(queue_mutex_);
  stats.queued_bytes = queued_bytes_;
  return stats;
}

absl::Status Engine::Usable() const {
  if (!failed_) return absl::OkStatus();
  const std::lock_guard lock(health_mutex_);
  return absl::UnavailableError(health_.message);
}

absl::Status Engine::CheckRecords(const std::vector<NewRecord>& records, uint64_t& bytes) const {
  Topic topic{};
  uint32_t partitions = 0;
  for (const NewRecord& record : records) {
    if (record.to.topic != topic) {
      topic = record.to.topic;
      partitions = table_.Count(topic);
    }
    if (record.to.partition >= partitions) return NoSuch(record.to);
    const size_t size = record.key.size() + record.value.size();
    if (size > kRecordBytesMax) {
      return absl::InvalidArgumentError(
          Cat("a record of ", size, " bytes is larger than the ", kRecordBytesMax, " a record may have"));
    }
    bytes += size + sizeof(NewRecord);
  }
  return absl::OkStatus();
}

void Engine::Submit(Request request) {
  request.bytes += kRequestOverheadBytes;
  if (request.status.ok()) request.status = Usable();
  if (request.status.ok() && request.bytes > options_.queued_bytes_max) {
    request.status =
        absl::InvalidArgumentError(Cat("one call of ", request.bytes, " bytes is larger than the ",
                                       options_.queued_bytes_max, " that may wait"));
  }
  const std::lock_guard lock(queue_mutex_);
  if (request.status.ok() && queued_bytes_ + request.bytes > options_.queued_bytes_max) {
    request.status =
        absl::ResourceExhaustedError(Cat(queued_bytes_, " bytes are waiting to be committed; no more than ",
                                         options_.queued_bytes_max, " may"));
  }
  if (!request.status.ok()) {
    request.records = {};
    request.ops = {};
    request.bytes = 0;
  }
  queued_bytes_ += request.bytes;
  queue_.push_back(std::move(request));
  queue_changed_.notify_one();
}

absl::Status Engine::SubmitAndWait(Request request) {
  std::promise<absl::Status> answer;
  request.commit_done = [&answer](const absl::Status& status) { answer.set_value(status); };
  Submit(std::move(request));
  return answer.get_future().get();
}

absl::StatusOr<OffsetRange> Engine::Range(TopicPartition id) {
  if (absl::Status usable = Usable(); !usable.ok()) return usable;
  const Partition* partition = table_.Find(id);
  if (partition == nullptr) return NoSuch(id);
  return PartitionTable::RangeOf(*partition);
}

absl::StatusOr<uint32_t> Engine::Partitions(Topic topic) {
  if (absl::Status usable = Usable(); !usable.ok()) return usable;
  const uint32_t count = table_.Count(topic);
  if (count == 0) return absl::InvalidArgumentError(Cat("there is no topic ", TopicName(topic), " yet"));
  return count;
}

absl::StatusOr<RecordBatch> Engine::Read(TopicPartition id, Offset from, size_t bytes_max) {
  const auto range = Range(id);
  if (!range.ok()) return range.status();
  if (from < range->first || from > range->next) {
    return absl::OutOfRangeError(Cat("offset ", from, " of ", TopicName(id.topic), "/", id.partition,
                                     " is outside of ", range->first, " to ", range->next));
  }
  if (from == range->next) {
    RecordBatch nothing;
    nothing.next_offset = from;
    return nothing;
  }
  const Partition& partition = *table_.Find(id);
  auto recent = PartitionTable::ReadRecent(partition, from, bytes_max);
  if (!recent.ok()) return recent.status();
  if (recent->has_value()) return *std::move(*recent);
  const std::shared_lock lock(db_mutex_);
  if (db_ == nullptr)
    return absl::UnavailableError("the record log waits for space on its disk to be opened again");
  auto batch = ReadFromDb(*db_, id, from, range->next, bytes_max);
  if (!batch.ok() && from < PartitionTable::RangeOf(partition).first) {
    return absl::OutOfRangeError("the records were trimmed while they were read");
  }
  return batch;
}

absl::StatusOr<std::optional<std::string>> Engine::Get(std::string_view key) {
  if (absl::Status usable = Usable(); !usable.ok()) return usable;
  const std::shared_lock lock(db_mutex_);
  if (db_ == nullptr)
    return absl::UnavailableError("the store waits for space on its disk to be opened again");
  std::string value;
  const rocksdb::Status status = db_->Get(rocksdb::ReadOptions(), StoreKey(key), &value);
  if (status.IsNotFound()) return std::optional<std::string>();
  if (!status.ok()) return FromRocks(status, "cannot read the store");
  return std::optional<std::string>(std::move(value));
}

absl::Status Engine::Scan(std::string_view begin, std::string_view end, bool backwards,
                          const std::function<bool(std::string_view, std::string_view)>& each) {
  if (absl::Status usable = Usable(); !usable.ok()) return usable;
  const std::string lower = StoreKey(begin);
  const std::string upper = end.empty() ? std::string(1, kStorePrefix + 1) : StoreKey(end);
  if (lower >= upper) return absl::OkStatus();
  const rocksdb::Slice lower_slice(lower);
  const rocksdb::Slice upper_slice(upper);
  rocksdb::ReadOptions options;
  options.iterate_lower_bound = &lower_slice;
  options.iterate_upper_bound = &upper_slice;
  const std::shared_lock lock(db_mutex_);
  if (db_ == nullptr)
    return absl::UnavailableError("the store waits for space on its disk to be opened again");
  const std::unique_ptr<rocksdb::Iterator> it(db_->NewIterator(options));
  for (backwards ? it->SeekToLast() : it->SeekToFirst(); it->Valid(); backwards ? it->Prev() : it->Next()) {
    if (!each(View(it->key()).substr(1), View(it->value()))) break;
  }
  return FromRocks(it->status(), "cannot read the store");
}

}  // namespace laneway::log
