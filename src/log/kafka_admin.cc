#include "log/kafka_admin.h"

#include <algorithm>
#include <thread>
#include <utility>

#include "log/kafka_errors.h"
#include "log/text.h"

namespace laneway::log {
namespace {

template <class T, void (*Delete)(T*)>
struct Deleter {
  void operator()(T* object) const { Delete(object); }
};
template <class T, void (*Delete)(T*)>
using Owned = std::unique_ptr<T, Deleter<T, Delete>>;
using OptionsPtr = Owned<rd_kafka_AdminOptions_t, rd_kafka_AdminOptions_destroy>;
using QueuePtr = Owned<rd_kafka_queue_t, rd_kafka_queue_destroy>;
using EventPtr = Owned<rd_kafka_event_t, rd_kafka_event_destroy>;

constexpr std::chrono::milliseconds kSlack{500};  // librdkafka answers by itself when the time is over
constexpr int kSliceMs = 200;                     // whom the brokers refuse need not wait for all of it
constexpr int kSliceMaxMs = 1000;
constexpr std::chrono::milliseconds kAgain{20};

bool LeaderMoved(rd_kafka_resp_err_t error) {
  return error == RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION ||
         error == RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE || error == RD_KAFKA_RESP_ERR_FENCED_LEADER_EPOCH ||
         error == RD_KAFKA_RESP_ERR_UNKNOWN_LEADER_EPOCH || error == RD_KAFKA_RESP_ERR_OFFSET_NOT_AVAILABLE ||
         error == RD_KAFKA_RESP_ERR_REPLICA_NOT_AVAILABLE;
}

absl::Status TopicError(const rd_kafka_topic_result_t* const* results, size_t count,
                        const std::string& what) {
  for (size_t i = 0; i < count; i++) {
    const rd_kafka_resp_err_t error = rd_kafka_topic_result_error(results[i]);
    if (error == RD_KAFKA_RESP_ERR_NO_ERROR) continue;
    const char* text = rd_kafka_topic_result_error_string(results[i]);
    return KafkaStatus(error, what, text == nullptr ? "" : text);
  }
  return absl::OkStatus();
}

}  // namespace

struct KafkaAdmin::Answer {
  std::shared_ptr<KafkaHandle> handle;  // outlives the queue and the event
  QueuePtr queue;
  EventPtr event;
};

KafkaAdmin::KafkaAdmin(const KafkaOptions& options, std::shared_ptr<KafkaCauses> causes,
                       std::function<std::shared_ptr<KafkaHandle>()> instance)
    : options_(options), causes_(std::move(causes)), instance_(std::move(instance)) {}

std::string KafkaAdmin::NameOf(TopicPartition partition) const {
  return Cat(NameOf(partition.topic), "/", partition.partition);
}

template <class Ask>
absl::StatusOr<KafkaAdmin::Answer> KafkaAdmin::Wait(const std::string& what, rd_kafka_admin_op_t op,
                                                    const Ask& ask) const {
  Answer answer;
  answer.handle = instance_();
  rd_kafka_t* const rk = answer.handle->get();
  answer.queue.reset(rd_kafka_queue_new(rk));
  const OptionsPtr options(rd_kafka_AdminOptions_new(rk, op));
  const int timeout_ms = static_cast<int>(options_.answer_timeout.count());
  char text[128];
  (void)rd_kafka_AdminOptions_set_request_timeout(options.get(), timeout_ms, text, sizeof text);
  ask(rk, options.get(), answer.queue.get());
  const Clock::time_point until = Clock::now() + options_.answer_timeout + kSlack;
  while (answer.event == nullptr) {
    answer.event.reset(rd_kafka_queue_poll(answer.queue.get(), kSliceMs));
    if (answer.event == nullptr && (causes_->refused() || Clock::now() >= until))
      return causes_->Explain(what, RD_KAFKA_RESP_ERR__TIMED_OUT);
  }
  const rd_kafka_resp_err_t error = rd_kafka_event_error(answer.event.get());
  if (error == RD_KAFKA_RESP_ERR__TIMED_OUT || error == RD_KAFKA_RESP_ERR__TRANSPORT)
    return causes_->Explain(what, error);
  if (error != RD_KAFKA_RESP_ERR_NO_ERROR) {
    const char* cause = rd_kafka_event_error_string(answer.event.get());
    return KafkaStatus(error, what, cause == nullptr ? "" : cause);
  }
  causes_->Clear();
  return answer;
}

absl::Status KafkaAdmin::Reach(std::chrono::milliseconds timeout) const {
  const std::shared_ptr<KafkaHandle> handle = instance_();
  const Clock::time_point until = Clock::now() + timeout;
  rd_kafka_resp_err_t error = RD_KAFKA_RESP_ERR__TIMED_OUT;
  // Each time longer: behind a link whose answers take more than a slice nobody would ever be reached.
  int slice_ms = kSliceMs;
  do {
    const rd_kafka_metadata_t* metadata = nullptr;
    error = rd_kafka_metadata(handle->get(), 0, nullptr, &metadata, slice_ms);
    slice_ms = std::min(2 * slice_ms, kSliceMaxMs);
    if (metadata != nullptr) rd_kafka_metadata_destroy(metadata);
    if (error == RD_KAFKA_RESP_ERR_NO_ERROR) {
      causes_->Clear();
      return absl::OkStatus();
    }
  } while (!causes_->refused() && Clock::now() < until);
  std::string brokers;
  for (const std::string& broker : options_.brokers) brokers += (brokers.empty() ? "" : ", ") + broker;
  return causes_->Explain(Cat("reach the brokers at ", brokers), error);
}

absl::StatusOr<KafkaTopicFacts> KafkaAdmin::Facts(Topic topic, bool with_settings) const {
  while (true) {
    auto facts = FactsNow(topic, with_settings);
    const Clock::time_point made_at = made_at_[static_cast<size_t>(topic)];
    if (!absl::IsInvalidArgument(facts.status()) || made_at == Clock::time_point{} ||
        Clock::now() >= made_at + options_.answer_timeout)
      return facts;
    std::this_thread::sleep_for(kAgain);
  }
}

absl::StatusOr<KafkaTopicFacts> KafkaAdmin::FactsNow(Topic topic, bool with_settings) const {
  const std::string name = NameOf(topic);
  const std::string what = Cat("look at topic ", name);
  const char* names[] = {name.c_str()};
  auto answer = Wait(what, RD_KAFKA_ADMIN_OP_DESCRIBETOPICS, [&](auto* rk, auto* options, auto* queue) {
    const Owned<rd_kafka_TopicCollection_t, rd_kafka_TopicCollection_destroy> topics(
        rd_kafka_TopicCollection_of_topic_names(names, 1));
    rd_kafka_DescribeTopics(rk, topics.get(), options, queue);
  });
  if (!answer.ok()) return answer.status();
  size_t count = 0;
  const auto* const result = rd_kafka_event_DescribeTopics_result(answer->event.get());
  const auto* const* const topics = rd_kafka_DescribeTopics_result_topics(result, &count);
  if (count != 1) return absl::UnavailableError(Cat(what, ": no answer"));
  if (const rd_kafka_error_t* error = rd_kafka_TopicDescription_error(topics[0]); error != nullptr)
    return KafkaStatus(rd_kafka_error_code(error), what);
  const auto* const* const parts = rd_kafka_TopicDescription_partitions(topics[0], &count);
  KafkaTopicFacts facts;
  facts.partitions = static_cast<int32_t>(count);
  for (size_t i = 0; i < count; i++) {
    size_t replicas = 0;
    (void)rd_kafka_TopicPartitionInfo_replicas(parts[i], &replicas);
    facts.replicas =
        i == 0 ? static_cast<int32_t>(replicas) : std::min(facts.replicas, static_cast<int32_t>(replicas));
  }
  if (with_settings) {
    if (absl::Status status = Settings(answer->handle, topic, &facts); !status.ok()) return status;
  }
  return facts;
}

absl::Status KafkaAdmin::Settings(const std::shared_ptr<KafkaHandle>& handle, Topic topic,
                                  KafkaTopicFacts* facts) const {
  const std::string name = NameOf(topic);
  const std::string what = Cat("read the settings of topic ", name);
  auto answer = Wait(what, RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS, [&](auto* rk, auto* options, auto* queue) {
    const Owned<rd_kafka_ConfigResource_t, rd_kafka_ConfigResource_destroy> resource(
        rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, name.c_str()));
    rd_kafka_ConfigResource_t* resources[] = {resource.get()};
    rd_kafka_DescribeConfigs(rk, resources, 1, options, queue);
  });
  if (!answer.ok()) return answer.status();
  size_t count = 0;
  const auto* const* const resources = rd_kafka_DescribeConfigs_result_resources(
      rd_kafka_event_DescribeConfigs_result(answer->event.get()), &count);
  if (count != 1) return absl::UnavailableError(Cat(what, ": no answer"));
  if (const rd_kafka_resp_err_t error = rd_kafka_ConfigResource_error(resources[0]);
      error != RD_KAFKA_RESP_ERR_NO_ERROR)
    return KafkaStatus(error, what);
  const auto* const* const entries = rd_kafka_ConfigResource_configs(resources[0], &count);
  for (size_t i = 0; i < count; i++) {
    const char* value = rd_kafka_ConfigEntry_value(entries[i]);
    facts->settings[rd_kafka_ConfigEntry_name(entries[i])] = value == nullptr ? "" : value;
  }
  const rd_kafka_metadata_t* metadata = nullptr;
  const rd_kafka_resp_err_t error = rd_kafka_metadata(handle->get(), 0, nullptr, &metadata,
                                                      static_cast<int>(options_.answer_timeout.count()));
  if (error != RD_KAFKA_RESP_ERR_NO_ERROR) return causes_->Explain(what, error);
  facts->brokers = metadata->broker_cnt;
  rd_kafka_metadata_destroy(metadata);
  return absl::OkStatus();
}

absl::Status KafkaAdmin::Create(Topic topic, uint32_t partitions) const {
  const std::string name = NameOf(topic);
  const std::string what = Cat("make topic ", name);
  const std::shared_ptr<KafkaHandle> handle = instance_();
  const rd_kafka_metadata_t* metadata = nullptr;
  const int timeout_ms = static_cast<int>(options_.answer_timeout.count());
  if (const auto error = rd_kafka_metadata(handle->get(), 0, nullptr, &metadata, timeout_ms); error != 0)
    return causes_->Explain(what, error);
  const int32_t replicas = WantedReplicas(metadata->broker_cnt);
  rd_kafka_metadata_destroy(metadata);
  char text[256] = "";
  const Owned<rd_kafka_NewTopic_t, rd_kafka_NewTopic_destroy> wanted(
      rd_kafka_NewTopic_new(name.c_str(), static_cast<int>(partitions), replicas, text, sizeof text));
  if (wanted == nullptr) return absl::InvalidArgumentError(Cat(what, ": ", text));
  for (const auto& [key, value] : WantedTopicSettings(topic, options_.events_retention_ms, replicas))
    (void)rd_kafka_NewTopic_set_config(wanted.get(), key.c_str(), value.c_str());
  auto answer = Wait(what, RD_KAFKA_ADMIN_OP_CREATETOPICS, [&](auto* rk, auto* options, auto* queue) {
    // until all brokers know the topic, so that whoever appends next finds it
    (void)rd_kafka_AdminOptions_set_operation_timeout(options, timeout_ms, text, sizeof text);
    rd_kafka_NewTopic_t* topics[] = {wanted.get()};
    rd_kafka_CreateTopics(rk, topics, 1, options, queue);
  });
  if (!answer.ok()) return answer.status();
  made_at_[static_cast<size_t>(topic)] = Clock::now();
  size_t count = 0;
  const auto* const* const results =
      rd_kafka_CreateTopics_result_topics(rd_kafka_event_CreateTopics_result(answer->event.get()), &count);
  return TopicError(results, count, what);
}

absl::Status KafkaAdmin::Grow(Topic topic, uint32_t partitions) const {
  const std::string name = NameOf(topic);
  const std::string what = Cat("add partitions to topic ", name);
  char text[256] = "";
  const Owned<rd_kafka_NewPartitions_t, rd_kafka_NewPartitions_destroy> wanted(
      rd_kafka_NewPartitions_new(name.c_str(), partitions, text, sizeof text));
  if (wanted == nullptr) return absl::InvalidArgumentError(Cat(what, ": ", text));
  auto answer = Wait(what, RD_KAFKA_ADMIN_OP_CREATEPARTITIONS, [&](auto* rk, auto* options, auto* queue) {
    (void)rd_kafka_AdminOptions_set_operation_timeout(
        options, static_cast<int>(options_.answer_timeout.count()), text, sizeof text);
    rd_kafka_NewPartitions_t* parts[] = {wanted.get()};
    rd_kafka_CreatePartitions(rk, parts, 1, options, queue);
  });
  if (!answer.ok()) return answer.status();
  size_t count = 0;
  const auto* const* const results = rd_kafka_CreatePartitions_result_topics(
      rd_kafka_event_CreatePartitions_result(answer->event.get()), &count);
  return TopicError(results, count, what);
}

absl::Status KafkaAdmin::AwaitPartitions(Topic topic, uint32_t partitions) const {
  const Clock::time_point until = Clock::now() + options_.answer_timeout;
  while (true) {
    const auto facts = Facts(topic, false);
    if (facts.ok() && facts->partitions >= static_cast<int32_t>(partitions)) return absl::OkStatus();
    if (Clock::now() >= until) {
      if (!facts.ok()) return facts.status();
      return absl::UnavailableError(Cat(NameOf(topic), " still has ", facts->partitions, " partitions"));
    }
    std::this_thread::sleep_for(kAgain);
  }
}

template <class Try>
absl::Status KafkaAdmin::Retry(Topic topic, const Try& attempt) const {
  const Clock::time_point until = Clock::now() + options_.answer_timeout;
  while (true) {
    rd_kafka_resp_err_t error = RD_KAFKA_RESP_ERR_NO_ERROR;
    const absl::Status status = attempt(&error);
    if (!LeaderMoved(error) || Clock::now() >= until) return status;
    std::this_thread::sleep_for(kAgain);
    (void)Facts(topic, false);  // who leads it now
  }
}

absl::StatusOr<OffsetRange> KafkaAdmin::Range(TopicPartition partition) const {
  const std::string what = Cat("ask for the ends of ", NameOf(partition));
  int64_t low = 0;
  int64_t high = 0;
  const absl::Status asked = Retry(partition.topic, [&](rd_kafka_resp_err_t* error) {
    const std::shared_ptr<KafkaHandle> handle = instance_();
    *error = rd_kafka_query_watermark_offsets(handle->get(), NameOf(partition.topic).c_str(),
                                              static_cast<int32_t>(partition.partition), &low, &high,
                                              static_cast<int>(options_.answer_timeout.count()));
    const bool silent = *error == RD_KAFKA_RESP_ERR__TIMED_OUT || *error == RD_KAFKA_RESP_ERR__TRANSPORT;
    return silent ? causes_->Explain(what, *error) : KafkaStatus(*error, what);
  });
  if (!asked.ok()) return asked;
  return OffsetRange{static_cast<Offset>(low), static_cast<Offset>(high)};
}

absl::Status KafkaAdmin::Trim(TopicPartition partition, Offset below) const {
  const std::string name = NameOf(partition.topic);
  const std::string what = Cat("trim ", NameOf(partition), " below ", below);
  return Retry(partition.topic, [&](rd_kafka_resp_err_t* error) {
    auto answer = Wait(what, RD_KAFKA_ADMIN_OP_DELETERECORDS, [&](auto* rk, auto* options, auto* queue) {
      const Owned<rd_kafka_topic_partition_list_t, rd_kafka_topic_partition_list_destroy> offsets(
          rd_kafka_topic_partition_list_new(1));
      rd_kafka_topic_partition_list_add(offsets.get(), name.c_str(),
                                        static_cast<int32_t>(partition.partition))
          ->offset = static_cast<int64_t>(below);
      const Owned<rd_kafka_DeleteRecords_t, rd_kafka_DeleteRecords_destroy> wanted(
          rd_kafka_DeleteRecords_new(offsets.get()));
      rd_kafka_DeleteRecords_t* parts[] = {wanted.get()};
      rd_kafka_DeleteRecords(rk, parts, 1, options, queue);
    });
    if (!answer.ok()) return answer.status();
    const rd_kafka_topic_partition_list_t* const offsets =
        rd_kafka_DeleteRecords_result_offsets(rd_kafka_event_DeleteRecords_result(answer->event.get()));
    if (offsets->cnt > 0) *error = offsets->elems[0].err;
    return KafkaStatus(*error, what);
  });
}

}  // namespace laneway::log
