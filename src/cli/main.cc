#include "cli/cli.h"
#include "worker/executor/companion.h"

int main(int argc, char** argv) {
  // Before anything else: a companion has no thread and no library's state.
  if (const auto code = laneway::worker::CompanionMain(argc, argv)) return *code;
  return laneway::cli::Main(argc, argv);
}
