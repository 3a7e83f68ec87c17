#include "worker/attempt_folders.h"

#include <algorithm>
#include <string>
#include <utility>

#include "fleet/job.h"
#include "worker/run_spec.h"
#include "zone/zone.h"

namespace laneway::worker {

Prepared AttemptFolders::Prepare(const Run& run) {
  if (!NeedsFolder(*run.packet)) return {};
  if (fs_ == nullptr) return {absl::FailedPreconditionError("this worker has no dispatch zone")};
  if (!run.packet->has_file()) {
    own_.push_back(run.key);
    return {Make(run.key)};
  }
  const absl::Status status =
      zone::Zone::Verify(*fs_, worker_, run.key.task, run.key.attempt, zone::IdentityOf(run.packet->file()));
  if (absl::IsNotFound(status) || absl::IsFailedPrecondition(status)) return {status, v1::FILE_MISSING};
  if (!status.ok() || !WritesOutputs(run.packet->spec().handler())) return {status};
  return {zone::Zone::MakeAttemptFolder(*fs_, worker_, run.key.task, run.key.attempt)};
}

// Renaming an empty folder costs a fifth of making two and removing them again.
absl::Status AttemptFolders::Make(const AttemptKey& key) {
  while (!spares_.empty()) {
    const std::string spare = std::move(spares_.back());
    spares_.pop_back();
    const absl::Status renamed = fs_->Rename(spare, zone::AttemptFolder(worker_, key.task, key.attempt));
    if (renamed.ok()) return renamed;
    if (!absl::IsNotFound(renamed)) Remove(spare);
  }
  return zone::Zone::MakeAttemptFolder(*fs_, worker_, key.task, key.attempt);
}

void AttemptFolders::Release(const AttemptKey& key) {
  const auto it = std::find(own_.begin(), own_.end(), key);
  if (it == own_.end()) return;
  own_.erase(it);
  std::string folder = zone::AttemptFolder(worker_, key.task, key.attempt);
  if (spares_.size() < own_.size() && OnlyEmptyOutputIn(folder)) {
    spares_.push_back(std::move(folder));
  } else {
    Remove(folder);
  }
  while (spares_.size() > own_.size()) {
    Remove(spares_.back());
    spares_.pop_back();
  }
}

bool AttemptFolders::OnlyEmptyOutputIn(const std::string& folder) {
  const auto outputs = fs_->List(folder + "/output");
  if (!outputs.ok() || !outputs->empty()) return false;
  const auto all = fs_->List(folder);
  return all.ok() && all->size() == 1;
}

void AttemptFolders::Remove(const std::string& folder) {
  if (fs_->RemoveFolder(folder + "/output").ok()) (void)fs_->RemoveFolder(folder);
}

}  // namespace laneway::worker
