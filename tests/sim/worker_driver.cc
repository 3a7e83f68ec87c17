#include "sim/worker_driver.h"

#include <algorithm>

#include "worker/run_spec.h"
#include "zone/zone.h"

namespace laneway::sim {
namespace {

absl::Status MakeFolders(zone::Fs& fs, const std::string& path) {
  for (size_t slash = path.find('/');; slash = path.find('/', slash + 1)) {
    const absl::Status status = fs.MakeFolder(path.substr(0, slash));
    if (!status.ok() && status.code() != absl::StatusCode::kAlreadyExists) return status;
    if (slash == std::string::npos) return absl::OkStatus();
  }
}

}  // namespace

WorkerDriver::WorkerDriver(World* world, ProcRef proc, const HostClock* clock, Witness* witness, WorkerId id,
                           uint32_t capacity, SimBrowser* browser, std::function<void()> ended)
    : world_(world),
      proc_(proc),
      clock_(clock),
      witness_(witness),
      id_(std::move(id)),
      capacity_(capacity),
      machine_(browser),
      incarnation_(world->rng().MakeId<IncarnationId>()),
      fs_(world, proc, false, {},
          [witness, name = proc->name](std::string_view from, std::string_view to, uint64_t inode) {
            witness->OnRename(name, from, to, inode);
          }),
      notes_first_(proc_->client.get(), proc_->client.get()),
      journal_(world->plan().kafka ? static_cast<log::Journal*>(&notes_first_) : proc_->client.get()),
      ended_(std::move(ended)) {}

worker::Now WorkerDriver::Time() const {
  const int64_t boot = world_->now() + world_->now() * clock_->drift_ppm / 1000000;
  return {{kEpochMs + boot + clock_->offset_ms}, Millis(1000000 + boot)};
}

absl::Status WorkerDriver::Start() {
  // The identity must be durable before anything else is done; the simulated disk answers later, so the first
  // start writes it by itself.
  const std::string key = absl::StrCat("w/", id_.name, "/id");
  const auto known = proc_->client->Get(key);
  if (!known.ok()) return known.status();
  if (!known->has_value()) {
    v1::StoreIdentity identity;
    identity.set_store(world_->rng().MakeId<StoreId>().ToBytes());
    identity.set_worker(id_.name);
    proc_->client->Commit({{log::StoreOp::Kind::kPut, key, identity.SerializeAsString()}},
                          log::Durability::kSynced, [](const absl::Status&) {});
    return absl::UnavailableError("its store is being made");
  }
  auto opened = worker::OpenWorkerStore(*proc_->client, id_, StoreId{}, Time().wall);
  if (!opened.ok()) return opened.status();
  store_ = opened->store;
  for (const char* place : {"logs/", "processing/"}) {
    if (absl::Status status = MakeFolders(fs_, place + id_.name); !status.ok()) return status;
  }
  worker::WorkerOptions options;
  options.id = id_;
  options.store = store_;
  options.incarnation = incarnation_;
  options.capacity = capacity_;
  options.has_browser = machine_ != nullptr;
  if (world_->rng().Below(2) == 0)
    options.compact_notes_max = static_cast<uint64_t>(world_->rng().Between(5, 100));
  core_ = std::make_unique<worker::Worker>(options, std::move(opened->restored));
  std::vector<log::TopicPartition> watched = {{log::Topic::kControl, 0}};
  for (Lane lane = 0; lane < world_->plan().LanesAtMost(); lane++)
    watched.push_back({log::Topic::kLanes, lane});
  watch_ = proc_->client->WatchPartitions(std::move(watched), [this] { WakeUp(); });
  if (machine_ != nullptr) {
    browser_ = std::make_unique<BrowserDriver>(world_, proc_, clock_, witness_, id_, machine_,
                                               [this](BrowserNews news) { OnBrowserNews(std::move(news)); });
    browser_->Begin();
  }
  WakeUp();
  return absl::OkStatus();
}

void WorkerDriver::BeginShutdown(worker::Shutdown mode) {
  core_->BeginShutdown(mode, Millis(10000), Time());
  WakeUp();
}

void WorkerDriver::WakeUp() {
  if (woken_) return;
  woken_ = true;
  world_->Post(proc_, world_->rng().Delay(3, 200), [this] {
    woken_ = false;
    Pass();
  });
}

void WorkerDriver::Pass() {
  const worker::Now now = Time();
  ReadControl();
  ReadLanes(now);
  StepAll(now);
  if (core_->finished() && !std::exchange(end_told_, true)) End();
  const uint64_t timer = ++timer_;
  if (const auto next = core_->NextDeadline()) {
    world_->Post(proc_, std::clamp<int64_t>((*next - now.boot).count(), 1, 5000), [this, timer] {
      if (timer == timer_) Pass();
    });
  }
}

void WorkerDriver::ReadControl() {
  bool at_end = false;
  while (!at_end) {
    auto batch = proc_->client->Read({log::Topic::kControl, 0}, control_next_, 1 << 20);
    if (!batch.ok()) break;
    control_next_ = batch->next_offset;
    at_end = batch->records.empty();
    for (const log::RecordView& record : batch->records) {
      if (const auto table = control_.Take(record.offset, record.value)) SetLanes(*table);
    }
  }
  const worker::ControlWords::News news = control_.AfterRead(at_end);
  if (const auto said = news.intents.find(id_.name);
      said != news.intents.end() && said->second.intent == v1::RESUME)
    core_->OnResume(said->second.at);
  if (news.table) SetLanes(*news.table);
}

void WorkerDriver::SetLanes(const v1::LaneTableSnapshot& table) {
  std::vector<Lane> owned;
  for (const v1::LaneOwner& owner : table.lanes()) {
    if (owner.worker() == id_.name) owned.push_back(owner.lane());
  }
  core_->SetLanes(owned);
}

void WorkerDriver::ReadLanes(worker::Now now) {
  std::vector<std::pair<Lane, Offset>> wanted;
  core_->ForEachLane([&](Lane lane, Offset from) { wanted.emplace_back(lane, from); });
  bool all = true;
  for (const auto& [lane, from] : wanted) all = ReadLane(lane, from, now) && all;
  if (!all) world_->Post(proc_, 100, [this] { WakeUp(); });
}

bool WorkerDriver::ReadLane(Lane lane, Offset from, worker::Now now) {
  for (;;) {
    auto batch =
        proc_->client->Read({log::Topic::kLanes, lane}, from, world_->rng().Below(4) == 0 ? 1 : 1 << 18);
    if (!batch.ok()) {
      const auto range = proc_->client->Range({log::Topic::kLanes, lane});
      if (absl::IsOutOfRange(batch.status()) && range.ok() && range->first > from) {
        from = range->first;
        core_->OnLaneRead(lane, from, false, now);
        continue;
      }
      return false;
    }
    if (batch->records.empty()) {
      core_->OnLaneRead(lane, from, true, now);
      return true;
    }
    for (const log::RecordView& record : batch->records) {
      v1::LaneRecord parsed;
      if (record.type == log::RecordType::kLaneRecord &&
          parsed.ParseFromArray(record.value.data(), static_cast<int>(record.value.size()))) {
        core_->OnLaneRecord(lane, record.offset, std::move(parsed));
      } else {
        core_->OnBadRecord(lane, record.offset);
      }
    }
    from = batch->next_offset;
    core_->OnLaneRead(lane, from, false, now);
    if (world_->rng().Below(8) == 0) return false;  // the rest at the next wake
  }
}

void WorkerDriver::StepAll(worker::Now now) {
  for (bool again = true; again && proc_->alive;) {
    worker::Commands out;
    core_->Step(now, &out);
    again = CarryOut(out, now);
  }
  if (!core_->fatal().ok())
    world_->Fail("(g)", absl::StrCat(id_.name, " gave up: ", core_->fatal().ToString()));
  if (browser_ && proc_->alive) AfterSteps();
}

void WorkerDriver::AfterSteps() {
  for (const auto& [key, script] : scripts_) {
    if (script->browser_generation == 0 || script->browser_generation > told_.over || script->over) continue;
    witness_->OnBrowserOver(id_, key, script->stopped || script->goes_on);
  }
  if (core_->browser_use() == use_told_) return;
  use_told_ = core_->browser_use();
  browser_->OnUse(use_told_);
}

void WorkerDriver::End() {
  if (!browser_) return world_->Post(proc_, 0, ended_);
  browser_->Close([this] { world_->Post(proc_, 0, ended_); });
}

void WorkerDriver::OnBrowserNews(BrowserNews news) {
  news_.push_back(std::move(news));
  world_->Post(proc_, world_->rng().Delay(3, 100), [this] {
    const BrowserNews next = std::move(news_.front());
    news_.pop_front();
    for (const worker::BrowserLine& line : next.lines)
      world_->Tell(HashBytes(line.text), [&] { return absl::StrCat(id_.name, ": ", line.text); });
    if (!next.state) return;
    told_ = *next.state;
    core_->OnBrowser(told_);
    Pass();
  });
}

bool WorkerDriver::CarryOut(worker::Commands& out, worker::Now now) {
  for (const worker::Commit& commit : out.commits) SendCommit(commit);
  for (const worker::ChildNote& child : out.children) {
    proc_->client->Commit({worker::ChildOp(id_, child)}, log::Durability::kBuffered,
                          [](const absl::Status&) {});
  }
  for (const worker::Stop& stop : out.stops) {
    const auto found = scripts_.find(stop.key);
    if (found == scripts_.end()) continue;
    found->second->stopped = true;
    worker::Ended ended;
    ended.key = stop.key;
    ended.ending = v1::STOPPED;
    world_->After(world_->rng().Delay(200, 8000),
                  [this, script = found->second, ended] { EndScript(script, ended); });
  }
  bool refused = false;
  for (const worker::Run& run : out.runs) refused = !StartAttempt(run, now) || refused;
  for (const v1::Heartbeat& beat : out.heartbeats) SendHeartbeat(beat);
  for (const v1::BrowserHealth& health : out.browser_health) SendBrowserHealth(health);
  for (const worker::Line& line : out.lines) {
    world_->Tell(HashBytes(line.text), [&] {
      return absl::StrCat(
          id_.name, ": ", line.text,
          line.key ? absl::StrCat(" ", line.key->task.ToString(), " attempt ", line.key->attempt) : "");
    });
  }
  return refused;
}

void WorkerDriver::SendCommit(const worker::Commit& commit) {
  journal_->Commit(worker::NoteOps(id_, *commit.batch),
                   worker::EventRecords(*commit.batch, world_->plan().partitions),
                   [this, token = commit.token](const absl::Status& status, std::span<const Offset>) {
                     world_->Post(proc_, world_->rng().Delay(1, 30), [this, token, status] {
                       core_->OnCommitted(token, status, Time());
                       Pass();
                     });
                   });
}

void WorkerDriver::SendHeartbeat(const v1::Heartbeat& beat) {
  if (core_->idle()) folders_.RemoveSpares();
  std::vector<log::NewRecord> records;
  records.push_back(worker::HeartbeatRecord(beat, 1));
  proc_->client->Append(std::move(records), [this](const absl::Status& status, std::span<const Offset>) {
    world_->Post(proc_, world_->rng().Delay(1, 30), [this, status] {
      core_->OnHeartbeatAnswered(status, Time());
      if (status.ok())
        proc_->client->Commit({worker::SeenOp(id_, Time().wall)}, log::Durability::kBuffered,
                              [](const absl::Status&) {});
      Pass();
    });
  });
}

void WorkerDriver::SendBrowserHealth(const v1::BrowserHealth& health) {
  const auto answered = [this](const absl::Status& status) {
    world_->Post(proc_, world_->rng().Delay(1, 30), [this, status] {
      core_->OnBrowserHealthAnswered(status, Time());
      Pass();
    });
  };
  if (machine_->health_lost()) return answered(absl::UnknownError("simulated: lost on its way"));
  std::vector<log::NewRecord> records;
  records.push_back(worker::BrowserHealthRecord(health, 1));
  proc_->client->Append(std::move(records), [answered](const absl::Status& status, std::span<const Offset>) {
    answered(status);
  });
}

// ---- scripts

bool WorkerDriver::StartAttempt(const worker::Run& run, worker::Now now) {
  const worker::Prepared prepared = folders_.Prepare(run);
  if (worker::NeedsFolder(*run.packet)) witness_->OnPrepared(id_, *run.packet, prepared.status);
  if (!prepared.status.ok()) {
    worker::Ended ended;
    ended.key = run.key;
    ended.ending = prepared.ending;
    ended.message = std::string(prepared.status.message());
    core_->OnExecutor(ended, now);
    return false;
  }
  const Witness::Script how = witness_->OnScriptStart(id_, incarnation_, store_, *run.packet);
  auto script = std::make_shared<Script>();
  script->key = run.key;
  if (run.packet->spec().needs_browser()) {
    witness_->OnBrowserScript(id_, *run.packet, told_);
    script->browser_generation = told_.generation;
    script->goes_on = run.packet->spec().on_browser_loss() == v1::CONTINUE_TASK;
  }
  scripts_[run.key] = script;
  Deliver(worker::Started{run.key, static_cast<int32_t>(world_->rng().Between(2, 30000)), 1});
  worker::Ended ended;
  ended.key = run.key;
  ended.ok = how.ok;
  if (!how.ok) ended.ending = how.ending, ended.exit_code = how.exit_code;
  const auto timeout = static_cast<int64_t>(run.packet->spec().timeout_ms());
  int64_t takes = how.takes_ms;
  if (timeout != 0 && takes > timeout) {
    takes = timeout;
    ended.ok = false;
    ended.ending = v1::TIMEOUT;
  }
  ended.duration = Millis(takes);
  if (how.reports) {
    for (int i = 1; i <= 3; i++) {
      world_->After(takes * i / 4, [this, script, i] {
        if (script->over) return;
        worker::Reported reported;
        reported.key = script->key;
        reported.percent = static_cast<uint32_t>(i * 25);
        reported.checkpoint = absl::StrCat("page ", i, " of attempt ", script->key.attempt);
        Deliver(reported);
      });
    }
  }
  world_->After(takes, [this, script, ended] { EndScript(script, ended); });
  return true;
}

// The script's own end; the worker hears of it when it can.
void WorkerDriver::EndScript(const std::shared_ptr<Script>& script, worker::Ended ended) {
  if (script->over) return;
  script->over = true;
  witness_->OnScriptEnd(id_, script->key);
  world_->Post(proc_, world_->rng().Delay(3, 30), [this, ended] {
    scripts_.erase(ended.key);
    folders_.Release(ended.key);
    core_->OnExecutor(ended, Time());
    Pass();
  });
}

void WorkerDriver::Deliver(worker::ExecutorEvent event) {
  world_->Post(proc_, world_->rng().Delay(3, 30), [this, event = std::move(event)] {
    core_->OnExecutor(event, Time());
    Pass();
  });
}

void WorkerDriver::StopScripts() {
  for (const auto& [key, script] : scripts_) {
    if (script->over) continue;
    script->over = true;
    witness_->OnScriptEnd(id_, key);
    witness_->OnScriptKilled(id_, key);
  }
}

}  // namespace laneway::sim
