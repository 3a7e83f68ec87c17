#include "sim/plan.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace laneway::sim {

std::string_view ProfileName(Profile profile) {
  constexpr std::string_view kNames[kProfiles] = {
      "healthy",   "dispatchers", "workers", "pauses",    "log",   "power",   "zone",  "redrive",
      "retention", "deaf",        "clocks",  "operators", "names", "phases",  "mixed", "storm",
      "lanes",     "late",        "absent",  "gone",      "kafka", "browsers"};
  return kNames[static_cast<size_t>(profile)];
}

std::optional<Profile> ProfileNamed(std::string_view name) {
  for (size_t i = 0; i < kProfiles; i++) {
    if (ProfileName(static_cast<Profile>(i)) == name) return static_cast<Profile>(i);
  }
  return std::nullopt;
}

uint64_t SeedOf(Profile profile, uint64_t number) {
  return number * kProfiles + static_cast<uint64_t>(profile);
}

namespace {

// Each fault with a chance of 60 %, `much` times as often as in a quiet run.
void SomeOfEverything(uint32_t much, Rng& rng, Plan& plan) {
  Rates& r = plan.rates;
  for (uint32_t* rate :
       {&r.dispatcher_crash, &r.election, &r.worker_crash, &r.worker_disk_lost, &r.reaper_crash, &r.pause,
        &r.cut_off, &r.power_loss, &r.disk_full, &r.late_append, &r.clock_step, &r.garbage, &plan.cancels,
        &plan.intents, &plan.withdrawals, &r.worker_stop, &r.worker_away, &r.cut_off_long, &plan.thefts}) {
    if (rng.PerMille(600)) *rate = static_cast<uint32_t>(rng.Between(10, 50)) * much;
  }
  for (uint32_t* chance : {&r.reply_lost, &r.request_lost, &r.unavailable, &r.slow_append, &r.fs_error,
                           &r.fs_reply_lost, &r.zone_pause, &r.zone_crash, &r.damaged, &r.slow_look}) {
    if (rng.PerMille(600)) *chance = static_cast<uint32_t>(rng.Between(1, 5)) * much;
  }
  plan.put_backs = static_cast<uint32_t>(rng.Below(300));
  plan.redrives = static_cast<uint32_t>(rng.Below(300));
  plan.moody_scripts = static_cast<uint32_t>(rng.Below(300));
  plan.late_workers = rng.Below(2) == 0;
}

// Each made so that one thing happens again and again.
void HardTimes(Profile profile, Rng& rng, Plan& plan) {
  Rates& r = plan.rates;
  if (profile == Profile::kLanes) {
    plan.late_workers = true, plan.intents = 120, plan.reordered_appends = rng.Below(3) != 0;
    r.worker_stop = 120, r.worker_crash = 60, r.damaged = 30, r.slow_append = 20;
  } else if (profile == Profile::kLate) {
    plan.bad_scripts = 900, plan.moody_scripts = 800, plan.redrives = 1500, plan.long_scripts = 700;
    // Alone, a worker that is back is given the next attempt of what it still runs.
    plan.capacities = rng.Below(2) == 0 ? std::vector<uint32_t>{3} : std::vector<uint32_t>{2, 2};
    plan.work_ms += 200000, plan.jobs += 4;
    r.cut_off_long = 100, r.worker_crash = 10;
  } else if (profile == Profile::kAbsent) {
    // One is large, so that it is given tasks for as long as nobody knows that it is away.
    plan.capacities.push_back(20), plan.work_ms += 100000, plan.files += 60;
    r.worker_away = 60, r.slow_append = 100;
  } else if (profile == Profile::kKafka) {
    r.leaders_away = 240, r.cut_short = 20, r.slow_fetch = 100, r.reply_lost = 20, r.request_lost = 20;
    r.unavailable = 10, r.late_append = 120, r.worker_crash = 60, r.dispatcher_crash = 30;
    r.election = 60, r.power_loss = 20;
  } else if (profile == Profile::kBrowsers) {
    plan.work_ms += 100000, plan.jobs += 6, plan.long_scripts = 400;
    r.browser_killed = 120, r.browser_hung = 120, r.browser_flaps = 20, r.browser_away = 40;
    r.browser_dropped = 60, r.browser_starts_fail = 30, r.browser_untold = 40, r.worker_crash = 40;
    r.reaper_crash = 10, r.worker_stop = 40;
  } else {
    plan.thefts = 600, plan.redrives = 500, plan.bad_scripts = 500;
    r.election = 200, r.slow_append = 200, r.request_lost = 20, r.late_append = 120, r.slow_look = 500;
  }
}

void FaultsOf(Profile profile, Rng& rng, Plan& plan) {
  Rates& r = plan.rates;
  switch (profile) {
    case Profile::kHealthy:
      r.zone_wait = 20;
      break;
    case Profile::kDispatchers:
      r.dispatcher_crash = 90, r.election = 120, r.pause = 60, r.zone_pause = 4, r.zone_crash = 4,
      r.reaper_crash = 20;
      break;
    case Profile::kWorkers:
      r.worker_crash = 150, r.worker_disk_lost = 40, r.reaper_crash = 20, r.reply_lost = 10;
      break;
    case Profile::kPauses:
      r.pause = 240, r.zone_pause = 5, r.election = 30;
      break;
    case Profile::kLog:
      r.reply_lost = 40, r.request_lost = 40, r.unavailable = 40, r.slow_append = 20, r.late_append = 240,
      r.disk_full = 20, r.garbage = 60;
      r.worker_crash = 30;
      break;
    case Profile::kPower:
      r.power_loss = 90, r.worker_crash = 30, r.slow_append = 20;
      break;
    case Profile::kZone:
      r.zone_wait = 200, r.zone_pause = 25, r.zone_crash = 5, r.fs_error = 20, r.fs_reply_lost = 10,
      r.election = 120, plan.bad_scripts = 700;
      break;
    case Profile::kRedrive:
      plan.bad_scripts = 700, plan.redrives = 500, r.late_append = 120, r.reply_lost = 30,
      r.request_lost = 30, r.election = 30, r.worker_crash = 30;
      r.pause = 60;
      break;
    case Profile::kRetention:
      plan.retention_ms = rng.Between(120, 300) * 1000;
      r.dispatcher_crash = 40, r.reaper_crash = 40, r.worker_crash = 20, r.election = 20;
      break;
    case Profile::kDeaf:
      r.cut_off = 240, r.pause = 60, plan.long_scripts = 500, plan.jobs += 3;
      break;
    case Profile::kClocks:
      r.clock_step = 240, r.worker_crash = 40, r.dispatcher_crash = 20;
      break;
    case Profile::kOperators:
      plan.intents = 200, plan.cancels = 200, r.worker_crash = 40, r.pause = 30, r.reply_lost = 10;
      break;
    case Profile::kNames:
      plan.put_backs = 500, plan.withdrawals = 300, plan.redrives = 200, r.election = 60, r.zone_wait = 200,
      r.zone_pause = 3;
      break;
    case Profile::kPhases:
      r.worker_crash = 40, r.election = 30, r.reply_lost = 20, plan.cancels = 30;
      break;
    case Profile::kMixed:
      SomeOfEverything(1, rng, plan);
      break;
    case Profile::kStorm:
      SomeOfEverything(3, rng, plan);
      break;
    case Profile::kLanes:
    case Profile::kLate:
    case Profile::kAbsent:
    case Profile::kGone:
    case Profile::kKafka:
    case Profile::kBrowsers:
      HardTimes(profile, rng, plan);
      break;
  }
}

// Half of all fleets meet on Kafka, with what only happens there.
void OnKafka(Rng& rng, Plan& plan) {
  plan.kafka = plan.profile == Profile::kKafka || rng.Below(2) == 0;
  if (!plan.kafka || plan.profile == Profile::kKafka || plan.profile == Profile::kHealthy) return;
  if (rng.Below(2) == 0) plan.rates.leaders_away = static_cast<uint32_t>(rng.Between(10, 60));
  if (rng.Below(2) == 0) plan.rates.slow_fetch = static_cast<uint32_t>(rng.Between(5, 30));
  if (rng.Below(4) == 0) plan.rates.cut_short = static_cast<uint32_t>(rng.Between(5, 20));
}

// A quarter of all fleets have browsers, and what happens to them.
void WithBrowsers(Rng& rng, Plan& plan) {
  const bool all_about_them = plan.profile == Profile::kBrowsers;
  if (!all_about_them && rng.Below(4) != 0) return;
  plan.lanes_grow = true;  // the one that has a browser can be reached
  for (size_t i = 0; i < plan.capacities.size(); i++) plan.browsers.push_back(rng.Below(4) != 0);
  plan.browsers[rng.Below(plan.browsers.size())] = true;
  plan.files_need_browser = rng.Below(2) == 0;
  if (all_about_them || plan.profile == Profile::kHealthy) return;
  Rates& r = plan.rates;
  for (uint32_t* rate : {&r.browser_killed, &r.browser_hung, &r.browser_flaps, &r.browser_away,
                         &r.browser_dropped, &r.browser_starts_fail, &r.browser_untold}) {
    if (rng.Below(2) == 0) *rate = static_cast<uint32_t>(rng.Between(5, 60));
  }
}

}  // namespace

Plan MakePlan(uint64_t seed) {
  Rng rng(seed);
  Plan plan;
  plan.seed = seed;
  plan.profile = static_cast<Profile>(seed % kProfiles);
  const auto workers = rng.Between(1, 4);
  for (int64_t i = 0; i < workers; i++) plan.capacities.push_back(static_cast<uint32_t>(rng.Between(1, 3)));
  plan.lanes = static_cast<uint32_t>(rng.Between(1, 6));
  plan.lanes_grow = plan.lanes % 2 == 0;
  plan.partitions = static_cast<uint32_t>(rng.Between(1, 4));
  plan.files = static_cast<uint32_t>(rng.Below(4) == 0 ? rng.Between(20, 60) : rng.Between(3, 20));
  plan.jobs = static_cast<uint32_t>(rng.Between(0, 4));
  if (plan.profile == Profile::kPhases)
    plan.jobs = static_cast<uint32_t>(rng.Between(4, 10)), plan.files /= 4;
  plan.work_ms = rng.Between(60, 360) * 1000;
  plan.rescan_ms = rng.Between(500, 5000);
  plan.snapshot_every = static_cast<uint32_t>(rng.Between(10, 150));
  plan.reordered_appends = rng.Below(5) == 0;
  plan.reject_late = rng.Below(6) == 0;
  plan.redrives = static_cast<uint32_t>(rng.Below(3) == 0 ? 100 : 0);
  plan.put_backs = static_cast<uint32_t>(rng.Below(3) == 0 ? 100 : 0);
  FaultsOf(plan.profile, rng, plan);
  OnKafka(rng, plan);
  WithBrowsers(rng, plan);
  return plan;
}

std::string Describe(const Plan& plan) {
  std::string capacities;
  for (const uint32_t capacity : plan.capacities)
    absl::StrAppend(&capacities, capacities.empty() ? "" : "+", capacity);
  return absl::StrCat("seed ", plan.seed, " (", std::string(ProfileName(plan.profile)), "): workers ",
                      capacities, ", lanes ", plan.lanes, ", partitions ", plan.partitions, ", files ",
                      plan.files, ", jobs ", plan.jobs, ", work for ", plan.work_ms / 1000, " s, retention ",
                      plan.retention_ms / 1000, " s", plan.kafka ? ", on Kafka" : "",
                      plan.browsers.empty() ? "" : ", with browsers",
                      plan.reordered_appends ? ", appends out of order" : "",
                      plan.reject_late ? ", late successes rejected" : "");
}

}  // namespace laneway::sim
