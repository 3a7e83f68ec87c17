#include "node/browser_plan.h"

#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "absl/strings/str_replace.h"
#include "ops/units.h"
#include "worker/browser/chrome.h"

namespace laneway::node {
namespace {

constexpr uint32_t kWorkersMax = 10'000;

std::string ValueOf(const std::vector<std::string>& environment, std::string_view name) {
  for (const std::string& variable : environment) {
    if (variable.starts_with(name) && variable.size() > name.size() && variable[name.size()] == '=')
      return variable.substr(name.size() + 1);
  }
  return "";
}

}  // namespace

uint32_t WorkerNumber(const std::string& id_pattern, const WorkerId& worker, uint32_t place) {
  for (uint32_t n = 1; n <= kWorkersMax; n++) {
    if (ops::FillWorkerPattern(id_pattern, n) == worker.name) return n;
  }
  return place;
}

uint16_t BrowserPort(const v1::Config& config, const WorkerId& worker, uint32_t place) {
  const uint32_t number = WorkerNumber(config.worker().id_pattern(), worker, place);
  return static_cast<uint16_t>(std::min(config.browser().port_base() + number - 1, 65'535U));
}

worker::BrowserSpec BrowserSpecOf(const v1::Config& config, const WorkerId& worker, uint32_t place,
                                  const std::vector<std::string>& environment) {
  const v1::BrowserConfig& browser = config.browser();
  worker::BrowserSpec spec;
  spec.worker = worker;
  spec.limits.attach_only = browser.attach();
  spec.limits.start_timeout = Millis(browser.start_timeout_ms());
  spec.limits.backoff_first = Millis(browser.restart_backoff_ms());
  spec.limits.recycle_tasks = browser.recycle_tasks();
  spec.limits.recycle_age = Millis(browser.recycle_age_ms());
  spec.limits.recycle_memory_kib = browser.recycle_memory() / 1024;
  spec.plan.port = BrowserPort(config, worker, place);
  spec.plan.profile =
      std::filesystem::absolute(absl::StrReplaceAll(browser.profile_dir(), {{"{worker}", worker.name}}))
          .lexically_normal();
  spec.plan.adopt_within = Millis(browser.adopt_within_ms());
  const std::vector<std::string> allowed(config.worker().environment().begin(),
                                         config.worker().environment().end());
  spec.plan.environment = worker::BrowserEnvironment(environment, allowed);
  const std::vector<std::string> more(browser.args().begin(), browser.args().end());
  spec.plan.argv = [command = browser.command(), more, environment, profile = spec.plan.profile,
                    port16 = spec.plan.port]() -> absl::StatusOr<std::vector<std::string>> {
    auto program = worker::FindBrowser(command, ValueOf(environment, "PATH"));
    if (!program.ok()) return program.status();
    if (absl::Status sandbox = worker::CheckSandbox(geteuid() == 0, more); !sandbox.ok()) return sandbox;
    const bool display =
        !ValueOf(environment, "DISPLAY").empty() || !ValueOf(environment, "WAYLAND_DISPLAY").empty();
    return worker::ChromeArguments({*program, profile, port16, more, display, worker::SharedMemoryKib()});
  };
  return spec;
}

}  // namespace laneway::node
