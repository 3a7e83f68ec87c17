// zone_bench: files a second through the zone, with every step synced, next to bare renames of the same run.
//
//   zone_bench [files=4096] [batch=64] [workers=3] [folder=/tmp]
//
// One line of JSON: PlaceFiles and FinishFiles apart and together, the scanner's full look, and the raw
// limit: renames of as many files from one folder to another, unsynced, and one sync of a folder.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "measure/raw.h"
#include "zone/posix_fs.h"
#include "zone/scanner.h"
#include "zone/zone.h"

namespace laneway::zone {
namespace {

using measure::CpuSeconds;
using Clock = std::chrono::steady_clock;

double SecondsSince(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

[[noreturn]] void Fail(const std::string& what) {
  std::fprintf(stderr, "zone_bench: %s\n", what.c_str());
  std::exit(1);
}

struct Options {
  size_t files = 4096;
  size_t batch = 64;
  size_t workers = 3;
  std::string folder = "/tmp";
};

struct Figures {
  double rename_seconds = 0, sync_seconds = 0, scan_seconds = 0, rescan_seconds = 0, place_seconds = 0,
         finish_seconds = 0, cpu_seconds = 0;
};

void MakeFiles(const std::string& folder, size_t count) {
  for (size_t i = 0; i < count; i++)
    std::ofstream(folder + "/file-" + std::to_string(i) + ".csv") << "id,hours\n1,8\n";
}

// There and back, so that the files are in incoming/ again.
void MeasureRaw(PosixFs& fs, const Options& options, Figures& figures) {
  if (!fs.MakeFolder("raw").ok()) Fail("cannot make a folder");
  const Clock::time_point start = Clock::now();
  for (size_t i = 0; i < options.files; i++) {
    const std::string name = "/file-" + std::to_string(i) + ".csv";
    if (!fs.Rename("incoming" + name, "raw" + name).ok()) Fail("cannot rename");
  }
  figures.rename_seconds = SecondsSince(start);
  for (size_t i = 0; i < options.files; i++) {
    const std::string name = "/file-" + std::to_string(i) + ".csv";
    if (!fs.Rename("raw" + name, "incoming" + name).ok()) Fail("cannot rename");
  }
  std::vector<double> syncs;
  for (int i = 0; i < 32; i++) {
    const std::string probe = "raw/" + std::to_string(i);
    if (!fs.MakeFolder(probe).ok()) Fail("cannot make a folder");
    const Clock::time_point sync_start = Clock::now();
    const std::vector<std::string> folders = {probe};
    if (!fs.SyncFolders(folders).ok()) Fail("cannot sync");
    syncs.push_back(SecondsSince(sync_start));
  }
  std::sort(syncs.begin(), syncs.end());
  figures.sync_seconds = syncs[syncs.size() / 2];
}

void MeasureZone(Zone& zone, const std::vector<Identity>& files, const Options& options, Figures& figures) {
  const double cpu = CpuSeconds();
  for (size_t begin = 0; begin < files.size(); begin += options.batch) {
    const size_t end = std::min(begin + options.batch, files.size());
    std::vector<PlaceRequest> place;
    std::vector<FinishRequest> finish;
    for (size_t i = begin; i < end; i++) {
      const WorkerId worker("DTF-0" + std::to_string(1 + i % options.workers));
      const TaskId task{JobId{42, i + 1}, 1};
      place.push_back({.task = task, .attempt = 1, .worker = worker, .file = files[i]});
      finish.push_back({.task = task,
                        .attempt = 1,
                        .output_attempt = 1,
                        .output_worker = worker,
                        .file = files[i],
                        .claimed = true,
                        .earlier = {{1, worker}},
                        .place = Place::kCompleted});
    }
    Clock::time_point start = Clock::now();
    for (const PlaceResult& result : zone.PlaceFiles(place)) {
      if (result.outcome != PlaceOutcome::kPlaced) Fail("not placed: " + result.status.ToString());
    }
    figures.place_seconds += SecondsSince(start);
    start = Clock::now();
    for (const FinishResult& result : zone.FinishFiles(finish)) {
      if (result.outcome != FinishOutcome::kMoved) Fail("not moved: " + result.status.ToString());
    }
    figures.finish_seconds += SecondsSince(start);
  }
  figures.cpu_seconds = CpuSeconds() - cpu;
}

int Main(const Options& options) {
  std::string root = options.folder + "/laneway-zone-bench-XXXXXX";
  if (mkdtemp(root.data()) == nullptr) Fail("cannot make a folder in " + options.folder);
  Figures figures;
  {
    auto fs = PosixFs::Open(root);
    if (!fs.ok()) Fail(fs.status().ToString());
    Zone zone(fs->get(), IncarnationId{1, 1});
    for (const absl::Status& status : {zone.Prepare(), zone.MakeStaging(), zone.FenceOthers()}) {
      if (!status.ok()) Fail(status.ToString());
    }
    MakeFiles(root + "/incoming", options.files);
    MeasureRaw(**fs, options, figures);
    Scanner scanner(fs->get(), std::chrono::milliseconds(0));
    const Clock::time_point start = Clock::now();
    std::vector<Identity> found;
    while (found.size() < options.files) {
      const Findings findings = scanner.Scan(std::chrono::milliseconds(0));
      if (findings.complete.empty()) Fail("the scanner did not find all files");
      found.insert(found.end(), findings.complete.begin(), findings.complete.end());
    }
    figures.scan_seconds = SecondsSince(start);
    const Clock::time_point again = Clock::now();
    scanner.Scan(std::chrono::milliseconds(0));
    figures.rescan_seconds = SecondsSince(again);
    MeasureZone(zone, found, options, figures);
  }
  std::filesystem::remove_all(root);
  const auto n = static_cast<double>(options.files);
  std::printf(
      "{\"files\": %zu, \"batch\": %zu, \"workers\": %zu, \"files_per_second\": %.0f, \"place_us_per_file\": "
      "%.1f, "
      "\"finish_us_per_file\": %.1f, \"cpu_us_per_file\": %.1f, \"first_scan_us_per_file\": %.2f, "
      "\"rescan_us_per_file\": %.2f, "
      "\"raw\": {\"renames_per_second\": %.0f, \"one_sync_us\": %.1f}}\n",
      options.files, options.batch, options.workers, n / (figures.place_seconds + figures.finish_seconds),
      figures.place_seconds / n * 1e6, figures.finish_seconds / n * 1e6, figures.cpu_seconds / n * 1e6,
      figures.scan_seconds / n * 1e6, figures.rescan_seconds / n * 1e6, n / figures.rename_seconds,
      figures.sync_seconds * 1e6);
  return 0;
}

}  // namespace
}  // namespace laneway::zone

int main(int argc, char** argv) {
  laneway::zone::Options options;
  for (int i = 1; i < argc; i++) {
    const std::string argument = argv[i];
    const size_t equals = argument.find('=');
    const std::string key = argument.substr(0, equals);
    const std::string value = equals == std::string::npos ? "" : argument.substr(equals + 1);
    if (key == "folder") {
      options.folder = value;
      continue;
    }
    const size_t number = std::strtoull(value.c_str(), nullptr, 10);
    size_t* const option = key == "files"     ? &options.files
                           : key == "batch"   ? &options.batch
                           : key == "workers" ? &options.workers
                                              : nullptr;
    if (option == nullptr || number == 0 || (key == "workers" && number > 9)) {
      std::fprintf(stderr, "usage: zone_bench [files=N] [batch=N] [workers=1..9] [folder=PATH]\n");
      return 2;
    }
    *option = number;
  }
  return laneway::zone::Main(options);
}
