#include "log/sim_log.h"

#include <algorithm>
#include <utility>

#include "fleet/ids.h"
#include "fleet/planted.h"
#include "log/text.h"

namespace laneway::log {
namespace {

constexpr size_t kUnknownMax = 1000;  // remembered for AppendLate
constexpr int kTopicLast = 7;

absl::Status NoSuch(TopicPartition partition) {
  return absl::InvalidArgumentError(
      Cat("there is no partition ", partition.partition, " of topic ", TopicName(partition.topic)));
}

}  // namespace

std::unique_ptr<SimClient> SimDisk::Connect(std::string owner) {
  Owned& owned = owners_[owner];
  if (owned.name == nullptr) owned.name = std::make_shared<const std::string>(std::move(owner));
  return std::unique_ptr<SimClient>(new SimClient(*this, owned));
}

const SimDisk::Part* SimDisk::Find(TopicPartition partition) const {
  const auto found = topics_.find(partition.topic);
  if (found == topics_.end() || partition.partition >= found->second.size()) return nullptr;
  return &found->second[partition.partition];
}

absl::Status SimDisk::CheckRecords(const std::vector<NewRecord>& records) {
  for (const NewRecord& record : records) {
    if (Find(record.to) == nullptr) return NoSuch(record.to);
    if (record.key.size() + record.value.size() > kRecordBytesMax) {
      return absl::InvalidArgumentError(Cat("a record of ", record.key.size() + record.value.size(),
                                            " bytes is larger than the ", kRecordBytesMax,
                                            " a record may have"));
    }
  }
  return absl::OkStatus();
}

std::vector<SimDisk::Waiting> SimDisk::ListWaiting(uint64_t after_id) const {
  std::vector<Waiting> list;
  auto call = std::upper_bound(waiting_.begin(), waiting_.end(), after_id,
                               [](uint64_t id, const Call& waits) { return id < waits.id; });
  for (; call != waiting_.end(); ++call) {
    list.push_back({call->id, *call->owner->name, call->records.size(), call->ops.size(),
                    call->records.empty() ? TopicPartition{} : call->records[0].to, !call->client->alive});
  }
  return list;
}

void SimDisk::Submit(Call call, AppendDone done) {
  call.answer = std::make_shared<Answer>();
  call.answer->done = std::move(done);
  call.answer->offsets.resize(call.records.size());
  for (size_t i = 0; i < call.records.size(); i++) call.places.push_back(i);
  std::vector<Call> parts;
  if (remote_ && call.ops.empty() && call.status.ok() && !call.records.empty()) {
    parts = Split(std::move(call));
  } else {
    parts.push_back(std::move(call));
  }
  for (Call& part : parts) {
    part.id = next_id_++;
    waiting_.push_back(std::move(part));
  }
  if (auto_complete_) CompleteAll();
}

std::vector<SimDisk::Call> SimDisk::Split(Call call) {
  std::vector<Call> parts;
  for (size_t i = 0; i < call.records.size(); i++) {
    const TopicPartition to = call.records[i].to;
    auto part = std::find_if(parts.begin(), parts.end(),
                             [to](const Call& other) { return other.records[0].to == to; });
    if (part == parts.end()) {
      part = parts.insert(parts.end(), Call{.owner = call.owner, .client = call.client});
      part->answer = call.answer;
    }
    part->records.push_back(std::move(call.records[i]));
    part->places.push_back(i);
  }
  call.answer->parts = parts.size();
  return parts;
}

bool SimDisk::CompleteNext(SimFate fate) {
  if (waiting_.empty()) return false;
  Call call = std::move(waiting_.front());
  waiting_.pop_front();
  End(std::move(call), fate);
  return true;
}

bool SimDisk::Complete(uint64_t id, SimFate fate) {
  const auto has_id = [id](const Call& call) { return call.id == id; };
  const auto found = std::find_if(waiting_.begin(), waiting_.end(), has_id);
  if (found == waiting_.end()) return false;
  if (!found->ops.empty()) {
    const Owned* const owner = found->owner;
    const auto earlier = std::find_if(waiting_.begin(), found, [owner](const Call& call) {
      return call.owner == owner && !call.ops.empty();
    });
    if (earlier != found) {
      Complete(earlier->id, fate);
      return Complete(id, fate);
    }
  }
  Call call = std::move(*found);
  waiting_.erase(found);
  End(std::move(call), fate);
  return true;
}

size_t SimDisk::CompleteAll() {
  size_t completed = 0;
  while (CompleteNext()) completed++;
  return completed;
}

// A part of a call has ended. What the whole is called is as for Kafka's producer (kafka_errors.h).
void SimDisk::Tell(const Call& call, const absl::Status& status, std::span<const Offset> offsets) {
  Answer& answer = *call.answer;
  for (size_t i = 0; i < offsets.size(); i++) answer.offsets[call.places[i]] = offsets[i];
  answer.some_done |= status.ok();
  if (!status.ok() && (answer.error.ok() || absl::IsUnknown(status))) answer.error = status;
  if (--answer.parts != 0 || !call.client->alive) return;
  if (answer.error.ok()) return answer.done(absl::OkStatus(), answer.offsets);
  if (answer.some_done && !absl::IsUnknown(answer.error))
    answer.error = absl::UnknownError(Cat("a part was appended: ", answer.error.message()));
  answer.done(answer.error, {});
}

// Both hold the same; one keeps the first half, the other the rest.
void SimDisk::SplitInHalves(std::vector<NewRecord>& first, std::vector<NewRecord>& rest) {
  const auto middle = static_cast<ptrdiff_t>(first.size() / 2);
  first.erase(first.begin() + middle, first.end());
  rest.erase(rest.begin(), rest.begin() + middle);
}

void SimDisk::End(Call call, SimFate fate) {
  if (!call.status.ok()) return Tell(call, call.status);
  if (disk_full_ && fate != SimFate::kUnavailable) fate = SimFate::kDiskFull;
  // A store is a local disk: it fails, but it does not answer maybe.
  const bool is_log_call = !call.records.empty();
  if (!is_log_call && fate != SimFate::kUnavailable && fate != SimFate::kDiskFull) fate = SimFate::kDone;
  if (is_log_call && call.client->cut_off && fate == SimFate::kDone) fate = SimFate::kReplyLost;
  if (fate == SimFate::kUnavailable) return Tell(call, absl::UnavailableError("the log is not reachable"));
  if (fate == SimFate::kDiskFull)
    return Tell(call, absl::ResourceExhaustedError("the disk of the log is full"));
  if (fate != SimFate::kDone) {
    unknown_.push_back({call.records, call.owner});
    if (unknown_.size() > kUnknownMax) unknown_.pop_front();
    if (fate == SimFate::kCutShort) {
      std::vector<NewRecord>& late = unknown_.back().records;
      const bool first_happens = call.id % 2 != 0;
      SplitInHalves(first_happens ? call.records : late, first_happens ? late : call.records);
    }
  }
  std::vector<Offset> offsets;
  if (fate != SimFate::kRequestLost) offsets = Happen(call);
  if (fate != SimFate::kDone) return Tell(call, absl::UnknownError("the request or its answer was lost"));
  Tell(call, absl::OkStatus(), offsets);
}

std::vector<Offset> SimDisk::Happen(const Call& call) {
  Owned& owner = *call.owner;
  for (const StoreOp& op : call.ops) {
    Apply(op, owner.now);
    owner.unsynced.push_back(op);
  }
  const bool syncs_store = call.synced && (!call.ops.empty() || !remote_);
  if (syncs_store && !LANEWAY_PLANTED(kAckBeforeSync)) {
    for (const StoreOp& op : owner.unsynced) Apply(op, owner.synced);
    owner.unsynced.clear();
  }
  if (call.records.empty()) return {};
  return AppendNow(call.records, owner);
}

std::vector<Offset> SimDisk::AppendNow(const std::vector<NewRecord>& records, const Owned& owner) {
  auto bytes = std::make_shared<std::string>();
  std::vector<Offset> offsets;
  std::vector<TopicPartition> grown;
  for (const NewRecord& record : records) {
    Part& part = *Find(record.to);
    offsets.push_back(part.next());
    part.last_time = std::max(part.last_time, now_());
    part.records.push_back({record.type, part.last_time, bytes, static_cast<uint32_t>(bytes->size()),
                            static_cast<uint32_t>(record.key.size()),
                            static_cast<uint32_t>(record.value.size()), owner.name});
    bytes->append(record.key).append(record.value);
    if (std::find(grown.begin(), grown.end(), record.to) == grown.end()) grown.push_back(record.to);
  }
  appended_ += records.size();
  watches_->Wake(grown);
  return offsets;
}

bool SimDisk::AppendLate(size_t index) {
  if (index >= unknown_.size()) return false;
  for (const NewRecord& record : unknown_[index].records) {
    if (!HasLeader(record.to)) return false;
  }
  const Unknown late = std::move(unknown_[index]);
  unknown_.erase(unknown_.begin() + static_cast<ptrdiff_t>(index));
  (void)AppendNow(late.records, *late.owner);
  return true;
}

void SimDisk::SetLeader(TopicPartition partition, bool has_leader) {
  if (Part* const part = Find(partition)) part->has_leader = has_leader;
}

bool SimDisk::HasLeader(TopicPartition partition) const {
  const Part* const part = Find(partition);
  return part == nullptr || part->has_leader;
}

std::vector<TopicPartition> SimDisk::AllPartitions() const {
  std::vector<TopicPartition> all;
  for (const auto& [topic, parts] : topics_) {
    for (uint32_t partition = 0; partition < parts.size(); partition++) all.push_back({topic, partition});
  }
  return all;
}

void SimDisk::PowerLoss() {
  waiting_.clear();
  for (auto& [name, owner] : owners_) {
    owner.now = owner.synced;
    owner.unsynced.clear();
  }
}

void SimDisk::LoseStore(std::string_view name) {
  const auto found = owners_.find(name);
  if (found == owners_.end()) return;
  found->second.now.clear();
  found->second.synced.clear();
  found->second.unsynced.clear();
}

bool SimDisk::ReplaceValue(TopicPartition partition, Offset offset, std::string value) {
  Part* const part = Find(partition);
  if (part == nullptr || offset < part->first || offset >= part->next()) return false;
  Record& record = part->records[offset - part->first];
  std::string bytes = record.bytes->substr(record.key_at, record.key_bytes) + value;
  record.bytes = std::make_shared<const std::string>(std::move(bytes));
  record.key_at = 0;
  record.value_bytes = static_cast<uint32_t>(value.size());
  return true;
}

uint64_t SimDisk::Digest() const {
  uint64_t digest = 0;
  const auto add = [&digest](uint64_t value) {
    digest = Mix64(digest + 0x9e3779b97f4a7c15ULL) ^ Mix64(value);
  };
  for (const auto& [topic, parts] : topics_) {
    for (const Part& part : parts) {
      add(static_cast<uint64_t>(topic));
      add(part.first);
      for (const Record& record : part.records) {
        add(static_cast<uint64_t>(record.time.ms) ^ static_cast<uint64_t>(record.type) << 56);
        add(HashBytes(
            std::string_view(*record.bytes).substr(record.key_at, record.key_bytes + record.value_bytes)));
      }
    }
  }
  for (const auto& [name, owner] : owners_) {
    add(HashBytes(name));
    for (const auto& [key, value] : owner.now) {
      add(HashBytes(key));
      add(HashBytes(value));
    }
  }
  return digest;
}

void SimDisk::Apply(const StoreOp& op, Values& values) {
  switch (op.kind) {
    case StoreOp::Kind::kPut:
      values[op.key] = op.value;
      break;
    case StoreOp::Kind::kDelete:
      values.erase(op.key);
      break;
    case StoreOp::Kind::kDeleteRange:
      if (op.key < op.value) values.erase(values.lower_bound(op.key), values.lower_bound(op.value));
      break;
  }
}

absl::Status SimClient::Reachable() const {
  if (!alive_->alive) return absl::UnavailableError("this process is dead");
  if (alive_->cut_off) return absl::UnavailableError("the log is not reachable");
  return absl::OkStatus();
}

void SimClient::Append(std::vector<NewRecord> records, AppendDone done) {
  Commit({}, std::move(records), std::move(done));
}

void SimClient::Commit(std::vector<StoreOp> notes, std::vector<NewRecord> records, AppendDone done) {
  if (!alive_->alive) return;
  SimDisk::Call call;
  call.status = Reachable();
  if (call.status.ok()) call.status = disk_.CheckRecords(records);
  call.owner = &owner_;
  call.client = alive_;
  call.ops = std::move(notes);
  call.records = std::move(records);
  disk_.Submit(std::move(call), std::move(done));
}

void SimClient::Commit(std::vector<StoreOp> ops, Durability durability, CommitDone done) {
  if (!alive_->alive) return;
  SimDisk::Call call;
  call.owner = &owner_;
  call.client = alive_;
  call.ops = std::move(ops);
  call.synced = durability == Durability::kSynced;
  disk_.Submit(std::move(call), [done = std::move(done)](const absl::Status& status,
                                                         std::span<const Offset>) { done(status); });
}

absl::StatusOr<SimDisk::Part*> SimClient::Reach(TopicPartition partition) const {
  if (absl::Status reachable = Reachable(); !reachable.ok()) return reachable;
  SimDisk::Part* const part = disk_.Find(partition);
  if (part == nullptr) return NoSuch(partition);
  if (watches_ != nullptr && !part->has_leader) return absl::UnavailableError("the partition has no leader");
  return part;
}

absl::StatusOr<RecordBatch> SimClient::Read(TopicPartition partition, Offset from, size_t bytes_max) {
  const auto reached = Reach(partition);
  if (!reached.ok()) return reached.status();
  const SimDisk::Part* const part = *reached;
  if (from < part->first || from > part->next()) {
    return absl::OutOfRangeError(Cat("offset ", from, " is outside of ", part->first, " to ", part->next()));
  }
  Offset end = part->next();
  if (watches_ != nullptr) end = seen_[partition];
  RecordBatch batch;
  batch.next_offset = from;
  size_t bytes = 0;
  for (auto at = part->records.begin() + static_cast<ptrdiff_t>(from - part->first);
       batch.next_offset < end && (batch.records.empty() || bytes < bytes_max); ++at) {
    const std::string_view all(*at->bytes);
    batch.records.push_back({batch.next_offset++, at->time, at->type, kSchemaVersion,
                             all.substr(at->key_at, at->key_bytes),
                             all.substr(at->key_at + at->key_bytes, at->value_bytes), *at->writer});
    if (batch.owners.empty() || batch.owners.back() != at->bytes) batch.owners.push_back(at->bytes);
    bytes += at->key_bytes + at->value_bytes;
  }
  return batch;
}

absl::StatusOr<OffsetRange> SimClient::Range(TopicPartition partition) {
  const auto part = Reach(partition);
  if (!part.ok()) return part.status();
  return OffsetRange{(*part)->first, (*part)->next()};
}

void SimClient::Follow() {
  watches_ = std::make_shared<Watches>();
  for (const TopicPartition partition : disk_.AllPartitions())
    seen_[partition] = disk_.Find(partition)->next();
}

bool SimClient::Show(const std::function<size_t(size_t)>& more) {
  if (!Reachable().ok() || watches_ == nullptr) return false;
  std::vector<TopicPartition> moved;
  bool left = false;
  for (const TopicPartition partition : disk_.AllPartitions()) {
    const SimDisk::Part& part = *disk_.Find(partition);
    Offset& seen = seen_[partition];
    seen = std::max(seen, part.first);
    if (seen == part.next() || !part.has_leader) continue;
    const size_t shown = more(part.next() - seen);
    if (shown != 0) moved.push_back(partition);
    seen += shown;
    left |= seen != part.next();
  }
  watches_->Wake(moved);
  return left;
}

absl::Status SimClient::EnsureTopic(Topic topic, uint32_t partitions) {
  if (absl::Status reachable = Reachable(); !reachable.ok()) return reachable;
  const int number = static_cast<int>(topic);
  if (number < 1 || number > kTopicLast || partitions == 0)
    return absl::InvalidArgumentError("no such topic");
  auto& parts = disk_.topics_[topic];
  if (parts.size() < partitions) parts.resize(partitions);
  return absl::OkStatus();
}

absl::StatusOr<uint32_t> SimClient::Partitions(Topic topic) {
  if (absl::Status reachable = Reachable(); !reachable.ok()) return reachable;
  const auto found = disk_.topics_.find(topic);
  if (found == disk_.topics_.end()) {
    return absl::InvalidArgumentError(Cat("there is no topic ", TopicName(topic), " yet"));
  }
  return static_cast<uint32_t>(found->second.size());
}

absl::Status SimClient::Trim(TopicPartition partition, Offset below) {
  const auto reached = Reach(partition);
  if (!reached.ok()) return reached.status();
  SimDisk::Part* const part = *reached;
  if (below > part->next())
    return absl::OutOfRangeError(Cat("cannot trim below offset ", below, ": it ends earlier"));
  for (; part->first < below; part->first++) part->records.pop_front();
  return absl::OkStatus();
}

std::unique_ptr<Watch> SimClient::WatchPartitions(std::vector<TopicPartition> partitions,
                                                  std::function<void()> wake) {
  Watches& watches = watches_ != nullptr ? *watches_ : *disk_.watches_;
  return watches.Add(std::move(partitions), [client = alive_, wake = std::move(wake)] {
    if (client->alive && !client->cut_off) wake();
  });
}

absl::StatusOr<std::optional<std::string>> SimClient::Get(std::string_view key) {
  const auto found = owner_.now.find(key);
  if (found == owner_.now.end()) return std::optional<std::string>();
  return std::optional<std::string>(found->second);
}

absl::Status SimClient::Scan(std::string_view begin, std::string_view end, bool backwards,
                             const std::function<bool(std::string_view, std::string_view)>& each) {
  const auto first = owner_.now.lower_bound(begin);
  const auto last = end.empty() ? owner_.now.end() : owner_.now.lower_bound(end);
  if (!end.empty() && begin >= end) return absl::OkStatus();
  if (!backwards) {
    for (auto at = first; at != last; ++at) {
      if (!each(at->first, at->second)) break;
    }
    return absl::OkStatus();
  }
  for (auto at = last; at != first;) {
    --at;
    if (!each(at->first, at->second)) break;
  }
  return absl::OkStatus();
}

}  // namespace laneway::log
