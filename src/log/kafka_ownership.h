// kafka_ownership.h: whether a topic's only partition is this process's: the means of election (rule E1).
//
// Role:       a member of a consumer group on that topic; it reads nothing of it.
// Output:     `changed(true)` when the partition is ours, `changed(false)` when it is not any more, also when
//             the brokers have not answered for the group's session timeout.
// Promises:   at most one member is told that it owns, as far as the members can hear the brokers. A process
//             that is paused learns late that it does not: what it does then is void by its epoch (rules L2,
//             Z3).
// Threads:    one of its own, on which `changed` runs; it must be short.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "log/kafka.h"
#include "log/log.h"

namespace laneway::log {

class KafkaOwnership {
 public:
  // The group is `<prefix><group>`. INVALID_ARGUMENT: settings.
  static absl::StatusOr<std::unique_ptr<KafkaOwnership>> Stand(const KafkaOptions& options, Topic topic,
                                                               const std::string& group,
                                                               std::function<void(bool)> changed);
  // Leaves the group, so that another member owns the partition at once; `changed` is not called any more.
  virtual ~KafkaOwnership() = default;
};

}  // namespace laneway::log
