// fixture.h: one job with a file in memory, and the requests that a dispatcher makes for it.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <vector>

#include "support/memory_fs.h"
#include "zone/zone.h"

namespace laneway::zone {

using ::laneway::testing::MemoryFs;

inline Identity IdentityAt(MemoryFs& fs, const std::string& path) {
  const FileInfo info = fs.Stat("incoming/" + path).value();
  return {.path = path, .size = info.size, .mtime_ns = info.mtime_ns, .inode = info.inode};
}

inline Identity Arrives(MemoryFs& fs, const std::string& path, const std::string& bytes) {
  fs.Write("incoming/" + path, bytes);
  return IdentityAt(fs, path);
}

// A dispatcher as far as the zone sees it: made, and nothing decided yet.
inline Zone Starts(Fs* fs, uint64_t incarnation) {
  Zone zone(fs, IncarnationId{incarnation, incarnation});
  EXPECT_TRUE(zone.Prepare().ok());
  EXPECT_TRUE(zone.MakeStaging().ok());
  EXPECT_TRUE(zone.FenceOthers().ok());
  return zone;
}

// What the fold knows of a job's only task.
struct Task {
  TaskId id{JobId{1, 1}, 1};
  Identity file;
  std::string bytes;
  uint32_t attempt = 1;
  std::vector<WorkerId> workers{WorkerId("DTF-01")};  // of attempt 1, 2, …
  bool claimed = false;
  std::string redriven_from;
  Place place = Place::kCompleted;
  bool outputs = true;

  const WorkerId& worker() const { return workers.at(attempt - 1); }
  std::string folder(uint32_t n) const { return AttemptFolder(workers.at(n - 1), id, n); }
  std::string path(uint32_t n) const { return folder(n) + "/" + FileNameInAttempt(file); }

  PlaceRequest ToPlace() const {
    PlaceRequest request{
        .task = id, .attempt = attempt, .worker = worker(), .file = file, .claimed = claimed};
    for (uint32_t n = 1; n < attempt; n++) request.earlier.push_back({n, workers.at(n - 1)});
    request.redriven_from = redriven_from;
    request.outputs = outputs;
    return request;
  }
  FinishRequest ToFinish(uint32_t output_attempt) const {
    FinishRequest request{.task = id, .attempt = attempt, .file = file, .claimed = claimed, .place = place};
    for (uint32_t n = 1; n <= attempt; n++) request.earlier.push_back({n, workers.at(n - 1)});
    request.output_attempt = output_attempt;
    request.outputs = outputs;
    if (output_attempt != 0) request.output_worker = workers.at(output_attempt - 1);
    return request;
  }
};

inline PlaceResult PlaceIt(Zone& zone, const Task& task) {
  const PlaceRequest request = task.ToPlace();
  return zone.PlaceFiles({&request, 1})[0];
}
inline FinishResult FinishIt(Zone& zone, const Task& task, uint32_t output_attempt) {
  const FinishRequest request = task.ToFinish(output_attempt);
  return zone.FinishFiles({&request, 1})[0];
}

// A zone with one file that has arrived.
class ZoneTest : public ::testing::Test {
 protected:
  ZoneTest() : zone_(Starts(&fs_, 1)) {
    task_.file = Arrives(fs_, "in/a.csv", "A");
    task_.bytes = "A";
  }
  MemoryFs fs_;
  Zone zone_;
  Task task_;
};

}  // namespace laneway::zone
