#include <gtest/gtest.h>

#include <cstdlib>
#include <iostream>

#include "contract/log_makers.h"
#include "log/kafka.h"
#include "support/kafka_broker.h"
#include "support/kafka_mock.h"

namespace laneway::log {
namespace {

class KafkaFixture : public LogFixture {
 public:
  explicit KafkaFixture(KafkaOptions options) : options_(std::move(options)) {
    options_.queued_bytes_max = kQueuedBytesMax;
    options_.recent_bytes_max = 16 << 10;  // small, so that reads go back to the broker as well
    options_.on_note = [](KafkaNote level, std::string_view text) {
      if (level == KafkaNote::kError) std::cerr << text << "\n";
    };
    Reopen();
  }
  Log& log() override { return *log_; }
  void Reopen() override {
    log_.reset();
    auto log = KafkaLog::Open(options_);
    if (!log.ok()) {
      ADD_FAILURE() << log.status();
      std::abort();
    }
    log_ = *std::move(log);
  }

 private:
  KafkaOptions options_;
  std::unique_ptr<KafkaLog> log_;
};

class MockFixture final : public LogFixture {
 public:
  MockFixture() {
    cluster_.MakeTopic("laneway.events", 4);
    cluster_.MakeTopic("laneway.lanes", 1);
    fixture_ = std::make_unique<KafkaFixture>(cluster_.LogOptions());
  }
  Log& log() override { return fixture_->log(); }
  void Reopen() override { fixture_->Reopen(); }

 private:
  testing_support::KafkaMock cluster_;
  std::unique_ptr<KafkaFixture> fixture_;
};

}  // namespace

LogMaker MockKafkaMaker() {
  return {.name = "MockKafka",
          .make = [] { return std::make_unique<MockFixture>(); },
          .no_topics = "the mock cluster cannot be asked to make topics",
          .no_trim = "the mock cluster cannot be asked to delete records"};
}
LogMaker KafkaMaker() {
  return {.name = "Kafka", .make = [] {
            return std::make_unique<KafkaFixture>(testing_support::KafkaBroker::Shared().LogOptions());
          }};
}

}  // namespace laneway::log
