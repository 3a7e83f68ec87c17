#include "log/kafka_asks.h"

#include "log/kafka_errors.h"
#include "log/text.h"

namespace laneway::log {
namespace {

constexpr std::chrono::milliseconds kSlack{500};  // librdkafka answers by itself when the time is over

rd_kafka_resp_err_t ErrorOf(const rd_kafka_event_t* event) {
  if (event == nullptr) return RD_KAFKA_RESP_ERR__TIMED_OUT;
  return rd_kafka_event_error(const_cast<rd_kafka_event_t*>(event));
}

void AddTo(rd_kafka_topic_partition_list_t* list, const std::string& topic, int32_t partition,
           int64_t offset) {
  rd_kafka_topic_partition_list_add(list, topic.c_str(), partition)->offset = offset;
}

}  // namespace

KafkaAsks::KafkaAsks(std::shared_ptr<KafkaBell> bell, std::chrono::milliseconds timeout)
    : bell_(std::move(bell)), timeout_(timeout) {}

KafkaAsks::~KafkaAsks() { Use(nullptr); }

void KafkaAsks::Use(std::shared_ptr<KafkaHandle> instance) {
  if (instance == instance_) return;
  if (queue_ != nullptr) {
    rd_kafka_queue_cb_event_enable(queue_, nullptr, nullptr);
    rd_kafka_queue_destroy(queue_);
    queue_ = nullptr;
  }
  instance_ = std::move(instance);
  auto open = std::move(open_);
  open_.clear();
  for (const auto& [number, question] : open) question.answered(nullptr);
  if (instance_ == nullptr) return;
  queue_ = rd_kafka_queue_new(instance_->get());
  rd_kafka_queue_cb_event_enable(queue_, &KafkaAsks::OnQueue, this);
}

void KafkaAsks::OnQueue(rd_kafka_t*, void* self) { static_cast<KafkaAsks*>(self)->bell_->Ring(); }

// While a question to a broker that is away is open, librdkafka (2.15.1) connects again at once whenever that
// has failed, without its pause: a busy loop. So after one without an answer nothing is asked while no broker
// is connected.
rd_kafka_AdminOptions_t* KafkaAsks::Ask(rd_kafka_admin_op_t op, Answered answered) {
  if (queue_ == nullptr || (!answered_ && !instance_->HasWay())) {
    answered(nullptr);
    return nullptr;
  }
  rd_kafka_AdminOptions_t* const options = rd_kafka_AdminOptions_new(instance_->get(), op);
  char text[128];
  (void)rd_kafka_AdminOptions_set_request_timeout(options, static_cast<int>(timeout_.count()), text,
                                                  sizeof text);
  rd_kafka_AdminOptions_set_opaque(options, reinterpret_cast<void*>(next_));
  open_[next_++] = {std::move(answered), std::chrono::steady_clock::now() + timeout_ + kSlack};
  return options;
}

void KafkaAsks::Serve() {
  while (queue_ != nullptr) {
    rd_kafka_event_t* const event = rd_kafka_queue_poll(queue_, 0);
    if (event == nullptr) break;
    const auto found = open_.find(reinterpret_cast<uintptr_t>(rd_kafka_event_opaque(event)));
    if (found != open_.end()) {
      const Answered answered = std::move(found->second.answered);
      open_.erase(found);
      answered(event);
    }
    rd_kafka_event_destroy(event);
  }
  const auto now = std::chrono::steady_clock::now();
  while (!open_.empty() && open_.begin()->second.overdue <= now) {  // asked first, overdue first
    const Answered answered = std::move(open_.begin()->second.answered);
    open_.erase(open_.begin());
    answered(nullptr);
  }
}

void KafkaAsks::Partitions(const std::string& topic, PartitionsDone done) {
  const std::string what = Cat("look at topic ", topic);
  rd_kafka_AdminOptions_t* const options = Ask(
      RD_KAFKA_ADMIN_OP_DESCRIBETOPICS, [this, what, done = std::move(done)](const rd_kafka_event_t* event) {
        answered_ = ErrorOf(event) == RD_KAFKA_RESP_ERR_NO_ERROR;
        if (const auto error = ErrorOf(event); error != 0) return done(KafkaStatus(error, what), 0);
        size_t count = 0;
        const auto* const* const topics = rd_kafka_DescribeTopics_result_topics(
            rd_kafka_event_DescribeTopics_result(const_cast<rd_kafka_event_t*>(event)), &count);
        if (count != 1) return done(absl::UnavailableError(Cat(what, ": no answer")), 0);
        if (const rd_kafka_error_t* error = rd_kafka_TopicDescription_error(topics[0]); error != nullptr)
          return done(KafkaStatus(rd_kafka_error_code(error), what), 0);
        (void)rd_kafka_TopicDescription_partitions(topics[0], &count);
        done(absl::OkStatus(), static_cast<uint32_t>(count));
      });
  if (options == nullptr) return;
  const char* names[] = {topic.c_str()};
  rd_kafka_TopicCollection_t* const topics = rd_kafka_TopicCollection_of_topic_names(names, 1);
  rd_kafka_DescribeTopics(instance_->get(), topics, options, queue_);
  rd_kafka_TopicCollection_destroy(topics);
  rd_kafka_AdminOptions_destroy(options);
}

void KafkaAsks::Ends(const std::vector<std::pair<std::string, int32_t>>& partitions, EndsDone done) {
  rd_kafka_AdminOptions_t* const options =
      Ask(RD_KAFKA_ADMIN_OP_LISTOFFSETS, [this, done = std::move(done)](const rd_kafka_event_t* event) {
        answered_ = ErrorOf(event) == RD_KAFKA_RESP_ERR_NO_ERROR;
        if (!answered_) return done({});
        size_t count = 0;
        const auto* const* const infos = rd_kafka_ListOffsets_result_infos(
            rd_kafka_event_ListOffsets_result(const_cast<rd_kafka_event_t*>(event)), &count);
        std::vector<End> ends;
        for (size_t i = 0; i < count; i++) {
          const rd_kafka_topic_partition_t* const at =
              rd_kafka_ListOffsetsResultInfo_topic_partition(infos[i]);
          const bool answered =
              at->err == RD_KAFKA_RESP_ERR_NO_ERROR
                  ? at->offset >= 0  // as we asked, when there was no answer
                  : at->err != RD_KAFKA_RESP_ERR__TIMED_OUT && at->err != RD_KAFKA_RESP_ERR__TRANSPORT;
          answered_ &= answered;
          if (!answered) continue;
          ends.push_back({at->topic, at->partition, static_cast<Offset>(at->offset), at->err});
        }
        done(ends);
      });
  if (options == nullptr) return;
  rd_kafka_topic_partition_list_t* const list =
      rd_kafka_topic_partition_list_new(static_cast<int>(partitions.size()));
  for (const auto& [topic, partition] : partitions)
    AddTo(list, topic, partition, RD_KAFKA_OFFSET_SPEC_LATEST);
  rd_kafka_ListOffsets(instance_->get(), list, options, queue_);
  rd_kafka_topic_partition_list_destroy(list);
  rd_kafka_AdminOptions_destroy(options);
}

}  // namespace laneway::log
