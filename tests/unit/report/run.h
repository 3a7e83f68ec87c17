// run.h: a small fleet's records in few words, told to a Chronicle.
//
// Role:       tests.
// Threads:    one.
#pragma once

#include <string>
#include <utility>

#include "report/chronicle.h"
#include "support/events.h"

namespace laneway::report {

class TestRun {
 public:
  explicit TestRun(ChronicleOptions options = {}) : chronicle_(Fix(options)) {}

  TestRun& At(int64_t ms) {
    now_ = LogTime{kBegin + ms};
    return *this;
  }
  TestRun& Take(const v1::Event& event) {
    chronicle_.OnEvent(0, next_++, now_, event);
    return *this;
  }
  TestRun& Beat(const std::string& worker, uint32_t capacity = 1) {
    v1::Heartbeat beat;
    beat.set_worker(worker);
    beat.set_capacity(capacity);
    chronicle_.OnHeartbeat(beat, now_);
    return *this;
  }
  TestRun& Browser(const std::string& worker, bool connected, uint32_t generation = 1,
                   std::string life = "a") {
    v1::BrowserHealth health;
    health.set_worker(worker);
    health.set_incarnation(std::move(life));
    health.set_connected(connected);
    health.set_generation(generation);
    return Browser(health);
  }
  TestRun& Browser(const v1::BrowserHealth& health) {
    chronicle_.OnBrowserHealth(health, now_);
    return *this;
  }
  TestRun& File(uint64_t n, const std::string& name, uint64_t size = 3) {
    v1::Event event = testing::Submit(Job(n), {.file = true});
    event.mutable_job_submitted()->mutable_file()->set_path(name);
    event.mutable_job_submitted()->mutable_file()->set_size(size);
    return Take(event);
  }
  TestRun& Start(uint64_t n, const std::string& worker, uint32_t attempt = 1) {
    Take(testing::Assign(attempt, worker, 0, {Job(n)}));
    return Take(testing::Start(attempt, worker, {Job(n)}));
  }
  TestRun& Succeed(uint64_t n, const std::string& worker, uint32_t attempt = 1) {
    Take(testing::Succeed(attempt, worker, {Job(n)}));
    return Take(testing::MovedTo("completed/x", Job(n)));
  }
  // The whole of it, without a hitch.
  TestRun& Do(uint64_t n, const std::string& worker, int64_t from, int64_t to) {
    return At(from).Start(n, worker).At(to).Succeed(n, worker);
  }
  Figures Finish() { return chronicle_.Finish(); }

  static JobId Job(uint64_t n) { return {7, n}; }
  static constexpr int64_t kBegin = 1'700'000'000'000;

 private:
  static ChronicleOptions Fix(ChronicleOptions options) {
    options.partitions = 1;
    return options;
  }
  Chronicle chronicle_;
  LogTime now_{kBegin};
  Offset next_ = 0;
};

// n files, each takes a second, on so many workers.
inline Figures SteadyRun(size_t workers, size_t files, bool keep_inputs = true) {
  TestRun run({.keep_inputs = keep_inputs});
  for (size_t n = 1; n <= files; n++) run.File(n, "file " + std::to_string(n));
  for (size_t n = 1; n <= files;) {
    const auto turn = static_cast<int64_t>((n - 1) / workers);
    const size_t end = std::min(n + workers, files + 1);
    for (size_t i = n; i < end; i++) run.At(1000 * turn).Start(i, "DTF-0" + std::to_string(i - n + 1));
    for (size_t i = n; i < end; i++)
      run.At(1000 * (turn + 1)).Succeed(i, "DTF-0" + std::to_string(i - n + 1));
    n = end;
  }
  return run.Finish();
}

}  // namespace laneway::report
