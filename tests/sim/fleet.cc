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
      if (!plan.browsers.empty() && plan.browsers[index])
        member.browser = std::make_unique<SimBrowser>(&world_, member.name);
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
  if (member.alive() || member.gone) return;
  member.proc = world_.Start(member.name, true);
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
    for (const Member& before : graveyard_) {  // the companion of the process before has stopped its scripts
      if (before.worker && before.proc->name == member.name) before.worker->StopScripts();
    }
    member.worker = std::make_unique<WorkerDriver>(
        &world_, proc, &member.clock, &checker_, WorkerId(member.name), member.capacity, member.browser.get(),
        [this, index, proc] { Ended(index, proc); });
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
  WorkerDriver* worker = member.worker.get();
  ToGraveyard(member);
  if (worker != nullptr) {  // its companion stops the scripts before the worker is started again
    world_.After(std::min<int64_t>(restart_after, world_.rng().Between(0, 200)),
                 [worker] { worker->StopScripts(); });
  }
  if (member.browser && world_.rng().Below(4) == 0) member.browser->Exit("its keeper went with its worker");
  world_.After(restart_after + 1, [this, role, index] { Start(role, index); });
  // its session ends, and the other one gets the partition
  if (role == Role::kDispatcher && owner_ == index) {
    world_.After(world_.rng().Between(50, 3000), [this, index] {
      if (owner_ == index && !dispatchers_[index].alive()) Elect(1 - index);
    });
  }
}

// What still stands on the stack or in the queue may look at it.
void Fleet::ToGraveyard(Member& member) {
  world_.Kill(member.proc);
  graveyard_.emplace_back();
  graveyard_.back().dispatcher = std::move(member.dispatcher);
  graveyard_.back().reaper = std::move(member.reaper);
  graveyard_.back().worker = std::move(member.worker);
  graveyard_.back().proc = member.proc;
}

void Fleet::Stop(size_t index, worker::Shutdown mode, int64_t restart_after) {
  Member& member = workers_[index];
  if (!member.alive() || !member.worker || !member.worker->started()) return;
  world_.Tell(HashBytes(member.name) + 3,
              [&] { return absl::StrCat(member.name, " is told to stop, for ", restart_after, " ms"); });
  member.comes_back_after = restart_after;
  member.worker->BeginShutdown(mode);
}

// A worker that was told to stop has reported everything.
void Fleet::Ended(size_t index, const ProcRef& proc) {
  Member& member = workers_[index];
  if (member.proc != proc || !member.alive()) return;
  world_.Tell(HashBytes(member.name) + 5, [&] { return member.name + " has stopped"; });
  ToGraveyard(member);
  world_.After(member.comes_back_after, [this, index] { Start(Role::kWorker, index); });
}

bool Fleet::MayLeave(size_t index) {
  const bool browsers = !world_.plan().browsers.empty();
  return std::any_of(workers_.begin(), workers_.end(), [&](const Member& other) {
    return &other != &workers_[index] && !other.gone && (!browsers || other.browser);
  });
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

void Fleet::Heal() {
  world_.Tell(41, [] { return std::string("HEALED: no more faults"); });
  healed_ = true;
  world_.disk().SetDiskFull(false);
  world_.disk().ForgetUnknown();
  world_.FindLeaders(true);
  for (const auto& [role, index] : Everyone()) {
    Member& member = Of(role, index);
    if (member.browser) member.browser->Heal();
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
      if (member.gone && !member.alive()) checker_.OnStoreLost(member.name);
      if (member.alive() && !member.proc->cut_off)
        checker_.CheckObsolete(member.name, world_.now() - member.proc->in_touch_since);
      if (member.alive() && !member.proc->cut_off && world_.now() >= member.proc->paused_until)
        checker_.CheckWaiting(member.name, world_.now() - member.proc->in_touch_since);
    }
    for (const Member& member : reapers_) {
      if (member.alive() && member.reaper) checker_.CompareFold(member.name, member.reaper->fold().ledger());
    }
    int64_t watched_since = world_.now();  // by a reaper that can hear
    for (const Member& member : reapers_) {
      if (member.alive() && !member.proc->cut_off)
        watched_since = std::min(watched_since, member.proc->in_touch_since);
    }
    checker_.CheckLevels(watched_since, healed_ ? world_.now() - world_.plan().work_ms : 0);
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
    const bool late = world_.plan().late_workers && role == Role::kWorker && index > 0;
    world_.At(world_.rng().Between(0, late ? world_.plan().work_ms * 3 / 4 : 2000),
              [this, role = role, index = index] { Start(role, index); });
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
