// commands.h: what the dispatcher's decisions ask of the world: records to append, work for the zone.
//
// Role:       pure data between the state machine (dispatcher.h) and whoever carries it out
//             (dispatcher_runner.h, the simulator).
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "fleet/ids.h"
#include "laneway/v1/event.pb.h"
#include "laneway/v1/lane.pb.h"
#include "laneway/v1/member.pb.h"
#include "laneway/v1/report.pb.h"
#include "zone/zone.h"

namespace laneway::dispatcher {

// What the zone is asked for, to be done in this order. Answers come back through the On… functions.
struct ZoneWork {
  bool make_staging = false;
  bool fence_others = false;
  std::vector<zone::PlaceRequest> place;
  std::vector<zone::FinishRequest> finish;
  std::vector<std::string> refuse;                               // paths below incoming/
  std::vector<std::string> forget;                               // tell these again at the next look
  std::vector<std::pair<zone::Leftover, std::string>> put_back;  // with the path it gets below incoming/
  std::vector<zone::Leftover> remove_if_empty;
  bool look_for_leftovers = false;

  bool empty() const {
    return !make_staging && !fence_others && !look_for_leftovers && place.empty() && finish.empty() &&
           refuse.empty() && forget.empty() && put_back.empty() && remove_if_empty.empty();
  }
};

// A record for a worker, and which attempt it carries (task.n == 0: none).
struct LaneAppend {
  Lane lane = 0;
  v1::LaneRecord record;
  TaskId task{};
  uint32_t attempt = 0;
};

struct Trim {
  Lane lane = 0;
  Offset below = 0;
};

struct Commands {
  std::vector<v1::Event> events;                      // partition: that of the job or worker they are about
  std::vector<std::pair<uint32_t, v1::Event>> marks;  // EpochOpened, with the partition each is for
  std::vector<LaneAppend> lanes;
  std::vector<v1::ControlRecord> control;
  std::vector<v1::DeadLetter> dead_letters;
  std::vector<v1::Alert> alerts;
  std::vector<Trim> trims;
  uint32_t lanes_wanted = 0;  // make the topic have at least so many partitions; OnLanesGrown answers
  ZoneWork zone;
  bool stepped_down = false;  // forget this dispatcher; a new one (with a new incarnation) may stand again

  bool empty() const {
    return events.empty() && marks.empty() && lanes.empty() && control.empty() && dead_letters.empty() &&
           alerts.empty() && trims.empty() && zone.empty() && !stepped_down && lanes_wanted == 0;
  }
  void clear() {
    events.clear(), marks.clear(), lanes.clear(), control.clear(), dead_letters.clear(), alerts.clear(),
        trims.clear();
    zone = ZoneWork{};
    stepped_down = false;
    lanes_wanted = 0;
  }
};

}  // namespace laneway::dispatcher
