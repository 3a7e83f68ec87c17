#include "sim/workload.h"

#include <algorithm>

#include "fold/fleet_fold.h"

namespace laneway::sim {
namespace {

// The word before the number, and the number.
std::pair<std::string_view, uint32_t> WordOf(std::string_view name) {
  const size_t from = name.find('_');
  const size_t to = name.find('.', from);
  std::string_view word = from == std::string_view::npos ? "ok" : name.substr(from + 1, to - from - 1);
  uint32_t number = 0;
  while (!word.empty() && word.back() >= '0' && word.back() <= '9') {
    number = static_cast<uint32_t>(word.back() - '0');
    word.remove_suffix(1);
  }
  return {word, number};
}

}  // namespace

Witness::Script ScriptOf(const ModelJob& job, uint32_t n, uint32_t attempt, uint32_t failures, World& world) {
  Rng& rng = world.rng();
  Witness::Script script;
  const bool takes_long = rng.PerMille(world.plan().long_scripts);
  script.takes_ms =
      takes_long ? rng.Between(2000, job.spec.timeout_ms() > 100000 ? 100000 : 19000) : rng.Between(5, 1500);
  script.reports = rng.Below(4) == 0;
  const auto [word, times] = WordOf(job.name);
  const bool good = word == "moody" ? attempt <= times : word == "ok" || failures >= times;
  if (good || (job.tasks.size() > 1 && n % 3 != 1)) return script;
  script.ok = false;
  script.exit_code = 1;
  if (word == "bad") script.ending = v1::BAD_INPUT, script.exit_code = 65;
  if (word == "again") script.ending = v1::TRY_AGAIN, script.exit_code = 75;
  if (word == "signal") script.ending = v1::SIGNAL;
  if (word == "hang") script.takes_ms = 3600000;
  return script;
}

Workload::Workload(World* world, Checker* checker, std::vector<std::string> workers)
    : world_(world),
      checker_(checker),
      workers_(std::move(workers)),
      client_(world->Start("client", false)) {}

std::string Workload::Behaviour() {
  Rng& rng = world_->rng();
  if (!rng.PerMille(world_->plan().bad_scripts)) return "ok";
  if (rng.PerMille(world_->plan().moody_scripts)) return absl::StrCat("moody", rng.Between(1, 2));
  constexpr std::string_view kWords[] = {"fail", "fail", "bad", "again", "hang", "signal"};
  return absl::StrCat(std::string(kWords[rng.Below(6)]), rng.Between(1, 7));
}

void Workload::Begin() {
  const Plan& plan = world_->plan();
  Rng& rng = world_->rng();
  const int64_t last = plan.work_ms * 9 / 10;
  for (uint32_t i = 0; i < plan.files; i++)
    ArriveAt(rng.Below(3) == 0 ? rng.Between(0, 5000) : rng.Between(0, last), static_cast<int>(i));
  for (uint32_t i = 0; i < plan.jobs; i++) StartJobAt(rng.Between(0, last), static_cast<int>(i));
  if (plan.put_backs != 0) Every(10000, [this] { PutBack(); });
  if (plan.redrives != 0) Every(5000, [this] { Redrive(); });
  const auto often = [&](uint32_t per_hour, std::function<void()> what) {
    const auto times =
        static_cast<int64_t>(per_hour) * plan.work_ms / 3600000 +
        (rng.Below(3600000) < per_hour * static_cast<uint64_t>(plan.work_ms) % 3600000 ? 1 : 0);
    for (int64_t i = 0; i < times; i++) world_->At(rng.Between(0, last), what);
  };
  often(plan.withdrawals, [this] { Withdraw(); });
  often(plan.thefts, [this] { Steal(); });
  often(plan.cancels, [this] { Cancel(); });
  often(plan.intents, [this] { Intend(); });
}

void Workload::Every(int64_t ms, std::function<void()> what) {
  world_->After(ms, [this, ms, what] {
    if (!world_->faults()) return;
    what();
    Every(ms, what);
  });
}

// ---- files

void Workload::ArriveAt(int64_t time, int number) {
  pending_++;
  world_->At(time, [this, number] {
    pending_--;
    Rng& rng = world_->rng();
    const bool collide = world_->plan().profile == Profile::kNames ? rng.Below(2) == 0 : rng.Below(5) == 0;
    std::string path =
        absl::StrCat(rng.Below(4) == 0 ? "london/" : "", "t",
                     collide ? rng.Below(3) : 100 + static_cast<uint64_t>(number), "_", Behaviour(), ".csv");
    if (collide) path = absl::StrCat("same", rng.Below(2), "_ok.csv");
    Write(path, absl::StrCat("contents of file ", number), rng.Below(8) == 0);
  });
}

void Workload::Write(const std::string& path, const std::string& content, bool grows) {
  const std::string full = "incoming/" + path;
  if (const auto there = world_->fs().Stat(full); there.ok()) {  // written over
    for (const auto& old : checker_->arrivals()) {
      if (old->inode == there->inode) old->withdrawn = true;
    }
    world_->Count("files written over");
  }
  world_->fs().clock_ns =
      std::max(world_->fs().clock_ns, int64_t{1'700'000'000'000'000'000} + world_->now() * 1000000);
  world_->fs().Write(full, grows ? content.substr(0, 5) : content);
  Arrival& arrival = checker_->Arrived(path, grows ? content.substr(0, 5) : content);
  world_->Count("files arrived");
  world_->Tell(HashBytes(full) ^ arrival.inode, [&] {
    return absl::StrCat("USER writes ", full, grows ? " (part of it)" : "", ", inode ", arrival.inode);
  });
  if (!grows) return;
  arrival.withdrawn = true;  // unless it is taken as it is
  pending_++;
  world_->After(world_->rng().Between(100, 6000),
                [this, path, content, inode = arrival.inode, old = &arrival] {
                  pending_--;
                  const auto there = world_->fs().Stat("incoming/" + path);
                  // it was taken meanwhile: it had not changed for the settle time
                  if (!there.ok() || there->inode != inode) {
                    if (checker_->IsLast(*old)) old->withdrawn = old->removed;
                    return;
                  }
                  world_->Count("files grown");
                  Write(path, content, false);
                });
}

void Workload::PutBack() {
  Rng& rng = world_->rng();
  for (const auto& arrival : checker_->arrivals()) {
    if (arrival->withdrawn || arrival->arrivals >= 4 || !rng.PerMille(world_->plan().put_backs / 4)) continue;
    const std::vector<std::string> paths = world_->fs().PathsOf(arrival->inode);
    if (paths.size() != 1 || paths[0].starts_with("incoming/") || paths[0].starts_with("processing/") ||
        world_->fs().Has("incoming/" + arrival->path))
      continue;
    world_->fs().Move(paths[0], "incoming/" + arrival->path);
    arrival->arrivals++;
    world_->Count("files put back");
    world_->Tell(arrival->inode + 3,
                 [&] { return absl::StrCat("USER moves ", paths[0], " back to incoming/", arrival->path); });
  }
}

void Workload::Withdraw() {
  std::vector<Arrival*> there;
  for (const auto& arrival : checker_->arrivals()) {
    const auto info = world_->fs().Stat("incoming/" + arrival->path);
    if (info.ok() && info->inode == arrival->inode && info->mtime_ns == arrival->mtime_ns)
      there.push_back(arrival.get());
  }
  if (there.empty()) return;
  Arrival& arrival = *there[world_->rng().Below(there.size())];
  world_->fs().Remove("incoming/" + arrival.path);
  for (const auto& same : checker_->arrivals()) {
    if (same->inode == arrival.inode) same->withdrawn = same->removed = true;
  }
  world_->Count("files withdrawn");
  world_->Tell(arrival.inode + 5, [&] { return absl::StrCat("USER removes incoming/", arrival.path); });
}

// Somebody takes a file away that waits below processing/ or has failed.
void Workload::Steal() {
  std::vector<std::pair<Arrival*, std::string>> there;
  for (const auto& arrival : checker_->arrivals()) {
    const std::vector<std::string> paths = world_->fs().PathsOf(arrival->inode);
    if (paths.size() == 1 && (paths[0].starts_with("processing/") || paths[0].starts_with("failed/")))
      there.emplace_back(arrival.get(), paths[0]);
  }
  if (there.empty()) return;
  const auto& [arrival, path] = there[world_->rng().Below(there.size())];
  world_->fs().Remove(path);
  for (const auto& same : checker_->arrivals()) {
    if (same->inode == arrival->inode) same->withdrawn = same->removed = true;
  }
  world_->Count("files taken away");
  world_->Tell(arrival->inode + 7, [&, from = path] { return absl::StrCat("USER removes ", from); });
}

// ---- records

void Workload::Say(log::NewRecord record) {
  const uint64_t number = ++said_;
  unanswered_[number] = record;
  std::vector<log::NewRecord> records = {std::move(record)};
  client_->client->Append(
      std::move(records), [this, number](const absl::Status& status, std::span<const Offset>) {
        world_->Post(client_, world_->rng().Between(1, 500), [this, number, ok = status.ok()] {
          auto said = unanswered_.extract(number);
          if (!ok && !said.empty()) Say(std::move(said.mapped()));
        });
      });
}

void Workload::AfterPowerLoss() {
  for (auto& [number, record] : std::exchange(unanswered_, {})) Say(std::move(record));
}

void Workload::SayEvent(const v1::Event& event) {
  Say(fold::RecordOf(event, fold::PartitionOf(event, world_->plan().partitions)));
}

void Workload::StartJobAt(int64_t time, int number) {
  pending_++;
  world_->At(time, [this, number] {
    pending_--;
    Rng& rng = world_->rng();
    v1::Event event;
    event.set_job_id(rng.MakeId<JobId>().ToBytes());
    v1::JobSubmitted& job = *event.mutable_job_submitted();
    job.set_name(absl::StrCat("job", number, "_", Behaviour()));
    job.set_source(v1::API);
    v1::JobSpec& spec = *job.mutable_spec();
    if (rng.Below(3) == 0) {
      spec.set_handler("noop");
    } else {
      spec.add_exec("script");
    }
    spec.set_timeout_ms(rng.Below(2) == 0 ? 20000 : 300000);
    spec.set_max_attempts(static_cast<uint32_t>(rng.Between(1, 4)));
    spec.set_max_losses(5);
    spec.mutable_backoff()->set_initial_ms(200);
    spec.set_priority(static_cast<int32_t>(rng.Between(-2, 2)));
    if (rng.Below(3) == 0) spec.add_resources("one");
    if (rng.Below(4) == 0) spec.set_ordering_key(absl::StrCat("agency", rng.Below(2)));
    if (world_->plan().reject_late) spec.set_late_success(v1::REJECT);
    if (!world_->plan().browsers.empty() && rng.Below(3) != 0) {
      constexpr v1::OnBrowserLoss kPolicies[] = {v1::RETRY_TASK, v1::CONTINUE_TASK, v1::FAIL_TASK};
      spec.set_needs_browser(true);
      spec.set_on_browser_loss(kPolicies[rng.Below(3)]);
    }
    const auto phases = rng.Between(1, 3);
    for (int64_t phase = 0; phase < phases; phase++) {
      job.add_phases(absl::StrCat("phase", phase));
      for (int64_t i = rng.Between(0, 3); i > 0; i--) {
        v1::TaskSpec& task = *job.add_tasks();
        task.set_phase(static_cast<uint32_t>(phase));
        task.set_data_source(absl::StrCat("ds", i));
      }
    }
    if (job.tasks_size() == 0) job.add_tasks();
    world_->Count("jobs started");
    SayEvent(event);
    if (rng.Below(8) == 0) SayEvent(event);  // a client that was impatient
  });
}

void Workload::Redrive() {
  for (auto& [id, job] : checker_->model().jobs()) {
    if (!job.closed || job.cancelled || !checker_->IsNewest(job)) continue;
    for (uint32_t n = 1; n <= job.tasks.size(); n++) {
      const ModelTask& task = job.tasks[n - 1];
      if (task.state != TaskState::kDead || redriven_[{id, n}] >= 3 ||
          !world_->rng().PerMille(world_->plan().redrives / 2))
        continue;
      redriven_[{id, n}]++;
      v1::Event event;
      event.set_job_id(id.ToBytes());
      event.set_task(n);
      event.set_attempt(task.attempt);
      event.mutable_task_redriven()->set_by("operator");
      world_->Count("redrives");
      SayEvent(event);
    }
  }
}

void Workload::Cancel() {
  std::vector<JobId> open;
  for (const auto& [id, job] : checker_->model().jobs()) {
    if (!job.finished) open.push_back(id);
  }
  if (open.empty()) return;
  v1::Event event;
  event.set_job_id(open[world_->rng().Below(open.size())].ToBytes());
  event.mutable_job_cancelled()->set_reason("not wanted");
  event.mutable_job_cancelled()->set_by("operator");
  world_->Count("cancels");
  SayEvent(event);
}

void Workload::SayIntent(const std::string& worker, v1::Intent intent) {
  v1::ControlRecord record;
  record.mutable_operator_intent()->set_worker(worker);
  record.mutable_operator_intent()->set_intent(intent);
  intents_[worker] = intent;
  Say({{log::Topic::kControl, 0}, log::RecordType::kControlRecord, worker, record.SerializeAsString()});
}

void Workload::Intend() {
  Rng& rng = world_->rng();
  const std::string& worker = workers_[rng.Below(workers_.size())];
  constexpr v1::Intent kIntents[] = {v1::PAUSE, v1::DRAIN, v1::RESUME};
  world_->Count("intents");
  SayIntent(worker, kIntents[rng.Below(3)]);
}

void Workload::Heal() {
  // Once more when what was said before has certainly arrived.
  if (!healed_) world_->After(30000, [this] { Heal(); });
  healed_ = true;
  for (const std::string& worker : workers_) SayIntent(worker, v1::RESUME);
}

}  // namespace laneway::sim
