#include <memory>

#include "cli/commands.h"
#include "cli/read.h"

namespace laneway::cli {

void AddLane(Command& root) {
  auto options = std::make_shared<ReadOptions>();
  Command& lane = root.Add("lane", "Lanes: the queues of the workers");
  Command& ls = lane.Add("ls", "Each lane with its owner, backlog and lag");
  ls.Examples({"laneway lane ls", "laneway lane ls -o json"});
  AddReadOptions(ls, *options);
  ls.Run([options] {
    const Shape shape{"lanes",
                      "lane",
                      {{"LANE", "lane"},
                       {"WORKER", "worker"},
                       {"BACKLOG", "backlog"},
                       {"LAG", "lag"},
                       {"NEXT", "next_offset", true},
                       {"FINISHED BELOW", "finished_below", true}}};
    return Read(*options, "/api/v1/lanes", shape);
  });
}

}  // namespace laneway::cli
