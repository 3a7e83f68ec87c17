#include "node/tally.h"

#include <algorithm>
#include <cmath>

namespace laneway::node {

void Histogram::Add(double seconds) {
  const double steps = std::log(std::max(seconds, 1e-6) / 1e-6) / std::log(1.04);
  buckets_[std::min(static_cast<size_t>(steps), kBuckets - 1)]++;
  count_++;
}

double Histogram::Quantile(double q) const {
  if (count_ == 0) return 0;
  const auto wanted = static_cast<uint64_t>(q * static_cast<double>(count_ - 1)) + 1;
  uint64_t seen = 0;
  for (size_t i = 0; i < kBuckets; i++) {
    seen += buckets_[i];
    if (seen >= wanted) return 1e-6 * std::pow(1.04, static_cast<double>(i) + 0.5);
  }
  return 0;
}

void Tally::Begin() {
  counting_ = true;
  ended_before_ = fold_->ledger().tasks_ended();
}

void Tally::OnEvent(uint32_t, Offset, LogTime time, const v1::Event& event, FoldVerdict verdict,
                    std::span<const Change> changes) {
  if (!counting_ || verdict != FoldVerdict::kAccepted) return;
  const std::lock_guard lock(mutex_);
  if (view_.first.ms == 0) view_.first = time;
  view_.last = time;
  for (const Change& change : changes) OnChange(change, time);
  if (event.has_task_republished()) view_.republished++;
  if (event.has_task_failed()) view_.workers[event.task_failed().worker()].failed++;
  if (event.has_task_succeeded()) view_.workers[event.task_succeeded().worker()].succeeded++;
  if (event.has_file_moved() && !event.file_moved().path().empty()) {
    const std::string& path = event.file_moved().path();
    view_.places[path.substr(0, path.find('/'))]++;
  }
}

void Tally::OnChange(const Change& change, LogTime time) {
  const Job* job = change.task.job.empty() ? nullptr : fold_->ledger().Find(change.task.job);
  const Task* task = job != nullptr ? job->Find(change.task.n) : nullptr;
  if (change.held_since.ms != 0) {
    const double seconds = std::chrono::duration<double>(time - change.held_since).count();
    if (change.kind == Change::Kind::kTaskSucceeded) runs_.Add(seconds);
    view_.workers[fold_->ledger().WorkerName(change.held_by)].busy_seconds += seconds;
  }
  if (task == nullptr) return;
  if (change.kind == Change::Kind::kTaskStarted) {
    waits_.Add(std::max(0.0, std::chrono::duration<double>(time - task->due).count()));
    view_.attempts++;
    if (task->attempt > 1) view_.retries++;
    view_.workers[fold_->ledger().WorkerName(task->worker)].started++;
  }
  if (change.kind != Change::Kind::kTaskDead) return;
  if (view_.dead.size() >= kDeadMax) {
    view_.dead_not_shown++;
    return;
  }
  view_.dead.push_back(
      {change.task.ToString(), job->name, task->detail ? task->detail->last_message : "", task->attempt});
}

void Tally::OnAlert(const v1::Alert& alert, LogTime) {
  if (!counting_ || alert.kind() != "file_refused") return;
  const std::lock_guard lock(mutex_);
  view_.refused++;
}

void Tally::OnBatchEnd(bool) {
  const std::lock_guard lock(mutex_);
  view_.tasks_now = fold_->ledger().tasks_now();
  view_.tasks_ended = fold_->ledger().tasks_ended();
  // A redrive takes a task of before out of the dead ones.
  for (size_t i = 0; i < kTaskStates; i++)
    view_.tasks_ended[i] -= std::min(view_.tasks_ended[i], ended_before_[i]);
  view_.jobs_ended = fold_->ledger().jobs_ended();
  view_.jobs_open = fold_->ledger().open_jobs();
}

TallyView Tally::View() const {
  const std::lock_guard lock(mutex_);
  TallyView view = view_;
  view.run_p50 = runs_.Quantile(0.5);
  view.run_p99 = runs_.Quantile(0.99);
  view.wait_p50 = waits_.Quantile(0.5);
  view.wait_p99 = waits_.Quantile(0.99);
  return view;
}

}  // namespace laneway::node
