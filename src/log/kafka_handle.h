// kafka_handle.h: one client instance of librdkafka, what it last complained about, and the signal that wakes
// the log's thread.
//
// Role:       owns rd_kafka_t. Whoever still asks something of an instance that was replaced keeps it alive.
// Invariants: librdkafka's callbacks run inside Poll or on its own threads under its locks; there they set
//             flags and texts and ask for the log's thread, nothing else.
// Threads:    any; Poll by the log's thread.
#pragma once

#include <librdkafka/rdkafka.h>

#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "log/kafka.h"
#include "log/kafka_conf.h"

namespace laneway::log {

// Wakes one thread. Ring may be called under librdkafka's locks.
class KafkaBell {
 public:
  void Ring();
  // Until it was rung since the last Wait, or `until`.
  void Wait(std::chrono::steady_clock::time_point until);

 private:
  std::mutex mutex_;
  std::condition_variable rung_;
  bool ring_ = false;
};

// The newest complaint, for the messages of calls that failed: "Connect to … failed: Connection refused".
// Shared by the instances of one log.
class KafkaCauses {
 public:
  explicit KafkaCauses(std::function<void(KafkaNote, std::string_view)> on_note)
      : on_note_(std::move(on_note)) {}
  void Note(KafkaNote level, std::string_view text);
  void Complain(rd_kafka_resp_err_t error, std::string_view text);
  // Why a broker's certificate was not accepted: librdkafka says only that it was not.
  void Distrust(std::string_view why);
  void Clear();          // the brokers answer
  bool refused() const;  // waiting does not cure it
  // What stood in the way most recently; PERMISSION_DENIED and the like come before "cannot connect".
  absl::Status Explain(std::string_view what, rd_kafka_resp_err_t otherwise) const;

 private:
  const std::function<void(KafkaNote, std::string_view)> on_note_;
  mutable std::mutex mutex_;
  rd_kafka_resp_err_t error_ = RD_KAFKA_RESP_ERR_NO_ERROR;
  std::string text_;
  std::string distrust_;
};

inline constexpr size_t kTopicsMax = 8;  // numbers of Topic are below it

class KafkaHandle {
 public:
  // Called with each message that was delivered or not. Within Poll.
  using Delivered = std::function<void(const rd_kafka_message_t&)>;

  static absl::StatusOr<std::shared_ptr<KafkaHandle>> Make(KafkaRole role, const KafkaOptions& options,
                                                           std::shared_ptr<KafkaCauses> causes,
                                                           std::shared_ptr<KafkaBell> bell,
                                                           Delivered delivered);
  ~KafkaHandle();
  KafkaHandle(const KafkaHandle&) = delete;
  KafkaHandle& operator=(const KafkaHandle&) = delete;

  rd_kafka_t* get() const { return rk_; }
  // Serves what waits: deliveries, errors. Sees to it that there is a way to the brokers. True: there was
  // something.
  bool Poll();
  // Whether a connection to a broker stands. Waits for nothing; asks it who leads what.
  bool HasWay();
  // The producer has failed for good.
  bool fatal() const { return fatal_.load(std::memory_order_relaxed); }

  // This instance's handle of a topic; lives as long as it does. Null: rd_kafka_last_error says why.
  rd_kafka_topic_t* TopicOf(Topic topic);

 private:
  KafkaHandle() = default;
  void FindBrokersAgain();
  static void OnError(rd_kafka_t* rk, int error, const char* reason, void* self);
  static void OnLog(const rd_kafka_t* rk, int level, const char* facility, const char* text);
  static void OnDelivered(rd_kafka_t* rk, const rd_kafka_message_t* message, void* self);
  static void OnQueue(rd_kafka_t* rk, void* self);
  static int OnCertificate(rd_kafka_t* rk, const char* broker, int32_t id, int* error, int depth,
                           const char* certificate, size_t size, char* text, size_t text_size, void* self);

  rd_kafka_t* rk_ = nullptr;
  rd_kafka_queue_t* main_ = nullptr;
  std::shared_ptr<KafkaCauses> causes_;
  std::shared_ptr<KafkaBell> bell_;
  Delivered delivered_;
  std::atomic<bool> waiting_{true};  // the main queue has something
  std::atomic<bool> fatal_{false};
  std::string prefix_;
  std::string brokers_;  // those of the configuration
  std::chrono::steady_clock::time_point look_at_;
  std::mutex topics_mutex_;  // held while one is made
  std::array<std::atomic<rd_kafka_topic_t*>, kTopicsMax> topics_{};
};

}  // namespace laneway::log
