#include "worker/worker_store.h"

#include <charconv>
#include <future>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "laneway/v1/store.pb.h"

namespace laneway::worker {
namespace {

std::string Key(const WorkerId& worker, const char* rest) {
  return absl::StrCat("w/", worker.name, "/", rest);
}

// The first key behind all that begin with `prefix` ("…/" becomes "…0").
std::string After(std::string prefix) {
  prefix.back() = static_cast<char>(prefix.back() + 1);
  return prefix;
}

absl::Status CommitAndWait(log::Store& store, std::vector<log::StoreOp> ops) {
  std::promise<absl::Status> answer;
  store.Commit(std::move(ops), log::Durability::kSynced,
               [&answer](const absl::Status& status) { answer.set_value(status); });
  return answer.get_future().get();
}

absl::StatusOr<StoreId> ReadOrMakeIdentity(log::Store& store, const WorkerId& worker, StoreId fresh,
                                           LogTime now, bool* made) {
  const std::string key = Key(worker, "id");
  const auto value = store.Get(key);
  if (!value.ok()) return value.status();
  v1::StoreIdentity identity;
  if (value->has_value()) {
    const bool parsed = identity.ParseFromString(**value);
    const auto id = StoreId::FromBytes(identity.store());
    if (!parsed || !id)
      return absl::DataLossError(absl::StrCat(worker.name, ": the identity of its store cannot be read"));
    return *id;
  }
  identity.set_store(fresh.ToBytes());
  identity.set_worker(worker.name);
  identity.set_made_ms(now.ms);
  *made = true;
  const absl::Status status =
      CommitAndWait(store, {{log::StoreOp::Kind::kPut, key, identity.SerializeAsString()}});
  if (!status.ok()) return status;
  return fresh;
}

absl::Status FoldJournal(log::Store& store, const WorkerId& worker, Restored* restored) {
  NotesFold fold;
  absl::Status bad;
  const std::string prefix = JournalPrefix(worker);
  const absl::Status status =
      store.Scan(prefix, After(prefix), false, [&](std::string_view key, std::string_view value) {
        const auto seq = JournalSeq(key);
        v1::WorkerNotes notes;
        if (!seq || !notes.ParseFromArray(value.data(), static_cast<int>(value.size()))) {
          bad = absl::DataLossError(absl::StrCat(worker.name, ": a step of its journal cannot be read"));
          return false;
        }
        fold.Fold(*seq, notes);
        return true;
      });
  if (!status.ok()) return status;
  if (!bad.ok()) return bad;
  *restored = std::move(fold).Take();
  return absl::OkStatus();
}

absl::Status ReadChildren(log::Store& store, const WorkerId& worker, std::vector<ChildNote>* children) {
  const std::string prefix = Key(worker, "c/");
  return store.Scan(prefix, After(prefix), false, [&](std::string_view, std::string_view value) {
    v1::AttemptNote note;
    if (!note.ParseFromArray(value.data(), static_cast<int>(value.size())) || note.pid() <= 0) return true;
    const auto job = JobId::FromBytes(note.job_id());
    children->push_back(
        {0, {TaskId{job.value_or(JobId{}), note.task()}, note.attempt()}, note.pid(), note.pid_start()});
    return true;
  });
}

}  // namespace

absl::StatusOr<Opened> OpenWorkerStore(log::Store& store, const WorkerId& worker, StoreId fresh,
                                       LogTime now) {
  Opened opened;
  const auto id = ReadOrMakeIdentity(store, worker, fresh, now, &opened.made);
  if (!id.ok()) return id.status();
  opened.store = *id;
  if (auto status = FoldJournal(store, worker, &opened.restored); !status.ok()) return status;
  if (auto status = ReadChildren(store, worker, &opened.children); !status.ok()) return status;
  const auto seen = store.Get(Key(worker, "seen"));
  if (!seen.ok()) return seen.status();
  int64_t ms = 0;
  if (seen->has_value() &&
      std::from_chars((*seen)->data(), (*seen)->data() + (*seen)->size(), ms).ec == std::errc() &&
      ms <= now.ms) {
    opened.restored.away = Millis(now.ms - ms);
  }
  return opened;
}

std::vector<log::StoreOp> NoteOps(const WorkerId& worker, const Batch& batch) {
  std::vector<log::StoreOp> ops;
  if (batch.drop_below > 0) {
    ops.push_back(
        {log::StoreOp::Kind::kDeleteRange, JournalKey(worker, 0), JournalKey(worker, batch.drop_below)});
  }
  ops.push_back({log::StoreOp::Kind::kPut, JournalKey(worker, batch.seq), batch.notes.SerializeAsString()});
  return ops;
}

std::vector<log::NewRecord> EventRecords(const Batch& batch, uint32_t event_partitions) {
  std::vector<log::NewRecord> records;
  records.reserve(static_cast<size_t>(batch.events.size()));
  for (const v1::Event& event : batch.events) {
    const JobId job = JobId::FromBytes(event.job_id()).value_or(JobId{});
    records.push_back({{log::Topic::kEvents, EventPartition(job, event_partitions)},
                       log::RecordType::kEvent,
                       event.job_id(),
                       event.SerializeAsString()});
  }
  return records;
}

log::StoreOp ChildOp(const WorkerId& worker, const ChildNote& child) {
  v1::AttemptNote note;
  note.set_job_id(child.key.task.job.ToBytes());
  note.set_task(child.key.task.n);
  note.set_attempt(child.key.attempt);
  note.set_stage(v1::STARTING);
  note.set_pid(child.pid);
  note.set_pid_start(child.pid_start);
  return {log::StoreOp::Kind::kPut, absl::StrCat(Key(worker, "c/"), child.slot), note.SerializeAsString()};
}

log::StoreOp SeenOp(const WorkerId& worker, LogTime wall) {
  return {log::StoreOp::Kind::kPut, Key(worker, "seen"), absl::StrCat(wall.ms)};
}

log::StoreOp ForgetChildrenOp(const WorkerId& worker) {
  const std::string prefix = Key(worker, "c/");
  return {log::StoreOp::Kind::kDeleteRange, prefix, After(prefix)};
}

log::NewRecord HeartbeatRecord(const v1::Heartbeat& beat, uint32_t partitions) {
  return {{log::Topic::kHeartbeats, EventPartition(WorkerId(beat.worker()), partitions)},
          log::RecordType::kHeartbeat,
          beat.worker(),
          beat.SerializeAsString()};
}

log::NewRecord BrowserHealthRecord(const v1::BrowserHealth& health, uint32_t partitions) {
  return {{log::Topic::kBrowserHealth, EventPartition(WorkerId(health.worker()), partitions)},
          log::RecordType::kBrowserHealth,
          health.worker(),
          health.SerializeAsString()};
}

log::NewRecord AlertRecord(const v1::Alert& alert, uint32_t partitions) {
  return {{log::Topic::kAlerts, EventPartition(WorkerId(alert.subject()), partitions)},
          log::RecordType::kAlert,
          alert.subject(),
          alert.SerializeAsString()};
}

}  // namespace laneway::worker
