#include "report/read_log.h"

#include <memory>
#include <utility>
#include <vector>

namespace laneway::report {
namespace {

constexpr size_t kReadBytes = 1 << 20;
constexpr int kTriesMax = 5;  // each waits as long as the log waits for its brokers

class Cursor {
 public:
  Cursor(log::Log& log, log::TopicPartition from, log::OffsetRange range)
      : log_(log), from_(from), next_(range.first), end_(range.next) {}

  const log::TopicPartition& from() const { return from_; }
  // The oldest record not taken; null at the end.
  const log::RecordView* Head() const { return at_ < batch_.records.size() ? &batch_.records[at_] : nullptr; }
  absl::Status Advance() {
    at_++;
    return Fill();
  }
  absl::Status Fill() {
    for (int tries = 0; at_ >= batch_.records.size() && next_ < end_;) {
      auto batch = log_.Read(from_, next_, kReadBytes);
      if (absl::IsUnavailable(batch.status()) && ++tries < kTriesMax) continue;
      if (!batch.ok()) return batch.status();
      if (batch->records.empty() && batch->next_offset <= next_) return absl::OkStatus();
      at_ = 0;
      next_ = batch->next_offset;
      batch_ = *std::move(batch);
    }
    return absl::OkStatus();
  }

 private:
  log::Log& log_;
  log::TopicPartition from_;
  Offset next_;
  Offset end_;
  log::RecordBatch batch_;
  size_t at_ = 0;
};

// Opens a topic's partitions; `start` is told where each begins.
template <class Start>
absl::Status AddTopic(log::Log& log, log::Topic topic, std::vector<std::unique_ptr<Cursor>>& cursors,
                      Start start) {
  const auto partitions = log.Partitions(topic);
  if (!partitions.ok()) return partitions.status();
  for (uint32_t partition = 0; partition < *partitions; partition++) {
    const auto range = log.Range({topic, partition});
    if (!range.ok()) return range.status();
    start(partition, range->first);
    cursors.push_back(std::make_unique<Cursor>(log, log::TopicPartition{topic, partition}, *range));
  }
  return absl::OkStatus();
}

template <class Message>
bool Parse(const log::RecordView& record, log::RecordType type, Message& message) {
  return record.type == type &&
         message.ParseFromArray(record.value.data(), static_cast<int>(record.value.size()));
}

class Reading {
 public:
  explicit Reading(Chronicle& chronicle) : chronicle_(chronicle) {}
  void Take(const log::TopicPartition& from, const log::RecordView& record) {
    if (from.topic == log::Topic::kHeartbeats) {
      if (Parse(record, log::RecordType::kHeartbeat, beat_)) chronicle_.OnHeartbeat(beat_, record.time);
    } else if (from.topic == log::Topic::kBrowserHealth) {
      if (Parse(record, log::RecordType::kBrowserHealth, health_))
        chronicle_.OnBrowserHealth(health_, record.time);
    } else if (Parse(record, log::RecordType::kEvent, event_)) {
      chronicle_.OnEvent(from.partition, record.offset, record.time, event_);
    } else {
      chronicle_.OnUnreadable(from.partition, record.offset, record.time);
    }
  }

 private:
  Chronicle& chronicle_;
  v1::Event event_;
  v1::Heartbeat beat_;
  v1::BrowserHealth health_;
};

// Of the same time the earlier in the list: verdicts of beats come after the beats they judge.
Cursor* Oldest(const std::vector<std::unique_ptr<Cursor>>& cursors) {
  Cursor* oldest = nullptr;
  for (const auto& cursor : cursors) {
    if (cursor->Head() == nullptr) continue;
    if (oldest == nullptr || cursor->Head()->time < oldest->Head()->time) oldest = cursor.get();
  }
  return oldest;
}

}  // namespace

absl::StatusOr<Figures> ReadLog(log::Log& log, ChronicleOptions options) {
  const auto partitions = log.Partitions(log::Topic::kEvents);
  if (!partitions.ok()) return partitions.status();
  options.partitions = *partitions;
  Chronicle chronicle(options);
  std::vector<std::unique_ptr<Cursor>> cursors;
  const auto nothing = [](uint32_t, Offset) {};
  absl::Status status = AddTopic(log, log::Topic::kHeartbeats, cursors, nothing);
  if (status.ok()) status = AddTopic(log, log::Topic::kBrowserHealth, cursors, nothing);
  if (status.ok())
    status = AddTopic(log, log::Topic::kEvents, cursors,
                      [&](uint32_t partition, Offset first) { chronicle.StartAt(partition, first); });
  if (!status.ok()) return status;

  std::vector<log::TopicPartition> watched;
  for (const auto& cursor : cursors) watched.push_back(cursor->from());
  const auto watch = log.WatchPartitions(watched, [] {});  // on Kafka: fetch them all, and go on fetching
  for (const auto& cursor : cursors) {
    if (absl::Status filled = cursor->Fill(); !filled.ok()) return filled;
  }
  Reading reading(chronicle);
  while (Cursor* cursor = Oldest(cursors)) {
    if (cursor->Head()->time >= options.until) break;  // all that is left is as late, or later
    reading.Take(cursor->from(), *cursor->Head());
    if (absl::Status advanced = cursor->Advance(); !advanced.ok()) return advanced;
  }
  return chronicle.Finish();
}

}  // namespace laneway::report
