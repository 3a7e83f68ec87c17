#include "log/kafka_cursor.h"

#include <algorithm>
#include <array>
#include <utility>

#include "log/kafka_errors.h"
#include "log/kafka_headers.h"
#include "log/text.h"

namespace laneway::log {
namespace {

constexpr uint64_t kPullBytes = 256 << 10;  // taken from librdkafka at a time, about
constexpr size_t kPullRecordsMax = 1024;
constexpr uint64_t kAheadBytes = 512 << 10;  // looked at before anybody asks

}  // namespace

KafkaCursor::Block::~Block() {
  for (rd_kafka_message_t* message : messages) rd_kafka_message_destroy(message);
}

absl::StatusOr<std::unique_ptr<KafkaCursor>> KafkaCursor::Start(std::shared_ptr<KafkaHandle> handle,
                                                                TopicPartition partition, Offset from,
                                                                uint64_t recent_bytes_max,
                                                                std::function<void()> on_ready) {
  std::unique_ptr<KafkaCursor> cursor(new KafkaCursor);
  cursor->handle_ = std::move(handle);
  cursor->partition_ = partition;
  cursor->first_ = cursor->next_ = cursor->read_to_ = cursor->told_ = from;
  cursor->recent_bytes_max_ = recent_bytes_max;
  cursor->on_ready_ = std::move(on_ready);
  rd_kafka_topic_t* const topic = cursor->handle_->TopicOf(partition.topic);
  const auto number = static_cast<int32_t>(partition.partition);
  const std::string what = Cat("read ", TopicName(partition.topic), "/", partition.partition);
  if (topic == nullptr) return KafkaStatus(rd_kafka_last_error(), what);
  cursor->queue_ = rd_kafka_queue_new(cursor->handle_->get());
  rd_kafka_queue_cb_event_enable(cursor->queue_, &KafkaCursor::OnQueue, cursor.get());
  if (rd_kafka_consume_start_queue(topic, number, static_cast<int64_t>(from), cursor->queue_) != 0)
    return KafkaStatus(rd_kafka_last_error(), what);
  cursor->topic_ = topic;
  return cursor;
}

KafkaCursor::~KafkaCursor() {
  if (queue_ != nullptr) rd_kafka_queue_cb_event_enable(queue_, nullptr, nullptr);
  if (topic_ != nullptr) (void)rd_kafka_consume_stop(topic_, static_cast<int32_t>(partition_.partition));
  if (queue_ != nullptr) rd_kafka_queue_destroy(queue_);
}

void KafkaCursor::OnQueue(rd_kafka_t*, void* opaque) {
  auto* const self = static_cast<KafkaCursor*>(opaque);
  self->ready_.store(true);
  self->on_ready_();
}

void KafkaCursor::Take(Offset from, size_t bytes_max, RecordBatch* batch) {
  was_read_ = true;
  used_at_ = Clock::now();
  size_t bytes = 0;
  const auto add = [&](const std::shared_ptr<const Block>& block) {
    auto at =
        std::lower_bound(block->records.begin(), block->records.end(), from,
                         [](const RecordView& record, Offset offset) { return record.offset < offset; });
    if (at == block->records.end()) return;
    batch->owners.push_back(block);
    for (; at != block->records.end() && (batch->records.empty() || bytes < bytes_max); ++at) {
      batch->records.push_back(*at);
      bytes += at->key.size() + at->value.size();
    }
    batch->next_offset = batch->records.back().offset + 1;
  };
  auto block = std::lower_bound(
      blocks_.begin(), blocks_.end(), from,
      [](const std::shared_ptr<const Block>& one, Offset offset) { return one->next <= offset; });
  for (; block != blocks_.end() && (batch->records.empty() || bytes < bytes_max); ++block) add(*block);
  while (batch->records.empty() || bytes < bytes_max) {
    const size_t before = blocks_.size();
    if (!Pull()) break;
    if (blocks_.size() > before) add(blocks_.back());
  }
  read_to_ = std::max(read_to_, batch->next_offset);
  Forget();
}

bool KafkaCursor::LookAhead() {
  uint64_t ahead = 0;
  for (auto block = blocks_.rbegin(); block != blocks_.rend() && (*block)->next > read_to_; ++block)
    ahead += (*block)->bytes;
  while (ahead < kAheadBytes && Pull()) ahead += blocks_.empty() ? 0 : blocks_.back()->bytes;
  return std::exchange(told_, next_) < next_ || error_ != RD_KAFKA_RESP_ERR_NO_ERROR;
}

// What librdkafka has fetched, as far as it goes. False: nothing.
bool KafkaCursor::Pull() {
  if (error_ != RD_KAFKA_RESP_ERR_NO_ERROR || !ready_.exchange(false)) return false;
  std::array<rd_kafka_message_t*, kPullRecordsMax> messages;
  const size_t wanted =
      std::clamp<size_t>(static_cast<size_t>(kPullBytes / record_bytes_), 1, kPullRecordsMax);
  const ssize_t got = rd_kafka_consume_batch_queue(queue_, 0, messages.data(), wanted);
  if (got <= 0) return false;
  // The queue tells of what comes when it is empty: what is left in it must be remembered here.
  if (static_cast<size_t>(got) == wanted) ready_.store(true);
  auto block = std::make_shared<Block>();
  block->handle = handle_;
  block->messages.reserve(static_cast<size_t>(got));
  block->records.reserve(static_cast<size_t>(got));
  for (size_t i = 0; i < static_cast<size_t>(got); i++) Accept(*block, messages[i]);
  if (block->records.empty()) return true;
  block->next = next_;
  record_bytes_ = 1 + block->bytes / block->records.size();
  blocks_bytes_ += block->bytes;
  blocks_.push_back(std::move(block));
  return true;
}

void KafkaCursor::Accept(Block& block, rd_kafka_message_t* message) {
  block.messages.push_back(message);
  if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR) {
    if (error_ != RD_KAFKA_RESP_ERR_NO_ERROR) return;
    error_ = message->err;
    error_text_ = rd_kafka_message_errstr(message);
    return;
  }
  const auto offset = static_cast<Offset>(message->offset);
  if (offset < next_) return;
  next_ = offset + 1;
  rd_kafka_timestamp_type_t kind = RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
  newest_ = std::max(newest_, LogTime{rd_kafka_message_timestamp(message, &kind)});
  rd_kafka_headers_t* raw = nullptr;  // the message's
  (void)rd_kafka_message_headers(message, &raw);
  const RecordHeaders headers = raw == nullptr ? RecordHeaders{} : ReadRecordHeaders(*raw);
  block.records.push_back({.offset = offset,
                           .time = newest_,
                           .type = headers.type,
                           .schema = headers.schema,
                           .key = {static_cast<const char*>(message->key), message->key_len},
                           .value = {static_cast<const char*>(message->payload), message->len},
                           .writer = headers.writer});
  block.bytes += message->key_len + message->len + sizeof(RecordView);
}

void KafkaCursor::Forget() {
  while (blocks_.size() > 1 && blocks_bytes_ > recent_bytes_max_ && blocks_.front()->next <= read_to_) {
    blocks_bytes_ -= blocks_.front()->bytes;
    first_ = blocks_.front()->next;
    blocks_.pop_front();
  }
}

void KafkaCursor::SkipMarks() {
  rd_kafka_topic_partition_list_t* const at = rd_kafka_topic_partition_list_new(1);
  const auto number = static_cast<int32_t>(partition_.partition);
  rd_kafka_topic_partition_list_add(at, rd_kafka_topic_name(topic_), number);
  if (rd_kafka_position(handle_->get(), at) == RD_KAFKA_RESP_ERR_NO_ERROR && at->elems[0].offset > 0)
    next_ = std::max(next_, static_cast<Offset>(at->elems[0].offset));
  rd_kafka_topic_partition_list_destroy(at);
}

}  // namespace laneway::log
