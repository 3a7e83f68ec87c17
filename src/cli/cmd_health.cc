#include <iostream>
#include <memory>

#include "cli/commands.h"
#include "cli/exit_codes.h"
#include "cli/read.h"
#include "ops/clock.h"
#include "ops/units.h"

namespace laneway::cli {
namespace {

struct Options {
  ReadOptions read;
  bool wait = false;
  std::string timeout = "60s";
};

const Shape& ChecksShape() {
  static const Shape shape{"checks", "name", {{"CHECK", "name"}, {"OK", "ok"}, {"DETAIL", "detail"}}};
  return shape;
}

int Health(const Options& options) {
  const auto limit = ops::ParseDuration(options.timeout);
  if (!limit) {
    Complain("--timeout: found \"" + options.timeout + "\"; allowed: " + std::string(ops::kDurationForm));
    return kUsage;
  }
  const auto client = MakeApiClient(options.read.api);
  const auto& clock = ops::RealClock::Get();
  const auto end = clock.Steady() + *limit;
  while (true) {
    const ApiAnswer answer = client->Get("/readyz");
    const bool over = !options.wait || clock.Steady() >= end;
    if (answer.exit_code == kDone || over) {
      if (answer.status == 0) return Report(answer);
      Print(answer.value, ChecksShape(), options.read);
      if (answer.exit_code != kDone) Complain("the fleet is not ready");
      return answer.exit_code == kDone ? kDone : kFailed;
    }
    Pause(250);
  }
}

}  // namespace

void AddHealth(Command& root) {
  auto options = std::make_shared<Options>();
  Command& health = root.Add("health", "Is the fleet fine? Exit 0 when it is");
  health.Examples({"laneway health", "laneway health --wait --timeout 60s"});
  AddReadOptions(health, options->read);
  health.Flag("--wait", options->wait, "Until it is, or the timeout");
  health.Option("--timeout", options->timeout, "How long to wait");
  health.Run([options] { return Health(*options); });
}

}  // namespace laneway::cli
