#include "log/kafka_ownership.h"

#include <librdkafka/rdkafka.h>

#include <atomic>
#include <thread>
#include <utility>

#include "log/kafka_conf.h"
#include "log/kafka_errors.h"
#include "log/kafka_topic_settings.h"
#include "log/text.h"

namespace laneway::log {
namespace {

constexpr int kPollMs = 100;

class Member : public KafkaOwnership {
 public:
  Member(std::function<void(bool)> changed, std::function<void(KafkaNote, std::string_view)> on_note)
      : changed_(std::move(changed)), on_note_(std::move(on_note)) {}
  ~Member() override {
    leaving_ = true;
    if (thread_.joinable()) thread_.join();
    if (rk_ == nullptr) return;
    rd_kafka_consumer_close(rk_);  // tells the group
    rd_kafka_destroy(rk_);
  }

  absl::Status Join(const KafkaOptions& options, Topic topic, const std::string& group) {
    KafkaSettings settings = KafkaSettingsFor(KafkaRole::kMember, options);
    group_ = options.prefix + group;
    settings.emplace_back("group.id", group_);
    auto conf = MakeKafkaConf(settings);
    if (!conf.ok()) return conf.status();
    rd_kafka_conf_set_opaque(conf->get(), this);
    rd_kafka_conf_set_rebalance_cb(conf->get(), &Member::OnRebalance);
    // the log tells them
    rd_kafka_conf_set_error_cb(conf->get(), [](rd_kafka_t*, int, const char*, void*) {});
    rd_kafka_conf_set_log_cb(conf->get(), nullptr);
    char text[512] = "";
    rk_ = rd_kafka_new(RD_KAFKA_CONSUMER, conf->get(), text, sizeof text);
    if (rk_ == nullptr) return absl::InvalidArgumentError(Cat("log.kafka: ", text));
    (void)conf->release();
    rd_kafka_poll_set_consumer(rk_);
    rd_kafka_topic_partition_list_t* topics = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(topics, KafkaTopicName(options.prefix, topic).c_str(),
                                      RD_KAFKA_PARTITION_UA);
    const rd_kafka_resp_err_t error = rd_kafka_subscribe(rk_, topics);
    rd_kafka_topic_partition_list_destroy(topics);
    if (error != RD_KAFKA_RESP_ERR_NO_ERROR)
      return absl::InvalidArgumentError(Cat("cannot stand for election: ", rd_kafka_err2str(error)));
    thread_ = std::thread([this] { Run(); });
    return absl::OkStatus();
  }

 private:
  void Run() {
    while (!leaving_) {
      rd_kafka_message_t* message = rd_kafka_consumer_poll(rk_, kPollMs);
      if (message == nullptr) continue;
      Refused(message->err);
      rd_kafka_message_destroy(message);
    }
  }

  // What waiting does not cure: without the right to the group nobody would ever be elected, and no reader of
  // the log would say why. (librdkafka tells an error of the group once, until it is another one.)
  void Refused(rd_kafka_resp_err_t error) {
    if (KafkaCode(error) != absl::StatusCode::kPermissionDenied || !on_note_) return;
    on_note_(KafkaNote::kError,
             Cat(KafkaStatus(error, Cat("stand for election in the group ", group_)).message()));
  }

  static void OnRebalance(rd_kafka_t* rk, rd_kafka_resp_err_t what, rd_kafka_topic_partition_list_t* given,
                          void* self) {
    auto* member = static_cast<Member*>(self);
    const bool gets = what == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
    rd_kafka_error_t* error =
        gets ? rd_kafka_incremental_assign(rk, given) : rd_kafka_incremental_unassign(rk, given);
    if (error != nullptr) rd_kafka_error_destroy(error);  // it was lost meanwhile: the next call says so
    if (given->cnt == 0) return;                          // nothing that concerns this member
    if (gets) rd_kafka_pause_partitions(rk, given);       // owned, not read
    if (!member->leaving_ && std::exchange(member->owner_, gets) != gets) member->changed_(gets);
  }

  const std::function<void(bool)> changed_;
  const std::function<void(KafkaNote, std::string_view)> on_note_;
  std::string group_;
  rd_kafka_t* rk_ = nullptr;
  std::atomic<bool> leaving_{false};
  bool owner_ = false;
  std::thread thread_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<KafkaOwnership>> KafkaOwnership::Stand(const KafkaOptions& options,
                                                                      Topic topic, const std::string& group,
                                                                      std::function<void(bool)> changed) {
  auto member = std::make_unique<Member>(std::move(changed), options.on_note);
  if (absl::Status status = member->Join(options, topic, group); !status.ok()) return status;
  return member;
}

}  // namespace laneway::log
