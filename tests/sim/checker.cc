#include "sim/checker.h"

#include <algorithm>

#include "sim/workload.h"
#include "zone/path.h"
#include "zone/zone.h"

namespace laneway::sim {

namespace {
// The attempt that a path below processing/ belongs to; 0: none.
uint32_t AttemptIn(std::string_view path) {
  if (!path.starts_with("processing/")) return 0;
  for (size_t begin = 0; begin < path.size();) {
    const size_t end = std::min(path.find('/', begin), path.size());
    if (const auto name = zone::ParseAttemptName(path.substr(begin, end - begin))) return name->attempt;
    begin = end + 1;
  }
  return 0;
}
}  // namespace

void MemoryFinished::Put(const JobId& job, Offset at, std::string state, bool) {
  jobs_[job].push_back({at, ~Offset{0}, std::move(state)});
}

std::optional<std::string> MemoryFinished::Get(const JobId& job, Offset as_of) {
  const auto found = jobs_.find(job);
  if (found == jobs_.end()) return std::nullopt;
  for (auto version = found->second.rbegin(); version != found->second.rend(); ++version) {
    if (version->closed < as_of && (version->reopened == ~Offset{0} || version->reopened >= as_of))
      return version->state;
  }
  return std::nullopt;
}

void MemoryFinished::Reopen(const JobId& job, Offset at) {
  for (Version& version : jobs_[job]) {
    if (version.closed < at && version.reopened == ~Offset{0}) version.reopened = at;
  }
}

Checker::Checker(World* world)
    : world_(world),
      client_(world->disk().Connect("checker")),
      next_(world->plan().partitions),
      lanes_next_(world->plan().LanesAtMost()),
      history_(world->plan().partitions),
      oracle_(std::make_unique<Ledger>(LedgerOptions{.partitions = world->plan().partitions}, &finished_)) {}

Arrival& Checker::Arrived(const std::string& path, const std::string& content) {
  const auto info = world_->fs().Stat("incoming/" + path);
  auto& arrival = arrivals_.emplace_back(std::make_unique<Arrival>());
  *arrival = {
      .path = path, .content = content, .inode = info->inode, .size = info->size, .mtime_ns = info->mtime_ns};
  by_inode_[info->inode].push_back(arrival.get());
  return *arrival;
}

Arrival* Checker::Find(const v1::FileIdentity& file) {
  const auto found = by_inode_.find(file.inode());
  if (found == by_inode_.end()) return nullptr;
  for (Arrival* arrival : found->second) {
    if (arrival->path == file.path() && arrival->size == file.size() && arrival->mtime_ns == file.mtime_ns())
      return arrival;
  }
  return nullptr;
}

std::string Checker::Text(const v1::Event& event) const {
  std::string text = event.ShortDebugString();
  const auto id = JobId::FromBytes(event.job_id());
  const size_t cut = text.find("\" ");
  if (id && cut != std::string::npos) text = absl::StrCat(id->ToString(), " ", text.substr(cut + 2));
  return text.substr(0, 300);
}

// ---- records

void Checker::ReadOn() {
  for (uint32_t partition = 0; partition < next_.size(); partition++) {
    for (;;) {
      auto batch = client_->Read({log::Topic::kEvents, partition}, next_[partition], 1 << 20);
      if (!batch.ok() || batch->records.empty()) break;
      for (const log::RecordView& record : batch->records) OnEvent(partition, record);
      next_[partition] = batch->next_offset;
    }
  }
  const auto tell = [&](log::TopicPartition from, Offset& next, auto message) {
    for (;;) {
      auto batch = client_->Read(from, next, 1 << 20);
      if (!batch.ok()) {
        const auto range = client_->Range(from);
        if (!range.ok() || range->first <= next) return;
        next = range->first;
        continue;
      }
      if (batch->records.empty()) return;
      for (const log::RecordView& record : batch->records) {
        world_->Count("records");
        const bool good = record.type != log::RecordType::kUnknown &&
                          message.ParseFromArray(record.value.data(), static_cast<int>(record.value.size()));
        if (good) Look(from.partition, message, record.offset);
        world_->Tell(HashBytes(record.value), [&] {
          if (!good) return std::string("garbage");
          std::string text = message.ShortDebugString();
          return absl::StrCat("  ", std::string(log::TopicName(from.topic)), "/", from.partition, "@",
                              record.offset, " ", text.substr(0, 400));
        });
      }
      next = batch->next_offset;
    }
  };
  tell({log::Topic::kHeartbeats, 0}, heartbeats_next_, v1::Heartbeat());
  tell({log::Topic::kControl, 0}, control_next_, v1::ControlRecord());
  tell({log::Topic::kBrowserHealth, 0}, health_next_, v1::BrowserHealth());
  for (Lane lane = 0; lane < lanes_next_.size(); lane++)
    tell({log::Topic::kLanes, lane}, lanes_next_[lane], v1::LaneRecord());
}

void Checker::Look(uint32_t, const v1::ControlRecord& record, Offset offset) {
  if (record.has_epoch_elected()) elections_.emplace_back(offset + 1, record.epoch_elected().dispatcher());
  const std::pair<Epoch, uint64_t> read(record.lane_table().epoch(), record.lane_table().version());
  if (!record.has_lane_table() || read < table_read_) return;
  table_read_ = read;
  table_.clear();
  for (const v1::LaneOwner& owner : record.lane_table().lanes()) table_[owner.lane()] = owner.worker();
  std::erase_if(behind_mark_, [&](const auto& packet) { return table_[packet.lane] == packet.worker; });
}

void Checker::Look(uint32_t, const v1::Heartbeat& beat, Offset) {
  for (const v1::LanePosition& lane : beat.lanes())
    read_[lane.lane()] = std::max<Offset>(read_[lane.lane()], lane.next_offset());
  stores_[beat.worker()][beat.store()] = world_->now();
  LookAtBrowser(beat);
  CheckHeld(beat);
}

void Checker::Look(uint32_t lane, const v1::LaneRecord& record, Offset offset) {
  if (record.has_epoch_opened())
    lane_epochs_[lane] = std::max<Epoch>(lane_epochs_[lane], record.epoch_opened().epoch());
  if (record.has_handover()) handed_over_[lane] = {record.worker(), record.handover().epoch()};
  if (!record.has_packet()) return;
  const v1::WorkPacket& packet = record.packet();
  const worker::AttemptKey key{{JobId::FromBytes(packet.job_id()).value_or(JobId{}), packet.task()},
                               packet.attempt()};
  const auto mark = handed_over_.find(lane);
  if (!reads_late && mark != handed_over_.end() &&
      mark->second == std::pair(record.worker(), packet.epoch()) && table_[lane] != record.worker())
    behind_mark_.push_back({record.worker(), lane, key, world_->now()});
  std::vector<Packet>& sent = packets_[key];
  sent.push_back({record.worker(), lane, offset, packet.epoch() < lane_epochs_[lane]});
  if (sent.size() > 1) sent_again_++;
  Check(sent_again_ <= 2 || world_->plan().profile != Profile::kHealthy, "(g)",
        absl::StrCat("packets are sent again and again though nothing went wrong, the last of ",
                     key.task.ToString(), " attempt ", key.attempt, " (rule P1)"));
}

void Checker::OnEvent(uint32_t partition, const log::RecordView& record) {
  world_->Count("records");
  v1::Event event;
  history_[partition].push_back({record.offset, record.time, record.type, std::string(record.value)});
  if (record.type != log::RecordType::kEvent ||
      !event.ParseFromArray(record.value.data(), static_cast<int>(record.value.size()))) {
    oracle_->Skip(partition, record.offset, record.time);
    return;
  }
  changes_.clear();
  const FoldVerdict verdict = oracle_->Apply(partition, record.offset, record.time, event, &changes_);
  std::optional<ModelAttempt> only_assigned;
  if (event.has_task_republished()) only_assigned = AssignedAttempt(event);
  const bool counts = model_.Apply(partition, event);
  if (event.has_worker_returned() && counts) lost_until_[event.worker_returned().worker()] = world_->now();
  if (event.has_browser_returned() && counts)
    browser_lost_until_[event.browser_returned().worker()] = world_->now();
  world_->Tell(HashBytes(record.value) ^ static_cast<uint64_t>(verdict), [&] {
    return absl::StrCat("  events/", partition, "@", record.offset, " ", Text(event),
                        counts ? "" : absl::StrCat("  [ignored: ", std::string(VerdictName(verdict)), "]"));
  });
  if (event.has_task_started()) {
    const v1::TaskStarted& what = event.task_started();
    const TaskId id{JobId::FromBytes(event.job_id()).value_or(JobId{}), event.task()};
    started_records_.insert({id, event.attempt(), what.worker(), what.store(), what.incarnation()});
    begun_with_[{what.worker(), {id, event.attempt()}}] = what.browser_generation();
  }
  if (event.has_task_failed() && event.task_failed().ending() == v1::INTERRUPTED) {
    interrupted_.erase(
        {event.task_failed().worker(),
         {TaskId{JobId::FromBytes(event.job_id()).value_or(JobId{}), event.task()}, event.attempt()}});
  }
  Compare(event, counts, verdict);
  if (counts && only_assigned) CheckRepublished(event, *only_assigned);
  if (counts) OnAccepted(event);
}

// The Ledger must be what the rules say.
void Checker::Compare(const v1::Event& event, bool counts, FoldVerdict verdict) {
  Check(counts == (verdict == FoldVerdict::kAccepted), "(a)",
        absl::StrCat("the rules say that this event ", counts ? "counts" : "does not count",
                     ", the ledger says ", std::string(VerdictName(verdict)), ": ", Text(event)));
  const auto id = JobId::FromBytes(event.job_id());
  const ModelJob* model = id ? model_.Find(*id) : nullptr;
  if (model == nullptr) return;
  const Job* job = oracle_->Find(*id);
  Check(oracle_->IsClosed(*id) == model->closed, "(g)",
        absl::StrCat("job ", id->ToString(), model->closed ? " is closed" : " is open",
                     ", but not in the ledger"));
  if (job == nullptr) return;
  for (size_t i = 0; i < model->tasks.size() && i < job->tasks.size(); i++) {
    const ModelTask& want = model->tasks[i];
    const Task& have = job->tasks[i];
    Check(
        want.state == have.state && want.attempt == have.attempt && want.floor == have.floor,
        want.attempt == have.attempt ? "(a)" : "(c)",
        absl::StrCat("task ", id->ToString(), "/", i + 1, " is ", std::string(TaskStateName(want.state)),
                     " in attempt ", want.attempt, " by the rules, ", std::string(TaskStateName(have.state)),
                     " in attempt ", have.attempt, " in the ledger"));
  }
}

void Checker::OnAccepted(const v1::Event& event) {
  const auto id = JobId::FromBytes(event.job_id());
  ModelJob* job = id ? model_.Find(*id) : nullptr;
  if (job == nullptr) return;
  if (event.has_job_submitted() && job->has_file) {  // (f)
    const Arrival* arrival = Find(job->file);
    Check(arrival != nullptr, "(f)",
          absl::StrCat("job ", id->ToString(), " is of a file that never arrived: ", job->file.path()));
    if (arrival == nullptr) return;
    uint32_t jobs = 0;
    for (const auto& [other, its] : model_.jobs())
      jobs += its.has_file && Find(its.file) == arrival ? 1U : 0U;
    Check(jobs <= arrival->arrivals, "(f)",
          absl::StrCat(arrival->path, " arrived ", arrival->arrivals, " times and made ", jobs, " jobs"));
  }
  if (event.has_task_assigned())
    job->tasks[event.task() - 1].attempts[event.attempt()].assigned_at = world_->now();
  if (event.has_task_succeeded()) {
    const ModelTask& task = job->tasks[event.task() - 1];
    Check(task.successes == 1, "(a)",
          absl::StrCat("task ", id->ToString(), "/", event.task(), " succeeded ", task.successes, " times"));
  }
  if (event.has_file_moved() && job->has_file && !event.file_moved().path().empty()) {  // (b), L6
    const std::string path = event.file_moved().path();
    const std::string at = PathOf(job->file.inode());
    const ModelTask& task = job->tasks[0];
    const std::string_view place = job->cancelled                        ? "failed/"
                                   : task.state == TaskState::kSucceeded ? "completed/"
                                   : task.last_ending == v1::BAD_INPUT   ? "quarantine/"
                                                                         : "failed/";
    Check(path.starts_with(place), "(b)",
          absl::StrCat("job ", id->ToString(), " belongs into ", std::string(place),
                       ", its file was moved to ", path));
    const Arrival* arrival = Find(job->file);
    const bool put_back = arrival != nullptr &&
                          (arrival->removed || at == "incoming/" + arrival->path || arrival->arrivals > 1);
    Check(at == path || put_back, "(b)",
          absl::StrCat("job ", id->ToString(), " was closed with its file at ", path, ", but it is at ", at));
  }
}

bool Checker::IsNewest(const ModelJob& job) {
  const Arrival* arrival = job.has_file ? Find(job.file) : nullptr;
  if (arrival == nullptr) return true;
  return arrival->arrivals == 1;
}

uint32_t Checker::failures(const TaskId& task) const {
  const auto found = ended_badly_.find(task);
  return found == ended_badly_.end() ? 0 : found->second;
}

// ---- scripts

void Checker::OnPrepared(const WorkerId& worker, const v1::WorkPacket& packet, const absl::Status& found) {
  const TaskId id{JobId::FromBytes(packet.job_id()).value_or(JobId{}), packet.task()};
  ModelJob* job = model_.Find(id.job);
  if (job == nullptr || !job->has_file) return;
  const ModelTask& task = job->tasks[0];
  const bool current = task.state == TaskState::kRunning && task.attempt == packet.attempt();
  const bool missing = absl::IsNotFound(found) || absl::IsFailedPrecondition(found) || !packet.has_file();
  const Arrival* its = Find(job->file);
  if (its != nullptr && its->removed) return;  // somebody has taken it away
  Check(!current || !missing, "(b)",
        absl::StrCat(worker.name, " does not find the file of ", id.ToString(), " attempt ", packet.attempt(),
                     ", which is the current one: ", found.ToString(), "; it is at ",
                     PathOf(job->file.inode())));
  if (!found.ok() || !packet.has_file()) return;
  const std::string path = absl::StrCat(zone::AttemptFolder(worker, id, packet.attempt()), "/",
                                        zone::FileNameInAttempt(zone::IdentityOf(packet.file())));
  const auto info = world_->fs().Stat(path);
  const Arrival* arrival = Find(job->file);
  Check(info.ok() && info->inode == job->file.inode() && arrival != nullptr &&
            world_->fs().Read(path) == arrival->content,
        "(b)",
        absl::StrCat("the script of ", id.ToString(), " attempt ", packet.attempt(),
                     " reads another file than its own at ", path));
}

Witness::Script Checker::OnScriptStart(const WorkerId& worker, const IncarnationId& incarnation,
                                       const StoreId& store, const v1::WorkPacket& packet) {
  const TaskId id{JobId::FromBytes(packet.job_id()).value_or(JobId{}), packet.task()};
  const worker::AttemptKey key{id, packet.attempt()};
  world_->Count("scripts run");
  world_->Tell(Mix64(std::hash<TaskId>()(id) + packet.attempt()), [&] {
    return absl::StrCat("SCRIPT starts: ", id.ToString(), " attempt ", packet.attempt(), " on ", worker.name);
  });
  Check(
      started_records_.contains({id, packet.attempt(), worker.name, store.ToBytes(), incarnation.ToBytes()}),
      "(e)",
      absl::StrCat("a script of ", id.ToString(), " attempt ", packet.attempt(), " runs on ", worker.name,
                   " without a record of its start"));
  Check(
      ++runs_[key] == 1, "(c)",
      absl::StrCat(id.ToString(), " attempt ", packet.attempt(), " is run a second time, on ", worker.name));
  ModelJob* job = model_.Find(id.job);
  Check(job != nullptr && id.n <= job->tasks.size(), "(c)",
        absl::StrCat("a script runs for ", id.ToString(), ", which is no task"));
  if (job == nullptr || world_->failed()) return {};
  ModelTask& task = job->tasks[id.n - 1];
  const bool accepted = task.state == TaskState::kRunning && task.attempt == packet.attempt() &&
                        task.attempts[packet.attempt()].worker == worker.name;
  const ModelAttempt& mine = task.attempts[packet.attempt()];
  Check(mine.worker == worker.name && mine.store == store.ToBytes(), "(c)",
        absl::StrCat(id.ToString(), " attempt ", packet.attempt(), " runs on ", worker.name,
                     ", to which it was never assigned (rules L3, L7)"));
  Check(mine.end != "released", "(c)",
        absl::StrCat(id.ToString(), " attempt ", packet.attempt(), " runs on ", worker.name,
                     ", which had given it back (rule W3)"));
  for (const Run& other : running_) {
    if (other.key.task != id) continue;
    Check(other.worker != worker, "(c)",
          absl::StrCat("two attempts of ", id.ToString(), " run on ", worker.name, " at once (rule W3)"));
    if (!accepted) continue;
    const ModelAttempt& was = task.attempts[other.key.attempt];
    Check(was.republished || was.end == "gone", "(c)",
          absl::StrCat(id.ToString(), " attempt ", packet.attempt(), " starts on ", worker.name,
                       " while attempt ", other.key.attempt, " runs on ", other.worker.name,
                       ", which nobody has called lost (it ", was.end.empty() ? "has not ended" : was.end,
                       ")"));
  }
  if (task.phase != job->open_phase && accepted)
    Check(false, "(g)", absl::StrCat(id.ToString(), " runs though its phase is not open"));
  running_.push_back({worker, key});
  const Script script = ScriptOf(*job, id.n, packet.attempt(), failures(id), *world_);
  outcome_[key] = script.ok;
  if (!script.ok) ended_badly_[id]++;
  return script;
}

void Checker::OnScriptEnd(const WorkerId& worker, const worker::AttemptKey& key) {
  world_->Tell(Mix64(std::hash<TaskId>()(key.task) + key.attempt + 7), [&] {
    return absl::StrCat("SCRIPT ends: ", key.task.ToString(), " attempt ", key.attempt, " on ", worker.name);
  });
  std::erase_if(running_, [&](const Run& run) { return run.key == key && run.worker == worker; });
}

void Checker::OnScriptKilled(const WorkerId& worker, const worker::AttemptKey& key) {
  interrupted_.insert({worker.name, key});
}

void Checker::CheckObsolete(const std::string& worker, int64_t in_touch_for_ms) {
  constexpr int64_t kObsoleteMax = 150000;
  for (Run& run : running_) {
    if (run.worker.name != worker) continue;
    ModelJob* job = model_.Find(run.key.task.job);
    const ModelTask& task = job->tasks[run.key.task.n - 1];
    const bool obsolete = task.finished() || task.attempt != run.key.attempt;
    if (!obsolete) continue;
    // Lanes may be fewer than workers: who has none cannot be told, and its scripts run to their ends.
    const bool reachable =
        std::any_of(table_.begin(), table_.end(), [&](const auto& lane) { return lane.second == worker; });
    if (run.obsolete_since < 0 || !reachable) run.obsolete_since = world_->now();
    const int64_t since = std::min(world_->now() - run.obsolete_since, in_touch_for_ms);
    Check(since < kObsoleteMax, "(g)",
          absl::StrCat("the script of ", run.key.task.ToString(), " attempt ", run.key.attempt,
                       " still runs on ", worker, ", ", since / 1000,
                       " s after it was cancelled or superseded"));
  }
}

// Rule P2: a lane is trimmed only below what was read.
void Checker::OnTrim(Lane lane, Offset below) {
  world_->Count("lanes trimmed");
  Check(below <= read_[lane], "(g)",
        absl::StrCat("lane ", lane, " is trimmed below ", below, ", but nobody has read beyond ", read_[lane],
                     " (rule P2)"));
}

void Checker::OnSilenceSaid(const std::string& worker, int64_t in_touch_for_ms) {
  Check(in_touch_for_ms >= 24000, "liveness",
        absl::StrCat(worker, " is called silent by a reaper that was itself out of touch ", in_touch_for_ms,
                     " ms ago"));
}

// ---- files

void Checker::OnRename(std::string_view who, std::string_view from, std::string_view to, uint64_t inode) {
  const auto found = by_inode_.find(inode);
  if (found == by_inode_.end()) return;
  // Not the file that was meant: it goes back, under another name when its own is taken (rule Z2).
  if (from.starts_with("processing/.claim-") && to.starts_with("incoming/"))
    found->second.back()->path = to.substr(std::string_view("incoming/").size());
  // The attempt that runs finds its file until it has ended.
  for (const Run& run : running_) {
    ModelJob* job = model_.Find(run.key.task.job);
    if (job == nullptr || !job->has_file || job->file.inode() != inode) continue;
    const ModelTask& task = job->tasks[0];
    const bool current = task.state == TaskState::kRunning && task.attempt == run.key.attempt;
    const std::string folder = zone::AttemptFolder(run.worker, run.key.task, run.key.attempt) + "/";
    Check(!current || !from.starts_with(folder), "(b)",
          absl::StrCat(std::string(who), " takes the file of ", run.key.task.ToString(), " attempt ",
                       run.key.attempt, " away while its script runs: ", std::string(from), " -> ",
                       std::string(to)));
  }
  // Rule Z2: out of incoming/ only into a staging folder. Rule Z1: never back.
  Check(!from.starts_with("incoming/") || to.starts_with("processing/.claim-"), "(b)",
        absl::StrCat(std::string(who), " takes a file from incoming/ past its staging folder: ",
                     std::string(from), " -> ", std::string(to)));
  const uint32_t from_attempt = AttemptIn(from), to_attempt = AttemptIn(to);
  Check(from_attempt == 0 || to_attempt == 0 || from_attempt <= to_attempt, "(b)",
        absl::StrCat(std::string(who), " moves a file back to an earlier attempt: ", std::string(from),
                     " -> ", std::string(to)));
  // An output folder is entered by the file of a finished job alone.
  for (const std::string_view place : {"completed/", "failed/", "quarantine/"}) {
    if (!to.starts_with(place) || from.starts_with(place)) continue;
    bool finished = false;
    for (const auto& [id, job] : model_.jobs())
      finished = finished || (job.has_file && job.file.inode() == inode && job.finished);
    Check(finished, "(b)",
          absl::StrCat(std::string(who), " moves a file to ", std::string(to), " whose job has not ended"));
  }
}

std::string Checker::PathOf(uint64_t inode) {
  const std::vector<std::string> paths = world_->fs().PathsOf(inode);
  return paths.empty() ? "nowhere" : paths[0];
}

void Checker::CheckFiles() {
  const std::map<std::string, std::string> files = world_->fs().Files();
  std::map<uint64_t, std::vector<std::string>> places;
  for (const auto& [path, bytes] : files) {
    if (const auto info = world_->fs().Stat(path); info.ok()) places[info->inode].push_back(path);
  }
  for (const auto& [inode, list] : by_inode_) {
    const Arrival& arrival = *list.back();
    const auto found = places.find(inode);
    const size_t count = found == places.end() ? 0 : found->second.size();
    Check(count == 1 || (count == 0 && arrival.removed), "(b)",
          absl::StrCat("the file ", arrival.path, " is in ", count, " places"));
    if (count == 1)
      Check(files.at(found->second[0]) == arrival.content, "(b)",
            absl::StrCat("the bytes of ", arrival.path, " have changed"));
  }
}

}  // namespace laneway::sim
