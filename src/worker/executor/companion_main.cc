// The companion's entry: becomes a clean process, then runs the loop.
#include <sys/prctl.h>
#include <unistd.h>

#include <cstring>

#include "worker/executor/clean_process.h"
#include "worker/executor/companion.h"
#include "worker/executor/companion_process.h"

namespace laneway::worker {
namespace {

constexpr int kSocket = 3;  // as Companion::Spawn gives it

}  // namespace

std::optional<int> CompanionMain(int argc, char** argv) {
  if (argc != 3 || std::strcmp(argv[1], kCompanionArgument) != 0) return std::nullopt;
  BecomeCleanProcess(kSocket, "laneway-compan");
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);  // children inherit it
  CompanionProcess companion(kSocket, argv[2]);
  _exit(companion.Run());
}

}  // namespace laneway::worker
