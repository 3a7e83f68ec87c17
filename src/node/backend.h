// backend.h: what a process of the fleet stands on: the record log all members meet in, and a store of its
// own.
//
// Role:       one of two: on the embedded log both are one RocksDB, and the process is the whole fleet; on
//             Kafka the log is shared, and the store is a RocksDB of this process.
// Errors:     FAILED_PRECONDITION, INVALID_ARGUMENT: what a user can mend, said so that he knows how.
// Threads:    as log.h and store.h.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "fleet/log_time.h"
#include "laneway/v1/config.pb.h"
#include "log/embedded.h"
#include "log/kafka.h"
#include "log/log.h"
#include "log/store.h"
#include "node/patience.h"
#include "ops/secret.h"

namespace laneway::node {

struct BackendOptions {
  v1::LogConfig log;                                        // log.kafka with its secrets: Resolved()
  std::string data;                                         // an absolute folder, which exists
  std::string name;                                         // who appends, for people: "dispatcher", "DTF-03"
  uint32_t workers = 0;                                     // of this process
  Millis heartbeat_timeout{30000};                          // silence is not told from an outage later
  std::function<void(double)> on_append;                    // seconds until it was durable; any thread
  std::function<void(const log::EngineHealth&)> on_health;  // of the store (and the log in it); any thread
  std::function<void(const std::string&)> on_note;          // for people, while brokers are waited for
  std::function<bool(Millis)> give_up;                      // while brokers are waited for: node.h
  Patience* patience = nullptr;                             // outlives the backend
};

class Backend {
 public:
  virtual ~Backend() = default;

  // The log under a writer's name, for people who read records; kept by the backend, one for each name.
  virtual log::Log& LogAs(std::string_view writer) = 0;
  virtual log::Journal& JournalAs(std::string_view writer) = 0;
  virtual log::Store& store() = 0;

  // Other processes meet in this log too: topics are made by `laneway topics ensure`, and who is not named
  // here may be alive elsewhere.
  virtual bool shared() const = 0;
  virtual log::EngineHealth Health() const = 0;
  virtual log::EngineStats Stats() const = 0;
  // Null on the embedded log.
  virtual log::KafkaLog* kafka() { return nullptr; }
  // The process has started: from now on brokers that answer too late are not asked again by the log itself.
  virtual void Settle() {}
};

// Waits until the brokers answer, or `give_up` says so (CANCELLED).
absl::StatusOr<std::unique_ptr<Backend>> OpenBackend(BackendOptions options);

// The settings of the log with what stands behind the references of log.kafka in their place.
v1::LogConfig Resolved(const v1::LogConfig& config,
                       const std::map<std::string, ops::Secret<std::string>>& kafka);
// The topics of a fleet, and how many partitions each is to have.
std::vector<std::pair<log::Topic, uint32_t>> TopicsOf(const v1::LogConfig& config, uint32_t workers);
// Makes those that are missing, and more lanes; idempotent.
absl::Status EnsureTopics(log::Log& log, const v1::LogConfig& config, uint32_t workers);

log::KafkaOptions KafkaOptionsOf(const v1::LogConfig& resolved, const std::string& name);

}  // namespace laneway::node
