// log_makers.h: the logs the contract suite runs over, and what each can be asked for.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "log/log.h"
#include "log/store.h"

namespace laneway::log {

// One log, and the store and journal beside it where there are any, on storage that outlives it.
class LogFixture {
 public:
  virtual ~LogFixture() = default;
  virtual Log& log() = 0;
  virtual Store* store() { return nullptr; }
  virtual Journal* journal() { return nullptr; }
  // Ends the process that holds it and starts another.
  virtual void Reopen() = 0;
};

struct LogMaker {
  std::string name;
  std::function<std::unique_ptr<LogFixture>()> make;
  // What one lacks is said here, with the reason a test gives when it skips.
  std::string no_threads;     // why it cannot be called from several threads
  std::string no_byte_bound;  // why it does not refuse when much is waiting
  std::string no_topics;      // why topics cannot be made or grow
  std::string no_trim;
};

LogMaker EmbeddedMaker();
LogMaker SimMaker();
LogMaker RemoteSimMaker();  // each partition's records by themselves, as on Kafka
LogMaker FaultySimMaker();
LogMaker MockKafkaMaker();  // librdkafka's mock cluster
LogMaker KafkaMaker();      // a real broker

inline constexpr uint64_t kQueuedBytesMax = 4 << 20;  // of those that have a bound

}  // namespace laneway::log
