#include "api/open_jobs.h"

namespace laneway::api {

void OpenJobs::Begin(const Ledger& ledger) {
  for (const JobId& id : ledger.OpenJobs()) {
    const Job* job = ledger.Find(id);
    if (job->submitted_whole()) jobs_.insert({job->submitted, id});
  }
}

bool OpenJobs::Concerns(Change::Kind kind) {
  return kind == Change::Kind::kJobOpened || kind == Change::Kind::kJobReopened ||
         kind == Change::Kind::kJobClosed;
}

void OpenJobs::OnChange(const Job& job, Change::Kind kind) {
  if (!Concerns(kind)) return;
  const Key key{job.submitted, job.id};
  if (kind == Change::Kind::kJobClosed) {
    jobs_.erase(key);
  } else if (!job.closed) {  // one event may open a job and close it
    jobs_.insert(key);
  }
}

std::optional<OpenJobs::Key> OpenJobs::ForEach(std::optional<Key> before,
                                               const std::function<bool(const Key&)>& each) const {
  auto at = before ? jobs_.lower_bound(*before) : jobs_.end();
  while (at != jobs_.begin()) {
    --at;
    if (!each(*at)) return *at;
  }
  return std::nullopt;
}

}  // namespace laneway::api
