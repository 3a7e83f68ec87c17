// Placement against the model, by chance and completely for short sequences.
#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "fleet/placement.h"
#include "unit/fleet/placement_model.h"

namespace laneway {
namespace {

std::string Words(const std::vector<Assignment>& assignments) {
  std::string text;
  for (const Assignment& a : assignments) text += std::to_string(a.task.n) + "→" + a.worker.name + " ";
  return text;
}

// How wild one run is.
struct Weather {
  uint32_t tasks, workers, labels, keys, resources, prefetch_max;
  bool rates;
  PlacementPolicy policy;
};

class Both {
 public:
  Both(uint64_t seed, const Weather& weather)
      : random_(seed), weather_(weather), limits_(MakeLimits()), real_(limits_), model_(limits_) {}

  void Step(int step) {
    now_.ms += Draw(3) == 0 ? Draw(40) : 0;
    const TaskId task{JobId{0, 7}, 1 + Draw(weather_.tasks)};
    const WorkerId worker("w" + std::to_string(Draw(weather_.workers)));
    switch (Draw(10)) {
      case 0:
      case 1:
      case 2: {
        const Needs needs = MakeNeeds();
        const int32_t priority = static_cast<int32_t>(Draw(3)) - 1;
        const LogTime due = now_ + Millis(Draw(4) == 0 ? Draw(200) : 0);
        real_.Add(task, needs, priority, due);
        model_.Add(task, needs, priority, due);
        break;
      }
      case 3:
        real_.Remove(task);
        model_.Remove(task);
        break;
      case 4:
        if (Draw(6) == 0) {
          real_.RemoveWorker(worker);
          model_.RemoveWorker(worker);
        } else {
          const WorkerOffer offer = MakeOffer();
          real_.SetWorker(worker, offer);
          model_.SetWorker(worker, offer);
        }
        break;
      case 5: {
        const Needs needs = MakeNeeds();
        real_.Occupy(task, needs, worker, now_);
        model_.Occupy(task, needs, worker, now_);
        break;
      }
      case 6:
      case 7: {
        const std::optional<Millis> ran =
            Draw(5) == 0 ? std::nullopt : std::optional(Millis(Draw(3) == 0 ? Draw(300) : Draw(3)));
        real_.Release(task, ran);
        model_.Release(task, ran);
        break;
      }
      default:
        Place(step);
    }
    ASSERT_EQ(real_.waiting(), model_.waiting()) << "step " << step;
    ASSERT_EQ(real_.Credit(worker), model_.Credit(worker)) << "step " << step;
  }

  size_t placed() const { return placed_; }

 private:
  void Place(int step) {
    const size_t max = Draw(4) == 0 ? Draw(3) : 1000;
    const auto got = real_.Place(now_, max);
    const auto want = model_.Place(now_, max);
    placed_ += got.size();
    ASSERT_EQ(Words(got), Words(want)) << "step " << step << " at " << now_.ms;
    if (max < 1000) return;
    // Nothing more comes before the deadline that it names, and without one never.
    const auto next = real_.NextDeadline(now_);
    const LogTime last = next ? *next - Millis(1) : now_ + Millis(100000);
    if (Draw(4) != 0 || last <= now_) return;
    now_ = last;
    ASSERT_EQ(Words(model_.Place(now_, 1000)), "") << "step " << step;
    ASSERT_EQ(Words(real_.Place(now_, 1000)), "") << "step " << step;
  }

  uint32_t Draw(uint32_t below) { return below == 0 ? 0 : static_cast<uint32_t>(random_() % below); }
  std::vector<std::string> DrawNames(const char* prefix, uint32_t of, uint32_t chance) {
    std::vector<std::string> names;
    for (uint32_t i = 0; i < of; i++) {
      if (Draw(chance) == 0) names.push_back(prefix + std::to_string(i));
    }
    return names;
  }
  PlacementLimits MakeLimits() {
    PlacementLimits limits;
    limits.policy = weather_.policy;
    limits.prefetch_max = weather_.prefetch_max;
    for (uint32_t i = 0; i < weather_.resources; i++) {
      ResourceLimit limit;
      if (i % 3 != 2) limit.concurrent_max = 1 + Draw(3);
      if (weather_.rates && i % 3 != 0) {
        limit.rate_count = 1 + Draw(3);
        limit.rate_window = Millis(1 + Draw(300));
      }
      limits.resources["r" + std::to_string(i)] = limit;
    }
    return limits;
  }
  Needs MakeNeeds() {
    Needs needs;
    needs.browser = Draw(4) == 0;
    needs.labels = DrawNames("l", weather_.labels, 5);
    needs.resources = DrawNames("r", weather_.resources + 1, 3);  // the last one has no limit
    if (weather_.keys > 0 && Draw(2) == 0) needs.ordering_key = "k" + std::to_string(Draw(weather_.keys));
    return needs;
  }
  WorkerOffer MakeOffer() {
    WorkerOffer offer;
    offer.capacity = Draw(5);
    offer.open = Draw(5) != 0;
    offer.browser_connected = Draw(2) == 0;
    offer.labels = DrawNames("l", weather_.labels, 2);
    return offer;
  }

  std::mt19937_64 random_;
  Weather weather_;
  PlacementLimits limits_;
  Placement real_;
  PlacementModel model_;
  LogTime now_{1000000};
  size_t placed_ = 0;
};

TEST(PlacementPropertyTest, EveryAssignmentIsTheModels) {
  const struct {
    const char* why;
    Weather weather;
  } rows[] = {
      {"one worker, few tasks", {5, 1, 0, 0, 0, 0, false, PlacementPolicy::kLeastLoaded}},
      {"loads and ties", {30, 6, 0, 0, 0, 0, false, PlacementPolicy::kLeastLoaded}},
      {"labels", {30, 6, 3, 0, 0, 0, false, PlacementPolicy::kLeastLoaded}},
      {"ordering keys", {30, 4, 1, 4, 0, 0, false, PlacementPolicy::kLeastLoaded}},
      {"concurrency", {30, 4, 1, 0, 3, 0, false, PlacementPolicy::kLeastLoaded}},
      {"rates", {30, 4, 0, 0, 3, 0, true, PlacementPolicy::kLeastLoaded}},
      {"prefetch", {60, 4, 0, 0, 0, 8, false, PlacementPolicy::kLeastLoaded}},
      {"everything at once", {40, 6, 2, 3, 4, 8, true, PlacementPolicy::kLeastLoaded}},
      {"in turn", {30, 6, 2, 0, 0, 0, false, PlacementPolicy::kRoundRobin}},
      {"in turn, everything at once", {40, 6, 2, 3, 4, 8, true, PlacementPolicy::kRoundRobin}},
  };
  for (const auto& row : rows) {
    size_t placed = 0;
    for (uint64_t seed = 1; seed <= 40; seed++) {
      SCOPED_TRACE(std::string(row.why) + ", seed " + std::to_string(seed));
      Both both(seed, row.weather);
      for (int step = 0; step < 600; step++) {
        both.Step(step);
        if (testing::Test::HasFatalFailure()) return;
      }
      placed += both.placed();
    }
    EXPECT_GT(placed, 400U) << row.why << ": too little happened to show anything";
  }
}

// All sequences of five of these, each followed by a Place: whatever was done before, what is placed is the
// model's.
TEST(PlacementPropertyTest, EveryShortSequencePlacesWhatTheModelPlaces) {
  const Needs plain, key{.ordering_key = "x"}, browser{.browser = true}, scarce{.resources = {"r"}};
  const WorkerId a("A"), b("B");
  const auto task = [](uint32_t n) { return TaskId{JobId{0, 7}, n}; };
  const LogTime t0{1000}, later{1050};
  const WorkerOffer one{.capacity = 1}, closed{.capacity = 1, .open = false},
      seeing{.capacity = 2, .browser_connected = true};
  const auto act = [&](auto& placement, uint32_t what) {
    switch (what) {
      case 0:
        return placement.Add(task(1), key, 0, t0);
      case 1:
        return placement.Add(task(2), key, 5, t0);
      case 2:
        return placement.Add(task(3), scarce, 1, later);
      case 3:
        return placement.Add(task(4), browser, 9, t0);
      case 4:
        return placement.Add(task(5), scarce, 0, t0);
      case 5:
        return placement.SetWorker(a, one);
      case 6:
        return placement.SetWorker(a, closed);
      case 7:
        return placement.SetWorker(b, seeing);
      case 8:
        return placement.RemoveWorker(b);
      case 9:
        return placement.Occupy(task(1), key, b, t0);
      case 10:
        return placement.Release(task(1), Millis(1));
      case 11:
        return placement.Release(task(5), std::nullopt);
      case 12:
        return placement.Remove(task(2));
      default:
        placement.Place(t0, 1);
    }
  };
  constexpr uint32_t kActions = 14;
#if LANEWAY_SANITIZED
  constexpr uint32_t kStride = 11;  // some of them: sanitizers look for other mistakes
#else
  constexpr uint32_t kStride = 1;
#endif
  const PlacementLimits limits{
      .resources = {{"r", {.concurrent_max = 1, .rate_count = 2, .rate_window = Millis(60)}}}};
  size_t placed = 0;
  for (uint32_t code = 0; code < kActions * kActions * kActions * kActions * kActions; code += kStride) {
    Placement real(limits);
    PlacementModel model(limits);
    real.SetWorker(a, one);
    model.SetWorker(a, one);
    uint32_t rest = code;
    for (int step = 0; step < 5; step++, rest /= kActions) {
      act(real, rest % kActions);
      act(model, rest % kActions);
    }
    for (const LogTime now : {t0, later}) {
      const auto got = real.Place(now, 9);
      placed += got.size();
      ASSERT_EQ(Words(got), Words(model.Place(now, 9))) << "sequence " << code << " at " << now.ms;
    }
    ASSERT_EQ(real.waiting(), model.waiting()) << "sequence " << code;
  }
  EXPECT_GT(placed, 100000U / kStride);
}

}  // namespace
}  // namespace laneway
