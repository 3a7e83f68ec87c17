// Linked into test programs that launch companions or keepers: such a program must be able to be one.
#include "worker/browser/keeper.h"
#include "worker/executor/companion.h"

extern "C" bool TestProgramServes(int argc, char** argv, int* exit_code);

extern "C" bool TestProgramServes(int argc, char** argv, int* exit_code) {
  std::optional<int> code = laneway::worker::CompanionMain(argc, argv);
  if (!code) code = laneway::worker::KeeperMain(argc, argv);
  if (code) *exit_code = *code;
  return code.has_value();
}
