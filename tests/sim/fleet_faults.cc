// fleet_faults.cc: what goes wrong, and when.
#include <algorithm>

#include "sim/fleet.h"

namespace laneway::sim {

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
  PlanFaultsOfWorkers();
  if (!world_.plan().browsers.empty()) PlanFaultsOfBrowsers();
  Often(rates.election, "fault: election", [this] { Elect(1 - owner_); });
  Often(rates.pause, "fault: pause", [this, soon] {
    const auto [role, index] = Anyone();
    Member& member = Of(role, index);
    if (!member.alive()) return;
    const int64_t ms = soon();
    world_.Tell(23, [&] { return absl::StrCat(member.name, " is paused for ", ms, " ms"); });
    world_.Pause(member.proc, ms);
    if (role == Role::kDispatcher && ms > 10000 && owner_ == index)
      world_.After(10000, [this, index = index] {
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
      world_.After(10000, [this, index = index] {
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
    world_.AppendLate();
    checker_.reads_late = false;
  });
  Often(rates.leaders_away, "fault: leaders away", [this, &rng] {
    world_.LoseLeaders(rng.Below(4) == 0 ? rng.Between(1000, 20000) : rng.Between(50, 1000));
  });
  Often(rates.clock_step, "fault: clock step", [this] {
    const auto [role, index] = Anyone();
    Of(role, index).clock.offset_ms += world_.rng().Between(-7200000, 7200000);
  });
  Often(rates.garbage, "fault: garbage in a topic", [this] { Garbage(); });
}

void Fleet::PlanFaultsOfWorkers() {
  const Rates& rates = world_.plan().rates;
  const auto any = [this] { return world_.rng().Below(workers_.size()); };
  const auto soon = [this] {
    Rng& rng = world_.rng();
    return rng.Below(3) == 0 ? rng.Between(100, 2000) : rng.Between(2000, 60000);
  };
  Often(rates.worker_crash, "fault: worker crash",
        [this, any, soon] { Crash(Role::kWorker, any(), soon()); });
  Often(rates.worker_disk_lost, "fault: worker's disk lost", [this, any, soon] {
    const size_t index = any();
    if (!workers_[index].alive()) return;
    Crash(Role::kWorker, index, soon());
    world_.disk().LoseStore(workers_[index].name);
    world_.After(201, [this, index] { checker_.OnStoreLost(workers_[index].name); });
  });
  Often(rates.worker_stop, "fault: worker told to stop", [this, any, soon] {
    const size_t index = any();
    const bool drain = world_.rng().Below(2) == 0;
    Stop(index, drain ? worker::Shutdown::kDrain : worker::Shutdown::kAtOnce, soon());
    if (world_.rng().Below(4) == 0 && MayLeave(index)) workers_[index].gone = true;
  });
  Often(rates.worker_away, "fault: worker away for long", [this, any] {
    const size_t index = any();
    if (!workers_[index].alive()) return;
    Crash(Role::kWorker, index, world_.rng().Between(60000, 400000));
    if (world_.rng().Below(3) != 0 || !MayLeave(index)) return;
    workers_[index].gone = true;
  });
  Often(rates.cut_off_long, "fault: worker cut off for long", [this, any] {
    Member& member = workers_[any()];
    if (!member.alive() || member.proc->cut_off) return;
    const int64_t ms = world_.rng().Between(35000, 240000);
    world_.Tell(47, [&] { return absl::StrCat(member.name, " is cut off for ", ms, " ms"); });
    world_.CutOff(member.proc, true);
    world_.After(ms, [this, proc = member.proc] { world_.CutOff(proc, false); });
  });
}

void Fleet::PlanFaultsOfBrowsers() {
  const Rates& rates = world_.plan().rates;
  const auto often = [this](uint32_t per_hour, std::string_view name,
                            std::function<void(SimBrowser&)> fault) {
    Often(per_hour, name, [this, fault] {
      std::vector<SimBrowser*> all;
      for (const Member& member : workers_) {
        if (member.browser) all.push_back(member.browser.get());
      }
      fault(*all[world_.rng().Below(all.size())]);
    });
  };
  Rng& rng = world_.rng();
  often(rates.browser_killed, "fault: browser killed", [](SimBrowser& one) { one.Exit("killed"); });
  often(rates.browser_hung, "fault: browser hung", [&rng](SimBrowser& one) {
    one.Hang(rng.Below(3) != 0 ? rng.Between(500, 9000) : rng.Between(9000, 70000));
  });
  often(rates.browser_flaps, "fault: browser flaps", [this, &rng](SimBrowser& one) {
    for (int64_t i = rng.Between(5, 12), at = 0; i > 0; i--) {
      at += rng.Between(500, 8000);
      world_.After(at, [this, which = &one] {
        if (world_.faults()) which->Exit("killed again");
      });
    }
  });
  // The reaper waits for 60 s.
  often(rates.browser_away, "fault: browser away for about its timeout", [&rng](SimBrowser& one) {
    one.HoldStarts(rng.Between(50000, 63000));
    one.Exit("killed for a while");
  });
  often(rates.browser_dropped, "fault: connection to a browser dropped", [](SimBrowser& one) { one.Drop(); });
  often(rates.browser_starts_fail, "fault: browser cannot be started", [&rng](SimBrowser& one) {
    one.FailStarts(rng.Between(5000, 90000));
    if (rng.Below(2) == 0) one.Exit("killed");
  });
  often(rates.browser_untold, "fault: browser health lost",
        [&rng](SimBrowser& one) { one.LoseHealth(rng.Between(30000, 200000)); });
}

// Everything stops; what was not synced is gone.
void Fleet::PowerLoss() {
  world_.Tell(37, [] { return std::string("POWER LOSS"); });
  for (const auto& [role, index] : Everyone()) {
    Member& member = Of(role, index);
    WorkerDriver* worker = member.worker.get();
    if (member.alive()) Crash(role, index, world_.rng().Between(500, 20000));
    if (member.browser) member.browser->Exit("power loss");
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

}  // namespace laneway::sim
