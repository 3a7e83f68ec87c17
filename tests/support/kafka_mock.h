// kafka_mock.h: librdkafka's mock cluster, for what a real broker does not do on demand: errors, lost
// answers.
//
// Role:       owns the cluster and the client instance it lives in.
// Threads:    one owner.
#pragma once

#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>

#include <cstdlib>
#include <sstream>
#include <string>
#include <vector>

#include "log/kafka.h"

namespace laneway::testing_support {

class KafkaMock {
 public:
  explicit KafkaMock(int brokers = 1) {
    char text[256];
    rk_ = rd_kafka_new(RD_KAFKA_PRODUCER, nullptr, text, sizeof text);
    if (rk_ == nullptr) std::abort();
    cluster_ = rd_kafka_mock_cluster_new(rk_, brokers);
    (void)rd_kafka_mock_set_controller_id(cluster_, 1);  // whom topics are asked about
  }
  ~KafkaMock() {
    rd_kafka_mock_cluster_destroy(cluster_);
    rd_kafka_destroy(rk_);
  }
  KafkaMock(const KafkaMock&) = delete;
  KafkaMock& operator=(const KafkaMock&) = delete;

  rd_kafka_mock_cluster_t* get() const { return cluster_; }
  void MakeTopic(const char* name, int partitions) {
    if (rd_kafka_mock_topic_create(cluster_, name, partitions, 1) != RD_KAFKA_RESP_ERR_NO_ERROR) std::abort();
  }
  log::KafkaOptions LogOptions() const {
    log::KafkaOptions options;
    std::istringstream addresses(rd_kafka_mock_cluster_bootstraps(cluster_));
    for (std::string address; std::getline(addresses, address, ',');) options.brokers.push_back(address);
    options.writer = "tester";
    options.manage_topics = false;
    return options;
  }

 private:
  rd_kafka_t* rk_ = nullptr;
  rd_kafka_mock_cluster_t* cluster_ = nullptr;
};

}  // namespace laneway::testing_support
