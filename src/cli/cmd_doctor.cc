#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>

#include "cli/commands.h"
#include "cli/exit_codes.h"
#include "cli/read.h"
#include "cli/settings.h"
#include "ops/clock.h"
#include "ops/json_writer.h"
#include "ops/text.h"
#include "ops/units.h"

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

int Doctor(const Options& options) {
  const auto config = LoadSettings(options.settings, false);
  if (!config) return kUsage;
  const std::string& zone = config->values.zone().path();
  const std::string& data = config->values.log().data();
  const Finding findings[] = {{"configuration", true, "fine", ""},
                              CheckFolder("zone", zone),
                              CheckOneDevice(zone),
                              CheckFolder("data", data),
                              CheckSpace(data),
                              CheckFiles(),
                              CheckClock(),
                              CheckApi(options.read)};
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
