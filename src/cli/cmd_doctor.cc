#include <fcntl.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "cli/commands.h"
#include "cli/exit_codes.h"
#include "cli/read.h"
#include "cli/settings.h"
#include "node/browser_plan.h"
#include "ops/clock.h"
#include "ops/config.h"
#include "ops/json_writer.h"
#include "ops/text.h"
#include "ops/units.h"
#include "worker/browser/chrome.h"
#include "worker/browser/debug_talk.h"
#include "worker/browser/port_owner.h"

namespace laneway::cli {
namespace {

constexpr uint64_t kFreeMin = 512ULL << 20;
constexpr rlim_t kFilesMin = 1024;

struct Finding {
  std::string check;
  bool ok = true;
  std::string detail;
  std::string remedy;
};

struct Options {
  ReadOptions read;
  SettingsOptions settings;
};

// A folder that is there and can be written to, or whose parent allows it to be made.
Finding CheckFolder(const std::string& what, const std::string& path) {
  struct stat info {};
  if (stat(path.c_str(), &info) == 0) {
    if (!S_ISDIR(info.st_mode)) return {what, false, path + " is not a folder", "give another path"};
    if (access(path.c_str(), R_OK | W_OK | X_OK) == 0) return {what, true, path, ""};
    return {what, false, path + ": " + std::strerror(errno),
            "give the user of Laneway the right to read and write there"};
  }
  const size_t slash = path.rfind('/');
  const std::string parent = slash == std::string::npos ? "." : slash == 0 ? "/" : path.substr(0, slash);
  if (errno == ENOENT && access(parent.c_str(), W_OK | X_OK) == 0)
    return {what, true, path + " will be made", ""};
  return {what, false, path + " is not there and cannot be made in " + parent, "make it: mkdir -p " + path};
}

Finding CheckOneDevice(const std::string& zone) {
  struct stat first {};
  if (stat((zone + "/incoming").c_str(), &first) != 0)
    return {"zone on one device", true, "not made yet", ""};
  for (const char* name : {"processing", "completed", "failed", "quarantine"}) {
    struct stat other {};
    if (stat((zone + "/" + name).c_str(), &other) == 0 && other.st_dev != first.st_dev) {
      return {"zone on one device", false, std::string(name) + "/ is on another file system than incoming/",
              "put the whole zone on one file system: a file can only be renamed within it"};
    }
  }
  return {"zone on one device", true, "", ""};
}

Finding CheckSpace(const std::string& path) {
  struct statvfs info {};
  std::string at = path;
  while (statvfs(at.c_str(), &info) != 0) {
    const size_t slash = at.rfind('/');
    if (slash == std::string::npos || slash == 0) {
      at = slash == 0 ? "/" : ".";
      if (statvfs(at.c_str(), &info) != 0) return {"free space", false, std::strerror(errno), ""};
      break;
    }
    at.resize(slash);
  }
  const uint64_t free = static_cast<uint64_t>(info.f_bavail) * info.f_frsize;
  return {"free space", free >= kFreeMin, std::to_string(free >> 20) + " MiB at " + at,
          "free at least 512 MiB: with less the fleet takes nothing new"};
}

Finding CheckFiles() {
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  return {"open files", limit.rlim_cur >= kFilesMin, "at most " + std::to_string(limit.rlim_cur),
          "raise it: ulimit -n 4096, or LimitNOFILE in the service's unit"};
}

Finding CheckClock() {
  const LogTime now = ops::RealClock::Get().Wall();
  const bool sane = now > *ops::ParseTime("2025-01-01") && now < *ops::ParseTime("2100-01-01");
  return {"clock", sane, ops::FormatTime(now), "set the clock; run an NTP client"};
}

Finding CheckApi(const ReadOptions& read) {
  const auto client = MakeApiClient(read.api);
  const ApiAnswer answer = client->Get("/readyz");
  if (answer.status == 0) return {"fleet", true, "none runs at " + client->url(), ""};
  return {"fleet", answer.exit_code == kDone,
          answer.exit_code == kDone ? "ready" : "not ready: " + answer.error,
          "laneway health tells which check fails"};
}

// The first line of what the program prints as its version; empty when it prints nothing.
std::string VersionOf(const std::string& program) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return "";
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
  posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
  char name[] = "--version";
  char* argv[] = {const_cast<char*>(program.c_str()), name, nullptr};
  pid_t pid = 0;
  const int error = posix_spawn(&pid, program.c_str(), &actions, nullptr, argv, environ);
  posix_spawn_file_actions_destroy(&actions);
  close(ends[1]);
  std::string text;
  char bytes[256];
  for (ssize_t size = 0; error == 0 && text.size() < 4096 && (size = read(ends[0], bytes, sizeof bytes)) > 0;)
    text.append(bytes, static_cast<size_t>(size));
  close(ends[0]);
  if (error == 0) waitpid(pid, nullptr, 0);
  return ops::Printable(text.substr(0, text.find('\n')), 200);
}

// "Chromium 156.0.8078.108 …": 156; 0 when there is no number.
int MajorOf(const std::string& version) {
  const size_t digit = version.find_first_of("0123456789");
  return digit == std::string::npos ? 0 : std::atoi(version.c_str() + digit);
}

Finding CheckBrowserProgram(const v1::BrowserConfig& browser) {
  const char* path = std::getenv("PATH");
  const auto program = worker::FindBrowser(browser.command(), path == nullptr ? "" : path);
  if (!program.ok())
    return {"browser", false, std::string(program.status().message()), "apt-get install chromium"};
  const std::string version = VersionOf(*program);
  const int major = MajorOf(version);
  if (major == 0)
    return {"browser", false, *program + " does not tell its version", "is it a browser at all?"};
  return {"browser", major >= worker::kOldestBrowser, *program + ": " + version,
          "version " + std::to_string(worker::kOldestBrowser) + " or later is needed"};
}

// Of each browser that this configuration would start: sandbox, shared memory, ports.
void CheckBrowsers(const v1::Config& config, std::vector<Finding>* findings) {
  const v1::BrowserConfig& browser = config.browser();
  if (!browser.enabled()) return;
  if (!browser.attach()) {
    findings->push_back(CheckBrowserProgram(browser));
    const absl::Status sandbox =
        worker::CheckSandbox(geteuid() == 0, {browser.args().begin(), browser.args().end()});
    findings->push_back({"browser sandbox", sandbox.ok(), std::string(sandbox.message()),
                         "another user, or --no-sandbox in browser.args"});
    const uint64_t shared_mib = worker::SharedMemoryKib() / 1024;
    findings->push_back({"shared memory", true,
                         std::to_string(shared_mib) + " MiB in /dev/shm" +
                             (shared_mib < 256 ? ": browsers will use the disk instead" : ""),
                         ""});
    const bool display = std::getenv("DISPLAY") != nullptr || std::getenv("WAYLAND_DISPLAY") != nullptr;
    findings->push_back({"display", true, display ? "there is one" : "none: browsers start headless", ""});
  }
  uint32_t place = 0;
  for (const std::string& name : ops::WorkerNames(config.worker())) {
    const uint16_t port = node::BrowserPort(config, WorkerId(name), ++place);
    const auto owner = worker::WhoListens(port);
    const bool own = owner && owner->name.find("chrom") != std::string::npos;
    const bool fine = browser.attach() ? owner.has_value() : !owner || own;
    findings->push_back({"browser port " + std::to_string(port), fine,
                         owner ? name + ": " + worker::Describe(*owner)
                               : name + (browser.attach() ? ": nobody listens" : ": free"),
                         browser.attach()
                             ? "start the browser with --remote-debugging-port=" + std::to_string(port)
                             : "end it, or set another browser.port_base"});
  }
}

int Doctor(const Options& options) {
  const auto config = LoadSettings(options.settings, false);
  if (!config) return kUsage;
  const std::string& zone = config->values.zone().path();
  const std::string& data = config->values.log().data();
  std::vector<Finding> findings = {{"configuration", true, "fine", ""},
                                   CheckFolder("zone", zone),
                                   CheckOneDevice(zone),
                                   CheckFolder("data", data),
                                   CheckSpace(data),
                                   CheckFiles(),
                                   CheckClock(),
                                   CheckApi(options.read)};
  CheckBrowsers(config->values, &findings);
  ops::JsonWriter out;
  out.BeginObject().Key("checks").BeginArray();
  bool fine = true;
  for (const Finding& finding : findings) {
    fine = fine && finding.ok;
    out.BeginObject()
        .Field("name", finding.check)
        .Field("ok", finding.ok)
        .Field("detail", finding.detail)
        .Field("remedy", finding.ok ? "" : finding.remedy)
        .EndObject();
  }
  out.EndArray().EndObject();
  const Shape shape{
      "checks", "name", {{"CHECK", "name"}, {"OK", "ok"}, {"DETAIL", "detail"}, {"REMEDY", "remedy"}}};
  Print(ops::ParseStrictJson(out.text()).root, shape, options.read);
  return fine ? kDone : kFailed;
}

}  // namespace

void AddDoctor(Command& root) {
  auto options = std::make_shared<Options>();
  Command& doctor = root.Add("doctor", "What is wrong with this installation, with the remedy");
  doctor.Examples({"laneway doctor", "laneway doctor --config laneway.json -o json"});
  AddSettingsOptions(doctor, options->settings);
  AddApiOption(doctor, options->read);
  doctor.Choice("-o,--output", options->read.format, {"table", "wide", "json", "jsonl", "name"},
                "How to print");
  doctor.Run([options] { return Doctor(*options); });
}

}  // namespace laneway::cli
