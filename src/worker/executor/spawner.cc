#include "worker/executor/spawner.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <future>
#include <utility>

namespace laneway::worker {
namespace {

// Each waits while its child loads its program. Two keep an idle machine of two cores busy; on a crowded one
// a
// child waits long for its first turn, and so does its thread.
constexpr int kThreads = 4;

SpawnDone Carry(SpawnJob* job) {
  SpawnDone done{job->run, {}, {}};
  if (job->argv.empty()) {
    done.error = "there is no program to start";
  } else {
    SpawnRequest request{&job->argv,     &job->environment,    job->stdout_fd,
                         job->stderr_fd, job->cgroup_procs_fd, job->processes_of_user_max};
    done.result = Spawn(request);
    if (done.result.error != 0) done.error = ExplainSpawnError(done.result, job->argv, job->environment);
  }
  close(job->stdout_fd);
  close(job->stderr_fd);
  return done;
}

}  // namespace

Spawner::Spawner() : wake_fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  std::promise<pid_t> ids[kThreads];
  for (std::promise<pid_t>& id : ids) {
    std::thread([this, &id] {
      id.set_value(gettid());
      Run();
    }).detach();
    threads_.push_back(id.get_future().get());
  }
}

void Spawner::Submit(SpawnJob job) {
  in_flight_++;
  {
    const std::lock_guard lock(mutex_);
    jobs_.push_back(std::move(job));
  }
  wanted_.notify_one();
}

std::vector<SpawnDone> Spawner::Take() {
  uint64_t count = 0;
  if (read(wake_fd_, &count, sizeof count) < 0) return {};
  const std::lock_guard lock(mutex_);
  in_flight_ -= done_.size();
  return std::exchange(done_, {});
}

void Spawner::Run() {
  std::unique_lock lock(mutex_);
  while (true) {
    wanted_.wait(lock, [this] { return !jobs_.empty(); });
    SpawnJob job = std::move(jobs_.front());
    jobs_.pop_front();
    lock.unlock();
    SpawnDone done = Carry(&job);
    lock.lock();
    done_.push_back(std::move(done));
    const uint64_t one = 1;
    if (done_.size() == 1 && write(wake_fd_, &one, sizeof one) < 0)
      continue;  // cannot fail: the counter is far from full
  }
}

}  // namespace laneway::worker
