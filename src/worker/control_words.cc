#include "worker/control_words.h"

namespace laneway::worker {

std::optional<v1::LaneTableSnapshot> ControlWords::Take(Offset offset, std::string_view record) {
  v1::ControlRecord control;
  if (!control.ParseFromArray(record.data(), static_cast<int>(record.size()))) return std::nullopt;
  if (control.has_operator_intent()) {
    news_.intents[control.operator_intent().worker()] = {control.operator_intent().intent(), offset + 1};
    return std::nullopt;
  }
  if (!control.has_lane_table()) return std::nullopt;
  const std::pair<Epoch, uint64_t> read(control.lane_table().epoch(), control.lane_table().version());
  if (read < newest_) return std::nullopt;  // of a dispatcher that was succeeded, or late
  newest_ = read;
  if (!history_) return std::move(*control.mutable_lane_table());
  news_.table = std::move(*control.mutable_lane_table());
  return std::nullopt;
}

ControlWords::News ControlWords::AfterRead(bool at_end) {
  history_ = history_ && !at_end;
  return std::exchange(news_, {});
}

}  // namespace laneway::worker
