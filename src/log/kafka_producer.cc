#include "log/kafka_producer.h"

#include <algorithm>
#include <utility>

#include "log/kafka_headers.h"
#include "log/kafka_topic_settings.h"
#include "log/text.h"

namespace laneway::log {
namespace {

constexpr uint64_t kRecordOverheadBytes = 512;  // librdkafka's message with its headers, and ours
constexpr std::chrono::milliseconds kReplacePause{1000};
constexpr std::chrono::milliseconds kAskPause{200};
constexpr std::string_view kWhat = "append";

absl::Status Closed() { return absl::UnavailableError("the log is being closed"); }

}  // namespace

KafkaProducer::KafkaProducer(const KafkaOptions& options, std::shared_ptr<KafkaCauses> causes,
                             std::shared_ptr<KafkaBell> bell, KafkaAsks* asks, KafkaPartitionCounts* counts)
    : options_(options), causes_(std::move(causes)), bell_(std::move(bell)), asks_(asks), counts_(counts) {}

KafkaProducer::~KafkaProducer() = default;

absl::Status KafkaProducer::Open() {
  auto made = KafkaHandle::Make(KafkaRole::kProducer, options_, causes_, bell_,
                                [this](const rd_kafka_message_t& message) { OnDelivered(message); });
  if (!made.ok()) return made.status();
  const std::unique_lock lock(handle_mutex_);
  handle_ = *std::move(made);
  return absl::OkStatus();
}

std::shared_ptr<KafkaHandle> KafkaProducer::instance() const {
  const std::shared_lock lock(handle_mutex_);
  return handle_;
}

absl::Status KafkaProducer::Reserve(const std::vector<NewRecord>& records, uint64_t* bytes) {
  uint64_t wanted = 0;
  for (const NewRecord& record : records) {
    const size_t size = record.key.size() + record.value.size();
    if (size > kRecordBytesMax) {
      return absl::InvalidArgumentError(
          Cat("a record of ", size, " bytes is larger than the ", kRecordBytesMax, " a record may have"));
    }
    wanted += size + kRecordOverheadBytes;
  }
  if (wanted > options_.queued_bytes_max) {
    return absl::InvalidArgumentError(Cat("one call of ", wanted, " bytes is larger than the ",
                                          options_.queued_bytes_max, " that may wait"));
  }
  const uint64_t before = queued_bytes_.fetch_add(wanted);
  if (before + wanted > options_.queued_bytes_max) {
    queued_bytes_.fetch_sub(wanted);
    return absl::ResourceExhaustedError(Cat(before,
                                            " bytes are waiting to be sent to the brokers; no more than ",
                                            options_.queued_bytes_max, " may"));
  }
  *bytes = wanted;
  return absl::OkStatus();
}

bool KafkaProducer::PartitionsKnown(const Pending& pending) const {
  return std::all_of(pending.records.begin(), pending.records.end(), [this](const NewRecord& record) {
    return record.to.partition < (*counts_)[static_cast<size_t>(record.to.topic)].load();
  });
}

void KafkaProducer::Append(std::vector<NewRecord> records, AppendDone done) {
  auto pending = std::make_unique<Pending>();
  pending->done = std::move(done);
  pending->called = Clock::now();
  absl::Status status = closed_.load() ? Closed() : Reserve(records, &pending->bytes);
  pending->records = std::move(records);
  if (!status.ok() || pending->records.empty()) return Refuse(std::move(pending), std::move(status));
  if (!has_deferred_.load() && PartitionsKnown(*pending)) {
    const std::shared_lock lock(handle_mutex_);
    return Send(*handle_, std::move(pending));
  }
  {
    const std::lock_guard lock(queue_mutex_);
    deferred_.push_back(std::move(pending));
    has_deferred_ = true;
  }
  bell_->Ring();
}

void KafkaProducer::Send(KafkaHandle& handle, std::unique_ptr<Pending> pending) {
  const size_t count = pending->records.size();
  pending->offsets.resize(count);
  pending->slots.resize(count);
  pending->missing = count + 1;  // ours goes last: the answer may come while this loop runs
  Pending* const raw = pending.release();
  size_t sent = 0;
  for (; sent < count; sent++) {
    raw->slots[sent] = {raw, static_cast<uint32_t>(sent)};
    const rd_kafka_resp_err_t error = SendOne(handle, raw->slots[sent]);
    if (error == RD_KAFKA_RESP_ERR_NO_ERROR) continue;
    // What comes behind it must not overtake it. (`unsent` is read by whoever sees `missing` reach 0.)
    raw->unsent = count - sent;
    raw->unsent_error = error;
    break;
  }
  const size_t fewer = 1 + (count - sent);
  if (raw->missing.fetch_sub(fewer) != fewer) return;
  const std::lock_guard lock(queue_mutex_);
  answered_.emplace_back(raw);
  bell_->Ring();
}

rd_kafka_resp_err_t KafkaProducer::SendOne(KafkaHandle& handle, Slot& slot) {
  const NewRecord& record = slot.pending->records[slot.index];
  rd_kafka_topic_t* const topic = handle.TopicOf(record.to.topic);
  if (topic == nullptr) return rd_kafka_last_error();
  rd_kafka_headers_t* const headers = MakeRecordHeaders(record.type, options_.writer);
  rd_kafka_vu_t parts[6];
  parts[0].vtype = RD_KAFKA_VTYPE_RKT;
  parts[0].u.rkt = topic;
  parts[1].vtype = RD_KAFKA_VTYPE_PARTITION;
  parts[1].u.i32 = static_cast<int32_t>(record.to.partition);
  parts[2].vtype = RD_KAFKA_VTYPE_VALUE;
  parts[2].u.mem = {const_cast<char*>(record.value.data()), record.value.size()};
  parts[3].vtype = RD_KAFKA_VTYPE_KEY;
  parts[3].u.mem = {const_cast<char*>(record.key.data()), record.key.size()};
  parts[4].vtype = RD_KAFKA_VTYPE_HEADERS;
  parts[4].u.headers = headers;
  parts[5].vtype = RD_KAFKA_VTYPE_OPAQUE;
  parts[5].u.ptr = &slot;
  rd_kafka_error_t* const error = rd_kafka_produceva(handle.get(), parts, std::size(parts));
  if (error == nullptr) return RD_KAFKA_RESP_ERR_NO_ERROR;
  const rd_kafka_resp_err_t code = rd_kafka_error_code(error);
  rd_kafka_error_destroy(error);
  rd_kafka_headers_destroy(headers);
  return code;
}

void KafkaProducer::OnDelivered(const rd_kafka_message_t& message) {
  const auto* const slot = static_cast<const Slot*>(message._private);
  Pending* const pending = slot->pending;
  pending->offsets[slot->index] = static_cast<Offset>(message.offset);
  const rd_kafka_msg_status_t status = rd_kafka_message_status(&message);
  if (message.err == RD_KAFKA_RESP_ERR_NO_ERROR || status == RD_KAFKA_MSG_STATUS_PERSISTED) {
    pending->outcome.persisted++;
  } else {
    status == RD_KAFKA_MSG_STATUS_NOT_PERSISTED ? pending->outcome.refused++ : pending->outcome.possibly++;
    if (pending->outcome.first_error == RD_KAFKA_RESP_ERR_NO_ERROR)
      pending->outcome.first_error = message.err;
  }
  if (pending->missing.fetch_sub(1) == 1) Answer(std::unique_ptr<Pending>(pending));
}

void KafkaProducer::Answer(std::unique_ptr<Pending> pending) {
  if (pending->unsent > 0) {
    pending->outcome.refused += pending->unsent;
    if (pending->outcome.first_error == RD_KAFKA_RESP_ERR_NO_ERROR)
      pending->outcome.first_error = pending->unsent_error;
  }
  absl::Status status;
  if (const rd_kafka_resp_err_t error = pending->outcome.first_error; error != RD_KAFKA_RESP_ERR_NO_ERROR) {
    // "timed out", "purged", "fatal": why is another question
    const bool vague = KafkaCode(error) == absl::StatusCode::kUnavailable;
    const absl::Status why = vague ? causes_->Explain(kWhat, error) : absl::OkStatus();
    const bool refused = why.code() == absl::StatusCode::kPermissionDenied &&
                         pending->outcome.persisted + pending->outcome.possibly == 0;
    status = refused ? why : KafkaAppendStatus(pending->outcome, kWhat, Cat(why.message()));
  }
  queued_bytes_.fetch_sub(pending->bytes);
  const std::span<const Offset> offsets =
      status.ok() ? std::span<const Offset>(pending->offsets) : std::span<const Offset>();
  pending->done(status, offsets);
}

void KafkaProducer::Refuse(std::unique_ptr<Pending> pending, absl::Status status) {
  pending->refusal = std::move(status);
  {
    const std::lock_guard lock(queue_mutex_);
    answered_.push_back(std::move(pending));
  }
  bell_->Ring();
}

// Refusals, and appends whose last delivery came while they were still being handed over.
void KafkaProducer::AnswerQueued() {
  std::vector<std::unique_ptr<Pending>> answered;
  {
    const std::lock_guard lock(queue_mutex_);
    answered.swap(answered_);
  }
  for (std::unique_ptr<Pending>& pending : answered) {
    if (!pending->slots.empty()) {
      Answer(std::move(pending));
      continue;
    }
    queued_bytes_.fetch_sub(pending->bytes);
    pending->done(pending->refusal, {});
  }
}

void KafkaProducer::Serve() {
  AnswerQueued();
  const std::shared_ptr<KafkaHandle> handle = instance();
  handle->Poll();
  if (handle->fatal() && Clock::now() >= replace_not_before_) Replace();
  ServeRetired();
  if (has_deferred_.load()) ServeDeferred();
}

// What the old one had is answered by its delivery reports: UNKNOWN when it may be on a broker, UNAVAILABLE
// when it never left.
void KafkaProducer::Replace() {
  replace_not_before_ = Clock::now() + kReplacePause;
  auto made = KafkaHandle::Make(KafkaRole::kProducer, options_, causes_, bell_,
                                [this](const rd_kafka_message_t& message) { OnDelivered(message); });
  if (!made.ok()) return causes_->Note(KafkaNote::kError, Cat(made.status().message()));
  std::shared_ptr<KafkaHandle> old = *std::move(made);
  {
    const std::unique_lock lock(handle_mutex_);
    handle_.swap(old);
  }
  rd_kafka_purge(old->get(),
                 RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT | RD_KAFKA_PURGE_F_NON_BLOCKING);
  retired_.push_back(std::move(old));
  replaced_++;
  causes_->Note(KafkaNote::kWarning, "the producer had failed for good and was replaced by a new one");
}

void KafkaProducer::ServeRetired() {
  std::erase_if(retired_, [](const std::shared_ptr<KafkaHandle>& handle) {
    handle->Poll();
    return rd_kafka_outq_len(handle->get()) == 0;
  });
}

void KafkaProducer::ServeDeferred() {
  while (true) {
    std::unique_ptr<Pending> pending;
    absl::Status why;
    Known known = Known::kWait;
    {
      const std::lock_guard lock(queue_mutex_);
      if (!deferred_.empty()) known = Judge(*deferred_.front(), &why);
      if (deferred_.empty() || known == Known::kWait) {
        has_deferred_ = !deferred_.empty();
        return;
      }
      pending = std::move(deferred_.front());
      deferred_.pop_front();
    }
    if (known == Known::kNever) {
      Refuse(std::move(pending), std::move(why));
    } else {
      const std::shared_lock lock(handle_mutex_);
      Send(*handle_, std::move(pending));
    }
  }
}

KafkaProducer::Known KafkaProducer::Judge(const Pending& pending, absl::Status* why) {
  if (PartitionsKnown(pending)) return Known::kYes;
  const auto unknown =
      std::find_if(pending.records.begin(), pending.records.end(), [this](const NewRecord& record) {
        return record.to.partition >= (*counts_)[static_cast<size_t>(record.to.topic)].load();
      });
  const Topic topic = unknown->to.topic;
  const TopicAsk& ask = asks_of_[static_cast<size_t>(topic)];
  const std::string name = KafkaTopicName(options_.prefix, topic);
  const bool answered = !ask.asking && ask.sent >= pending.called;
  if (answered && ask.answer.ok()) {
    *why = absl::InvalidArgumentError(Cat(name, " has no partition ", unknown->to.partition));
    return Known::kNever;
  }
  if (answered && !absl::IsUnavailable(ask.answer)) {
    *why = ask.answer;
    return Known::kNever;
  }
  if (Clock::now() - pending.called >= options_.append_timeout) {
    *why = causes_->Explain(Cat("append to ", name), RD_KAFKA_RESP_ERR__TIMED_OUT);
    return Known::kNever;
  }
  AskFor(topic);
  return Known::kWait;
}

void KafkaProducer::AskFor(Topic topic) {
  TopicAsk& ask = asks_of_[static_cast<size_t>(topic)];
  const Clock::time_point now = Clock::now();
  if (ask.asking || now - ask.sent < kAskPause) return;
  ask.asking = true;
  ask.sent = now;
  asks_->Partitions(KafkaTopicName(options_.prefix, topic),
                    [this, topic](const absl::Status& status, uint32_t partitions) {
                      TopicAsk& answered = asks_of_[static_cast<size_t>(topic)];
                      answered.asking = false;
                      answered.answer = status;
                      if (status.ok()) (*counts_)[static_cast<size_t>(topic)] = partitions;
                      bell_->Ring();
                    });
}

void KafkaProducer::Close(Clock::time_point until) {
  closed_ = true;
  while (queued_bytes() > 0 && Clock::now() < until) {
    asks_->Serve();
    Serve();
    bell_->Wait(std::min(until, Clock::now() + kAskPause));
  }
  std::deque<std::unique_ptr<Pending>> deferred;
  {
    const std::lock_guard lock(queue_mutex_);
    deferred.swap(deferred_);
  }
  for (std::unique_ptr<Pending>& pending : deferred) Refuse(std::move(pending), Closed());
  const std::shared_ptr<KafkaHandle> handle = instance();
  rd_kafka_purge(handle->get(), RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
  do {
    AnswerQueued();
    handle->Poll();
    ServeRetired();
    bell_->Wait(Clock::now() + kAskPause / 10);
  } while (rd_kafka_outq_len(handle->get()) > 0 || !retired_.empty());
  AnswerQueued();
}

}  // namespace laneway::log
