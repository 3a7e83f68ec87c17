// fixture.h: a worker, its store and its log in a few maps: what is durable survives Crash(), nothing else
// does.
//
// Role:       tests. The shell of a worker, without threads: commits wait until the test answers them.
// Threads:    one.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "worker/notes.h"
#include "worker/worker.h"

namespace laneway::worker {

inline JobId Job(uint64_t n) { return JobId{7, n}; }
inline AttemptKey Key(uint64_t job, uint32_t attempt, uint32_t task = 1) {
  return {TaskId{Job(job), task}, attempt};
}

enum class Answer {
  kOk,
  kLost,
  kUnknownKept
};  // kLost: an error, nothing happened; kUnknownKept: an error, but it did happen

class Rig {
 public:
  static constexpr Lane kLane = 3;

  explicit Rig(uint32_t capacity = 1) {
    options.id = WorkerId("DTF-01");
    options.store = StoreId{1, 1};
    options.capacity = capacity;
    Boot();
  }

  void Boot() {
    NotesFold fold;
    for (const auto& [seq, bytes] : journal) {
      v1::WorkerNotes notes;
      notes.ParseFromString(bytes);
      fold.Fold(seq, notes);
    }
    Restored restored = std::move(fold).Take();
    restored.away = away;
    options.incarnation = IncarnationId{9, ++boots};
    worker = std::make_unique<Worker>(options, std::move(restored));
    const Lane owned[] = {kLane};
    worker->SetLanes(owned);
    running.clear();
    pending.reset();
    health_out = false;
    auto_beat = true;
    Pump();
  }
  // The process goes away. What is in flight happened, or did not.
  void Crash(bool keep_in_flight) {
    if (pending && keep_in_flight) Apply(*pending->batch);
    pending.reset();
    Boot();
  }

  // Reads what the lane holds, steps, carries out.
  void Pump(bool read = true) {
    if (read) {
      std::vector<std::pair<Lane, Offset>> wanted;
      worker->ForEachLane([&](Lane lane, Offset from) { wanted.emplace_back(lane, from); });
      for (const auto& [lane, from] : wanted) {
        for (Offset at = from; at < lanes[lane].size(); at++)
          worker->OnLaneRecord(lane, at, v1::LaneRecord(lanes[lane][at]));
        worker->OnLaneRead(lane, lanes[lane].size(), true, now);
      }
    }
    StepOnce();
    if (std::exchange(health_out, false)) worker->OnBrowserHealthAnswered(absl::OkStatus(), now);
    while (auto_beat && !beats_out.empty()) {
      beats_out.clear();
      worker->OnHeartbeatAnswered(absl::OkStatus(), now);
      StepOnce();
    }
  }
  void StepOnce() {
    Commands out;
    worker->Step(now, &out);
    for (const Commit& commit : out.commits) pending = commit;
    for (const Run& run : out.runs) {
      runs.push_back(run.key);
      running.insert(run.key);
      run_started_recorded.push_back(started.contains(run.key));
    }
    for (const Stop& stop : out.stops) stops.push_back(stop);
    for (auto& beat : out.heartbeats) {
      beats.push_back(beat);
      beats_out.push_back(beat);
    }
    for (auto& health : out.browser_health) {
      healths.push_back(health);
      health_out = true;
    }
    for (auto& line : out.lines) lines.push_back(line.text);
    for (auto& alert : out.alerts) alerts.push_back(alert);
    for (auto& child : out.children) children.push_back(child);
  }
  void Apply(const Batch& batch) {
    if (batch.drop_below > 0) journal.erase(journal.begin(), journal.lower_bound(batch.drop_below));
    journal[batch.seq] = batch.notes.SerializeAsString();
    for (const v1::Event& event : batch.events) {
      events.push_back(event);
      if (event.has_task_started()) started.insert(KeyOf(event));
    }
  }
  bool HasCommit() const { return pending.has_value(); }
  void AnswerCommit(Answer answer = Answer::kOk) {
    const Commit commit = *pending;
    pending.reset();
    if (answer != Answer::kLost) Apply(*commit.batch);
    const absl::Status status = answer == Answer::kOk     ? absl::OkStatus()
                                : answer == Answer::kLost ? absl::UnavailableError("no")
                                                          : absl::UnknownError("who knows");
    worker->OnCommitted(commit.token, status, now);
    Pump();
  }
  // Answers commits until none comes any more.
  void Settle() {
    Pump();
    for (int i = 0; i < 100 && HasCommit(); i++) AnswerCommit();
  }
  void Advance(Millis by) {
    now.boot += by;
    now.wall = now.wall + by;
    Pump();
  }

  v1::LaneRecord Packet(const AttemptKey& key) const {
    v1::LaneRecord record;
    record.set_worker(options.id.name);
    v1::WorkPacket* packet = record.mutable_packet();
    packet->set_job_id(key.task.job.ToBytes());
    packet->set_task(key.task.n);
    packet->set_attempt(key.attempt);
    packet->set_epoch(epoch);
    packet->set_store(options.store.ToBytes());
    packet->mutable_spec()->set_handler("noop");
    return record;
  }
  void Put(v1::LaneRecord record, Lane lane = kLane) { lanes[lane].push_back(std::move(record)); }
  void Send(const AttemptKey& key) { Put(Packet(key)); }
  void Cancel(const AttemptKey& key) {
    v1::LaneRecord record;
    record.set_worker(options.id.name);
    record.mutable_cancel()->set_job_id(key.task.job.ToBytes());
    record.mutable_cancel()->set_task(key.task.n);
    record.mutable_cancel()->set_attempt(key.attempt);
    Put(std::move(record));
  }
  void Drain() {
    v1::LaneRecord record;
    record.set_worker(options.id.name);
    record.mutable_drain()->set_epoch(epoch);
    Put(std::move(record));
  }
  void Handover(const std::string& to) {
    v1::LaneRecord record;
    record.set_worker(options.id.name);
    record.mutable_handover()->set_epoch(epoch);
    record.mutable_handover()->set_to(to);
    Put(std::move(record));
  }
  void OpenEpoch(Epoch opened) {
    v1::LaneRecord record;
    record.mutable_epoch_opened()->set_epoch(opened);
    Put(std::move(record));
  }
  void End(AttemptKey key, bool ok = true, v1::Ending ending = v1::EXIT_CODE, int exit_code = 3) {
    running.erase(key);
    Ended ended;
    ended.key = key;
    ended.ok = ok;
    ended.ending = ok ? v1::ENDING_UNSPECIFIED : ending;
    ended.exit_code = ok ? 0 : exit_code;
    worker->OnExecutor(ended, now);
    Pump();
  }

  static AttemptKey KeyOf(const v1::Event& event) {
    return {TaskId{*JobId::FromBytes(event.job_id()), event.task()}, event.attempt()};
  }
  // "Started 1.1", "Succeeded 1.1", "Failed(INTERRUPTED) 2.1", "Released 1.1", in the order of the log.
  std::vector<std::string> Events() const {
    std::vector<std::string> out;
    for (const v1::Event& event : events) {
      std::string what = event.has_task_started()     ? "Started"
                         : event.has_task_succeeded() ? "Succeeded"
                         : event.has_task_released()  ? "Released"
                         : event.has_task_progressed()
                             ? "Progressed"
                             : "Failed(" + v1::Ending_Name(event.task_failed().ending()) + ")";
      const AttemptKey key = KeyOf(event);
      out.push_back(what + " " + std::to_string(key.task.job.lo) + "." + std::to_string(key.attempt));
    }
    return out;
  }

  WorkerOptions options;
  Now now{LogTime{1000000}, Millis(5000)};
  std::optional<Millis> away = Millis(100);
  Epoch epoch = 1;
  uint64_t boots = 0;
  bool auto_beat = true;
  std::unique_ptr<Worker> worker;
  std::map<uint64_t, std::string> journal;
  std::map<Lane, std::vector<v1::LaneRecord>> lanes;
  std::vector<v1::Event> events;
  std::set<AttemptKey> started;
  std::optional<Commit> pending;
  std::vector<AttemptKey> runs;
  std::vector<bool> run_started_recorded;
  std::set<AttemptKey> running;
  std::vector<Stop> stops;
  std::vector<v1::Heartbeat> beats;
  std::vector<v1::Heartbeat> beats_out;
  std::vector<v1::BrowserHealth> healths;
  bool health_out = false;
  std::vector<std::string> lines;
  std::vector<v1::Alert> alerts;
  std::vector<ChildNote> children;
};

}  // namespace laneway::worker
