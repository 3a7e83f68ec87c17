// A program for executor_death_test: a main process with a companion and children, made to be killed.
//
//   fleet_process FOLDER MARK     says "ready" on stdout when its children run. MARK comes without its first
//   character, a 4, so that a search for it does not find this process.
#include <cstdio>
#include <memory>

#include "support/run_executor.h"
#include "worker/executor/companion_executor.h"

int main(int argc, char** argv) {
  using namespace laneway::worker;
  if (auto code = CompanionMain(argc, argv)) return *code;
  if (argc != 3) return 2;
  const std::string folder = argv[1], mark = std::string("4") + argv[2];
  auto launched = Companion::Launch();
  if (!launched.ok()) return 1;
  std::shared_ptr<Companion> companion(std::move(*launched));
  if (!Companion::WaitForPredecessor(folder, std::chrono::seconds(20)).ok()) return 3;
  if (!companion->Configure(folder, laneway::IncarnationId{7, 8}).ok()) return 4;
  companion->AddWorker(laneway::WorkerId("DTF-01"), {7, 8});
  companion->AddWorker(laneway::WorkerId("DTF-02"), {7, 9});
  Collector events;
  CompanionExecutor executor(companion, events.Sink());
  const char* scripts[] = {
      "sleep MARK",
      "trap '' TERM HUP; sleep MARK & sleep MARK",
      "setsid sleep MARK & env -i setsid setsid sleep MARK & sleep MARK",
      "kill -STOP $$; sleep MARK",
      "cat /dev/zero & sleep MARK",
  };
  uint32_t task = 0;
  for (std::string text : scripts) {
    for (size_t at; (at = text.find("MARK")) != std::string::npos;) text.replace(at, 4, mark);
    RunSpec spec;
    spec.key = Key(++task);
    spec.worker = laneway::WorkerId("DTF-01");
    spec.argv = {"/bin/bash", "-c", text};
    spec.environment = {"PATH=/usr/bin:/bin"};
    spec.log_path = folder + "/" + std::to_string(task) + ".log";
    spec.log_bytes_max = 100000;
    executor.Start(spec);
  }
  for (uint32_t n = 1; n <= task; n++) {
    const Started started = events.WaitStarted(Key(n));
    std::printf("%d %llu\n", started.pid, static_cast<unsigned long long>(started.pid_start));
  }
  std::printf("companion %d\nready\n", companion->pid());
  std::fflush(stdout);
  events.WaitCount(1000);
  return 0;
}
