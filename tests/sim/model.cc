#include "sim/model.h"

#include <algorithm>

namespace laneway::sim {

ModelJob* Model::Find(const JobId& id) {
  const auto found = jobs_.find(id);
  return found == jobs_.end() ? nullptr : &found->second;
}

bool Model::lost(const std::string& worker) const {
  const auto found = workers_.find(worker);
  return found != workers_.end() && found->second.lost;
}

bool Model::browser_lost(const std::string& worker) const {
  const auto found = browsers_.find(worker);
  return found != browsers_.end() && found->second.lost;
}

bool Model::Apply(uint32_t partition, const v1::Event& event) {
  if (event.has_epoch_opened()) {  // L2
    if (event.epoch_opened().epoch() <= epochs_[partition]) return false;
    epochs_[partition] = event.epoch_opened().epoch();
    return true;
  }
  if (event.has_worker_lost() || event.has_worker_returned()) return OfWorker(event);
  if (event.has_browser_lost() || event.has_browser_returned()) return OfBrowser(event);
  if (event.has_job_submitted()) return Submitted(event);
  const auto id = JobId::FromBytes(event.job_id());
  ModelJob* job = id ? Find(*id) : nullptr;
  if (job == nullptr) return false;
  if (event.has_job_carried()) return false;  // L5: it is known
  if (event.has_task_redriven()) return Redriven(*job, event);
  if (job->closed) return false;
  const bool of_file = event.has_file_gone() || event.has_file_moved();
  if (event.task() != 0 && !of_file) return OfTask(*job, partition, event);
  return OfJob(*job, partition, event);
}

bool Model::OfWorker(const v1::Event& event) {  // R2
  if (event.has_worker_lost()) {
    Verdict& verdict = workers_[event.worker_lost().worker()];
    if (verdict.lost || event.worker_lost().heartbeat_offset() < verdict.judged) return false;
    verdict = {true, event.worker_lost().heartbeat_offset()};
    return true;
  }
  Verdict& verdict = workers_[event.worker_returned().worker()];
  if (!verdict.lost || event.worker_returned().heartbeat_offset() <= verdict.judged) return false;
  verdict = {false, event.worker_returned().heartbeat_offset()};
  return true;
}

bool Model::OfBrowser(const v1::Event& event) {  // R2, too
  if (event.has_browser_lost()) {
    Verdict& verdict = browsers_[event.browser_lost().worker()];
    if (verdict.lost || event.browser_lost().health_offset() < verdict.judged) return false;
    verdict = {true, event.browser_lost().health_offset()};
    return true;
  }
  Verdict& verdict = browsers_[event.browser_returned().worker()];
  if (!verdict.lost || event.browser_returned().health_offset() <= verdict.judged) return false;
  verdict = {false, event.browser_returned().health_offset()};
  return true;
}

bool Model::Submitted(const v1::Event& event) {
  const auto id = JobId::FromBytes(event.job_id());
  if (!id || jobs_.contains(*id)) return false;
  const v1::JobSubmitted& what = event.job_submitted();
  ModelJob& job = jobs_[*id];
  job.id = *id;
  job.name = what.name();
  job.spec = what.spec();
  job.has_file = what.has_file();
  job.file = what.file();
  job.phases = std::max(1, what.phases_size());
  for (const v1::TaskSpec& task : what.tasks()) job.tasks.emplace_back().phase = task.phase();
  if (job.tasks.empty()) job.tasks.emplace_back();
  const auto empty = [&](uint32_t phase) {
    return std::none_of(job.tasks.begin(), job.tasks.end(),
                        [phase](const ModelTask& task) { return task.phase == phase; });
  };
  while (empty(job.open_phase) && job.open_phase + 1 < job.phases) job.open_phase++;
  return true;
}

void Model::Again(ModelTask& task) {  // L1
  task.state = TaskState::kPending;
  task.attempt++;
}

bool Model::OfTask(ModelJob& job, uint32_t partition, const v1::Event& event) {
  if (event.task() > job.tasks.size()) return false;
  ModelTask& task = job.tasks[event.task() - 1];
  if (event.has_task_succeeded()) return Succeeded(job, task, event);
  if (task.finished() || event.attempt() != task.attempt) return false;
  ModelAttempt& attempt = task.attempts[task.attempt];
  if (event.has_task_assigned()) {
    const v1::TaskAssigned& what = event.task_assigned();
    if (task.state != TaskState::kPending || task.phase > job.open_phase ||
        what.epoch() != epochs_[partition] || what.worker().empty())
      return false;
    task.state = TaskState::kAssigned;
    attempt.worker = what.worker();
    attempt.store = what.store();
    return true;
  }
  if (!task.held()) return false;
  if (event.has_task_started()) {  // L3
    const v1::TaskStarted& what = event.task_started();
    if (task.state != TaskState::kAssigned || what.worker() != attempt.worker ||
        what.store() != attempt.store)
      return false;
    task.state = TaskState::kRunning;
    attempt.started = true;
    job.claimed = true;
    return true;
  }
  if (event.has_task_progressed())
    return task.state == TaskState::kRunning && event.task_progressed().worker() == attempt.worker;
  if (event.has_task_released()) {
    if (event.task_released().worker() != attempt.worker) return false;
    attempt.end = "released";
    Again(task);
    return true;
  }
  const uint32_t max_losses = job.spec.max_losses(), max_attempts = job.spec.max_attempts();
  bool dead = false;
  if (event.has_task_republished()) {
    attempt.end = "republished";
    attempt.republished = true;
    if (task.state == TaskState::kRunning) {
      const bool browser = event.task_republished().ending() == v1::BROWSER_GONE;
      dead = ++task.losses >= max_losses || (browser && job.spec.on_browser_loss() == v1::FAIL_TASK);
      task.last_ending = browser ? v1::BROWSER_GONE : v1::INTERRUPTED;
    }
  } else if (event.has_task_failed()) {
    const v1::TaskFailed& what = event.task_failed();
    if (what.worker() != attempt.worker) return false;
    attempt.end = "failed";
    task.last_ending = what.ending();
    if (what.ending() == v1::INTERRUPTED || what.ending() == v1::BROWSER_GONE ||
        what.ending() == v1::STOPPED) {
      dead = ++task.losses >= max_losses ||
             (what.ending() == v1::BROWSER_GONE && job.spec.on_browser_loss() == v1::FAIL_TASK);
    } else {
      dead = ++task.failures >= max_attempts || what.ending() == v1::BAD_INPUT;
    }
  } else {
    return false;
  }
  if (!dead) {
    Again(task);
    return true;
  }
  task.state = TaskState::kDead;
  MaybeFinish(job);
  return true;
}

bool Model::Succeeded(ModelJob& job, ModelTask& task, const v1::Event& event) {
  const uint32_t n = event.attempt();
  if (task.finished() || n == 0 || n > task.attempt || n < task.floor) return false;
  if (n == task.attempt) {
    if (!task.held() || task.attempts[n].worker != event.task_succeeded().worker()) return false;
  } else if (job.spec.late_success() == v1::REJECT) {
    return false;
  }
  if (n != task.attempt && task.held()) task.attempts[task.attempt].end = "superseded";
  task.attempts[n].end = "succeeded";
  task.state = TaskState::kSucceeded;
  task.successes++;
  job.claimed = true;
  MaybeFinish(job);
  return true;
}

void Model::MaybeFinish(ModelJob& job) {
  bool dead = false;
  for (const ModelTask& task : job.tasks) {
    if (task.phase == job.open_phase && !task.finished()) return;
    dead = dead || task.state == TaskState::kDead;
  }
  if (!dead && job.open_phase + 1 < job.phases) return;
  for (ModelTask& task : job.tasks) {
    if (!task.finished() && task.phase > job.open_phase) task.state = TaskState::kCancelled;
  }
  job.finished = true;
  job.closed = !job.has_file;
}

bool Model::OfJob(ModelJob& job, uint32_t partition, const v1::Event& event) {
  if (event.has_phase_opened()) {
    const uint32_t phase = event.phase_opened().phase();
    if (job.finished || phase != job.open_phase + 1 || phase >= job.phases) return false;
    for (const ModelTask& task : job.tasks) {
      if (task.state == TaskState::kDead || (task.phase == job.open_phase && !task.finished())) return false;
    }
    job.open_phase = phase;
    const auto empty = [&](uint32_t which) {
      return std::none_of(job.tasks.begin(), job.tasks.end(),
                          [which](const ModelTask& task) { return task.phase == which; });
    };
    while (empty(job.open_phase) && job.open_phase + 1 < job.phases) job.open_phase++;
    MaybeFinish(job);
    return true;
  }
  if (event.has_job_cancelled()) {
    if (job.finished) return false;
    job.cancelled = job.finished = true;
    job.closed = !job.has_file;
    for (ModelTask& task : job.tasks) {
      if (task.finished()) continue;
      if (task.held()) task.attempts[task.attempt].end = "cancelled";
      task.state = TaskState::kCancelled;
    }
    return true;
  }
  if (event.has_file_claimed()) {
    if (!job.has_file || job.claimed) return false;
    job.claimed = true;
    return true;
  }
  if (event.has_file_moved()) {  // L6
    if (!job.has_file || !job.finished) return false;
    if (event.attempt() != 0 && event.attempt() < job.tasks[0].floor) return false;  // L4
    job.final_path = event.file_moved().path();
    job.closed = true;
    return true;
  }
  if (event.has_file_gone()) {  // L6
    ModelTask& task = job.tasks[0];
    if (!job.has_file || task.finished() || event.attempt() != task.attempt ||
        task.state == TaskState::kRunning)
      return false;
    if (event.file_gone().epoch() != epochs_[partition]) return false;
    if (task.held()) task.attempts[task.attempt].end = "gone";
    task.state = TaskState::kDead;
    task.last_ending = v1::FILE_MISSING;
    job.claimed = job.finished = job.closed = job.gone = true;
    return true;
  }
  return false;
}

bool Model::Redriven(ModelJob& job, const v1::Event& event) {  // L4
  if (event.task() < 1 || event.task() > job.tasks.size()) return false;
  ModelTask& task = job.tasks[event.task() - 1];
  if (task.state != TaskState::kDead || event.attempt() != task.attempt || (job.has_file && !job.closed))
    return false;
  job.closed = job.finished = job.gone = false;
  task.failures = task.losses = task.successes = 0;
  Again(task);
  task.floor = task.attempt;
  for (ModelTask& later : job.tasks) {
    if (later.phase > job.open_phase && later.state == TaskState::kCancelled)
      later.state = TaskState::kPending;
  }
  return true;
}

}  // namespace laneway::sim
