#include "log/kafka_handle.h"

#include <openssl/x509_vfy.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/str_join.h"
#include "log/kafka_errors.h"
#include "log/kafka_topic_settings.h"
#include "log/text.h"

namespace laneway::log {
namespace {

constexpr std::chrono::seconds kLookEvery{5};  // for a way to the brokers

}  // namespace

void KafkaBell::Ring() {
  {
    const std::lock_guard lock(mutex_);
    if (std::exchange(ring_, true)) return;
  }
  rung_.notify_one();
}

void KafkaBell::Wait(std::chrono::steady_clock::time_point until) {
  std::unique_lock lock(mutex_);
  rung_.wait_until(lock, until, [this] { return ring_; });
  ring_ = false;
}

void KafkaCauses::Note(KafkaNote level, std::string_view text) {
  if (on_note_) on_note_(level, text);
}

void KafkaCauses::Complain(rd_kafka_resp_err_t error, std::string_view text) {
  // Of several complaints the one that waiting does not cure is kept: behind a wrong password comes "all
  // brokers are down".
  const bool refused = KafkaCode(error) == absl::StatusCode::kPermissionDenied;
  {
    const std::lock_guard lock(mutex_);
    if (refused || KafkaCode(error_) != absl::StatusCode::kPermissionDenied) {
      error_ = error;
      text_ = text;
      if (error == RD_KAFKA_RESP_ERR__SSL && !distrust_.empty()) text_ += Cat(": ", distrust_);
    }
  }
  Note(refused ? KafkaNote::kError : KafkaNote::kWarning, text);
}

void KafkaCauses::Distrust(std::string_view why) {
  const std::lock_guard lock(mutex_);
  distrust_ = why;
}

void KafkaCauses::Clear() {
  const std::lock_guard lock(mutex_);
  error_ = RD_KAFKA_RESP_ERR_NO_ERROR;
  text_.clear();
  distrust_.clear();
}

bool KafkaCauses::refused() const {
  const std::lock_guard lock(mutex_);
  return KafkaCode(error_) == absl::StatusCode::kPermissionDenied;
}

absl::Status KafkaCauses::Explain(std::string_view what, rd_kafka_resp_err_t otherwise) const {
  const std::lock_guard lock(mutex_);
  if (error_ == RD_KAFKA_RESP_ERR_NO_ERROR) return KafkaStatus(otherwise, what);
  return KafkaStatus(error_, what, text_);
}

absl::StatusOr<std::shared_ptr<KafkaHandle>> KafkaHandle::Make(KafkaRole role, const KafkaOptions& options,
                                                               std::shared_ptr<KafkaCauses> causes,
                                                               std::shared_ptr<KafkaBell> bell,
                                                               Delivered delivered) {
  auto conf = MakeKafkaConf(KafkaSettingsFor(role, options));
  if (!conf.ok()) return conf.status();
  std::shared_ptr<KafkaHandle> handle(new KafkaHandle);
  handle->causes_ = std::move(causes);
  handle->bell_ = std::move(bell);
  handle->delivered_ = std::move(delivered);
  handle->prefix_ = options.prefix;
  handle->brokers_ = absl::StrJoin(options.brokers, ",");
  handle->look_at_ = std::chrono::steady_clock::now() + kLookEvery;
  rd_kafka_conf_set_opaque(conf->get(), handle.get());
  rd_kafka_conf_set_error_cb(conf->get(), &KafkaHandle::OnError);
  rd_kafka_conf_set_log_cb(conf->get(), &KafkaHandle::OnLog);
  (void)rd_kafka_conf_set_ssl_cert_verify_cb(conf->get(), &KafkaHandle::OnCertificate);
  if (role == KafkaRole::kProducer) rd_kafka_conf_set_dr_msg_cb(conf->get(), &KafkaHandle::OnDelivered);
  char text[512] = "";
  const rd_kafka_type_t type = role == KafkaRole::kProducer ? RD_KAFKA_PRODUCER : RD_KAFKA_CONSUMER;
  handle->rk_ = rd_kafka_new(type, conf->get(), text, sizeof text);
  if (handle->rk_ == nullptr)
    return absl::InvalidArgumentError(Cat("log.kafka: ", text, "; see docs/kafka.md"));
  (void)conf->release();  // taken over
  handle->main_ = rd_kafka_queue_get_main(handle->rk_);
  rd_kafka_queue_cb_event_enable(handle->main_, &KafkaHandle::OnQueue, handle.get());
  return handle;
}

KafkaHandle::~KafkaHandle() {
  if (rk_ == nullptr) return;
  rd_kafka_queue_cb_event_enable(main_, nullptr, nullptr);
  rd_kafka_queue_destroy(main_);
  for (const std::atomic<rd_kafka_topic_t*>& topic : topics_) {
    if (topic != nullptr) rd_kafka_topic_destroy(topic);
  }
  // none of these is a member of a group: there is nothing to leave, and nothing to wait for
  rd_kafka_destroy_flags(rk_, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
}

bool KafkaHandle::Poll() {
  if (std::chrono::steady_clock::now() >= look_at_) FindBrokersAgain();
  if (!waiting_.exchange(false)) return false;
  return rd_kafka_poll(rk_, 0) > 0;
}

// Brokers whose heartbeats came too late (after a pause, say) are taken out of the cluster's list; when that
// holds for all, any of them answers that there are none. librdkafka (2.15.1) then lets go of all it knew of
// and begins again with those of its configuration, unless it still has them in the moment it looks: then it
// has none, asks nobody any more, and what waits to be sent waits beyond its time.
void KafkaHandle::FindBrokersAgain() {
  look_at_ = std::chrono::steady_clock::now() + kLookEvery;
  if (!HasWay()) rd_kafka_brokers_add(rk_, brokers_.c_str());
}

bool KafkaHandle::HasWay() {
  rd_kafka_topic_t* known = nullptr;
  for (const std::atomic<rd_kafka_topic_t*>& topic : topics_) {
    if (known = topic.load(); known != nullptr) break;
  }
  const struct rd_kafka_metadata* none = nullptr;
  const rd_kafka_resp_err_t asked = rd_kafka_metadata(rk_, 0, known, &none, 0);
  if (none != nullptr) rd_kafka_metadata_destroy(none);
  return asked != RD_KAFKA_RESP_ERR__TRANSPORT;
}

rd_kafka_topic_t* KafkaHandle::TopicOf(Topic topic) {
  std::atomic<rd_kafka_topic_t*>& known = topics_[static_cast<size_t>(topic)];
  if (rd_kafka_topic_t* const made = known.load(std::memory_order_acquire); made != nullptr) return made;
  const std::lock_guard lock(topics_mutex_);
  if (known.load() == nullptr)
    known.store(rd_kafka_topic_new(rk_, KafkaTopicName(prefix_, topic).c_str(), nullptr));
  return known.load();
}

void KafkaHandle::OnError(rd_kafka_t* rk, int error, const char* reason, void* opaque) {
  auto* const self = static_cast<KafkaHandle*>(opaque);
  auto code = static_cast<rd_kafka_resp_err_t>(error);
  if (code != RD_KAFKA_RESP_ERR__FATAL) return self->causes_->Complain(code, reason);
  char text[512] = "";
  code = rd_kafka_fatal_error(rk, text, sizeof text);
  self->causes_->Complain(code, text);
  self->fatal_.store(true, std::memory_order_relaxed);
}

void KafkaHandle::OnLog(const rd_kafka_t* rk, int level, const char* facility, const char* text) {
  const auto* const self = static_cast<const KafkaHandle*>(rd_kafka_opaque(rk));
  constexpr int kError = 3;  // as syslog counts
  constexpr int kWarning = 4;
  // Settings of the other kind of client are no mistake: log.kafka is for all of them. What fails comes to
  // OnError as well.
  const std::string_view kind(facility);
  if (self == nullptr || kind == "CONFWARN" || kind == "FAIL") return;
  self->causes_->Note(level <= kError     ? KafkaNote::kError
                      : level == kWarning ? KafkaNote::kWarning
                                          : KafkaNote::kInfo,
                      Cat(facility, ": ", text));
}

// Nothing is accepted here that OpenSSL did not accept; only the reason is kept.
int KafkaHandle::OnCertificate(rd_kafka_t*, const char* broker, int32_t, int* error, int, const char*, size_t,
                               char* text, size_t text_size, void* opaque) {
  if (*error == X509_V_OK) return 1;
  const char* const why = X509_verify_cert_error_string(*error);
  static_cast<KafkaHandle*>(opaque)->causes_->Distrust(Cat("the certificate of ", broker, ": ", why));
  const size_t length = std::min(text_size - 1, std::strlen(why));
  std::memcpy(text, why, length);
  text[length] = '\0';
  return 0;
}

void KafkaHandle::OnDelivered(rd_kafka_t*, const rd_kafka_message_t* message, void* opaque) {
  static_cast<KafkaHandle*>(opaque)->delivered_(*message);
}

void KafkaHandle::OnQueue(rd_kafka_t*, void* opaque) {
  auto* const self = static_cast<KafkaHandle*>(opaque);
  self->waiting_.store(true);
  self->bell_->Ring();
}

}  // namespace laneway::log
