// control_words.h: what the topic `control` tells workers: who owns which lane, and operators' words.
//
// Role:       pure; whoever runs workers reads `control` through it.
// Input:      the records of `control`, in order, from the first one on.
// Output:     lane tables, to be applied in the order in which they come; the last word for each worker.
// Invariants: (1) no table follows a newer one (epoch, then version); (2) of what was said before the first
//             end only the last table counts: how lanes wandered before this process was there is told by its
//             notes; (3) afterwards none is left out. A lane that was taken away and given back begins anew:
//             its next handover has a mark of its own, and one that was read before says nothing of it
//             (rule P2).
// Threads:    one owner.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "fleet/ids.h"
#include "laneway/v1/member.pb.h"

namespace laneway::worker {

class ControlWords {
 public:
  struct Said {
    v1::Intent intent = v1::INTENT_NONE;
    uint64_t at = 0;  // 1 + offset of the record
  };
  struct News {
    std::optional<v1::LaneTableSnapshot> table;
    std::map<std::string, Said> intents;  // by worker
  };

  // A table that is to be applied now. A record that cannot be parsed says nothing.
  std::optional<v1::LaneTableSnapshot> Take(Offset offset, std::string_view record);
  // After each read; `at_end`: there was nothing more. What is still to be applied.
  News AfterRead(bool at_end);

 private:
  bool history_ = true;  // no read has come to the end yet
  std::pair<Epoch, uint64_t> newest_;
  News news_;
};

}  // namespace laneway::worker
