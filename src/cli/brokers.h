// brokers.h: the log of a Kafka cluster for a command that reads or makes topics itself.
//
// Role:       shell of the command line. What goes wrong is said on stderr.
// Threads:    one.
#pragma once

#include <memory>
#include <string>

#include "laneway/v1/config.pb.h"
#include "log/kafka.h"

namespace laneway::cli {

// Opened and reached. Null: `code` is the exit code. `config`: with its secrets; `name`: the client's.
std::unique_ptr<log::KafkaLog> ReachBrokers(const v1::LogConfig& config, const std::string& name, int* code);

}  // namespace laneway::cli
