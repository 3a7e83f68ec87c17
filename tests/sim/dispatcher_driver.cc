#include "sim/dispatcher_driver.h"

#include <algorithm>

namespace laneway::sim {

using dispatcher::Commands;
using dispatcher::ZoneWork;

struct DispatcherDriver::Answers {
  std::optional<absl::Status> staging;
  std::optional<absl::Status> fenced;
  std::vector<std::pair<zone::PlaceRequest, zone::PlaceResult>> placed;
  std::vector<std::pair<zone::FinishRequest, zone::FinishResult>> finished;
  std::optional<std::vector<zone::Leftover>> leftovers;
};

namespace {

template <class Message>
log::NewRecord Record(log::Topic topic, uint32_t partition, log::RecordType type, std::string key,
                      const Message& message) {
  return {{topic, partition}, type, std::move(key), message.SerializeAsString()};
}

template <class T>
void MoveAll(std::vector<T>& from, std::vector<T>& to) {
  to.insert(to.end(), std::make_move_iterator(from.begin()), std::make_move_iterator(from.end()));
  from.clear();
}

}  // namespace

DispatcherDriver::DispatcherDriver(World* world, ProcRef proc, const HostClock* clock, Witness* witness,
                                   std::function<void()> crash)
    : world_(world),
      proc_(proc),
      witness_(witness),
      fs_(world, proc, true, std::move(crash),
          [witness, name = proc->name](std::string_view from, std::string_view to, uint64_t inode) {
            witness->OnRename(name, from, to, inode);
          }),
      fold_(world, proc, clock, this) {
  MakeCore();
}

void DispatcherDriver::MakeCore() {
  const Plan& plan = world_->plan();
  dispatcher::DispatcherOptions options;
  options.incarnation = world_->rng().MakeId<IncarnationId>();
  options.lanes = plan.lanes;
  if (plan.retention_ms != 0) options.retention = Millis(plan.retention_ms);
  options.placement.resources["one"] = {.concurrent_max = 1};
  v1::JobSpec& spec = options.file_spec;
  spec.add_exec("script");
  spec.set_timeout_ms(20000);
  spec.set_max_attempts(3);
  spec.set_max_losses(5);
  spec.mutable_backoff()->set_initial_ms(500);
  spec.mutable_backoff()->set_factor(2);
  spec.mutable_backoff()->set_max_ms(10000);
  if (plan.reject_late) spec.set_late_success(v1::REJECT);
  spec.set_needs_browser(plan.files_need_browser);
  if (core_) old_cores_.push_back(std::move(core_));
  core_ = std::make_unique<dispatcher::Dispatcher>(options, &fold_.ledger(), &fold_.members());
  if (term_) term_->over = true;
  term_ = std::make_shared<Term>(&fs_, options.incarnation, 2000);
  pending_ = ZoneWork{};
  commands_.clear();
  zone_busy_ = looking_ = false;
  look_wanted_ = true;
}

absl::Status DispatcherDriver::Start() {
  if (absl::Status status = fold_.Open(); !status.ok()) return status;
  if (absl::Status status = term_->zone.Prepare(); !status.ok()) return status;
  started_ = true;
  if (owner_) core_->SetOwner(true, Now(), &commands_);
  fold_.Follow();
  Flush();
  Tick();
  return absl::OkStatus();
}

void DispatcherDriver::SetOwner(bool owner) {
  if (owner == owner_) return;
  owner_ = owner;
  if (!started_) return;
  world_->Tell(owner ? 71 : 72, [&] {
    return absl::StrCat(
        proc_->name, owner ? " owns the control partition" : " does not own the control partition any more");
  });
  core_->SetOwner(owner, Now(), &commands_);
  Flush();
}

void DispatcherDriver::OnEvent(uint32_t partition, Offset, LogTime, const v1::Event& event,
                               FoldVerdict verdict, std::span<const Change> changes) {
  core_->OnEvent(partition, event, verdict, changes, Now(), &commands_);
}
void DispatcherDriver::OnHeartbeat(const Member& member) { core_->OnHeartbeat(member, Now(), &commands_); }
void DispatcherDriver::OnControl(const v1::ControlRecord& record, Offset offset, const Member* member) {
  core_->OnControl(record, offset, member, Now(), &commands_);
}
void DispatcherDriver::OnBatchEnd(bool) {
  if (!started_) return;
  core_->OnTick(Now(), &commands_);
  Flush();
}

void DispatcherDriver::Tick() {
  core_->OnTick(Now(), &commands_);
  Flush();
  const LogTime now = Now();
  Millis wait{1000};
  if (const auto deadline = core_->NextDeadline(now))
    wait = std::clamp(*deadline - now, Millis(1), Millis(1000));
  world_->Post(proc_, wait.count(), [this, tick = ++tick_] {
    if (tick == tick_) Tick();
  });
}

void DispatcherDriver::Flush() {
  if (!proc_->alive) return;
  if (commands_.stepped_down) {
    world_->Count("dispatchers stepped down");
    world_->Tell(73, [&] { return proc_->name + " steps down"; });
    MakeCore();  // a new incarnation stands again when it (still) owns the partition
    if (owner_) {
      world_->Post(proc_, world_->rng().Between(0, 500), [this, core = core_.get()] {
        if (core != core_.get() || !owner_) return;
        core_->SetOwner(true, Now(), &commands_);
        Flush();
      });
    }
    return;
  }
  SendRecords();
  MaybeWorkZone();
  if (core_->active() && look_wanted_) Look();
}

void DispatcherDriver::SendRecords() {
  auto sent = std::make_shared<Commands>();
  sent->events.swap(commands_.events);
  sent->lanes.swap(commands_.lanes);
  sent->marks.swap(commands_.marks);
  sent->control.swap(commands_.control);
  sent->dead_letters.swap(commands_.dead_letters);
  sent->alerts.swap(commands_.alerts);
  for (const dispatcher::Trim& trim : commands_.trims) {
    witness_->OnTrim(trim.lane, trim.below);
    (void)proc_->client->Trim({log::Topic::kLanes, trim.lane}, trim.below);
  }
  commands_.trims.clear();
  if (const uint32_t lanes = std::exchange(commands_.lanes_wanted, 0);
      lanes != 0 && world_->plan().lanes_grow) {
    if (proc_->client->EnsureTopic(log::Topic::kLanes, lanes).ok()) core_->OnLanesGrown(lanes, &commands_);
  }
  std::vector<log::NewRecord> records;
  const uint32_t partitions = fold_.ledger().partitions();
  for (const dispatcher::LaneAppend& lane : sent->lanes) {
    records.push_back(Record(log::Topic::kLanes, lane.lane, log::RecordType::kLaneRecord,
                             lane.record.worker(), lane.record));
    if (world_->faults() && world_->rng().PerMille(world_->plan().rates.damaged)) {
      world_->Count("fault: lane record damaged");
      records.back().value = "\xff\xff damaged on its way";
    }
  }
  for (const v1::Event& event : sent->events)
    records.push_back(fold::RecordOf(event, fold::PartitionOf(event, partitions)));
  for (const auto& [partition, mark] : sent->marks) records.push_back(fold::RecordOf(mark, partition));
  for (const v1::ControlRecord& control : sent->control) {
    records.push_back(
        Record(log::Topic::kControl, 0, log::RecordType::kControlRecord, "dispatcher", control));
  }
  for (const v1::DeadLetter& letter : sent->dead_letters) {
    records.push_back(
        Record(log::Topic::kDeadLetter, 0, log::RecordType::kDeadLetter, letter.job_id(), letter));
  }
  for (const v1::Alert& alert : sent->alerts)
    records.push_back(Record(log::Topic::kAlerts, 0, log::RecordType::kAlert, alert.subject(), alert));
  if (records.empty()) return;
  proc_->client->Append(std::move(records), [this, sent, core = core_.get()](
                                                const absl::Status& status, std::span<const Offset> offsets) {
    std::vector<Offset> copy(offsets.begin(), offsets.end());
    world_->Post(proc_, world_->rng().Delay(2, 50), [this, sent, core, status, copy = std::move(copy)] {
      if (core != core_.get()) return;  // its term is over
      Appended(*sent, status, copy);
      Flush();
    });
  });
}

void DispatcherDriver::Appended(const Commands& sent, const absl::Status& status,
                                const std::vector<Offset>& offsets) {
  const LogTime now = Now();
  for (size_t i = 0; i < sent.lanes.size(); i++)
    core_->OnLaneAppended(sent.lanes[i], status.ok(), status.ok() ? offsets[i] : 0, now);
  if (status.ok()) return;
  for (const v1::Event& event : sent.events) core_->OnEventFailed(event, now, &commands_);
  if (!sent.marks.empty()) core_->OnMarkFailed(now, &commands_);
  for (const v1::ControlRecord& control : sent.control) core_->OnControlFailed(control, now, &commands_);
}

// ---- the zone

// The zone's thread: one piece of work after the other. While one waits in the middle, the rest of the
// process goes on.
void DispatcherDriver::InZone(std::function<void()> work) {
  zone_queue_.push_back(std::move(work));
  if (zone_runs_) return;
  zone_runs_ = true;
  world_->Post(proc_, world_->rng().Delay(3, 30), [this] {
    while (!zone_queue_.empty() && proc_->alive) {
      const std::function<void()> next = std::move(zone_queue_.front());
      zone_queue_.pop_front();
      next();
    }
    zone_runs_ = false;
  });
}

void DispatcherDriver::MaybeWorkZone() {
  ZoneWork& more = commands_.zone;
  pending_.make_staging |= more.make_staging;
  pending_.fence_others |= more.fence_others;
  pending_.look_for_leftovers |= more.look_for_leftovers;
  MoveAll(more.place, pending_.place);
  MoveAll(more.finish, pending_.finish);
  MoveAll(more.refuse, pending_.refuse);
  MoveAll(more.forget, pending_.forget);
  MoveAll(more.put_back, pending_.put_back);
  MoveAll(more.remove_if_empty, pending_.remove_if_empty);
  more = ZoneWork{};
  if (zone_busy_ || pending_.empty()) return;
  zone_busy_ = true;
  auto work = std::make_shared<ZoneWork>(std::move(pending_));
  pending_ = ZoneWork{};
  InZone([this, work, term = term_] {
    auto answers = DoZoneWork(*term, *work);
    world_->Post(proc_, world_->rng().Delay(2, 30), [this, answers, term] {
      if (term->over) return;
      zone_busy_ = false;
      TakeAnswers(*answers);
      Flush();
    });
  });
}

std::shared_ptr<DispatcherDriver::Answers> DispatcherDriver::DoZoneWork(Term& term, const ZoneWork& work) {
  auto answers = std::make_shared<Answers>();
  if (work.make_staging) answers->staging = term.zone.MakeStaging();
  if (work.fence_others) answers->fenced = term.zone.FenceOthers();
  if (!work.place.empty()) {
    auto results = term.zone.PlaceFiles(work.place);
    for (size_t i = 0; i < results.size(); i++) {
      if (results[i].outcome == zone::PlaceOutcome::kPlaced) term.scanner.Taken(work.place[i].file.path);
      answers->placed.emplace_back(work.place[i], std::move(results[i]));
    }
  }
  if (!work.finish.empty()) {
    auto results = term.zone.FinishFiles(work.finish);
    for (size_t i = 0; i < results.size(); i++) {
      const bool taken = results[i].outcome == zone::FinishOutcome::kMoved ||
                         results[i].outcome == zone::FinishOutcome::kClaimed;
      if (taken && work.finish[i].file) term.scanner.Taken(work.finish[i].file->path);
      answers->finished.emplace_back(work.finish[i], std::move(results[i]));
    }
  }
  for (const std::string& path : work.refuse) {
    if (term.zone.Refuse(path).ok()) {
      term.scanner.Taken(path);
    } else {
      term.scanner.Forget(path);
    }
  }
  for (const std::string& path : work.forget) term.scanner.Forget(path);
  for (const auto& [leftover, path] : work.put_back) (void)term.zone.PutBack(leftover, path);
  for (const zone::Leftover& leftover : work.remove_if_empty) (void)term.zone.RemoveIfEmpty(leftover);
  if (work.look_for_leftovers) {
    auto leftovers = term.zone.LookForLeftovers();
    if (leftovers.ok()) answers->leftovers = std::move(*leftovers);
  }
  return answers;
}

void DispatcherDriver::TakeAnswers(const Answers& answers) {
  const LogTime now = Now();
  if (answers.staging) core_->OnStagingMade(*answers.staging, now, &commands_);
  if (answers.fenced) core_->OnFenced(*answers.fenced, now, &commands_);
  for (const auto& [request, result] : answers.placed) {
    world_->Tell(80 + static_cast<uint64_t>(result.outcome), [&, &request = request, &result = result] {
      constexpr std::string_view kNames[] = {"placed", "nowhere", "replaced", "retry"};
      return absl::StrCat(proc_->name, " zone: ", request.task.ToString(), " attempt ", request.attempt, " ",
                          std::string(kNames[static_cast<size_t>(result.outcome)]),
                          result.status.ok() ? "" : " " + result.status.ToString());
    });
    core_->OnPlaced(request, result, now, &commands_);
  }
  for (const auto& [request, result] : answers.finished) {
    world_->Tell(90 + static_cast<uint64_t>(result.outcome), [&, &request = request, &result = result] {
      constexpr std::string_view kNames[] = {"moved", "claimed", "nowhere", "retry"};
      return absl::StrCat(proc_->name, " zone: ", request.task.ToString(), " finish ",
                          std::string(kNames[static_cast<size_t>(result.outcome)]), " ", result.path,
                          result.status.ok() ? "" : " " + result.status.ToString());
    });
    core_->OnFinished(request, result, now, &commands_);
  }
  if (answers.leftovers) core_->OnLeftovers(*answers.leftovers, now, &commands_);
}

void DispatcherDriver::Look() {
  if (looking_) return;
  looking_ = true;
  look_wanted_ = false;
  core_->OnLookBegins();
  InZone([this, term = term_] {
    auto findings = std::make_shared<zone::Findings>(term->scanner.Scan(Millis(world_->now())));
    int64_t late = world_->rng().Delay(2, 200);
    if (world_->faults() && world_->rng().PerMille(world_->plan().rates.slow_look)) {
      world_->Count("fault: what was seen is told late");
      late += world_->rng().Between(200, 20000);
    }
    world_->Post(proc_, late, [this, findings, term] {
      if (term->over) return;
      looking_ = false;
      core_->OnFindings(*findings, Now(), &commands_);
      Flush();
      world_->Post(proc_, world_->plan().rescan_ms, [this, term] {
        if (term->over) return;
        look_wanted_ = true;
        Flush();
      });
    });
  });
}

}  // namespace laneway::sim
