// kafka_broker.h: a real Apache Kafka for a test: one broker or a cluster, on free ports, gone with the test.
//
// Role:       speaks to tests/support/kafka_cluster.py, which starts the brokers and says what can be done.
// Invariants: the brokers end when the test's process does, however it does.
// Errors:     what goes wrong here ends the test program with a message: nothing can be tested without it.
// Threads:    one owner.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "log/kafka.h"

namespace laneway::testing_support {

class KafkaBroker {
 public:
  struct Options {
    int brokers = 1;
    bool sasl = false;  // clients need TLS and a password
    bool acl = false;   // and rights, of which they have none at first
    int certificate_days = 30;
    std::vector<std::string> settings = {};  // of the brokers: "name=value"
  };
  static std::unique_ptr<KafkaBroker> Start(const Options& options);
  // One broker for all cases of a test program, made when the first one asks.
  static KafkaBroker& Shared();
  ~KafkaBroker();

  const std::vector<std::string>& bootstrap() const { return bootstrap_; }
  // What a client must be told to get in (`log.kafka`).
  const std::map<std::string, std::string>& settings() const { return settings_; }
  const std::string& folder() const { return folder_; }
  // Options of a log here, with topics of its own.
  log::KafkaOptions LogOptions() const;

  void StartAgain(int broker = 1) { Do("start", broker); }
  void Stop(int broker = 1) { Do("stop", broker); }  // in order
  void Kill(int broker = 1) { Do("kill", broker); }
  void Pause(int broker = 1) { Do("pause", broker); }
  void Resume(int broker = 1) { Do("resume", broker); }
  // Runs one of Kafka's own tools: "org.apache.kafka.tools.TopicCommand --bootstrap-server {bootstrap}
  // --list".
  std::string Tool(const std::string& words);

 private:
  KafkaBroker() = default;
  void Do(const char* verb, int broker);
  std::string Ask(const std::string& line);
  std::string ReadLine();

  int pid_ = -1;
  int to_ = -1;
  int from_ = -1;
  std::string rest_;
  std::vector<std::string> bootstrap_;
  std::map<std::string, std::string> settings_;
  std::string folder_;
};

// Null, and the case has failed, when there is none.
inline std::unique_ptr<log::KafkaLog> Open(const log::KafkaOptions& options) {
  auto log = log::KafkaLog::Open(options);
  EXPECT_TRUE(log.ok()) << log.status();
  return log.ok() ? *std::move(log) : nullptr;
}

}  // namespace laneway::testing_support
