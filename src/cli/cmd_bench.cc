#include <memory>

#include "cli/bench.h"
#include "cli/commands.h"

namespace laneway::cli {

void AddBench(Command& root) {
  Command& bench = root.Add(
      "bench", "Measures this installation, each figure beside the raw limit of the same run; prints JSON");
  bench.Examples(
      {"laneway bench tasks", "laneway bench latency --rate 200", "laneway bench exec --workers 2"});
  const std::pair<const char*, const char*> kinds[] = {
      {"tasks", "No-op tasks a second, every step synced"},
      {"latency", "From submit to start, at a given rate"},
      {"exec", "Child processes a second, beside bare posix_spawn"},
      {"files", "Files a second through the zone, beside bare renames"},
      {"scale", "Cost of a placement with many workers and tasks"}};
  for (const auto& [kind, about] : kinds) {
    auto options = std::make_shared<BenchOptions>();
    options->kind = kind;
    Command& command = bench.Add(kind, about);
    command.Option("--count", options->count, "How many; 0: as many as make a good figure");
    command.Option("--workers", options->workers, "Workers");
    command.Option("--capacity", options->capacity, "Slots of each worker; 0: as many as make a good figure");
    command.Option("--tasks-per-job", options->tasks_per_job, "Tasks in each job (tasks)");
    command.Option("--rate", options->rate, "Submissions a second (latency)");
    command.Option("--brokers", options->brokers,
                   "On a Kafka cluster instead, HOST:PORT,…; in topics of its own, which stay");
    command.Option("--warm-up", options->warm_up, "With --brokers: tasks before those that are measured");
    command.Repeated("--set", options->set,
                     "Measure with this setting, SECTION.FIELD=VALUE; may be repeated");
    command.Option("--data", options->data, "Folder to measure in (else a temporary one)");
    command.Run([options] { return RunBench(*options); });
  }
}

}  // namespace laneway::cli
