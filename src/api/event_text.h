// event_text.h: an event as a person reads it. Pure.
#pragma once

#include <string>
#include <string_view>

#include "laneway/v1/event.pb.h"

namespace laneway::api {

struct EventText {
  std::string_view type;  // "task_started", …: the schema's name
  std::string worker;     // empty: about none
  std::string sentence;
};

EventText TextOf(const v1::Event& event);

}  // namespace laneway::api
