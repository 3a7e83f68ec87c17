// zone_internal.h: what the parts of class Zone share (zone.cc, find.cc, place.cc, finish.cc, leftovers.cc).
#pragma once

#include <functional>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "zone/path.h"
#include "zone/zone.h"

namespace laneway::zone {

inline constexpr std::string_view kIncoming = "incoming";
inline constexpr std::string_view kProcessing = "processing";
inline constexpr std::string_view kFailed = "failed";
inline constexpr std::string_view kQuarantine = "quarantine";
inline constexpr std::string_view kOutput = "output";
inline constexpr std::string_view kClaimPrefix = ".claim-";
inline constexpr std::string_view kClosedSuffix = ".closed";
inline constexpr std::string_view kRefusedPrefix = "refused-";
inline constexpr std::string_view kSparePrefix = "spare-";
inline constexpr size_t kSparesMax = 4096;
inline constexpr uint32_t kFreeNamesMax = 1000;  // ~1, ~2, … before we give up
inline constexpr size_t kKnownFoldersMax = 100'000;

struct Zone::Batch {
  std::set<std::string, std::less<>> touched;  // folders whose entries changed and must survive (rule Z5)
  std::optional<Spots> everything;             // all of processing/, listed at most once a batch

  void Touch(std::string_view folder) {
    if (!touched.contains(folder)) touched.emplace(folder);
  }
  void TouchParents(std::string_view from, std::string_view to) {
    Touch(ParentOf(from));
    Touch(ParentOf(to));
  }
};

struct Zone::Finishing {
  const FinishRequest* request = nullptr;
  FinishResult result;
  bool outputs_due = false;   // the file is where it belongs: outputs follow, folders are cleaned up
  std::string output_folder;  // of the attempt whose outputs are published; empty: none
  std::vector<std::string> attempt_folders;  // of the task, as far as known; that one too
  bool bare = false;                         // these are empty, and nothing ran in them
};

absl::Status CheckTask(const TaskId& task, uint32_t attempt);
absl::Status CheckRedrivenFrom(std::string_view path);  // empty: fine
absl::Status CheckEarlier(const std::vector<EarlierAttempt>& earlier);
std::string InPlace(std::string_view place, std::string_view path);  // "completed" + "a/b" → "completed/a/b"
std::string TaskMark(const TaskId& task);                            // "~<job>-<n>"
Identity IdentityOf(std::string_view path, const FileInfo& info);
absl::Status Fenced();

}  // namespace laneway::zone
