// Names and paths as they come from folders, records and requests: whatever the bytes are, nothing leaves the
// zone, nothing is lost, and what cannot be a file's path is refused.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

#include "support/memory_fs.h"
#include "zone/path.h"
#include "zone/scanner.h"
#include "zone/zone.h"

namespace laneway::zone {
namespace {

void Require(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "zone_path_fuzz: %s\n", what);
  std::abort();
}

void CheckHelpers(std::string_view path) {
  Require(!CheckUserPath(path).ok() || CheckPath(path).ok(), "a user's path is a path");
  Printable(path);
  IsUnfinishedName(path);
  if (const auto name = ParseAttemptName(path)) {
    Require(ToAttemptName(name->task, name->attempt) == path, "names of attempts are only what we write");
  }
  if (!CheckPath(path).ok()) return;
  Require(path.front() != '/' && path.back() != '/', "relative");
  Require(
      path != ".." && !path.starts_with("../") && !path.ends_with("/..") && path.find("/../") == path.npos,
      "no way up");
  Require(JoinPath(ParentOf(path), NameOf(path)) == path, "a path is its folder and its name");
  for (const char* mark : {"~1", "~0000000000000000000000000A-123456789~1000"}) {
    const std::string marked = WithMark(path, mark, 16);
    Require(CheckPath(marked).ok() || marked.size() > kSystemPathBytesMax, "a marked name is a name");
    Require(ParentOf(marked) == ParentOf(path) && marked != path, "another name in the same folder");
    Require(NameOf(marked).size() + 16 <= kSystemNameBytesMax || NameOf(marked).size() <= NameOf(path).size(),
            "not longer");
  }
}

// The whole way of a file of that name; and of one that must be refused.
void CheckWay(const std::string& path) {
  testing::MemoryFs fs;
  Zone zone(&fs, IncarnationId{1, 1});
  Require(zone.Prepare().ok() && zone.MakeStaging().ok() && zone.FenceOthers().ok(), "the zone can be made");
  PlaceRequest place{.task = {JobId{1, 1}, 1}, .attempt = 1, .worker = WorkerId("w"), .file = {.path = path}};
  const bool there = CheckPath(path).ok();
  uint64_t inode = 0;
  if (there) {
    fs.Write("incoming/" + path, "bytes");
    const FileInfo info = fs.Stat("incoming/" + path).value();
    inode = info.inode;
    place.file = {.path = path, .size = info.size, .mtime_ns = info.mtime_ns, .inode = info.inode};
  }
  const PlaceResult placed = zone.PlaceFiles({&place, 1})[0];
  Require((placed.outcome == PlaceOutcome::kPlaced) == CheckUserPath(path).ok(),
          "every user's path can be placed, no other");
  FinishRequest finish{
      .task = place.task, .attempt = 1, .file = place.file, .claimed = true, .earlier = {{1, place.worker}}};
  if (placed.outcome == PlaceOutcome::kPlaced) {
    const FinishResult finished = zone.FinishFiles({&finish, 1})[0];
    Require(finished.outcome == FinishOutcome::kMoved && finished.path == "completed/" + path,
            "it arrives under its name");
    Require(zone.FinishFiles({&finish, 1})[0].path == finished.path, "and is found there again");
  } else {
    Require(absl::IsInvalidArgument(placed.status), "refused for ever");
    Scanner scanner(&fs, std::chrono::milliseconds(0));
    const Findings findings = scanner.Scan(std::chrono::milliseconds(0));
    Require(findings.complete.empty(), "never offered");
    for (const Refused& refused : findings.refused)
      Require(zone.Refuse(refused.path).ok(), "what is refused can be put away");
  }
  if (!there) return;
  const std::vector<std::string> paths = fs.PathsOf(inode);
  Require(paths.size() == 1 && fs.Read(paths[0]) == "bytes", "in one place, unchanged");
  zone.Refuse(path).status().IgnoreError();
  PlaceRequest hostile = place;
  hostile.redriven_from = path;
  zone.PlaceFiles({&hostile, 1});
  hostile.redriven_from.clear();
  hostile.worker = WorkerId(path);
  zone.PlaceFiles({&hostile, 1});
  Require(fs.PathsOf(inode).size() == 1, "still in one place");
}

}  // namespace
}  // namespace laneway::zone

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size > 5000) return 0;
  const std::string path(reinterpret_cast<const char*>(data), size);
  laneway::zone::CheckHelpers(path);
  laneway::zone::CheckWay(path);
  return 0;
}
