// raw.h: what the machine can do without us, to compare with.
//
// Role:       shell. Each runs for about `seconds` in `folder`.
#pragma once

#include <cstdint>
#include <string>

namespace laneway::measure {

struct RawWrites {
  double single_per_second = 0;   // 256-byte RocksDB puts, one a synced write, one thread
  double batched_per_second = 0;  // the same in batches of 100
  double sync_p50_ms = 0;         // of the single ones
};
RawWrites RawSyncedWrites(const std::string& folder, double seconds);

// posix_spawn and waitpid of /bin/true, from two threads.
double RawSpawnsPerSecond(double seconds);

// rename(2) of one file after another between two folders, nothing synced.
double RawRenamesPerSecond(const std::string& folder, double seconds);

// This process and its children that have ended: user and system time.
double CpuSeconds();
double ResidentMib();
double PeakResidentMib();

}  // namespace laneway::measure
