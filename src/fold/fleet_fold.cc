#include "fold/fleet_fold.h"

#include <algorithm>
#include <utility>

namespace laneway::fold {
namespace {

constexpr size_t kReadBytes = 1 << 20;     // of one partition at a time
constexpr size_t kTurnRecordsMax = 16384;  // before the loop serves others

std::string SnapshotPrefix(uint32_t partition) { return "f/s/" + std::to_string(100000 + partition) + "/"; }

std::string SnapshotKey(uint32_t partition, uint64_t generation, uint32_t piece) {
  char room[40];
  std::snprintf(room, sizeof room, "%016llx/%08x", static_cast<unsigned long long>(generation), piece);
  return SnapshotPrefix(partition) + room;
}

std::string_view WorkerOf(const v1::Event& event) {
  if (event.has_worker_lost()) return event.worker_lost().worker();
  if (event.has_worker_returned()) return event.worker_returned().worker();
  if (event.has_browser_lost()) return event.browser_lost().worker();
  return event.browser_returned().worker();
}

}  // namespace

uint32_t PartitionOf(const v1::Event& event, uint32_t partitions) {
  if (const auto job = JobId::FromBytes(event.job_id())) return EventPartition(*job, partitions);
  return EventPartition(WorkerId(WorkerOf(event)), partitions);
}

log::NewRecord RecordOf(const v1::Event& event, uint32_t partition) {
  log::NewRecord record;
  record.to = {log::Topic::kEvents, partition};
  record.type = log::RecordType::kEvent;
  record.key = event.job_id().empty() ? std::string(WorkerOf(event)) : event.job_id();
  event.SerializeToString(&record.value);
  return record;
}

log::NewRecord RecordOf(const v1::ControlRecord& control) {
  log::NewRecord record;
  record.to = {log::Topic::kControl, 0};
  record.type = log::RecordType::kControlRecord;
  if (control.has_worker_registered()) record.key = "registered/" + control.worker_registered().worker();
  if (control.has_operator_intent()) record.key = "intent/" + control.operator_intent().worker();
  if (control.has_lane_table()) record.key = "lanes";
  if (control.has_epoch_elected()) record.key = "epoch";
  control.SerializeToString(&record.value);
  return record;
}

FleetFold::FleetFold(FoldOptions options, ops::Loop* loop, log::Log* log, log::Store* store,
                     const ops::Clock* clock)
    : options_(std::move(options)),
      loop_(loop),
      log_(log),
      store_(store),
      clock_(clock),
      finished_(store, [loop](std::function<void()> work) { loop->Post(std::move(work)); }),
      ledger_(std::make_unique<Ledger>(LedgerOptions{.partitions = options_.event_partitions}, &finished_)),
      snapshot_at_(options_.event_partitions),
      snapshot_generation_(options_.event_partitions),
      recent_(options_.event_partitions) {}

FleetFold::~FleetFold() = default;

namespace {
Millis SteadyMillis(const ops::Clock& clock) {
  return std::chrono::duration_cast<Millis>(clock.Steady().time_since_epoch());
}
}  // namespace

LogTime FleetFold::Now() const { return log_clock_.Now(SteadyMillis(*clock_), clock_->Wall()); }

uint64_t FleetFold::Lag() const {
  uint64_t lag = 0;
  for (const Reader& reader : readers_) {
    if (reader.from.topic != log::Topic::kEvents) continue;
    const auto range = log_->Range(reader.from);
    if (range.ok() && range->next > reader.next) lag += range->next - reader.next;
  }
  return lag;
}

absl::Status FleetFold::Open() {
  absl::Status status = finished_.Open();
  if (status.ok()) status = Restore();
  if (status.ok()) status = Position();
  if (!status.ok()) return status;
  std::vector<log::TopicPartition> partitions;
  std::vector<std::pair<log::TopicPartition, Offset>> from;
  for (const Reader& reader : readers_) {
    partitions.push_back(reader.from);
    from.emplace_back(reader.from, reader.next);
  }
  log_->ReadSoon(from);
  watch_ = log_->WatchPartitions(std::move(partitions), [this] { Wake(); });
  for (;;) {  // up to the end, as it is now
    size_t read = 0;
    for (Reader& reader : readers_) {
      const auto some = ReadSome(reader);
      if (!some.ok()) return some.status();
      read += *some;
    }
    for (FoldListener* listener : listeners_) listener->OnBatchEnd(read == 0);
    if (read == 0) break;
  }
  caught_up_ = true;
  finished_.SetReplaying(false);
  return absl::OkStatus();
}

absl::Status FleetFold::Restore() {
  for (uint32_t partition = 0; partition < options_.event_partitions; partition++) {
    const std::string prefix = SnapshotPrefix(partition);
    std::string end = prefix;
    end.back()++;
    const auto range = log_->Range({log::Topic::kEvents, partition});
    if (!range.ok()) return range.status();
    absl::Status damaged;
    const absl::Status scanned =
        store_->Scan(prefix, end, false, [&](std::string_view key, std::string_view value) {
          v1::PartitionSnapshot piece;
          if (!piece.ParseFromArray(value.data(), static_cast<int>(value.size())) ||
              piece.partition() != partition) {
            damaged = absl::DataLossError("the snapshot of events partition " + std::to_string(partition) +
                                          " is damaged");
            return false;
          }
          // events behind it are gone: what it says is out of date, and carried jobs say it anew
          if (piece.next_offset() < range->first) return false;
          ledger_->Restore(piece);
          snapshot_generation_[partition] =
              std::stoull(std::string(key.substr(prefix.size(), 16)), nullptr, 16);
          return true;
        });
    if (!scanned.ok()) return scanned;
    if (!damaged.ok()) return damaged;
    snapshot_at_[partition] = ledger_->next_offset(partition);
  }
  return absl::OkStatus();
}

// Where each reader begins: events behind the snapshot, the rest from the oldest record kept.
absl::Status FleetFold::Position() {
  for (uint32_t partition = 0; partition < options_.event_partitions; partition++) {
    const log::TopicPartition from{log::Topic::kEvents, partition};
    const auto range = log_->Range(from);
    if (!range.ok()) return range.status();
    if (ledger_->next_offset(partition) > range->next) {
      return absl::DataLossError("the snapshot covers events partition " + std::to_string(partition) +
                                 " up to " + std::to_string(ledger_->next_offset(partition)) +
                                 ", but the log ends at " + std::to_string(range->next));
    }
    if (ledger_->next_offset(partition) < range->first) ledger_->StartAt(partition, range->first);
    readers_.push_back({from, ledger_->next_offset(partition)});
    recent_[partition].assign(kVerdictsKept, FoldVerdict::kMalformed);
  }
  for (const log::Topic topic :
       {log::Topic::kControl, log::Topic::kHeartbeats, log::Topic::kBrowserHealth, log::Topic::kAlerts}) {
    const auto partitions = log_->Partitions(topic);
    if (!partitions.ok()) return partitions.status();
    for (uint32_t partition = 0; partition < *partitions; partition++) {
      const auto range = log_->Range({topic, partition});
      if (!range.ok()) return range.status();
      readers_.push_back({{topic, partition}, range->first});
    }
  }
  return absl::OkStatus();
}

void FleetFold::Follow() {
  following_ = true;
  Wake();
  Probe();
}

// A log that is out of reach wakes nobody: it is asked every second, so that everyone learns that we hear
// nothing.
void FleetFold::Probe() {
  constexpr Millis kProbe{1000};
  if (!following_) return;
  if (std::exchange(turns_probed_, turns_) == turns_) Wake();
  probe_ = loop_->RunAfter(kProbe, [this] { Probe(); });
}

void FleetFold::Wake() {
  if (woken_.exchange(true)) return;
  loop_->Post([this, alive = std::weak_ptr<bool>(alive_)] {
    if (alive.expired()) return;
    woken_ = false;
    if (following_) Turn();
  });
}

void FleetFold::Turn() {
  turns_++;
  size_t total = 0;
  bool more = true;
  while (more && total < kTurnRecordsMax) {
    size_t read = 0;
    for (Reader& reader : readers_) {
      const auto some = ReadSome(reader);
      if (some.ok()) {
        read += *some;
        continue;
      }
      const bool fatal = absl::IsDataLoss(some.status()) || absl::IsOutOfRange(some.status());
      if (fatal && options_.on_fatal) options_.on_fatal(some.status());
      if (in_touch_) {
        in_touch_ = false;
        for (FoldListener* listener : listeners_) listener->OnTouch(false);
      }
      return;
    }
    more = read != 0;
    total += read;
  }
  caught_up_ = !more;
  if (!in_touch_) {
    in_touch_ = true;
    for (FoldListener* listener : listeners_) listener->OnTouch(true);
  }
  for (FoldListener* listener : listeners_) listener->OnBatchEnd(caught_up_);
  finished_.Flush();
  MaybeSnapshot();
  if (more) Wake();
}

absl::StatusOr<size_t> FleetFold::ReadSome(Reader& reader) {
  auto batch = log_->Read(reader.from, reader.next, kReadBytes);
  if (!batch.ok()) return batch.status();
  for (const log::RecordView& record : batch->records) Take(reader.from, record);
  if (!batch->records.empty())
    log_clock_.OnRecord(batch->records.back().time, SteadyMillis(*clock_), caught_up_);
  reader.next = batch->next_offset;
  return batch->records.size();
}

void FleetFold::Take(const log::TopicPartition& from, const log::RecordView& record) {
  const int size = static_cast<int>(record.value.size());
  bool good = true;
  if (from.topic == log::Topic::kEvents) return TakeEvent(from.partition, record);
  if (from.topic == log::Topic::kHeartbeats) {
    v1::Heartbeat beat;
    good = record.type == log::RecordType::kHeartbeat && beat.ParseFromArray(record.value.data(), size);
    const Member* member = good ? members_.OnHeartbeat(beat, record.offset, record.time) : nullptr;
    for (FoldListener* listener : listeners_) {
      if (member != nullptr) listener->OnHeartbeat(*member);
    }
  } else if (from.topic == log::Topic::kControl) {
    v1::ControlRecord control;
    good =
        record.type == log::RecordType::kControlRecord && control.ParseFromArray(record.value.data(), size);
    const Member* member = good ? members_.OnControl(control, record.offset) : nullptr;
    for (FoldListener* listener : listeners_) {
      if (good) listener->OnControl(control, record.offset, member);
    }
  } else if (from.topic == log::Topic::kAlerts) {
    v1::Alert alert;
    good = record.type == log::RecordType::kAlert && alert.ParseFromArray(record.value.data(), size);
    for (FoldListener* listener : listeners_) {
      if (good) listener->OnAlert(alert, record.time);
    }
  } else {
    v1::BrowserHealth health;
    good = record.type == log::RecordType::kBrowserHealth && health.ParseFromArray(record.value.data(), size);
    if (good) members_.OnBrowserHealth(health);
    for (FoldListener* listener : listeners_) {
      if (good) listener->OnBrowserHealth(health, record.offset, record.time);
    }
  }
  if (good) return;
  bad_records_++;
  if (options_.on_bad_record) options_.on_bad_record(from, record.offset);
}

void FleetFold::TakeEvent(uint32_t partition, const log::RecordView& record) {
  folded_.fetch_add(1, std::memory_order_relaxed);
  FoldVerdict verdict = FoldVerdict::kMalformed;
  changes_.clear();
  if (record.type == log::RecordType::kEvent &&
      event_.ParseFromArray(record.value.data(), static_cast<int>(record.value.size()))) {
    verdict = ledger_->Apply(partition, record.offset, record.time, event_, &changes_);
    for (FoldListener* listener : listeners_)
      listener->OnEvent(partition, record.offset, record.time, event_, verdict, changes_);
  } else {
    ledger_->Skip(partition, record.offset, record.time);
    bad_records_++;
    if (options_.on_bad_record) options_.on_bad_record({log::Topic::kEvents, partition}, record.offset);
  }
  verdicts_[static_cast<size_t>(verdict)]++;
  Answer(partition, record.offset, verdict);
}

void FleetFold::Answer(uint32_t partition, Offset offset, FoldVerdict verdict) {
  recent_[partition][offset % kVerdictsKept] = verdict;
  if (waiting_.empty()) return;
  const auto found = waiting_.find({partition, offset});
  if (found == waiting_.end()) return;
  const auto [waiting, index] = found->second;
  waiting_.erase(found);
  waiting->verdicts[index] = verdict;
  if (--waiting->missing == 0) waiting->done(absl::OkStatus(), waiting->verdicts);
}

void FleetFold::AppendAndAwait(std::vector<v1::Event> events, VerdictsDone done) {
  std::vector<log::NewRecord> records;
  std::vector<uint32_t> partitions;
  for (const v1::Event& event : events) {
    partitions.push_back(PartitionOf(event, options_.event_partitions));
    records.push_back(RecordOf(event, partitions.back()));
  }
  auto waiting = std::make_shared<Waiting>();
  waiting->done = std::move(done);
  log_->Append(std::move(records), [this, waiting, partitions, alive = std::weak_ptr<bool>(alive_)](
                                       const absl::Status& status, std::span<const Offset> offsets) {
    loop_->Post([this, waiting, partitions, alive, status,
                 offsets = std::vector<Offset>(offsets.begin(), offsets.end())] {
      if (alive.expired()) return;
      if (!status.ok()) return waiting->done(status, {});
      waiting->verdicts.assign(offsets.size(), FoldVerdict::kMalformed);
      for (size_t i = 0; i < offsets.size(); i++) {
        const Offset next = ledger_->next_offset(partitions[i]);
        if (offsets[i] >= next) {
          waiting->missing++;
          waiting_[{partitions[i], offsets[i]}] = {waiting, i};
        } else if (next - offsets[i] <= kVerdictsKept) {  // read already
          waiting->verdicts[i] = recent_[partitions[i]][offsets[i] % kVerdictsKept];
        }
      }
      if (waiting->missing == 0) waiting->done(absl::OkStatus(), waiting->verdicts);
    });
  });
}

void FleetFold::MaybeSnapshot() {
  for (uint32_t partition = 0; partition < options_.event_partitions; partition++) {
    const uint64_t since = ledger_->next_offset(partition) - snapshot_at_[partition];
    const uint64_t wanted = std::max<uint64_t>(options_.snapshot_after_records,
                                               4 * ledger_->open_jobs() / options_.event_partitions);
    if (since < wanted) continue;
    WriteSnapshot(partition, [](const absl::Status&) {});
    return;  // one at a time: the others come with the next turns
  }
}

// All pieces and the removal of the older snapshot are one batch: it happens whole or not at all, after
// everything the memory of finished jobs holds.
void FleetFold::WriteSnapshot(uint32_t partition, log::CommitDone done) {
  finished_.Flush();
  const uint64_t generation = ++snapshot_generation_[partition];
  const std::string prefix = SnapshotPrefix(partition);
  std::vector<log::StoreOp> ops;
  ops.push_back({log::StoreOp::Kind::kDeleteRange, prefix, SnapshotKey(partition, generation, 0)});
  uint32_t piece = 0;
  ledger_->Snapshot(partition, [&](const v1::PartitionSnapshot& snapshot) {
    ops.push_back({log::StoreOp::Kind::kPut, SnapshotKey(partition, generation, piece++),
                   snapshot.SerializeAsString()});
  });
  snapshot_at_[partition] = ledger_->next_offset(partition);
  store_->Commit(std::move(ops), log::Durability::kBuffered, std::move(done));
}

void FleetFold::Close(std::function<void()> done) {
  following_ = false;
  loop_->Cancel(probe_);
  watch_.reset();
  auto left = std::make_shared<std::atomic<uint32_t>>(1);
  const auto one_less = [left, done](const absl::Status&) {
    if (--*left == 0) done();
  };
  for (uint32_t partition = 0; partition < options_.event_partitions; partition++) {
    if (ledger_->next_offset(partition) == snapshot_at_[partition]) continue;
    ++*left;
    WriteSnapshot(partition, one_less);
  }
  one_less(absl::OkStatus());
}

}  // namespace laneway::fold
