// fold_bench.cc: what the Ledger costs: events folded per second (parsed and applied), and bytes of memory
// for a waiting task.
//   fold_bench [jobs]          prints JSON
#include <malloc.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <unordered_map>

#include "fleet/ledger.h"

namespace laneway {
namespace {

class Forgetful : public FinishedJobs {
 public:
  void Put(const JobId&, Offset, std::string state, bool) override { bytes += state.size(); }
  std::optional<std::string> Get(const JobId&, Offset) override { return std::nullopt; }
  bool Contains(const JobId&, Offset) override { return false; }
  void Reopen(const JobId&, Offset) override {}
  size_t bytes = 0;
};

double Seconds(std::chrono::steady_clock::time_point since) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - since).count();
}

std::string Submitted(const JobId& id) {
  v1::Event event;
  event.set_job_id(id.ToBytes());
  auto& job = *event.mutable_job_submitted();
  job.set_name("timesheet-2026-11-21.csv");
  job.set_source(v1::API);
  job.mutable_spec()->add_exec("/usr/bin/process");
  job.mutable_spec()->add_exec("{file}");
  job.mutable_spec()->set_timeout_ms(1800000);
  job.mutable_spec()->set_max_attempts(3);
  job.mutable_spec()->mutable_backoff()->set_initial_ms(1000);
  return event.SerializeAsString();
}

std::string Step(const JobId& id, int step) {
  v1::Event event;
  event.set_job_id(id.ToBytes());
  event.set_task(1);
  event.set_attempt(1);
  const std::string store(16, 's');
  if (step == 0) {
    event.mutable_task_assigned()->set_worker("DTF-01");
    event.mutable_task_assigned()->set_store(store);
  } else if (step == 1) {
    event.mutable_task_started()->set_worker("DTF-01");
    event.mutable_task_started()->set_store(store);
    event.mutable_task_started()->set_incarnation(store);
  } else {
    event.mutable_task_succeeded()->set_worker("DTF-01");
  }
  return event.SerializeAsString();
}

int Main(int argc, char** argv) {
  const uint64_t jobs = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 300000;
  Forgetful finished;
  Ledger ledger({.partitions = 8}, &finished);
  std::vector<Change> changes;
  Offset next[8] = {};
  std::vector<std::pair<uint32_t, std::string>> records;
  const auto add = [&](const JobId& id, std::string bytes) {
    records.emplace_back(EventPartition(id, 8), std::move(bytes));
  };
  const auto fold = [&] {
    v1::Event event;
    const auto begun = std::chrono::steady_clock::now();
    for (const auto& [partition, bytes] : records) {
      event.ParseFromString(bytes);
      changes.clear();
      if (ledger.Apply(partition, next[partition]++, LogTime{1000}, event, &changes) !=
          FoldVerdict::kAccepted)
        std::abort();
    }
    const double seconds = Seconds(begun);
    const double rate = static_cast<double>(records.size()) / seconds;
    records.clear();
    return rate;
  };
  for (uint64_t n = 1; n <= jobs; n++) add({n, n}, Submitted({n, n}));
  const size_t before = mallinfo2().uordblks;
  const double submit_rate = fold();
  const double bytes = static_cast<double>(mallinfo2().uordblks - before) / static_cast<double>(jobs);
  double step_rates[3];
  for (int step = 0; step < 3; step++) {
    for (uint64_t n = 1; n <= jobs; n++) add({n, n}, Step({n, n}, step));
    step_rates[step] = fold();
  }
  // As in life: a few thousand open at a time.
  for (uint64_t n = jobs + 1; n <= 2 * jobs; n++) {
    add({n, n}, Submitted({n, n}));
    if (n % 1000 == 0) {
      for (int step = 0; step < 3; step++) {
        for (uint64_t m = n - 999; m <= n; m++) add({m, m}, Step({m, m}, step));
      }
    }
  }
  const double mixed = fold();
  std::printf(
      "{\"jobs\": %llu, \"submitted_per_second\": %.0f, \"assigned_per_second\": %.0f, "
      "\"started_per_second\": %.0f, \"succeeded_per_second\": %.0f, "
      "\"mixed_per_second\": %.0f, \"bytes_per_waiting_task\": %.0f}\n",
      static_cast<unsigned long long>(jobs), submit_rate, step_rates[0], step_rates[1], step_rates[2], mixed,
      bytes);
  return 0;
}

}  // namespace
}  // namespace laneway

int main(int argc, char** argv) { return laneway::Main(argc, argv); }
