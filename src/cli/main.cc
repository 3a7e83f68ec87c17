#include "cli/cli.h"
#include "node/last_words_teller.h"
#include "worker/browser/keeper.h"
#include "worker/executor/companion.h"

int main(int argc, char** argv) {
  // Before anything else: a companion or keeper has no thread and no library's state.
  if (const auto code = laneway::worker::CompanionMain(argc, argv)) return *code;
  if (const auto code = laneway::worker::KeeperMain(argc, argv)) return *code;
  if (const auto code = laneway::node::TellerMain(argc, argv)) return *code;
  return laneway::cli::Main(argc, argv);
}

// How the binary's allocator (jemalloc) behaves: few arenas for few threads, and memory given back soon after
// a burst. Records are made on one thread and freed on another, which costs the C library's allocator a third
// of all CPU time.
extern "C" {
extern const char* malloc_conf;
const char* malloc_conf = "narenas:4,background_thread:true,dirty_decay_ms:1000,muzzy_decay_ms:0";
}
