#include "worker/attempt_folders.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "fleet/job.h"
#include "worker/run_spec.h"
#include "zone/path.h"
#include "zone/zone.h"

namespace laneway::worker {
namespace {
constexpr size_t kSparesMax = 64;
constexpr std::string_view kSpare = "spare-";  // no attempt's name
}  // namespace

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

// Renaming an empty folder costs a third of making two and removing them again.
absl::Status AttemptFolders::Make(const AttemptKey& key) {
  while (spares_ > 0) {
    const std::string spare = Spare(spares_--);
    if (fs_->Rename(spare, zone::AttemptFolder(worker_, key.task, key.attempt)).ok()) return absl::OkStatus();
    Remove(spare);
  }
  return zone::Zone::MakeAttemptFolder(*fs_, worker_, key.task, key.attempt);
}

void AttemptFolders::Release(const AttemptKey& key) {
  const auto it = std::find(own_.begin(), own_.end(), key);
  if (it == own_.end()) return;
  own_.erase(it);
  const std::string folder = zone::AttemptFolder(worker_, key.task, key.attempt);
  if (!Keep(folder)) Remove(folder);
}

bool AttemptFolders::Keep(const std::string& folder) {
  if (spares_ == kSparesMax || !OnlyEmptyOutputIn(folder)) return false;
  const std::string spare = Spare(spares_ + 1);
  absl::Status renamed = fs_->Rename(folder, spare);
  if (absl::IsAlreadyExists(renamed)) {  // a predecessor's
    Remove(spare);
    renamed = fs_->Rename(folder, spare);
  }
  spares_ += renamed.ok() ? 1 : 0;
  return renamed.ok();
}

void AttemptFolders::RemoveSpares() {
  while (spares_ > 0) Remove(Spare(spares_--));
  if (std::exchange(tidied_, true) || fs_ == nullptr) return;
  const std::string folder(zone::ParentOf(Spare(1)));
  const auto entries = fs_->List(folder);
  if (!entries.ok()) return;
  for (const zone::FolderEntry& entry : *entries) {
    if (entry.name.starts_with(kSpare)) Remove(zone::JoinPath(folder, entry.name));
  }
}

std::string AttemptFolders::Spare(size_t n) const {
  return absl::StrCat("processing/", worker_.name, "/", std::string(kSpare), n);
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
