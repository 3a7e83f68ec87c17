#include "cli/cli.h"

#include <csignal>
#include <iostream>
#include <string>

#include "cli/command.h"
#include "cli/commands.h"
#include "cli/exit_codes.h"
#include "cli/version_text.h"

namespace laneway::cli {
namespace {

constexpr void (*kCommands[])(Command&) = {AddUp,    AddRun,    AddTopics,    AddJob,    AddWorker,
                                           AddLane,  AddDead,   AddReport,    AddHealth, AddDoctor,
                                           AddBench, AddConfig, AddCompletion};

}  // namespace

int Main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);  // `laneway job ls | head` ends by the failed write, quietly
  Command root("laneway", "A fleet of workers that processes files and jobs, and loses none.");
  root.Examples({"laneway up --zone dispatch --exec bash process.sh {file}   run a fleet on a folder",
                 "laneway job ls --state FAILED                              what went wrong",
                 "laneway job show JOB                                       every attempt of a job",
                 "laneway worker ls --watch                                  who does what",
                 "laneway config check --config laneway.json                 before it matters"});
  bool version = false;
  root.Flag("--version", version, "Version, commit and libraries");
  root.Run([&version] {
    if (!version) return static_cast<int>(kUsage);
    std::cout << VersionText();
    return static_cast<int>(kDone);
  });
  for (const auto add : kCommands) add(root);
  const int code = root.Parse(argc, argv);
  std::cout.flush();
  return code == kDone && !std::cout ? static_cast<int>(kFailed) : code;
}

}  // namespace laneway::cli
