#include "dispatcher/dispatcher_runner.h"

#include <sys/epoll.h>

#include <algorithm>
#include <future>
#include <utility>

#include "ops/check.h"
#include "ops/random_ids.h"

namespace laneway::dispatcher {

// What the zone found, in the order it was asked.
struct DispatcherRunner::Answers {
  std::optional<absl::Status> staging;
  std::optional<absl::Status> fenced;
  std::vector<std::pair<zone::PlaceRequest, zone::PlaceResult>> placed;
  std::vector<std::pair<zone::FinishRequest, zone::FinishResult>> finished;
  std::optional<std::vector<zone::Leftover>> leftovers;
  uint64_t refused = 0;
};

struct DispatcherRunner::Sighting {
  bool full = false;
  std::vector<zone::Findings> findings;  // in their order; of a full look, its own is the last
  std::optional<Millis> settled_in;      // when the next file may have settled
  Millis took{0};
};

namespace {

template <class Message>
log::NewRecord Record(log::Topic topic, uint32_t partition, log::RecordType type, std::string key,
                      const Message& message) {
  log::NewRecord record;
  record.to = {topic, partition};
  record.type = type;
  record.key = std::move(key);
  message.SerializeToString(&record.value);
  return record;
}

template <class T>
void MoveAll(std::vector<T>& from, std::vector<T>& to) {
  if (to.empty()) {
    to = std::move(from);
  } else {
    to.insert(to.end(), std::make_move_iterator(from.begin()), std::make_move_iterator(from.end()));
  }
  from.clear();
}

}  // namespace

DispatcherRunner::DispatcherRunner(RunnerOptions options, ops::Loop* loop, fold::FleetFold* fold,
                                   log::Log* log, zone::Fs* fs, const ops::Clock* clock)
    : options_(std::move(options)), loop_(loop), fold_(fold), log_(log), fs_(fs), clock_(clock) {
  MakeCore();
}

DispatcherRunner::~DispatcherRunner() = default;

void DispatcherRunner::MakeCore() {
  core_ = std::make_unique<Dispatcher>(options_.dispatcher, &fold_->ledger(), &fold_->members());
  zone_ = std::make_unique<zone::Zone>(fs_, options_.dispatcher.incarnation);
}

absl::Status DispatcherRunner::Start() {
  scanner_ = std::make_unique<zone::Scanner>(fs_, options_.settle);
  if (options_.watch_zone) {
    watcher_ = std::make_unique<zone::InotifyWatcher>(options_.zone_root + "/incoming");
    if (watcher_->fd() >= 0) zone_loop_.Watch(watcher_->fd(), EPOLLIN, [this](uint32_t) { ReadNews(); });
  }
  zone_loop_.Start();
  admin_loop_.Start();
  started_ = true;
  Tick();
  return absl::OkStatus();
}

void DispatcherRunner::SetOwner(bool owner) {
  owner_ = owner;
  if (!started_ || stopped_) return;
  core_->SetOwner(owner, Now(), &commands_);
  Flush();
}

void DispatcherRunner::Stop() {
  if (!started_ || stopped_) return;
  stopped_ = true;
  loop_->Cancel(tick_);
  loop_->Cancel(rescan_);
  loop_->Cancel(settled_);
  zone_loop_.Stop();
  zone_loop_.Join();
  admin_loop_.Stop();
  admin_loop_.Join();
}

// ---- what the fold has read

void DispatcherRunner::OnEvent(uint32_t partition, Offset, LogTime, const v1::Event& event,
                               FoldVerdict verdict, std::span<const Change> changes) {
  core_->OnEvent(partition, event, verdict, changes, Now(), &commands_);
}

void DispatcherRunner::OnHeartbeat(const Member& member) { core_->OnHeartbeat(member, Now(), &commands_); }

void DispatcherRunner::OnControl(const v1::ControlRecord& record, Offset offset, const Member* member) {
  core_->OnControl(record, offset, member, Now(), &commands_);
}

void DispatcherRunner::OnBatchEnd(bool) {
  if (!started_ || stopped_) return;
  core_->OnTick(Now(), &commands_);
  Flush();
}

void DispatcherRunner::Tick() {
  if (stopped_) return;
  core_->OnTick(Now(), &commands_);
  Flush();
  const LogTime now = Now();
  Millis wait{1000};
  if (const auto deadline = core_->NextDeadline(now))
    wait = std::clamp(*deadline - now, Millis(1), Millis(1000));
  loop_->Cancel(tick_);
  tick_ = loop_->RunAfter(wait, [this] { Tick(); });
}

// ---- carrying out

void DispatcherRunner::Flush() {
  if (commands_.stepped_down && !stopped_) return StandAgainLater();
  SendRecords();
  CollectZoneWork();
  MaybeWorkZone();
  if (core_->active() && options_.watch_zone && (look_wanted_ || hints_wanted_)) Look();
}

// Rule E1: who has stepped down (its staging folder is gone, a newer epoch was read) stands again as a new
// one: another incarnation, another staging folder. What it had decided is void; the new one decides from the
// fold.
void DispatcherRunner::StandAgainLater() {
  v1::Alert alert;
  alert.set_subject("dispatcher");
  alert.set_severity(v1::WARNING);
  alert.set_kind("dispatcher_stepped_down");
  alert.set_message(
      "the dispatcher stepped down: its staging folder below processing/ is gone, or another was elected; it "
      "stands again");
  if (options_.on_alert && core_->standing() == Standing::kGone && !commands_.empty())
    options_.on_alert(alert);
  commands_.clear();
  pending_ = ZoneWork{};
  constexpr Millis kPause{1000};  // a zone that is not there is asked for once a second, not without end
  loop_->RunAfter(kPause, [this, alive = std::weak_ptr<bool>(alive_)] {
    if (alive.expired() || stopped_) return;
    if (zone_busy_ || looking_) return StandAgainLater();
    options_.dispatcher.incarnation = ops::NewIncarnationId();
    MakeCore();  // the zone's loop has nothing of the old one left to do
    look_wanted_ = true;
    core_->SetOwner(owner_, Now(), &commands_);
    Flush();
  });
}

void DispatcherRunner::SendRecords() {
  for (const v1::Alert& alert : commands_.alerts) {
    if (options_.on_alert) options_.on_alert(alert);
  }
  auto sent = std::make_shared<Commands>();
  sent->events.swap(commands_.events);
  sent->lanes.swap(commands_.lanes);
  sent->marks.swap(commands_.marks);
  sent->control.swap(commands_.control);
  sent->dead_letters.swap(commands_.dead_letters);
  sent->alerts.swap(commands_.alerts);
  sent->trims.swap(commands_.trims);
  sent->lanes_wanted = std::exchange(commands_.lanes_wanted, 0);
  TendLanes(sent);
  std::vector<log::NewRecord> records;
  records.reserve(sent->events.size() + sent->lanes.size() + sent->marks.size() + sent->control.size() +
                  sent->dead_letters.size() + sent->alerts.size());
  const uint32_t partitions = fold_->ledger().partitions();
  for (const LaneAppend& lane : sent->lanes) {
    records.push_back(Record(log::Topic::kLanes, lane.lane, log::RecordType::kLaneRecord,
                             lane.record.worker(), lane.record));
  }
  for (const v1::Event& event : sent->events)
    records.push_back(fold::RecordOf(event, fold::PartitionOf(event, partitions)));
  for (const auto& [partition, mark] : sent->marks) records.push_back(fold::RecordOf(mark, partition));
  for (const v1::ControlRecord& control : sent->control) records.push_back(fold::RecordOf(control));
  for (const v1::DeadLetter& letter : sent->dead_letters) {
    records.push_back(Record(log::Topic::kDeadLetter, 0, log::RecordType::kDeadLetter,
                             letter.job_id() + std::to_string(letter.task()), letter));
  }
  for (const v1::Alert& alert : sent->alerts)
    records.push_back(Record(log::Topic::kAlerts, 0, log::RecordType::kAlert, alert.subject(), alert));
  if (records.empty()) return;
  log_->Append(std::move(records), [this, sent, alive = std::weak_ptr<bool>(alive_)](
                                       const absl::Status& status, std::span<const Offset> offsets) {
    if (status.ok() && sent->lanes.empty()) return;
    std::vector<Offset> lanes(offsets.begin(), offsets.begin() + static_cast<std::ptrdiff_t>(std::min(
                                                                     offsets.size(), sent->lanes.size())));
    loop_->Post([this, sent, status, lanes = std::move(lanes), alive] {
      if (!alive.expired()) Appended(sent, status, lanes);
    });
  });
}

// Trims and adds lanes, for which a log of other machines may take its time. What fails is asked for again
// with the next heartbeat.
void DispatcherRunner::TendLanes(const std::shared_ptr<const Commands>& asked) {
  if (asked->trims.empty() && (asked->lanes_wanted == 0 || growing_)) return;
  growing_ = growing_ || asked->lanes_wanted != 0;
  admin_loop_.Post([this, asked, alive = std::weak_ptr<bool>(alive_)] {
    for (const Trim& trim : asked->trims) (void)log_->Trim({log::Topic::kLanes, trim.lane}, trim.below);
    if (asked->lanes_wanted == 0) return;
    const bool grown = log_->EnsureTopic(log::Topic::kLanes, asked->lanes_wanted).ok();
    loop_->Post([this, grown, lanes = asked->lanes_wanted, alive] {
      if (alive.expired() || stopped_) return;
      growing_ = false;
      if (!grown) return;
      core_->OnLanesGrown(lanes, &commands_);
      Flush();
    });
  });
}

void DispatcherRunner::Appended(std::shared_ptr<Commands> sent, const absl::Status& status,
                                std::span<const Offset> offsets) {
  const LogTime now = Now();
  for (size_t i = 0; i < sent->lanes.size(); i++)
    core_->OnLaneAppended(sent->lanes[i], status.ok(), status.ok() ? offsets[i] : 0, now);
  if (status.ok()) return;
  for (const v1::Event& event : sent->events) core_->OnEventFailed(event, now, &commands_);
  if (!sent->marks.empty()) core_->OnMarkFailed(now, &commands_);
  for (const v1::ControlRecord& control : sent->control) core_->OnControlFailed(control, now, &commands_);
}

// ---- the zone

void DispatcherRunner::CollectZoneWork() {
  ZoneWork& work = commands_.zone;
  if (work.empty()) return;
  pending_.make_staging |= work.make_staging;
  pending_.fence_others |= work.fence_others;
  pending_.look_for_leftovers |= work.look_for_leftovers;
  MoveAll(work.place, pending_.place);
  MoveAll(work.finish, pending_.finish);
  MoveAll(work.refuse, pending_.refuse);
  MoveAll(work.forget, pending_.forget);
  MoveAll(work.put_back, pending_.put_back);
  MoveAll(work.remove_if_empty, pending_.remove_if_empty);
  work = ZoneWork{};
}

void DispatcherRunner::MaybeWorkZone() {
  if (zone_busy_ || stopped_ || pending_.empty()) return;
  constexpr size_t kBatchMax = 1024;  // so that one batch does not keep the others waiting
  auto work = std::make_shared<ZoneWork>(std::move(pending_));
  pending_ = ZoneWork{};
  if (work->place.size() > kBatchMax) {
    pending_.place.assign(std::make_move_iterator(work->place.begin() + kBatchMax),
                          std::make_move_iterator(work->place.end()));
    work->place.resize(kBatchMax);
  }
  if (work->finish.size() > kBatchMax) {
    pending_.finish.assign(std::make_move_iterator(work->finish.begin() + kBatchMax),
                           std::make_move_iterator(work->finish.end()));
    work->finish.resize(kBatchMax);
  }
  zone_busy_ = zone_loop_.Post([this, work, alive = std::weak_ptr<bool>(alive_)] {
    auto answers = DoZoneWork(*work);
    loop_->Post([this, answers, alive] {
      if (alive.expired() || stopped_) return;
      zone_busy_ = false;
      TakeAnswers(*answers);
      Flush();
    });
  });
}

std::shared_ptr<DispatcherRunner::Answers> DispatcherRunner::DoZoneWork(const ZoneWork& work) {
  auto answers = std::make_shared<Answers>();
  if (work.make_staging) answers->staging = zone_->MakeStaging();
  if (work.fence_others) answers->fenced = zone_->FenceOthers();
  if (!work.finish.empty()) {  // first: what it leaves over, the others may use
    auto results = zone_->FinishFiles(work.finish);
    for (size_t i = 0; i < results.size(); i++) {
      const bool taken = results[i].outcome == zone::FinishOutcome::kMoved ||
                         results[i].outcome == zone::FinishOutcome::kClaimed;
      if (taken && work.finish[i].file) scanner_->Taken(work.finish[i].file->path);
      answers->finished.emplace_back(work.finish[i], std::move(results[i]));
    }
  }
  if (!work.place.empty()) {
    auto results = zone_->PlaceFiles(work.place);
    for (size_t i = 0; i < results.size(); i++) {
      if (results[i].outcome == zone::PlaceOutcome::kPlaced) scanner_->Taken(work.place[i].file.path);
      answers->placed.emplace_back(work.place[i], std::move(results[i]));
    }
  }
  for (const std::string& path : work.refuse) {
    if (zone_->Refuse(path).ok()) {
      scanner_->Taken(path);
      answers->refused++;
    } else {
      scanner_->Forget(path);
    }
  }
  for (const std::string& path : work.forget) scanner_->Forget(path);
  // found again at the next reconciliation
  for (const auto& [leftover, path] : work.put_back) (void)zone_->PutBack(leftover, path);
  // likewise
  for (const zone::Leftover& leftover : work.remove_if_empty) (void)zone_->RemoveIfEmpty(leftover);
  if (work.look_for_leftovers) {
    auto leftovers = zone_->LookForLeftovers();
    if (leftovers.ok()) answers->leftovers = std::move(*leftovers);
  }
  return answers;
}

void DispatcherRunner::TakeAnswers(const Answers& answers) {
  const LogTime now = Now();
  view_.refused += answers.refused;
  if (answers.staging) core_->OnStagingMade(*answers.staging, now, &commands_);
  if (answers.fenced) core_->OnFenced(*answers.fenced, now, &commands_);
  for (const auto& [request, result] : answers.placed) core_->OnPlaced(request, result, now, &commands_);
  for (const auto& [request, result] : answers.finished) core_->OnFinished(request, result, now, &commands_);
  if (answers.leftovers) core_->OnLeftovers(*answers.leftovers, now, &commands_);
}

// ---- looks at incoming/: a full one regularly, and at once at what inotify tells of

void DispatcherRunner::ReadNews() {
  zone::InotifyWatcher::News news = watcher_->Read();
  MoveAll(news.hints, hints_);
  const bool full = news.rescan || hints_.size() > zone::InotifyWatcher::kHintsMax;
  if (full) hints_.clear();
  if (!full && hints_.empty()) return;
  loop_->Post([this, full, alive = std::weak_ptr<bool>(alive_)] {
    if (alive.expired() || stopped_) return;
    (full ? look_wanted_ : hints_wanted_) = true;
    Flush();
  });
}

// One look at a time. The dispatcher is told before it begins (rule I1).
void DispatcherRunner::Look() {
  if (looking_ || stopped_) return;
  looking_ = true;
  const bool full = std::exchange(look_wanted_, false);
  hints_wanted_ = false;
  if (full) loop_->Cancel(rescan_);
  core_->OnLookBegins(full);
  zone_loop_.Post([this, full, alive = std::weak_ptr<bool>(alive_)] {
    auto seen = DoLook(full);
    loop_->Post([this, seen, alive] {
      if (!alive.expired() && !stopped_) TakeSighting(*seen);
    });
  });
}

std::shared_ptr<DispatcherRunner::Sighting> DispatcherRunner::DoLook(bool full) {
  auto seen = std::make_shared<Sighting>();
  seen->full = full;
  const auto begun = clock_->Steady();
  const auto now = std::chrono::duration_cast<Millis>(begun.time_since_epoch());
  for (const zone::InotifyWatcher::Hint& hint : std::exchange(hints_, {})) {
    zone::Findings one = scanner_->Hint(hint.path, hint.complete, now);
    // what vanished comes first in each
    if (seen->findings.empty() || !one.vanished.empty()) seen->findings.emplace_back();
    zone::Findings& all = seen->findings.back();
    MoveAll(one.complete, all.complete);
    MoveAll(one.vanished, all.vanished);
    MoveAll(one.refused, all.refused);
    MoveAll(one.unreadable, all.unreadable);
  }
  if (full) seen->findings.push_back(scanner_->Scan(now));
  if (const auto deadline = scanner_->NextDeadline()) seen->settled_in = std::max(*deadline - now, Millis(0));
  seen->took = std::chrono::duration_cast<Millis>(clock_->Steady() - begun);
  return seen;
}

void DispatcherRunner::TakeSighting(const Sighting& seen) {
  looking_ = false;
  for (const zone::Findings& findings : seen.findings) core_->OnFindings(findings, Now(), &commands_);
  if (seen.full) {
    view_.present = seen.findings.back().present;
    view_.waiting = seen.findings.back().waiting;
    view_.unfinished = seen.findings.back().unfinished;
    view_.oldest_mtime_ns = seen.findings.back().oldest_mtime_ns;
    view_.looks++;
    look_pause_ = std::max(seen.took * 10, Millis(10));
    rescan_ = loop_->RunAfter(std::max(options_.rescan, look_pause_), [this] { WantLook(); });
  }
  settling_ = seen.settled_in.has_value();
  loop_->Cancel(settled_);
  if (settling_) settled_ = loop_->RunAfter(std::max(*seen.settled_in, look_pause_), [this] { WantLook(); });
  Flush();
}

void DispatcherRunner::WantLook() {
  look_wanted_ = true;
  Flush();
}

}  // namespace laneway::dispatcher
