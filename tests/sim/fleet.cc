#include "sim/fleet.h"

#include <algorithm>

namespace laneway::sim {

Fleet::Fleet(const Plan& plan, bool tracing) : world_(plan, tracing), checker_(&world_) {
  world_.on_appended = [this] { checker_.ReadOn(); };
  operator_ = world_.disk().Connect("operator");
  MakeTopics();
  dispatchers_.resize(2);
  reapers_.resize(2);
  workers_.resize(plan.capacities.size());
  std::vector<std::string> names;
  for (const auto& [role, index] : Everyone()) {
    Member& member = Of(role, index);
    member.name = absl::StrCat(role == Role::kDispatcher ? "dispatcher-"
                               : role == Role::kReaper   ? "reaper-"
                                                         : "DTF-0",
                               index + 1);
    if (role == Role::kWorker) {
      member.capacity = plan.capacities[index];
      names.push_back(member.name);
    }
    if (plan.profile == Profile::kClocks) {
      member.clock.offset_ms = world_.rng().Between(-600000, 600000);
      member.clock.drift_ppm = world_.rng().Between(-5000, 5000);
    }
  }
  workload_ = std::make_unique<Workload>(&world_, &checker_, names);
}

void Fleet::MakeTopics() {
  const Plan& plan = world_.plan();
  (void)operator_->EnsureTopic(log::Topic::kEvents, plan.partitions);
  (void)operator_->EnsureTopic(log::Topic::kLanes, plan.lanes);
  for (const log::Topic topic : {log::Topic::kHeartbeats, log::Topic::kBrowserHealth, log::Topic::kControl,
                                 log::Topic::kDeadLetter, log::Topic::kAlerts}) {
    (void)operator_->EnsureTopic(topic, 1);
  }
}

Fleet::Member& Fleet::Of(Role role, size_t index) {
  return role == Role::kDispatcher ? dispatchers_[index]
         : role == Role::kReaper   ? reapers_[index]
                                   : workers_[index];
}

std::vector<std::pair<Fleet::Role, size_t>> Fleet::Everyone() {
  std::vector<std::pair<Role, size_t>> all;
  for (size_t i = 0; i < dispatchers_.size(); i++) all.emplace_back(Role::kDispatcher, i);
  for (size_t i = 0; i < reapers_.size(); i++) all.emplace_back(Role::kReaper, i);
  for (size_t i = 0; i < workers_.size(); i++) all.emplace_back(Role::kWorker, i);
  return all;
}

std::pair<Fleet::Role, size_t> Fleet::Anyone() {
  const auto all = Everyone();
  return all[world_.rng().Below(all.size())];
}

// ---- processes

void Fleet::Start(Role role, size_t index) {
  Member& member = Of(role, index);
  if (member.alive()) return;
  member.proc = world_.Start(member.name);
  world_.Tell(HashBytes(member.name), [&] { return member.name + " starts"; });
  const ProcRef proc = member.proc;
  absl::Status status;
  if (role == Role::kDispatcher) {
    member.dispatcher = std::make_unique<DispatcherDriver>(
        &world_, proc, &member.clock, &checker_,
        [this, index] { Crash(Role::kDispatcher, index, world_.rng().Between(100, 20000)); });
    if (owner_ == index) member.dispatcher->SetOwner(true);
    status = member.dispatcher->Start();
  } else if (role == Role::kReaper) {
    member.reaper = std::make_unique<ReaperDriver>(&world_, proc, &member.clock, &checker_);
    status = member.reaper->Start();
  } else {
    member.worker = std::make_unique<WorkerDriver>(&world_, proc, &member.clock, &checker_,
                                                   WorkerId(member.name), member.capacity);
    status = member.worker->Start();
  }
  if (!status.ok() && proc->alive) {
    world_.Tell(17, [&] { return absl::StrCat(member.name, " cannot start: ", status.ToString()); });
    if (absl::IsDataLoss(status))
      return world_.Fail("(g)", absl::StrCat(member.name, " refuses to start: ", status.ToString()));
    Crash(role, index, world_.rng().Between(100, 1000));
  }
}

void Fleet::Crash(Role role, size_t index, int64_t restart_after) {
  Member& member = Of(role, index);
  if (!member.alive()) return;
  world_.Tell(HashBytes(member.name) + 1,
              [&] { return absl::StrCat(member.name, " dies, comes back in ", restart_after, " ms"); });
  world_.Kill(member.proc);
  WorkerDriver* worker = member.worker.get();
  // What still stands on the stack or in the queue may look at it.
  graveyard_.emplace_back();
  graveyard_.back().dispatcher = std::move(member.dispatcher);
  graveyard_.back().reaper = std::move(member.reaper);
  graveyard_.back().worker = std::move(member.worker);
  graveyard_.back().proc = member.proc;
  if (worker != nullptr) {  // its companion stops the scripts before the worker is started again
    world_.After(std::min<int64_t>(restart_after, world_.rng().Between(0, 200)),
                 [worker] { worker->StopScripts(); });
  }
  world_.After(restart_after + 1, [this, role, index] { Start(role, index); });
  // its session ends, and the other one gets the partition
  if (role == Role::kDispatcher && owner_ == index) {
    world_.After(world_.rng().Between(50, 3000), [this, index] {
      if (owner_ == index && !dispatchers_[index].alive()) Elect(1 - index);
    });
  }
}

void Fleet::Elect(size_t owner) {
  if (owner == owner_) return;
  const size_t old = owner_;
  owner_ = owner;
  world_.Count("elections");
  world_.Tell(19 + owner, [&] {
    return absl::StrCat("ELECTION: ", dispatchers_[owner].name, " owns the control partition");
  });
  TellOwner(old, world_.rng().Delay(100, 10000));  // both may believe to own it for a while
  TellOwner(owner, world_.rng().Delay(100, 10000));
}

void Fleet::TellOwner(size_t index, int64_t delay) {
  const ProcRef proc = dispatchers_[index].proc;
  if (!proc) return;
  world_.Post(proc, delay, [this, index, proc] {
    Member& member = dispatchers_[index];
    if (member.proc == proc && member.dispatcher) member.dispatcher->SetOwner(owner_ == index);
  });
}

// ---- faults

void Fleet::Often(uint32_t per_hour, std::string_view name, std::function<void()> fault) {
  const int64_t span = world_.plan().work_ms;
  const auto expected = static_cast<int64_t>(per_hour) * span;
  int64_t times = expected / 3600000;
  if (static_cast<int64_t>(world_.rng().Below(3600000)) < expected % 3600000) times++;
  for (int64_t i = 0; i < times; i++) {
    world_.At(world_.rng().Between(1000, span), [this, name, fault] {
      world_.Count(name);
      fault();
    });
  }
}

void Fleet::PlanFaults() {
  const Rates& rates = world_.plan().rates;
  Rng& rng = world_.rng();
  const auto soon = [&rng] { return rng.Below(3) == 0 ? rng.Between(100, 2000) : rng.Between(2000, 60000); };
  Often(rates.dispatcher_crash, "fault: dispatcher crash",
        [this, soon] { Crash(Role::kDispatcher, world_.rng().Below(2), soon()); });
  Often(rates.reaper_crash, "fault: reaper crash",
        [this, soon] { Crash(Role::kReaper, world_.rng().Below(2), soon()); });
  Often(rates.worker_crash, "fault: worker crash",
        [this, soon] { Crash(Role::kWorker, world_.rng().Below(workers_.size()), soon()); });
  Often(rates.worker_disk_lost, "fault: worker's disk lost", [this, soon] {
    const size_t index = world_.rng().Below(workers_.size());
    if (!workers_[index].alive()) return;
    Crash(Role::kWorker, index, soon());
    world_.disk().LoseStore(workers_[index].name);
    world_.After(201, [this, index] { checker_.OnStoreLost(workers_[index].name); });
  });
  Often(rates.election, "fault: election", [this] { Elect(1 - owner_); });
  Often(rates.pause, "fault: pause", [this, soon] {
    const auto [role, index] = Anyone();
    Member& member = Of(role, index);
    if (!member.alive()) return;
    const int64_t ms = soon();
    world_.Tell(23, [&] { return absl::StrCat(member.name, " is paused for ", ms, " ms"); });
    world_.Pause(member.proc, ms);
    if (role == Role::kDispatcher && ms > 10000 && owner_ == index)
      world_.After(10000, [this, index] {
        if (owner_ == index) Elect(1 - index);
      });
  });
  Often(rates.cut_off, "fault: cut off from the log", [this, soon] {
    const auto [role, index] = Anyone();
    Member& member = Of(role, index);
    if (!member.alive() || member.proc->cut_off) return;
    const int64_t ms = soon();
    world_.Tell(29, [&] { return absl::StrCat(member.name, " is cut off for ", ms, " ms"); });
    world_.CutOff(member.proc, true);
    world_.After(ms, [this, proc = member.proc] { world_.CutOff(proc, false); });
    if (role == Role::kDispatcher && ms > 10000 && owner_ == index)
      world_.After(10000, [this, index] {
        if (owner_ == index) Elect(1 - index);
      });
  });
  Often(rates.power_loss, "fault: power loss", [this] { PowerLoss(); });
  Often(rates.disk_full, "fault: disk of the log full", [this] {
    world_.disk().SetDiskFull(true);
    world_.After(world_.rng().Between(1000, 30000), [this] { world_.disk().SetDiskFull(false); });
  });
  Often(rates.late_append, "fault: late or doubled append", [this] {
    if (world_.disk().unknown() == 0 || !world_.faults()) return;
    world_.Tell(31, [] { return std::string("LATE append"); });
    checker_.ReadOn();
    checker_.reads_late = true;
    world_.disk().AppendLate(world_.rng().Below(world_.disk().unknown()));
    checker_.ReadOn();
    checker_.reads_late = false;
  });
  Often(rates.clock_step, "fault: clock step", [this] {
    const auto [role, index] = Anyone();
    Of(role, index).clock.offset_ms += world_.rng().Between(-7200000, 7200000);
  });
  Often(rates.garbage, "fault: garbage in a topic", [this] { Garbage(); });
}

// Everything stops; what was not synced is gone.
void Fleet::PowerLoss() {
  world_.Tell(37, [] { return std::string("POWER LOSS"); });
  for (const auto& [role, index] : Everyone()) {
    Member& member = Of(role, index);
    WorkerDriver* worker = member.worker.get();
    if (member.alive()) Crash(role, index, world_.rng().Between(500, 20000));
    if (worker != nullptr) worker->StopScripts();
  }
  for (Member& member : graveyard_) {
    if (member.worker) member.worker->StopScripts();
  }
  world_.disk().PowerLoss();
  workload_->AfterPowerLoss();
  world_.fs().PowerLoss([this] { return world_.rng().Below(2) == 0; });
  checker_.CheckFiles();
}

void Fleet::Garbage() {
  const log::Topic topics[] = {log::Topic::kEvents, log::Topic::kLanes, log::Topic::kHeartbeats,
                               log::Topic::kControl};
  const log::Topic topic = topics[world_.rng().Below(4)];
  const auto partitions = operator_->Partitions(topic);
  std::string bytes;
  for (uint64_t i = world_.rng().Below(40); i > 0; i--)
    bytes.push_back(static_cast<char>(world_.rng().Next()));
  std::vector<log::NewRecord> records;
  records.push_back({{topic, static_cast<uint32_t>(world_.rng().Below(*partitions))},
                     log::RecordType::kUnknown,
                     "garbage",
                     bytes});
  operator_->Append(std::move(records), [](const absl::Status&, std::span<const Offset>) {});
}

// The log forgets events older than the retention.
void Fleet::TrimEvents() {
  const int64_t retention = world_.plan().retention_ms;
  if (retention == 0) return;
  world_.After(10000, [this, retention] {
    for (uint32_t partition = 0; partition < world_.plan().partitions; partition++) {
      const log::TopicPartition from{log::Topic::kEvents, partition};
      const auto range = operator_->Range(from);
      auto batch = operator_->Read(from, range->first, 1 << 24);
      Offset below = range->first;
      for (const log::RecordView& record : batch->records) {
        if (record.time.ms >= kEpochMs + world_.now() - retention) break;
        below = record.offset + 1;
      }
      (void)operator_->Trim(from, below);
    }
    TrimEvents();
  });
}

void Fleet::Heal() {
  world_.Tell(41, [] { return std::string("HEALED: no more faults"); });
  healed_ = true;
  world_.disk().SetDiskFull(false);
  world_.disk().ForgetUnknown();
  for (const auto& [role, index] : Everyone()) {
    Member& member = Of(role, index);
    if (!member.alive()) {
      Start(role, index);
      continue;
    }
    if (member.proc->cut_off) world_.CutOff(member.proc, false);
  }
  workload_->Heal();
}

// Looks every second whether all is done, and now and then at everything that takes long.
void Fleet::Watch() {
  world_.After(2000, [this] {
    if (world_.rng().Below(10) == 0) checker_.CheckFiles();
    for (const Member& member : dispatchers_) {
      if (!member.alive() || !member.dispatcher) continue;
      checker_.CompareFold(member.name, member.dispatcher->fold().ledger());
      checker_.CheckActive(member.name, member.dispatcher->core(), member.dispatcher->fold());
    }
    for (const Member& member : workers_) {
      if (member.alive()) checker_.CheckObsolete(member.name, world_.now() - member.proc->in_touch_since);
    }
    for (const Member& member : reapers_) {
      if (member.alive() && member.reaper) checker_.CompareFold(member.name, member.reaper->fold().ledger());
    }
    std::string why;
    if (healed_ && workload_->over() && checker_.AllDone(&why)) {
      done_ = true;
      return;
    }
    if (world_.now() > world_.plan().work_ms + world_.plan().heal_ms) {
      (void)checker_.AllDone(&why);
      for (const Member& member : dispatchers_) {
        if (!member.alive() || !member.dispatcher || !member.dispatcher->core().active()) continue;
        for (const auto& [id, job] : checker_.model().jobs()) {
          for (uint32_t n = 1; n <= job.tasks.size(); n++) {
            if (!job.tasks[n - 1].finished())
              absl::StrAppend(
                  &why, "; ", n, ": ",
                  member.dispatcher->core().placement().WhyWaiting({id, n}, member.dispatcher->fold().Now()));
          }
        }
      }
      return world_.Fail(
          "(d)", absl::StrCat("not over ", world_.plan().heal_ms / 1000, " s after the last fault: ", why));
    }
    Watch();
  });
}

Outcome Fleet::Run() {
  world_.Tell(1, [&] { return Describe(world_.plan()); });
  for (const auto& [role, index] : Everyone()) {
    world_.At(world_.rng().Between(0, 2000), [this, role = role, index = index] { Start(role, index); });
  }
  workload_->Begin();
  PlanFaults();
  TrimEvents();
  Watch();
  world_.At(world_.plan().work_ms, [this] { Heal(); });
  while (!done_ && world_.RunOne()) {
  }
  if (!world_.failed()) {
    checker_.ReadOn();
    checker_.CheckEnd();
    checker_.CheckReplay();
  }
  world_.Mix(world_.disk().Digest());
  Outcome outcome;
  outcome.seed = world_.plan().seed;
  outcome.violation = world_.violation();
  outcome.hash = world_.hash();
  outcome.virtual_ms = world_.now();
  for (const auto& [name, count] : world_.counters()) outcome.counters[std::string(name)] = count;
  outcome.lines = world_.lines();
  return outcome;
}

Outcome RunSeed(uint64_t seed, bool tracing) {
  Fleet fleet(MakePlan(seed), tracing);
  return fleet.Run();
}

}  // namespace laneway::sim
