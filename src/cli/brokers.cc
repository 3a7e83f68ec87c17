#include "cli/brokers.h"

#include <chrono>
#include <utility>

#include "cli/command.h"
#include "cli/exit_codes.h"
#include "node/backend.h"

namespace laneway::cli {
namespace {

constexpr std::chrono::seconds kPatience{15};

}  // namespace

std::unique_ptr<log::KafkaLog> ReachBrokers(const v1::LogConfig& config, const std::string& name, int* code) {
  *code = kUsage;
  if (config.brokers().empty()) {
    Complain("no brokers: give --brokers HOST:PORT, or log.brokers in the configuration");
    return nullptr;
  }
  auto log = log::KafkaLog::Open(node::KafkaOptionsOf(config, name));
  if (!log.ok()) {
    Complain(std::string(log.status().message()));
    return nullptr;
  }
  *code = kUnreachable;
  if (const absl::Status reached = (*log)->Reach(kPatience); !reached.ok()) {
    Complain(std::string(reached.message()));
    return nullptr;
  }
  *code = kDone;
  return std::move(*log);
}

}  // namespace laneway::cli
