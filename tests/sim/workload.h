// workload.h: what users and operators do to a simulated fleet: files, started jobs, cancels, redrives,
// intents; and how the scripts behave.
//
// Role:       plans its actions from the seed; appends records as the API does, and writes files as people
//             do.
// Threads:    one.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "laneway/v1/member.pb.h"
#include "sim/checker.h"
#include "sim/world.h"

namespace laneway::sim {

// How a script ends is written in its job's name: "ok", "fail2" (fails twice), "bad" (exit 65), "again1"
// (exit 75 once), "hang1", "signal1", "moody1" (whatever comes after its first attempt fails).
Witness::Script ScriptOf(const ModelJob& job, uint32_t n, uint32_t attempt, uint32_t failures, World& world);

class Workload {
 public:
  Workload(World* world, Checker* checker, std::vector<std::string> workers);
  void Begin();
  // Faults are over: nobody is paused or drained any more.
  void Heal();
  // What was not answered is said again.
  void AfterPowerLoss();
  // Everything that was to be done has been done.
  bool over() const { return pending_ == 0 && unanswered_.empty(); }

 private:
  std::string Behaviour();
  void ArriveAt(int64_t time, int number);
  void Write(const std::string& path, const std::string& content, bool grows);
  void StartJobAt(int64_t time, int number);
  void PutBack();
  void Withdraw();
  void Steal();
  void Redrive();
  void Cancel();
  void Intend();
  // Appended again until it is answered OK, as a client does.
  void Say(log::NewRecord record);
  void SayEvent(const v1::Event& event);
  void SayIntent(const std::string& worker, v1::Intent intent);
  void Every(int64_t ms, std::function<void()> what);

  World* world_;
  Checker* checker_;
  std::vector<std::string> workers_;
  ProcRef client_;
  std::map<uint64_t, log::NewRecord> unanswered_;
  uint64_t said_ = 0;
  bool healed_ = false;
  int pending_ = 0;
  std::map<std::string, v1::Intent> intents_;
  std::map<TaskId, int> redriven_;
};

}  // namespace laneway::sim
