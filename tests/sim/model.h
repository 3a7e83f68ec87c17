// model.h: the protocol's rules once more, as plainly as they can be written: what a record of `events`
// means.
//
// Role:       the checker's own truth. Written from the rules and not from the Ledger, with which it is
//             compared after every record. It remembers everything: closed jobs, every attempt, who had it
//             and how it ended.
// Threads:    one.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "fleet/ids.h"
#include "fleet/job.h"
#include "laneway/v1/event.pb.h"

namespace laneway::sim {

struct ModelAttempt {
  std::string worker;
  std::string store;
  bool started = false;      // an accepted TaskStarted
  int64_t assigned_at = 0;   // virtual time; kept by the checker
  bool republished = false;  // a verdict took it away
  std::string end;
};

struct ModelTask {
  TaskState state = TaskState::kPending;
  uint32_t phase = 0;
  uint32_t attempt = 1;
  uint32_t floor = 1;
  uint32_t failures = 0;
  uint32_t losses = 0;
  v1::Ending last_ending = v1::ENDING_UNSPECIFIED;
  uint32_t successes = 0;  // since the last redrive
  std::map<uint32_t, ModelAttempt> attempts;

  bool finished() const { return IsFinished(state); }
  bool held() const { return IsHeld(state); }
};

struct ModelJob {
  JobId id;
  std::string name;
  v1::JobSpec spec;
  bool has_file = false;
  v1::FileIdentity file;
  std::vector<ModelTask> tasks;
  uint32_t phases = 1;
  uint32_t open_phase = 0;
  bool finished = false;
  bool cancelled = false;
  bool claimed = false;
  bool closed = false;
  bool gone = false;  // closed by FileGone
  std::string final_path;
};

class Model {
 public:
  // Whether it counts.
  bool Apply(uint32_t partition, const v1::Event& event);
  ModelJob* Find(const JobId& id);
  std::map<JobId, ModelJob>& jobs() { return jobs_; }
  bool lost(const std::string& worker) const;
  bool browser_lost(const std::string& worker) const;

 private:
  bool Submitted(const v1::Event& event);
  bool OfTask(ModelJob& job, uint32_t partition, const v1::Event& event);
  bool Succeeded(ModelJob& job, ModelTask& task, const v1::Event& event);
  bool OfJob(ModelJob& job, uint32_t partition, const v1::Event& event);
  bool OfWorker(const v1::Event& event);
  bool OfBrowser(const v1::Event& event);
  bool Redriven(ModelJob& job, const v1::Event& event);
  static void Again(ModelTask& task);
  static void MaybeFinish(ModelJob& job);

  struct Verdict {
    bool lost = false;
    uint64_t judged = 0;
  };
  std::map<JobId, ModelJob> jobs_;
  std::map<uint32_t, Epoch> epochs_;
  std::map<std::string, Verdict> workers_;
  std::map<std::string, Verdict> browsers_;
};

}  // namespace laneway::sim
