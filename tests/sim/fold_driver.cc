#include "sim/fold_driver.h"

#include <algorithm>

namespace laneway::sim {
namespace {

std::string Prefix(uint32_t partition) { return absl::StrCat("f/s/", 100000 + partition, "/"); }
std::string Key(uint32_t partition, uint64_t generation, uint32_t piece) {
  return absl::StrCat(Prefix(partition), absl::Hex(generation, absl::kZeroPad16), "/",
                      absl::Hex(piece, absl::kZeroPad8));
}

}  // namespace

FoldDriver::FoldDriver(World* world, ProcRef proc, const HostClock* clock, fold::FoldListener* listener)
    : world_(world),
      proc_(std::move(proc)),
      clock_(clock),
      listener_(listener),
      finished_(proc_->client.get(),
                [this](std::function<void()> work) { world_->Post(proc_, 0, std::move(work)); }),
      ledger_(std::make_unique<Ledger>(LedgerOptions{.partitions = world->plan().partitions}, &finished_)),
      snapshot_at_(world->plan().partitions),
      generation_(world->plan().partitions) {}

LogTime FoldDriver::Now() const {
  const int64_t steady = world_->now() + world_->now() * clock_->drift_ppm / 1000000;
  return log_clock_.Now(Millis(steady), {kEpochMs + steady + clock_->offset_ms});
}

absl::Status FoldDriver::Open() {
  absl::Status status = finished_.Open();
  if (status.ok()) status = Restore();
  if (status.ok()) status = Position();
  if (!status.ok()) return status;
  for (size_t read = 1; read != 0;) {
    read = 0;
    for (Reader& reader : readers_) {
      const auto some = ReadSome(reader, 1 << 20);
      if (!some.ok()) return some.status();
      read += *some;
    }
    listener_->OnBatchEnd(read == 0);
  }
  caught_up_ = true;
  return absl::OkStatus();
}

absl::Status FoldDriver::Restore() {
  for (uint32_t partition = 0; partition < world_->plan().partitions; partition++) {
    const std::string prefix = Prefix(partition);
    std::string end = prefix;
    end.back()++;
    std::vector<v1::PartitionSnapshot> pieces;
    const absl::Status scanned =
        proc_->client->Scan(prefix, end, false, [&](std::string_view key, std::string_view value) {
          if (!pieces.emplace_back().ParseFromArray(value.data(), static_cast<int>(value.size())))
            return false;
          generation_[partition] = std::stoull(std::string(key.substr(prefix.size(), 16)), nullptr, 16);
          return true;
        });
    if (!scanned.ok()) return scanned;
    const auto range = proc_->client->Range({log::Topic::kEvents, partition});
    if (!range.ok()) return range.status();
    // events behind it are gone: it would miss them
    if (!pieces.empty() && pieces[0].next_offset() < range->first) continue;
    for (const v1::PartitionSnapshot& piece : pieces) ledger_->Restore(piece);
    world_->Tell(43 + partition, [&] {
      return absl::StrCat(proc_->name, " events/", partition, ": snapshot up to ",
                          pieces.empty() ? 0 : pieces[0].next_offset(), ", the log begins at ", range->first,
                          ", ends at ", range->next);
    });
    if (!pieces.empty()) world_->Count("snapshots restored");
    snapshot_at_[partition] = ledger_->next_offset(partition);
  }
  return absl::OkStatus();
}

absl::Status FoldDriver::Position() {
  for (uint32_t partition = 0; partition < world_->plan().partitions; partition++) {
    const auto range = proc_->client->Range({log::Topic::kEvents, partition});
    if (!range.ok()) return range.status();
    if (ledger_->next_offset(partition) > range->next)
      return absl::DataLossError("the snapshot covers more than the log holds");
    if (ledger_->next_offset(partition) < range->first) ledger_->StartAt(partition, range->first);
    readers_.push_back({{log::Topic::kEvents, partition}, ledger_->next_offset(partition)});
  }
  for (const log::Topic topic : {log::Topic::kControl, log::Topic::kHeartbeats, log::Topic::kBrowserHealth}) {
    const auto partitions = proc_->client->Partitions(topic);
    if (!partitions.ok()) return partitions.status();
    for (uint32_t partition = 0; partition < *partitions; partition++) {
      const auto range = proc_->client->Range({topic, partition});
      if (!range.ok()) return range.status();
      readers_.push_back({{topic, partition}, range->first});
    }
  }
  return absl::OkStatus();
}

void FoldDriver::Follow() {
  std::vector<log::TopicPartition> partitions;
  for (const Reader& reader : readers_) partitions.push_back(reader.from);
  watch_ = proc_->client->WatchPartitions(std::move(partitions), [this] { Wake(); });
  Wake();
  Probe();
}

void FoldDriver::Probe() {
  world_->Post(proc_, 1000, [this] {
    Wake();
    Probe();
  });
}

void FoldDriver::Wake() {
  if (woken_) return;
  woken_ = true;
  world_->Post(proc_, world_->rng().Delay(5, 300), [this] {
    woken_ = false;
    Turn();
  });
}

void FoldDriver::Turn() {
  Rng& rng = world_->rng();
  const bool short_turn = rng.Below(4) == 0;  // a turn may end in the middle of what is there
  size_t read = 0;
  const size_t first = rng.Below(readers_.size());
  for (size_t i = 0; i < readers_.size(); i++) {
    Reader& reader = readers_[(first + i) % readers_.size()];
    const auto some = ReadSome(reader, short_turn ? 1 : 1 << 20);
    if (some.ok()) {
      read += *some;
      continue;
    }
    if (absl::IsOutOfRange(some.status())) {
      if (reader.from.topic == log::Topic::kEvents) {
        if (on_fatal) on_fatal();
        return;
      }
      continue;
    }
    if (in_touch_) {
      in_touch_ = false;
      listener_->OnTouch(false);
    }
    world_->Post(proc_, 500, [this] { Wake(); });
    return;
  }
  caught_up_ = !short_turn || read == 0;
  if (!in_touch_) {
    in_touch_ = true;
    listener_->OnTouch(true);
  }
  listener_->OnBatchEnd(caught_up_);
  finished_.Flush();
  MaybeSnapshot();
  if (!caught_up_) Wake();
}

absl::StatusOr<size_t> FoldDriver::ReadSome(Reader& reader, size_t bytes_max) {
  auto batch = proc_->client->Read(reader.from, reader.next, bytes_max);
  if (!batch.ok()) return batch.status();
  for (const log::RecordView& record : batch->records) Take(reader.from, record);
  if (!batch->records.empty()) {
    const int64_t steady = world_->now() + world_->now() * clock_->drift_ppm / 1000000;
    log_clock_.OnRecord(batch->records.back().time, Millis(steady), caught_up_);
  }
  reader.next = batch->next_offset;
  return batch->records.size();
}

void FoldDriver::Take(const log::TopicPartition& from, const log::RecordView& record) {
  const int size = static_cast<int>(record.value.size());
  if (from.topic == log::Topic::kEvents) {
    v1::Event event;
    changes_.clear();
    if (record.type != log::RecordType::kEvent || !event.ParseFromArray(record.value.data(), size)) {
      ledger_->Skip(from.partition, record.offset, record.time);
      return;
    }
    const FoldVerdict verdict = ledger_->Apply(from.partition, record.offset, record.time, event, &changes_);
    listener_->OnEvent(from.partition, record.offset, record.time, event, verdict, changes_);
  } else if (from.topic == log::Topic::kHeartbeats) {
    v1::Heartbeat beat;
    if (record.type != log::RecordType::kHeartbeat || !beat.ParseFromArray(record.value.data(), size)) return;
    if (const Member* member = members_.OnHeartbeat(beat, record.offset, record.time))
      listener_->OnHeartbeat(*member);
  } else if (from.topic == log::Topic::kControl) {
    v1::ControlRecord control;
    if (record.type != log::RecordType::kControlRecord || !control.ParseFromArray(record.value.data(), size))
      return;
    listener_->OnControl(control, record.offset, members_.OnControl(control, record.offset));
  } else {
    v1::BrowserHealth health;
    if (record.type != log::RecordType::kBrowserHealth || !health.ParseFromArray(record.value.data(), size))
      return;
    members_.OnBrowserHealth(health);
    listener_->OnBrowserHealth(health, record.offset, record.time);
  }
}

void FoldDriver::MaybeSnapshot() {
  for (uint32_t partition = 0; partition < world_->plan().partitions; partition++) {
    if (ledger_->next_offset(partition) - snapshot_at_[partition] < world_->plan().snapshot_every) continue;
    finished_.Flush();
    const uint64_t generation = ++generation_[partition];
    std::vector<log::StoreOp> ops;
    ops.push_back({log::StoreOp::Kind::kDeleteRange, Prefix(partition), Key(partition, generation, 0)});
    uint32_t piece = 0;
    ledger_->Snapshot(partition, [&](const v1::PartitionSnapshot& snapshot) {
      ops.push_back(
          {log::StoreOp::Kind::kPut, Key(partition, generation, piece++), snapshot.SerializeAsString()});
    });
    snapshot_at_[partition] = ledger_->next_offset(partition);
    proc_->client->Commit(std::move(ops), log::Durability::kBuffered, [](const absl::Status&) {});
    world_->Count("snapshots written");
    return;
  }
}

}  // namespace laneway::sim
