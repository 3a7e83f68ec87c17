// plan.h: everything a seed decides before the first event: the fleet, its work, and what goes wrong.
//
// Role:       pure data, made from the seed. A profile (seed % kProfiles) says which kinds of faults are
//             likely.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sim/rng.h"

namespace laneway::sim {

enum class Profile : uint8_t {
  kHealthy,
  kDispatchers,  // crashes, elections, pauses of dispatchers
  kWorkers,      // crashes and lost disks of workers
  kPauses,       // everyone stops for a while
  kLog,          // lost replies, late and doubled appends, refusals, slowness
  kPower,        // power losses
  kZone,         // long pauses and errors in the middle of the zone's work
  kRedrive,      // many dead tasks, many redrives
  kRetention,    // the events topic is short: jobs are carried
  kDeaf,         // members are cut off from the log
  kClocks,       // wall clocks step and drift
  kOperators,    // pause, drain, resume, cancel
  kNames,        // files collide, come back, grow, vanish
  kPhases,       // started jobs with many tasks
  kMixed,        // a little of everything
  kStorm,        // much of everything
  kLanes,        // workers join late, stop on purpose, are drained; packets get damaged on their way
  kLate,         // workers out of reach for minutes, scripts that fail the second time, redrives
  kAbsent,       // workers that stay away for minutes or for ever, slow appends
  kGone,         // files taken out of the zone, elections, slow appends
  kKafka,        // a log on several brokers, which come and go
  kBrowsers,     // browsers die, hang, flap, cannot be started
};
inline constexpr size_t kProfiles = 22;
std::string_view ProfileName(Profile profile);
std::optional<Profile> ProfileNamed(std::string_view name);
// The seed of this profile with this number.
uint64_t SeedOf(Profile profile, uint64_t number);

// Events in an hour of the fleet's time (each a chance of its own), while faults last.
struct Rates {
  uint32_t dispatcher_crash = 0;
  uint32_t election = 0;  // the control partition changes hands
  uint32_t worker_crash = 0;
  uint32_t worker_disk_lost = 0;
  uint32_t worker_stop = 0;  // on purpose: shut down, comes back after a while or not at all
  uint32_t worker_away = 0;  // dies, and stays away for minutes or for ever
  uint32_t reaper_crash = 0;
  uint32_t pause = 0;
  uint32_t cut_off = 0;
  uint32_t cut_off_long = 0;  // a worker, for minutes
  uint32_t power_loss = 0;
  uint32_t disk_full = 0;
  uint32_t late_append = 0;
  uint32_t leaders_away = 0;  // on Kafka: a broker goes, and a part of the partitions get another leader
  uint32_t clock_step = 0;
  uint32_t browser_killed = 0;
  uint32_t browser_hung = 0;
  uint32_t browser_flaps = 0;    // dies again and again
  uint32_t browser_away = 0;     // dies, and is back about when its timeout ends
  uint32_t browser_dropped = 0;  // the connection to it
  uint32_t browser_starts_fail = 0;
  uint32_t browser_untold = 0;  // what its worker says of it is lost for a while
  uint32_t garbage = 0;
  // Per mille of the calls they concern.
  uint32_t reply_lost = 0;
  uint32_t request_lost = 0;
  uint32_t unavailable = 0;
  uint32_t slow_append = 0;
  uint32_t cut_short = 0;   // on Kafka: the first records of an append happen, the others do not
  uint32_t slow_fetch = 0;  // on Kafka: a reader sees what is new much later than others
  uint32_t damaged = 0;     // lane records that arrive as bytes nobody can read
  uint32_t slow_look = 0;   // what was seen in incoming/ is told much later
  uint32_t fs_error = 0;
  uint32_t fs_reply_lost = 0;
  uint32_t zone_wait = 50;  // others act in the middle of the zone's work
  uint32_t zone_pause = 0;  // … for long
  uint32_t zone_crash = 0;  // a crash in the middle of it
};

struct Plan {
  uint64_t seed = 0;
  Profile profile = Profile::kHealthy;
  std::vector<uint32_t> capacities;  // of the workers
  std::vector<bool> browsers;        // which of them have one; empty: nobody, and no task needs one
  bool files_need_browser = false;
  uint32_t lanes = 4;
  bool lanes_grow = false;  // when workers outnumber them
  uint32_t LanesAtMost() const {
    return lanes_grow ? std::max(lanes, static_cast<uint32_t>(capacities.size())) : lanes;
  }
  uint32_t partitions = 2;
  uint32_t files = 10;
  uint32_t jobs = 3;
  int64_t work_ms = 120000;   // arrivals and faults happen before this moment
  int64_t heal_ms = 7200000;  // everything must have ended so long after it
  int64_t retention_ms = 0;   // of events; 0: for ever
  int64_t rescan_ms = 1000;
  uint32_t snapshot_every = 50;  // records
  // The log is a cluster's: an append is not atomic over partitions, and a worker's notes are in another
  // place than its events. Else all is one disk.
  bool kafka = false;
  bool reordered_appends = false;
  bool reject_late = false;
  uint32_t redrives = 0;        // per mille of the dead, each time it is looked at
  uint32_t put_backs = 0;       // per mille of the files that have ended
  uint32_t bad_scripts = 200;   // per mille
  uint32_t long_scripts = 100;  // per mille: seconds instead of milliseconds
  uint32_t cancels = 0;         // per hour
  uint32_t intents = 0;         // per hour
  uint32_t withdrawals = 0;     // per hour
  uint32_t thefts = 0;          // per hour: a file is taken out of processing/ or failed/
  uint32_t moody_scripts = 0;   // per mille of the bad ones: only their first attempts succeed
  bool late_workers = false;    // they join while there is work
  Rates rates;
};

Plan MakePlan(uint64_t seed);
std::string Describe(const Plan& plan);

}  // namespace laneway::sim
