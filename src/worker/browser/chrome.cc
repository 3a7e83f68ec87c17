#include "worker/browser/chrome.h"

#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "worker/executor/placeholders.h"
#include "worker/executor/text.h"

namespace laneway::worker {
namespace {

constexpr std::array<std::string_view, 5> kPrograms = {"chromium", "chromium-browser", "google-chrome-stable",
                                                       "google-chrome", "chrome"};
constexpr uint64_t kSharedMemoryWantedKib = 256 << 10;

bool HasArgument(const std::vector<std::string>& arguments, std::string_view name) {
  return std::any_of(arguments.begin(), arguments.end(), [name](const std::string& argument) {
    return argument == name || argument.starts_with(std::string(name) + "=");
  });
}

bool Holds(std::string_view text, std::string_view part) { return text.find(part) != std::string_view::npos; }

// What it printed that is not about a desktop it does not find.
std::string UsefulEnd(std::string_view output) {
  std::vector<std::string> lines = absl::StrSplit(std::string(output), '\n', absl::SkipWhitespace());
  std::erase_if(lines, [](const std::string& line) {
    return Holds(line, "dbus") || Holds(line, "unexpected operator");
  });
  return lines.empty() ? "" : CleanText(HeadOf(lines.back(), 300));
}

struct Cause {
  std::string_view sign;
  std::string_view text;
};
constexpr Cause kCauses[] = {
    {"Running as root without --no-sandbox",
     "it refuses to run as root with its sandbox: run as another user, or add "
     "--no-sandbox to browser.args"},
    {"No usable sandbox",
     "this system lets it make no sandbox: allow unprivileged user namespaces, install its "
     "setuid sandbox, or add --no-sandbox to browser.args"},
    {"profile appears to be in use",
     "its profile is in use by another browser: end that one, or give this worker "
     "another browser.profile_dir"},
    {"Missing X server",
     "there is no display: add --headless=new to browser.args, or start it where DISPLAY is set"},
    {"cannot open display",
     "there is no display: add --headless=new to browser.args, or start it where DISPLAY is "
     "set"},
    {"Unable to open X display",
     "there is no display: add --headless=new to browser.args, or start it where DISPLAY "
     "is set"},
    {"shared memory",
     "there is too little shared memory: give /dev/shm 256 MiB, or add --disable-dev-shm-usage to "
     "browser.args"},
    {"/dev/shm",
     "there is too little shared memory: give /dev/shm 256 MiB, or add --disable-dev-shm-usage to "
     "browser.args"},
    {"error while loading shared libraries",
     "a library is missing: install the browser with its dependencies"},
    {"No space left on device", "the disk is full: make room where its profile is"},
};

}  // namespace

absl::StatusOr<std::string> FindBrowser(const std::string& command, std::string_view path) {
  const auto runs = [](const std::string& file) { return access(file.c_str(), X_OK) == 0; };
  if (Holds(command, "/")) {
    if (runs(command)) return command;
    return absl::NotFoundError(
        absl::StrCat("browser.command: ", command, " is no program that can be started"));
  }
  const std::string folders(path);
  std::vector<std::string> names(kPrograms.begin(), kPrograms.end());
  if (!command.empty()) names = {command};
  for (const std::string& name : names) {
    for (const absl::string_view folder : absl::StrSplit(folders, ':', absl::SkipEmpty())) {
      std::string file = absl::StrCat(folder, "/", name);
      if (runs(file)) return file;
    }
  }
  if (!command.empty())
    return absl::NotFoundError(absl::StrCat("browser.command: there is no program ", command, " in PATH"));
  return absl::NotFoundError(
      "no Chromium or Chrome is installed: apt-get install chromium, or name one in browser.command");
}

std::vector<std::string> ChromeArguments(const ChromeFacts& facts) {
  std::vector<std::string> arguments = {
      facts.program, absl::StrCat("--remote-debugging-port=", facts.port), "--user-data-dir=" + facts.profile,
      "--no-first-run", "--no-default-browser-check", "--noerrdialogs", "--hide-crash-restore-bubble",
      // Nothing that it does by itself may disturb what scripts do, or wait for a network that is closed.
      "--disable-background-networking", "--disable-component-update", "--disable-sync",
      "--password-store=basic",
      // A window that nobody looks at works as fast as others.
      "--disable-background-timer-throttling", "--disable-backgrounding-occluded-windows",
      "--disable-renderer-backgrounding"};
  if (!facts.display && !HasArgument(facts.more, "--headless")) arguments.push_back("--headless=new");
  // Without a display a GPU is imitated, at more processor time than all else takes.
  if (!facts.display) arguments.push_back("--disable-gpu");
  if (facts.shared_memory_kib < kSharedMemoryWantedKib) arguments.push_back("--disable-dev-shm-usage");
  arguments.insert(arguments.end(), facts.more.begin(), facts.more.end());
  return arguments;
}

absl::Status CheckSandbox(bool root, const std::vector<std::string>& more) {
  if (!root || HasArgument(more, "--no-sandbox")) return absl::OkStatus();
  return absl::FailedPreconditionError(
      "as root a browser runs only without its sandbox: run Laneway as another user, or add --no-sandbox to "
      "browser.args");
}

std::vector<std::string> BrowserEnvironment(const std::vector<std::string>& own,
                                            const std::vector<std::string>& allowed) {
  std::vector<std::string> names = allowed;
  for (const char* name : {"DISPLAY", "WAYLAND_DISPLAY", "XAUTHORITY", "XDG_*", "DBUS_SESSION_BUS_ADDRESS"})
    names.emplace_back(name);
  return PassedEnvironment(own, names);
}

std::string ExplainEnd(std::string_view how, std::string_view output) {
  for (const Cause& cause : kCauses) {
    if (Holds(output, cause.sign)) return std::string(cause.text);
  }
  const std::string said = UsefulEnd(output);
  return absl::StrCat("it ended with ", std::string(how), said.empty() ? "" : ": ", said);
}

uint64_t SharedMemoryKib() {
  struct statvfs info {};
  if (statvfs("/dev/shm", &info) != 0) return 0;
  return static_cast<uint64_t>(info.f_bavail) * info.f_frsize / 1024;
}

}  // namespace laneway::worker
