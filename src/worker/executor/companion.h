// companion.h: the main process's end of its companion: starts it, talks to it, replaces it when it dies.
//
// Role:       process handle with one thread. Several workers of a process share one Companion, each through
//             a CompanionExecutor.
// Promises:   (1) every Start is answered by one Ended, also when the companion dies: then with INTERRUPTED,
//             after its processes were stopped, and another companion is started; (2) Start and Stop never
//             wait for it.
// Threads:    every function from any thread; clients are called on its thread.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "absl/status/statusor.h"
#include "worker/executor.h"
#include "worker/executor/messages.h"

namespace laneway::worker {

// argv[1] of a companion. Every program that launches companions begins its main with
//   if (auto code = CompanionMain(argc, argv)) return *code;
// before it does anything else.
inline constexpr char kCompanionArgument[] = "__companion";
inline constexpr char kTellerArgument[] = "__last_words";
// Runs the companion and gives its exit code; nothing when this process is not to be one.
std::optional<int> CompanionMain(int argc, char** argv);

class CompanionClient {
 public:
  virtual ~CompanionClient() = default;
  virtual void OnStarted(uint64_t run, int32_t pid, uint64_t pid_start) = 0;
  virtual void OnReported(uint64_t run, Reported report) = 0;  // without its key
  virtual void OnEnded(uint64_t run, Ended ended) = 0;         // without its key
};

class Companion {
 public:
  static constexpr size_t kRunsMax = 65536;

  // Starts this very program (/proc/self/exe) once more as the companion.
  static absl::StatusOr<std::unique_ptr<Companion>> Launch();
  // Stops what still runs, without last words.
  ~Companion();
  Companion(const Companion&) = delete;
  Companion& operator=(const Companion&) = delete;

  // Waits until the companion of an earlier process of this folder has stopped its scripts and left its last
  // words (last_words.h).
  static absl::Status WaitForPredecessor(const std::string& dir, std::chrono::milliseconds timeout);

  // Tells where last words go and under which name, and takes the folder's lock. FAILED_PRECONDITION: another
  // process has it. `teller`: not empty: when there are last words, this program is started once more as
  // kTellerArgument, with the folder as argument and these bytes as input, to tell them to the log.
  absl::Status Configure(const std::string& dir, const IncarnationId& incarnation,
                         const std::string& teller = "");
  // Workers are named in the last words even when they hold nothing.
  void AddWorker(const WorkerId& worker, const IncarnationId& incarnation);

  // Stops its runs; when it returns, the client is not called any more. Not to be called from a client.
  void Remove(CompanionClient* client);

  // A number for a run, to be known before anything is told of it.
  uint64_t NextRun();
  void Start(CompanionClient* client, uint64_t run, RunSpec spec);
  void Stop(uint64_t run, StopReason reason);

  int32_t pid() const;
  // How often it had to be started again.
  uint32_t restarts() const;

 private:
  struct Run {
    CompanionClient* client = nullptr;
    int32_t pid = 0;
    uint64_t pid_start = 0;
  };

  Companion() = default;
  absl::Status Spawn();  // mutex_ held, or not yet shared
  void SendLocked(const wire::Message& message);
  void FlushLocked();
  void Loop();
  bool ReadMessages();  // false: it is gone
  void Deliver(wire::Message message);
  void CompanionDied();
  CompanionClient* Find(uint64_t run, bool forget);
  void Wake();

  mutable std::mutex mutex_;
  std::mutex calling_;  // held while clients are called; before mutex_
  std::condition_variable configured_changed_;
  std::unordered_map<uint64_t, Run> runs_;
  uint64_t next_run_ = 1;
  std::map<std::string, IncarnationId> workers_;
  std::optional<wire::Configure> configure_;
  std::optional<std::string> configured_;  // the companion's answer
  std::string out_;
  int socket_ = -1;
  int wake_fd_ = -1;
  int32_t pid_ = 0;
  std::string token_;
  uint32_t restarts_ = 0;
  uint32_t quick_deaths_ = 0;
  std::chrono::steady_clock::time_point spawned_at_;
  bool broken_ = false;  // it dies as often as it is started
  bool stopping_ = false;
  wire::FrameReader reader_;
  std::thread thread_;
};

}  // namespace laneway::worker
