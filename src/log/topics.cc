#include "log/log.h"

namespace laneway::log {

std::string_view TopicName(Topic topic) {
  switch (topic) {
    case Topic::kEvents:
      return "events";
    case Topic::kLanes:
      return "lanes";
    case Topic::kHeartbeats:
      return "heartbeats";
    case Topic::kBrowserHealth:
      return "browser-health";
    case Topic::kControl:
      return "control";
    case Topic::kDeadLetter:
      return "dead-letter";
    case Topic::kAlerts:
      return "alerts";
  }
  return "unknown";
}

std::string_view RecordTypeName(RecordType type) {
  switch (type) {
    case RecordType::kUnknown:
      return "unknown";
    case RecordType::kEvent:
      return "event";
    case RecordType::kLaneRecord:
      return "lane-record";
    case RecordType::kHeartbeat:
      return "heartbeat";
    case RecordType::kBrowserHealth:
      return "browser-health";
    case RecordType::kControlRecord:
      return "control-record";
    case RecordType::kDeadLetter:
      return "dead-letter";
    case RecordType::kAlert:
      return "alert";
  }
  return "unknown";
}

}  // namespace laneway::log
