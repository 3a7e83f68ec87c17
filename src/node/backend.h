// backend.h: what a process of the fleet stands on: the record log all members meet in, and a store of its
// own.
//
// Role:       one of two: on the embedded log both are one RocksDB, and the process is the whole fleet; on
//             Kafka the log is shared, and the store is a RocksDB of this process.
// Errors:     FAILED_PRECONDITION, INVALID_ARGUMENT: what a user can mend, said so that he knows how.
// Threads:    as log.h and store.h.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "laneway/v1/config.pb.h"
#include "log/embedded.h"
#include "log/log.h"
#include "log/store.h"

namespace laneway::node {

struct BackendHooks {
  std::function<void(double seconds)> on_append;            // an append became durable; any thread
  std::function<void(const log::EngineHealth&)> on_health;  // it has changed; any thread
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
};

// `data`: an absolute folder, which exists.
absl::StatusOr<std::unique_ptr<Backend>> OpenBackend(const v1::LogConfig& config, const std::string& data,
                                                     uint32_t workers, BackendHooks hooks);

}  // namespace laneway::node
