// Workers on the real log, journal and file system: packets in, events out, across restarts.
#include "worker/worker_runner.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <fstream>
#include <future>
#include <iterator>
#include <map>
#include <mutex>
#include <thread>

#include "log/embedded.h"
#include "log/faulty_log.h"
#include "support/temp_folder.h"
#include "zone/posix_fs.h"
#include "zone/zone.h"

namespace laneway::worker {
namespace {

using ::testing::HasSubstr;

// Ends everything at once, or keeps it until it is stopped.
class InstantExecutor : public Executor {
 public:
  std::function<void(const ExecutorEvent&)> told;
  bool keep = false;
  std::atomic<uint64_t> starts{0};

  void Start(RunSpec spec) override {
    starts++;
    if (keep) return;
    Ended ended;
    ended.key = spec.key;
    ended.ok = true;
    told(ended);
  }
  void Stop(const AttemptKey& key, StopReason) override {
    Ended ended;
    ended.key = key;
    ended.ending = v1::STOPPED;
    told(ended);
  }
};

class WorkerRunnerTest : public ::testing::Test {
 protected:
  static constexpr uint32_t kPartitions = 4;

  void Open(uint32_t workers, uint32_t capacity) {
    OpenRunner(workers, capacity);
    TellLanes(workers);
  }
  void OpenRunner(uint32_t workers, uint32_t capacity) {
    log::EmbeddedOptions options;
    options.folder = folder_.path() + "/data";
    auto engine = log::EmbeddedEngine::Open(options);
    ASSERT_TRUE(engine.ok()) << engine.status();
    engine_ = std::move(*engine);
    log_ = std::make_unique<log::FaultyLog>(engine_->log(), log::FaultPlan{});
    for (const auto& [topic, partitions] : std::map<log::Topic, uint32_t>{{log::Topic::kEvents, kPartitions},
                                                                          {log::Topic::kLanes, workers},
                                                                          {log::Topic::kHeartbeats, 1},
                                                                          {log::Topic::kControl, 1},
                                                                          {log::Topic::kAlerts, 1}}) {
      ASSERT_TRUE(engine_->log().EnsureTopic(topic, partitions).ok());
    }
    const std::string zone = folder_.path() + "/zone";
    std::filesystem::create_directories(zone);
    auto fs = zone::PosixFs::Open(zone);
    ASSERT_TRUE(fs.ok()) << fs.status();
    fs_ = std::move(*fs);
    loop_ = std::make_unique<ops::Loop>("workers");
    loop_->Start();
    loop_->Call([&] {
      runner_ = std::make_unique<WorkerRunner>(
          RunnerPorts{loop_.get(), &ops::RealClock::Get(), log_.get(), &engine_->journal(), &engine_->store(),
                      &executor_, nullptr, fs_.get()},
          RunnerOptions{.event_partitions = kPartitions, .host = "here", .version = "test"});
      for (uint32_t i = 0; i < workers; i++) {
        const WorkerId id("DTF-0" + std::to_string(i + 1));
        auto opened = OpenWorkerStore(engine_->store(), id, StoreId{i + 1, 1}, ops::RealClock::Get().Wall());
        ASSERT_TRUE(opened.ok()) << opened.status();
        WorkerOptions worker;
        worker.id = id;
        worker.incarnation = IncarnationId{++incarnations_, i};
        worker.capacity = capacity;
        RunContext context;
        context.zone_root = zone;
        ASSERT_TRUE(runner_->Add({worker, context, std::move(*opened)}).ok());
      }
      executor_.told = [runner = runner_.get()](const ExecutorEvent& event) {
        runner->OnExecutorEvent(event);
      };
      runner_->Start();
    });
  }
  void TellLanes(uint32_t workers) {
    v1::ControlRecord control;
    for (uint32_t i = 0; i < workers; i++) {
      v1::LaneOwner* owner = control.mutable_lane_table()->add_lanes();
      owner->set_lane(i);
      owner->set_worker("DTF-0" + std::to_string(i + 1));
    }
    Append(
        {{{log::Topic::kControl, 0}, log::RecordType::kControlRecord, "lanes", control.SerializeAsString()}});
  }
  // As kill -9: nothing is said.
  void Kill() {
    loop_->Call([&] { runner_.reset(); });
    loop_.reset();
    log_.reset();
    engine_.reset();
  }
  void TearDown() override {
    if (loop_) Kill();
  }
  void Append(std::vector<log::NewRecord> records) {
    std::promise<absl::Status> done;
    engine_->log().Append(std::move(records), [&](const absl::Status& status, std::span<const Offset>) {
      done.set_value(status);
    });
    ASSERT_TRUE(done.get_future().get().ok());
  }
  log::NewRecord Packet(uint32_t worker, const TaskId& task, uint32_t attempt = 1,
                        const std::function<void(v1::WorkPacket*)>& change = {}) {
    v1::LaneRecord record;
    record.set_worker("DTF-0" + std::to_string(worker + 1));
    v1::WorkPacket* packet = record.mutable_packet();
    packet->set_job_id(task.job.ToBytes());
    packet->set_task(task.n);
    packet->set_attempt(attempt);
    packet->set_store(StoreId{worker + 1, 1}.ToBytes());
    packet->mutable_spec()->set_handler("noop");
    if (change) change(packet);
    return {{log::Topic::kLanes, worker},
            log::RecordType::kLaneRecord,
            task.ToString(),
            record.SerializeAsString()};
  }
  // Reads events until `enough` says so. Waits for the log's word, not for time.
  void ReadUntil(const std::function<bool()>& enough, const std::function<void(const v1::Event&)>& each) {
    std::mutex mutex;
    std::condition_variable changed;
    uint64_t wakes = 1;
    std::vector<log::TopicPartition> all;
    for (uint32_t p = 0; p < kPartitions; p++) all.push_back({log::Topic::kEvents, p});
    const auto watch = engine_->log().WatchPartitions(all, [&] {
      std::lock_guard lock(mutex);
      wakes++;
      changed.notify_all();
    });
    std::vector<Offset> next(kPartitions, 0);
    std::string last;
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    for (uint64_t seen = 0; !enough();) {
      if (::testing::Test::HasFatalFailure()) return;
      {
        std::unique_lock lock(mutex);
        ASSERT_TRUE(changed.wait_until(lock, deadline, [&] { return wakes != seen; }))
            << "nothing new for long; the last event: " << last;
        seen = wakes;
      }
      for (uint32_t p = 0; p < kPartitions; p++) {
        for (;;) {
          auto batch = engine_->log().Read(all[p], next[p], 1 << 20);
          ASSERT_TRUE(batch.ok()) << batch.status();
          if (batch->records.empty()) break;
          next[p] = batch->next_offset;
          for (const log::RecordView& record : batch->records) {
            v1::Event event;
            ASSERT_TRUE(event.ParseFromArray(record.value.data(), static_cast<int>(record.value.size())));
            last = event.ShortDebugString();
            each(event);
          }
        }
      }
    }
  }

  laneway::testing::TempFolder folder_;
  std::unique_ptr<log::EmbeddedEngine> engine_;
  std::unique_ptr<log::FaultyLog> log_;  // the runner's
  std::unique_ptr<zone::PosixFs> fs_;
  InstantExecutor executor_;
  std::unique_ptr<ops::Loop> loop_;
  std::unique_ptr<WorkerRunner> runner_;
  uint64_t incarnations_ = 0;
};

TEST_F(WorkerRunnerTest, ThousandsOfTasksEndOnceEach) {
  constexpr uint32_t kTasks = 30000;
  Open(3, 256);
  const auto begun = std::chrono::steady_clock::now();
  for (uint32_t first = 1; first <= kTasks; first += 1000) {
    std::vector<log::NewRecord> records;
    for (uint32_t n = first; n < first + 1000; n++)
      records.push_back(Packet(n % 3, TaskId{JobId{1, n % 50}, n}));
    Append(std::move(records));
  }
  std::map<TaskId, int> started, succeeded;
  ReadUntil([&] { return succeeded.size() == kTasks; },
            [&](const v1::Event& event) {
              const TaskId task{*JobId::FromBytes(event.job_id()), event.task()};
              if (event.has_task_started()) started[task]++;
              if (event.has_task_succeeded()) {
                EXPECT_EQ(started[task], 1) << "rule W1";
                succeeded[task]++;
              }
            });
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begun;
  std::cerr << static_cast<int>(kTasks / took.count()) << " tasks/s\n";
  EXPECT_EQ(executor_.starts, kTasks);
  for (const auto& [task, times] : succeeded) EXPECT_EQ(times, 1) << task.ToString();
}

TEST_F(WorkerRunnerTest, AfterAKillWhatRanIsInterruptedAndWhatWaitedGoesOn) {
  executor_.keep = true;
  Open(1, 1);
  const TaskId first{JobId{1, 1}, 1}, second{JobId{1, 2}, 1};
  Append({Packet(0, first), Packet(0, second)});
  uint32_t started = 0;
  ReadUntil([&] { return started == 1; },
            [&](const v1::Event& event) { started += event.has_task_started(); });
  // Its answer makes it run; the kill may come before or after.
  Kill();
  executor_.keep = false;
  Open(1, 1);
  std::vector<std::string> said;
  ReadUntil([&] { return said.size() == 4; },
            [&](const v1::Event& event) {
              const std::string n = event.job_id() == first.job.ToBytes() ? " first" : " second";
              said.push_back((event.has_task_started()     ? "started"
                              : event.has_task_succeeded() ? "succeeded"
                                                           : v1::Ending_Name(event.task_failed().ending())) +
                             n);
            });
  EXPECT_THAT(said, ::testing::UnorderedElementsAre("started first", "INTERRUPTED first", "started second",
                                                    "succeeded second"));
}

// A broker may go just after it has told of a new lane table: nobody tells of it again.
TEST_F(WorkerRunnerTest, TheLaneTableThatCouldNotBeReadIsReadAgain) {
  OpenRunner(1, 1);
  loop_->Call([] {});  // it has read what there was, nothing
  log_->SetPlan({.fail_read = 1000});
  TellLanes(1);
  while (log_->counts().failed_reads == 0) std::this_thread::yield();
  log_->SetPlan({});
  Append({Packet(0, TaskId{JobId{1, 1}, 1})});
  bool succeeded = false;
  ReadUntil([&] { return succeeded; },
            [&](const v1::Event& event) { succeeded = event.has_task_succeeded(); });
}

TEST_F(WorkerRunnerTest, AFileThatIsNotThereOrIsAnotherEndsAsMissingAndLinesAreWritten) {
  Open(1, 2);
  const TaskId there{JobId{2, 1}, 1}, gone{JobId{2, 2}, 1};
  const std::string folder = folder_.path() + "/zone/" + zone::AttemptFolder(WorkerId("DTF-01"), there, 1);
  std::filesystem::create_directories(folder);
  std::ofstream(folder + "/a\nb.csv") << "x";
  auto info = fs_->Stat(zone::AttemptFolder(WorkerId("DTF-01"), there, 1) + "/a\nb.csv");
  ASSERT_TRUE(info.ok());
  const auto file = [&](v1::WorkPacket* packet) {
    packet->mutable_file()->set_path("in/a\nb.csv");
    packet->mutable_file()->set_size(info->size);
    packet->mutable_file()->set_mtime_ns(info->mtime_ns);
    packet->mutable_file()->set_inode(info->inode);
  };
  Append({Packet(0, there, 1, file), Packet(0, gone, 1, file)});
  bool ok = false, missing = false;
  ReadUntil([&] { return ok && missing; },
            [&](const v1::Event& event) {
              ok = ok || (event.has_task_succeeded() && event.job_id() == there.job.ToBytes());
              missing = missing || (event.task_failed().ending() == v1::FILE_MISSING &&
                                    event.job_id() == gone.job.ToBytes());
            });
  std::promise<void> done;
  loop_->Call([&] { runner_->BeginShutdown(Shutdown::kDrain, Millis(1000), [&] { done.set_value(); }); });
  done.get_future().wait();
  std::ifstream log(folder_.path() + "/zone/logs/DTF-01/worker.log");
  const std::string text((std::istreambuf_iterator<char>(log)), {});
  EXPECT_THAT(text, HasSubstr("Z DTF-01 – Task Started job=" + there.job.ToString() +
                              " attempt=1 file=in/a\\x0ab.csv\n"));
  EXPECT_THAT(text, HasSubstr("DTF-01 – Task Success job="));
  EXPECT_THAT(text,
              HasSubstr("DTF-01 – Task Failed (file missing, attempt 1 of 3) job=" + gone.job.ToString()));
}

}  // namespace
}  // namespace laneway::worker
