// What is compared between the processes of a run, and what must hold at its end.
#include "sim/checker.h"

#include <algorithm>

#include "sim/workload.h"
#include "zone/path.h"
#include "zone/zone.h"

namespace laneway::sim {

// ---- folds

void Checker::CompareFold(const std::string& name, const Ledger& ledger) {
  for (uint32_t partition = 0; partition < next_.size(); partition++) {
    if (ledger.next_offset(partition) != oracle_->next_offset(partition)) return;
  }
  world_->Count("folds compared");
  if (world_->plan().retention_ms != 0) {  // a fold that begins later knows less of what has ended
    const std::vector<JobId> has = ledger.OpenJobs(), wants = oracle_->OpenJobs();
    for (const JobId& id : wants) {
      Check(std::binary_search(has.begin(), has.end(), id), "(g)",
            absl::StrCat("the fold of ", name, " does not know the job ", id.ToString(),
                         ", which has not ended"));
    }
    for (const JobId& id : has) {
      Check(std::binary_search(wants.begin(), wants.end(), id), "fold",
            absl::StrCat("the fold of ", name, " has the job ", id.ToString(), " open, which is closed"));
    }
    return;
  }
  if (ledger.Digest() == oracle_->Digest()) return;
  std::string difference;
  for (const JobId& id : oracle_->OpenJobs()) {
    const Job* have = ledger.Find(id);
    const v1::JobState wants = oracle_->ToState(*oracle_->Find(id));
    const std::string has = have == nullptr ? "nothing" : ledger.ToState(*have).ShortDebugString();
    if (has != wants.ShortDebugString())
      absl::StrAppend(&difference, "; ", id.ToString(), ": ", has, " instead of ", wants.ShortDebugString());
  }
  Check(false, "fold",
        absl::StrCat("the fold of ", name, " differs from one that read the same records", difference));
}

void Checker::CheckActive(const std::string& name, const dispatcher::Dispatcher& core,
                          const FoldDriver& fold) {
  if (!core.active()) return;
  for (const auto& [epoch, dispatcher] : elections_) {
    const bool others = epoch > core.epoch() && epoch <= fold.members().elected() &&
                        dispatcher != core.incarnation().ToBytes();
    Check(!others, "(d)",
          absl::StrCat(name, " goes on with epoch ", core.epoch(), " though it has read of epoch ", epoch,
                       " (rule E1)"));
  }
  for (uint32_t partition = 0; partition < next_.size(); partition++) {
    Check(fold.ledger().epoch(partition) >= core.epoch(), "(d)",
          absl::StrCat(name, " is active before its mark in partition ", partition,
                       " was read back (rule L2)"));
  }
}

void Checker::CheckReplay() {
  MemoryFinished finished;
  Ledger again({.partitions = world_->plan().partitions}, &finished);
  // its memory of closed jobs is ahead of it
  Ledger from_snapshot({.partitions = world_->plan().partitions}, &finished_);
  std::vector<std::vector<v1::PartitionSnapshot>> snapshots(history_.size());
  std::vector<size_t> cuts;
  for (uint32_t partition = 0; partition < history_.size(); partition++)
    cuts.push_back(world_->rng().Below(history_[partition].size() + 1));
  std::vector<Change> changes;
  const auto apply = [&](Ledger& ledger, uint32_t partition, const StoredEvent& stored) {
    v1::Event event;
    changes.clear();
    if (stored.type == log::RecordType::kEvent && event.ParseFromString(stored.value)) {
      ledger.Apply(partition, stored.offset, stored.time, event, &changes);
    } else {
      ledger.Skip(partition, stored.offset, stored.time);
    }
  };
  for (uint32_t partition = 0; partition < history_.size(); partition++) {
    for (size_t i = 0; i < history_[partition].size(); i++) {
      if (i == cuts[partition])
        again.Snapshot(partition,
                       [&](const v1::PartitionSnapshot& piece) { snapshots[partition].push_back(piece); });
      apply(again, partition, history_[partition][i]);
    }
    for (const v1::PartitionSnapshot& piece : snapshots[partition]) from_snapshot.Restore(piece);
  }
  for (uint32_t partition = 0; partition < history_.size(); partition++) {
    for (const StoredEvent& stored : history_[partition]) {
      if (stored.offset >= from_snapshot.next_offset(partition)) apply(from_snapshot, partition, stored);
    }
  }
  Check(again.Digest() == oracle_->Digest(), "fold",
        "a replay from the beginning differs from the live fold");
  Check(from_snapshot.Digest() == oracle_->Digest(), "fold",
        "a replay from a snapshot differs from the live fold");
}

// ---- the end

bool Checker::AllDone(std::string* why) {
  for (const auto& [id, job] : model_.jobs()) {
    if (job.closed) continue;
    std::string tasks;
    for (size_t i = 0; i < job.tasks.size(); i++) {
      const ModelTask& task = job.tasks[i];
      const auto attempt = task.attempts.find(task.attempt);
      absl::StrAppend(&tasks, tasks.empty() ? "" : ", ", i + 1, ": ", std::string(TaskStateName(task.state)),
                      " attempt ", task.attempt,
                      attempt == task.attempts.end() || !task.held() ? "" : " on " + attempt->second.worker);
    }
    *why = absl::StrCat("job ", id.ToString(), " (", job.name, ") ",
                        job.finished ? "has ended but is not closed" : "has not ended", "; tasks ", tasks,
                        job.has_file ? "; its file is at " + PathOf(job.file.inode()) : "");
    return false;
  }
  for (const auto& arrival : arrivals_) {
    const std::string at = PathOf(arrival->inode);
    if (at.starts_with("incoming/") || at.starts_with("processing/")) {
      *why = absl::StrCat("the file ", arrival->path, " is still at ", at);
      return false;
    }
  }
  if (!interrupted_.empty()) {
    const auto& [worker, key] = *interrupted_.begin();
    *why = absl::StrCat(worker, " has not said that ", key.task.ToString(), " attempt ", key.attempt,
                        " was interrupted (property (e))");
    return false;
  }
  if (!running_.empty()) {
    *why = absl::StrCat("a script of ", running_[0].key.task.ToString(), " still runs on ",
                        running_[0].worker.name);
    return false;
  }
  return true;
}

void Checker::CheckEnd() {
  CheckFiles();
  for (const auto& arrival : arrivals_) {
    uint32_t jobs = 0;
    const ModelJob* last = nullptr;
    for (const auto& [id, job] : model_.jobs()) {
      if (!job.has_file || Find(job.file) != arrival.get()) continue;
      jobs++;
      last = &job;
    }
    if (!arrival->withdrawn) {
      Check(jobs == arrival->arrivals, "(f)",
            absl::StrCat(arrival->path, " arrived ", arrival->arrivals, " times and made ", jobs, " jobs"));
      if (jobs == 1) {
        Check(!last->gone, "(d)",
              absl::StrCat("job ", last->id.ToString(), " was told that its file ", arrival->path,
                           " is gone; it is at ", PathOf(arrival->inode)));
        Check(last->final_path == PathOf(arrival->inode), "(b)",
              absl::StrCat("the file ", arrival->path, " is at ", PathOf(arrival->inode), ", its job says ",
                           last->final_path.empty() ? "nowhere" : last->final_path));
      }
    }
  }
}

}  // namespace laneway::sim
