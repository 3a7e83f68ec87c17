#include <memory>

#include "cli/commands.h"
#include "cli/exit_codes.h"
#include "cli/up.h"

namespace laneway::cli {

void AddUp(Command& root) {
  auto options = std::make_shared<UpOptions>();
  Command& up = root.Add("up", "Runs a fleet in this process");
  up.Examples({"laneway up --zone dispatch --workers 3 --exec bash process.sh {file}",
               "laneway up --until-idle --zone dispatch --exec ./clean {file} {output_dir}",
               "laneway up --config laneway.json"});
  AddCommonFlags(up, *options);
  AddZoneFlag(up, *options);
  AddWorkerFlags(up, *options);
  AddJobFlags(up, *options);
  up.Option("--listen", options->listen, "Address of the API, or off");
  up.Flag("--until-idle", options->until_idle,
          "End when the zone is empty and every job has ended, with a summary; exit 1 if a task died");
  up.Run([options] {
    Translate(*options);
    const auto config = LoadSettings(options->settings, true);
    if (!config) return static_cast<int>(kUsage);
    return RunUp(*options, *config);
  });
}

}  // namespace laneway::cli
