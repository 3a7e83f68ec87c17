// The reporting half of Worker: what the executor told, how an attempt ended, whom that accuses, and the ways
// out.
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "fleet/planted.h"
#include "fleet/retry_policy.h"
#include "worker/worker.h"

namespace laneway::worker {
namespace {

constexpr size_t kMessageBytesMax = 2048;
constexpr size_t kOutputBytesMax = 256 << 10;  // larger payloads stay files
constexpr size_t kCheckpointBytesMax = 64 << 10;

std::string Cut(const std::string& text, size_t bytes_max) {
  return text.size() <= bytes_max ? text : text.substr(0, bytes_max);
}

void SetKey(const AttemptKey& key, v1::Event* event) {
  event->set_job_id(key.task.job.ToBytes());
  event->set_task(key.task.n);
  event->set_attempt(key.attempt);
}

// Endings of attempts that could not even run: the same three times in a row on different tasks, and it is
// not the tasks.
bool AccusesWorker(v1::Ending ending) {
  return ending == v1::CANNOT_START || ending == v1::OUT_OF_MEMORY || ending == v1::FILE_MISSING;
}

}  // namespace

void Worker::OnExecutor(const ExecutorEvent& event, Now) {
  if (const auto* started = std::get_if<laneway::worker::Started>(&event)) {
    const Attempt* attempt = Find(started->key);
    if (attempt == nullptr || attempt->stage != Stage::kRunning || started->pid == 0) return;
    children_.push_back({attempt->slot, started->key, started->pid, started->pid_start});
  } else if (const auto* reported = std::get_if<Reported>(&event)) {
    Attempt* attempt = Find(reported->key);
    if (attempt != nullptr && attempt->stage == Stage::kRunning) OnReported(*attempt, *reported);
  } else if (const auto* ended = std::get_if<Ended>(&event)) {
    Attempt* attempt = Find(ended->key);
    const bool early =
        LANEWAY_PLANTED(kW1StartBeforeAck) && attempt != nullptr && attempt->stage == Stage::kStarting;
    if (attempt != nullptr && (attempt->stage == Stage::kRunning || early)) OnEnded(*attempt, *ended);
  }
}

void Worker::OnReported(Attempt& attempt, const Reported& reported) {
  if (reported.percent) attempt.percent = std::min(*reported.percent, 100U);
  if (!reported.message.empty()) attempt.message = Cut(reported.message, kMessageBytesMax);
  if (reported.records) attempt.records = *reported.records;
  if (reported.output && reported.output->size() > kOutputBytesMax) {
    lines_.push_back(
        {absl::StrCat("Output Dropped (", reported.output->size(), " bytes, at most ", kOutputBytesMax, ")"),
         attempt.key, attempt.packet.file().path()});
  } else if (reported.output) {
    attempt.output = reported.output;
  }
  if (reported.checkpoint && reported.checkpoint->size() > kCheckpointBytesMax) {
    lines_.push_back({absl::StrCat("Checkpoint Dropped (", reported.checkpoint->size(), " bytes, at most ",
                                   kCheckpointBytesMax, ")"),
                      attempt.key, attempt.packet.file().path()});
  } else if (reported.checkpoint) {
    attempt.checkpoint = reported.checkpoint;
    attempt.checkpoint_fresh = true;
  }
  attempt.progress = true;
  if (!attempt.progress_listed) {
    attempt.progress_listed = true;
    progressing_.push_back(&attempt);
  }
}

void Worker::FreeSlot(Attempt& attempt) {
  free_slots_.push_back(attempt.slot);
  slots_used_--;
  if (attempt.browser_generation != 0) browser_use_.users--;
}

void Worker::OnEnded(Attempt& attempt, const Ended& ended) {
  FreeSlot(attempt);
  if (attempt.progress_listed) std::erase(progressing_, &attempt);
  std::erase(stopping_, &attempt);
  v1::Event& result = attempt.result;
  SetKey(attempt.key, &result);
  v1::Usage* usage = nullptr;
  v1::Ending ending = v1::ENDING_UNSPECIFIED;
  if (ended.ok) {
    v1::TaskSucceeded* succeeded = result.mutable_task_succeeded();
    succeeded->set_worker(options_.id.name);
    if (attempt.output) succeeded->set_output(std::move(*attempt.output));
    succeeded->set_records(attempt.records);
    succeeded->set_duration_ms(static_cast<uint32_t>(ended.duration.count()));
    succeeded->set_browser_replaced(attempt.browser_replaced);
    if (ended.cpu_us != 0 || ended.memory_peak_kib != 0) usage = succeeded->mutable_usage();
  } else {
    v1::TaskFailed* failed = result.mutable_task_failed();
    ending = ended.ending == v1::ENDING_UNSPECIFIED ? v1::EXIT_CODE : ended.ending;
    // It was us who stopped it, for a reason that is not the task's.
    if (ending == v1::STOPPED && attempt.stop && attempt.stop_reason == StopReason::kShutdown)
      ending = v1::INTERRUPTED;
    if (ending == v1::STOPPED && attempt.stop && attempt.stop_reason == StopReason::kBrowserGone)
      ending = v1::BROWSER_GONE;
    failed->set_worker(options_.id.name);
    failed->set_ending(ending);
    failed->set_exit_code(ended.exit_code);
    failed->set_signal(static_cast<uint32_t>(ended.signal));
    failed->set_message(Cut(ended.message, kMessageBytesMax));
    if (attempt.checkpoint_fresh) failed->set_checkpoint(*attempt.checkpoint);
    failed->set_duration_ms(static_cast<uint32_t>(ended.duration.count()));
    failed->set_browser_replaced(attempt.browser_replaced);
    if (ended.cpu_us != 0 || ended.memory_peak_kib != 0) usage = failed->mutable_usage();
  }
  if (usage != nullptr) {
    usage->set_cpu_us(ended.cpu_us);
    usage->set_memory_peak_kib(ended.memory_peak_kib);
  }
  attempt.line = EndLine(attempt, result);
  Move(attempt, Stage::kEnded);
  Accuse(attempt, ended.ok, ending, ended.message);
}

std::string Worker::EndLine(const Attempt& attempt, const v1::Event& result) const {
  if (result.has_task_succeeded()) {
    if (!attempt.packet.spec().needs_browser()) return "Task Success";
    return absl::StrCat("Upload Success (Browser ", browser_.port, ")");
  }
  const v1::TaskFailed& failed = result.task_failed();
  const v1::Ending ending = failed.ending();
  std::string how(EndingName(ending));
  if (ending == v1::EXIT_CODE || ending == v1::BAD_INPUT || ending == v1::TRY_AGAIN) {
    how = absl::StrCat("exit ", failed.exit_code());
  } else if (ending == v1::SIGNAL) {
    how = absl::StrCat("signal ", failed.signal());
  }
  const uint32_t max = attempt.packet.spec().max_attempts();
  return absl::StrCat("Task Failed (", how, ", attempt ", attempt.packet.failures() + 1, " of ",
                      max == 0 ? 3 : max, ")");
}

// Three different tasks in a row that could not even run here accuse the worker, not the tasks.
void Worker::Accuse(const Attempt& attempt, bool ok, v1::Ending ending, const std::string& message) {
  if (options_.pause_after_failures == 0 || attempt.doubtful || attempt.stop) return;
  if (ok || !AccusesWorker(ending)) {
    if (!paused_) accusers_.clear();
    return;
  }
  if (std::find(accusers_.begin(), accusers_.end(), attempt.key.task) != accusers_.end() || paused_) return;
  accusers_.push_back(attempt.key.task);
  evidence_ = absl::StrCat(accusers_.size(),
                           " different tasks could not run here, the last: ", std::string(EndingName(ending)),
                           message.empty() ? "" : ": ", Cut(message, 256));
  if (accusers_.size() < options_.pause_after_failures) return;
  paused_ = beat_now_ = true;
  ReleaseQueue("the worker paused itself");
  lines_.push_back({absl::StrCat("Worker Paused (", evidence_, ")"), std::nullopt, {}});
  alerts_.emplace_back();
  alerts_.back().set_subject(options_.id.name);
  alerts_.back().set_severity(v1::CRITICAL);
  alerts_.back().set_kind("worker_paused");
  alerts_.back().set_message(absl::StrCat(options_.id.name, " – Worker Paused (", evidence_, ")"));
}

void Worker::OnBrowser(const BrowserState& browser) {
  if (browser.usable() != browser_.usable() || browser.generation != browser_.generation) beat_now_ = true;
  health_now_ = true;
  // Those that happened before this process was there are not its own to count.
  if (browser_.generation != 0 && browser.generation > browser_.generation)
    counters_.browser_restarts += browser.generation - browser_.generation;
  browser_ = browser;
  browser_use_.seen = browser.seq;
  for (Attempts* list : {&starting_, &running_}) {
    for (Attempt& attempt : *list) {
      if (attempt.browser_generation != 0 && attempt.browser_generation <= browser.over) BrowserOver(attempt);
    }
  }
}

// What the script had open in it is lost.
void Worker::BrowserOver(Attempt& attempt) {
  const bool goes_on = attempt.packet.spec().on_browser_loss() == v1::CONTINUE_TASK;
  attempt.browser_replaced = true;
  if (LANEWAY_PLANTED(kBrowserLossIgnored)) return;
  if (goes_on && attempt.stage == Stage::kRunning) return;
  StopOrDrop(attempt, StopReason::kBrowserGone);
}

void Worker::OnResume(uint64_t intent) {
  resumed_ = std::max(resumed_, intent);
  if (paused_) {
    alerts_.emplace_back();
    alerts_.back().set_subject(options_.id.name);
    alerts_.back().set_severity(v1::INFO);
    alerts_.back().set_kind("worker_paused");
    alerts_.back().set_message(absl::StrCat(options_.id.name, " – Worker Resumed"));
    alerts_.back().set_resolved(true);
    beat_now_ = true;
  }
  paused_ = false;
  accusers_.clear();
  evidence_.clear();
  EndDrain();
}

void Worker::EndDrain() {
  if (!drain_) return;
  drain_ = drain_durable_ = false;
  drain_dirty_ = beat_now_ = true;
  for (auto& [lane, state] : lanes_) state.drain_marked = false;
}

bool Worker::DrainIsDone() const {
  return drain_durable_ && held_ == 0 && std::all_of(lanes_.begin(), lanes_.end(), [](const auto& entry) {
           return !entry.second.reading || entry.second.at_end;
         });
}

void Worker::BeginShutdown(Shutdown mode, Millis drain_timeout, Now now) {
  const Millis deadline = mode == Shutdown::kAtOnce ? now.boot : now.boot + drain_timeout;
  shutdown_deadline_ = shutdown_ ? std::min(shutdown_deadline_, deadline) : deadline;
  shutdown_ = true;
  beat_now_ = true;  // whoever is offered tasks meanwhile can only hand them back
  ReleaseQueue("shutting down");
}

}  // namespace laneway::worker
