#include "log/faulty_log.h"

#include <utility>

#include "fleet/ids.h"

namespace laneway::log {

struct FaultyLog::State {
  struct Late {
    uint32_t answers_left = 0;
    absl::Status status;
    std::vector<Offset> offsets;
    AppendDone done;
  };

  mutable std::mutex mutex;
  FaultPlan plan;
  uint64_t draws = 0;
  FaultCounts counts;
  std::vector<Late> late;

  uint64_t Draw() { return Mix64(plan.seed * 0x9e3779b97f4a7c15ULL + ++draws); }
  bool Chance(uint32_t per_thousand) { return per_thousand != 0 && Draw() % 1000 < per_thousand; }

  void Answer(uint32_t delay, const absl::Status& status, std::span<const Offset> offsets, AppendDone done) {
    std::vector<Late> due;
    {
      const std::lock_guard lock(mutex);
      for (size_t i = 0; i < late.size();) {
        if (late[i].answers_left-- > 1) {
          i++;
          continue;
        }
        due.push_back(std::move(late[i]));
        late.erase(late.begin() + static_cast<ptrdiff_t>(i));
      }
      if (delay > 0) late.push_back({delay, status, {offsets.begin(), offsets.end()}, std::move(done)});
    }
    if (delay == 0) done(status, offsets);
    for (const Late& answer : due) answer.done(answer.status, answer.offsets);
  }
};

FaultyLog::FaultyLog(Log& inner, FaultPlan plan) : inner_(inner), state_(std::make_shared<State>()) {
  state_->plan = plan;
}

FaultyLog::~FaultyLog() { Release(); }

void FaultyLog::Append(std::vector<NewRecord> records, AppendDone done) {
  bool refuse = false;
  bool lose = false;
  bool again = false;
  uint32_t delay = 0;
  absl::Status refusal;
  {
    const std::lock_guard lock(state_->mutex);
    const FaultPlan& plan = state_->plan;
    refuse = state_->Chance(plan.refuse);
    lose = !refuse && state_->Chance(plan.lose_reply);
    again = lose && state_->Chance(plan.duplicate);
    if (state_->Chance(plan.delay) && plan.delay_answers_max > 0) {
      delay = 1 + static_cast<uint32_t>(state_->Draw() % plan.delay_answers_max);
    }
    if (refuse) {
      refusal = state_->Draw() % 2 == 0 ? absl::UnavailableError("injected")
                                        : absl::ResourceExhaustedError("injected");
    }
    state_->counts.refused += refuse;
    state_->counts.replies_lost += lose;
    state_->counts.duplicated += again;
    state_->counts.delayed += delay > 0;
  }
  if (refuse) {
    // An empty append brings the refusal to the log's own thread: a caller need not expect it within its
    // call.
    inner_.Append({}, [state = state_, delay, refusal, done = std::move(done)](
                          const absl::Status&, std::span<const Offset>) mutable {
      state->Answer(delay, refusal, {}, std::move(done));
    });
    return;
  }
  std::vector<NewRecord> copy;
  if (again) copy = records;
  inner_.Append(std::move(records), [state = state_, lose, delay, done = std::move(done)](
                                        const absl::Status& status, std::span<const Offset> offsets) mutable {
    if (lose && status.ok()) return state->Answer(delay, absl::UnknownError("injected"), {}, std::move(done));
    state->Answer(delay, status, offsets, std::move(done));
  });
  if (again) inner_.Append(std::move(copy), [](const absl::Status&, std::span<const Offset>) {});
}

absl::StatusOr<RecordBatch> FaultyLog::Read(TopicPartition partition, Offset from, size_t bytes_max) {
  {
    const std::lock_guard lock(state_->mutex);
    if (state_->Chance(state_->plan.fail_read)) {
      state_->counts.failed_reads++;
      return absl::UnavailableError("injected");
    }
    if (state_->Chance(state_->plan.short_read)) {
      state_->counts.short_reads++;
      bytes_max = 1;
    }
  }
  return inner_.Read(partition, from, bytes_max);
}

void FaultyLog::SetPlan(FaultPlan plan) {
  const std::lock_guard lock(state_->mutex);
  state_->plan = plan;
}

void FaultyLog::Release() {
  std::vector<State::Late> due;
  {
    const std::lock_guard lock(state_->mutex);
    due.swap(state_->late);
  }
  for (const State::Late& answer : due) answer.done(answer.status, answer.offsets);
}

FaultCounts FaultyLog::counts() const {
  const std::lock_guard lock(state_->mutex);
  return state_->counts;
}

}  // namespace laneway::log
