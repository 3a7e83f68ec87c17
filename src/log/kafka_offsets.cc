#include "log/kafka_offsets.h"

#include "log/kafka_errors.h"
#include "log/kafka_topic_settings.h"
#include "log/text.h"

namespace laneway::log {
namespace {

absl::Status StatusOf(rd_kafka_resp_err_t error) { return KafkaStatus(error, "commit offsets"); }

}  // namespace

KafkaOffsets::KafkaOffsets(KafkaOptions options, std::shared_ptr<KafkaCauses> causes,
                           std::shared_ptr<KafkaBell> bell)
    : options_(std::move(options)), causes_(std::move(causes)), bell_(std::move(bell)) {}

KafkaOffsets::~KafkaOffsets() {
  if (queue_ != nullptr) {
    rd_kafka_queue_cb_event_enable(queue_, nullptr, nullptr);
    rd_kafka_queue_destroy(queue_);
  }
  if (done_) done_(absl::UnavailableError("commit offsets: the log was closed"));
}

void KafkaOffsets::OnQueue(rd_kafka_t*, void* self) { static_cast<KafkaOffsets*>(self)->bell_->Ring(); }

absl::Status KafkaOffsets::Open(const std::string& group) {
  if (instance_ != nullptr) return absl::OkStatus();
  options_.settings["group.id"] = group;
  auto made = KafkaHandle::Make(KafkaRole::kReader, options_, causes_, bell_, nullptr);
  if (!made.ok()) return made.status();
  instance_ = *std::move(made);
  queue_ = rd_kafka_queue_new(instance_->get());
  rd_kafka_queue_cb_event_enable(queue_, &KafkaOffsets::OnQueue, this);
  return absl::OkStatus();
}

void KafkaOffsets::Commit(const std::string& group, const Next& next, KafkaLog::Committed done) {
  if (done_) return done(absl::ResourceExhaustedError("commit offsets: the last ones are not yet answered"));
  if (absl::Status status = Open(group); !status.ok()) return done(status);
  rd_kafka_topic_partition_list_t* const list =
      rd_kafka_topic_partition_list_new(static_cast<int>(next.size()));
  for (const auto& [partition, offset] : next) {
    rd_kafka_topic_partition_list_add(list, KafkaTopicName(options_.prefix, partition.topic).c_str(),
                                      static_cast<int32_t>(partition.partition))
        ->offset = static_cast<int64_t>(offset);
  }
  const rd_kafka_resp_err_t error = rd_kafka_commit_queue(instance_->get(), list, queue_, nullptr, nullptr);
  rd_kafka_topic_partition_list_destroy(list);
  if (error != RD_KAFKA_RESP_ERR_NO_ERROR) return done(StatusOf(error));
  done_ = std::move(done);
}

void KafkaOffsets::Serve() {
  if (queue_ == nullptr) return;
  (void)instance_->Poll();
  while (rd_kafka_event_t* const event = rd_kafka_queue_poll(queue_, 0)) {
    if (rd_kafka_event_type(event) == RD_KAFKA_EVENT_OFFSET_COMMIT && done_)
      std::exchange(done_, nullptr)(StatusOf(rd_kafka_event_error(event)));
    rd_kafka_event_destroy(event);
  }
}

}  // namespace laneway::log
