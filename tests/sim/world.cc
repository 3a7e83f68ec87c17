#include "sim/world.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>

namespace laneway::sim {
namespace {

constexpr size_t kLinesKept = 400;

}  // namespace

World::World(const Plan& plan, bool tracing)
    : plan_(plan),
      rng_(plan.seed ^ 0x5eed5eed5eed5eedULL),
      disk_([this] { return log_now(); }),
      tracing_(tracing) {
  disk_.SetRemote(plan.kafka);
}

void World::At(int64_t time, std::function<void()> run) {
  events_.push({std::max(time, now_), rng_.Next(), ++numbers_, std::move(run)});
}

void World::Post(const ProcRef& proc, int64_t delay, std::function<void()> run) {
  At(now_ + delay, [this, proc, run = std::move(run)]() mutable {
    if (!proc->alive) return;
    if (proc->paused_until > now_) return Post(proc, proc->paused_until - now_, std::move(run));
    run();
  });
}

bool World::RunOne() {
  if (events_.empty() || failed()) return false;
  Event event = std::move(const_cast<Event&>(events_.top()));  // moved out just before it is popped
  events_.pop();
  now_ = std::max(now_, event.at);
  event.run();
  PumpDisk();
  Count("steps");
  return true;
}

void World::RunNested(int64_t until) {
  depth_++;
  PumpDisk();
  while (!events_.empty() && events_.top().at <= until && !failed()) RunOne();
  now_ = std::max(now_, until);
  depth_--;
}

ProcRef World::Start(const std::string& name, bool reads) {
  auto proc = std::make_shared<Proc>();
  proc->name = name;
  proc->in_touch_since = now_;
  // A store is opened when nobody has it any more: what the process before had under way happened, or not.
  bool happened = true;  // in their order
  for (const log::SimDisk::Waiting& call : disk_.ListWaiting()) {
    if (call.owner != name || call.ops == 0) continue;
    happened = happened && rng_.Below(2) == 0;
    disk_.Complete(call.id, happened ? log::SimFate::kDone : log::SimFate::kUnavailable);
  }
  Appended();
  proc->client = disk_.Connect(name);
  if (plan_.kafka && reads) {
    proc->client->Follow();
    followers_.push_back(proc);
  }
  return proc;
}

void World::Kill(const ProcRef& proc) {
  proc->alive = false;
  proc->client->Kill();
}

void World::Pause(const ProcRef& proc, int64_t ms) {
  proc->paused_until = std::max(proc->paused_until, now_ + ms);
  // shorter ones go unnoticed, and do no harm
  if (ms > 6000) proc->in_touch_since = std::max(proc->in_touch_since, proc->paused_until);
}

void World::CutOff(const ProcRef& proc, bool cut_off) {
  proc->cut_off = cut_off;
  proc->client->CutOff(cut_off);
  if (cut_off) proc->cut_off_since = now_;
  if (cut_off) return;
  if (now_ - proc->cut_off_since > 6000) proc->in_touch_since = std::max(proc->in_touch_since, now_);
  if (plan_.kafka) PlanFetch(proc);
}

// Every call that waits at the disk gets the moment at which it ends.
void World::PumpDisk() {
  if (disk_.waiting() == 0) return;
  for (const log::SimDisk::Waiting& call : disk_.ListWaiting(pumped_)) {
    pumped_ = call.id;
    int64_t at = now_ + rng_.Delay(5, 60);
    if (faults() && rng_.PerMille(plan_.rates.slow_append)) at += rng_.Between(100, 20000);
    if (call.records > 0 && !plan_.reordered_appends) {
      Order& order = OrderOf(call);
      at = order.until = std::max(at, order.until);
    }
    At(at, [this, call] { Complete(call, false); });
  }
}

World::Order& World::OrderOf(const log::SimDisk::Waiting& call) {
  return orders_[{std::string(call.owner), plan_.kafka ? call.to : log::TopicPartition{}}];
}

void World::Complete(const log::SimDisk::Waiting& call, bool was_held) {
  const bool has_leader = call.records == 0 || !leader_back_.contains(call.to);
  const bool gives_up = !has_leader && rng_.Below(3) == 0;
  if (!gives_up && (!has_leader || IsBehindHeld(call, was_held))) return Hold(call);
  const uint64_t before = disk_.appended();
  disk_.Complete(call.id, gives_up ? FateWithoutLeader() : Fate());
  if (disk_.appended() != before) Appended();
}

bool World::IsBehindHeld(const log::SimDisk::Waiting& call, bool was_held) {
  return plan_.kafka && !plan_.reordered_appends && !was_held && call.records > 0 &&
         now_ < OrderOf(call).held_until;
}

void World::Hold(const log::SimDisk::Waiting& call) {
  const auto back = leader_back_.find(call.to);
  Order& order = OrderOf(call);
  order.until = std::max({order.until, now_, back == leader_back_.end() ? 0 : back->second}) + 1;
  order.held_until = order.until;
  At(order.until, [this, call] { Complete(call, true); });
}

// Its client waited too long: it was replicated, or is cut off and was never to be read.
log::SimFate World::FateWithoutLeader() {
  Count("fault: append without a leader given up");
  return rng_.Below(2) == 0 ? log::SimFate::kReplyLost : log::SimFate::kRequestLost;
}

void World::AppendLate() {
  if (disk_.AppendLate(rng_.Below(disk_.unknown()))) Appended();
}

void World::LoseLeaders(int64_t ms) {
  for (const log::TopicPartition partition : disk_.AllPartitions()) {
    if (rng_.Below(3) != 0) continue;
    int64_t& back = leader_back_[partition];
    back = std::max(back, now_ + rng_.Between(ms / 2, ms));
    disk_.SetLeader(partition, false);
    Tell(HashBytes(log::TopicName(partition.topic)) + partition.partition, [&] {
      return absl::StrCat(std::string(log::TopicName(partition.topic)), "/", partition.partition,
                          " has no leader for ", back - now_, " ms");
    });
    At(back, [this] { FindLeaders(false); });
  }
}

void World::FindLeaders(bool all) {
  std::erase_if(leader_back_, [&](const auto& away) {
    if (!all && away.second > now_) return false;
    disk_.SetLeader(away.first, true);
    return true;
  });
  Appended();
}

void World::Appended() {
  if (on_appended) on_appended();
  std::erase_if(followers_, [](const ProcRef& proc) { return !proc->alive; });
  for (const ProcRef& proc : followers_) PlanFetch(proc);
}

// When it sees more of the log, and how much: two readers seldom see the same.
void World::PlanFetch(const ProcRef& proc) {
  if (std::exchange(proc->fetches, true)) return;
  int64_t delay = rng_.Delay(5, 60);
  if (faults() && rng_.PerMille(plan_.rates.slow_fetch)) {
    Count("fault: fetch slow");
    delay += rng_.Between(100, 3000);
  }
  At(now_ + delay, [this, proc] {
    proc->fetches = false;
    const bool more = proc->client->Show(
        [this](size_t unseen) { return rng_.Below(4) == 0 ? rng_.Below(unseen + 1) : unseen; });
    if (more) PlanFetch(proc);
  });
}

log::SimFate World::Fate() {
  if (!faults()) return log::SimFate::kDone;
  const Rates& rates = plan_.rates;
  const auto fate = [&](uint32_t chance, std::string_view name) {
    if (!rng_.PerMille(chance)) return false;
    Count(name);
    return true;
  };
  if (fate(rates.reply_lost, "fault: reply lost")) return log::SimFate::kReplyLost;
  if (fate(rates.request_lost, "fault: request lost")) return log::SimFate::kRequestLost;
  if (fate(rates.cut_short, "fault: append cut short")) return log::SimFate::kCutShort;
  if (fate(rates.unavailable, "fault: append refused")) return log::SimFate::kUnavailable;
  return log::SimFate::kDone;
}

void World::Fail(std::string_view property, const std::string& text) {
  if (failed()) return;
  violation_ = absl::StrCat("property ", std::string(property), ": ", text);
  if (tracing_) Line("VIOLATION " + violation_);
}

void World::Line(std::string text) {
  char time[32];
  std::snprintf(time, sizeof time, "%9.3f ", static_cast<double>(now_) / 1000);
  lines_.push_back(time + std::string(static_cast<size_t>(depth_) * 2, ' ') + std::move(text));
  static const bool live = getenv("LANEWAY_SIM_LIVE") != nullptr;  // a story that does not end
  if (live) std::fprintf(stderr, "%s\n", lines_.back().c_str());
  if (lines_.size() > kLinesKept * 1000) lines_.pop_front();
}

// ---- ProcFs

absl::Status ProcFs::Before(bool changes) {
  if (!proc_->alive) return Dead();
  if (!others_act_) return absl::OkStatus();
  const Rates& rates = world_->plan().rates;
  Rng& rng = world_->rng();
  const bool faults = world_->faults();
  if (changes && faults && rng.PerMille(rates.zone_crash)) {
    world_->Count("fault: crash inside the zone's work");
    crash_();
    return Dead();
  }
  if (changes && faults && rng.PerMille(rates.zone_pause)) {
    world_->Count("fault: pause inside the zone's work");
    const int64_t ms = rng.Between(1000, 90000);
    if (rng.Below(2) == 0) world_->Pause(proc_, ms);
    if (!world_->nested_too_deep()) world_->RunNested(world_->now() + ms);
  } else if (rng.PerMille(changes ? rates.zone_wait : rates.zone_wait / 5) && !world_->nested_too_deep()) {
    world_->RunNested(world_->now() + rng.Delay(20, 500));
  }
  while (proc_->alive && proc_->paused_until > world_->now() && !world_->nested_too_deep() &&
         !world_->failed()) {
    world_->RunNested(proc_->paused_until);
  }
  if (!proc_->alive || world_->failed()) return Dead();
  if (faults && rng.PerMille(rates.fs_error)) {
    world_->Count("fault: file system error");
    return absl::UnavailableError("simulated: try again");
  }
  return absl::OkStatus();
}

absl::StatusOr<zone::FileInfo> ProcFs::Stat(std::string_view path) {
  if (absl::Status status = Before(false); !status.ok()) return status;
  return world_->fs().Stat(path);
}
absl::StatusOr<std::vector<zone::FolderEntry>> ProcFs::List(std::string_view folder) {
  if (absl::Status status = Before(false); !status.ok()) return status;
  return world_->fs().List(folder);
}
absl::StatusOr<std::vector<zone::FolderItem>> ProcFs::ListWithInfo(std::string_view folder) {
  if (absl::Status status = Before(false); !status.ok()) return status;
  return world_->fs().ListWithInfo(folder);
}
absl::Status ProcFs::MakeFolder(std::string_view path) {
  if (absl::Status status = Before(true); !status.ok()) return status;
  return world_->fs().MakeFolder(path);
}
absl::Status ProcFs::RemoveFolder(std::string_view path) {
  if (absl::Status status = Before(true); !status.ok()) return status;
  return world_->fs().RemoveFolder(path);
}
absl::Status ProcFs::RemoveTree(std::string_view path) {
  if (absl::Status status = Before(true); !status.ok()) return status;
  return world_->fs().RemoveTree(path);
}
absl::Status ProcFs::Rename(std::string_view from, std::string_view to) {
  if (absl::Status status = Before(true); !status.ok()) return status;
  const auto info = world_->fs().Stat(from);
  absl::Status done = world_->fs().Rename(from, to);
  world_->Tell(HashBytes(from) ^ Mix64(HashBytes(to)) ^ static_cast<uint64_t>(done.code()), [&] {
    return absl::StrCat(proc_->name, " renames ", std::string(from), " -> ", std::string(to),
                        done.ok() ? "" : ": " + done.ToString());
  });
  if (done.ok() && info.ok()) renamed_(from, to, info->inode);
  if (others_act_ && world_->faults() && world_->rng().PerMille(world_->plan().rates.fs_reply_lost)) {
    world_->Count("fault: reply of a rename lost");
    return absl::UnavailableError("simulated: the reply was lost");
  }
  return done;
}
absl::Status ProcFs::SyncFolders(std::span<const std::string> folders) {
  if (absl::Status status = Before(true); !status.ok()) return status;
  return world_->fs().SyncFolders(folders);
}
bool ProcFs::OpenForWriting(std::string_view path) {
  return proc_->alive && world_->fs().OpenForWriting(path);
}

}  // namespace laneway::sim
