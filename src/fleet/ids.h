// ids.h: the names of jobs, tasks, workers, stores and incarnations, as distinct types.
//
// Role:       pure vocabulary.
// Shapes:     JobId, StoreId and IncarnationId are 128 bits: 16 bytes in records, 26 characters (Crockford
//             base 32, as a ULID is written) for people. A TaskId is `<job id>/<n>`, n from 1; in file names
//             `<job id>-<n>`.
// Threads:    values.
#pragma once

#include <bit>
#include <compare>
#include <cstdint>
#include <cstring>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace laneway {

// 128 bits. `Tag` keeps a store's id from being passed for a job's.
template <class Tag>
struct Id128 {
  uint64_t hi = 0;
  uint64_t lo = 0;

  // From the 16 bytes of a record. Nothing when there are not 16.
  static std::optional<Id128> FromBytes(std::string_view bytes);
  // From 26 characters, either case; I, L and O are read as 1, 1 and 0. Nothing when it is not an id.
  static std::optional<Id128> Parse(std::string_view text);

  std::string ToBytes() const;
  std::string ToString() const;
  bool empty() const { return hi == 0 && lo == 0; }

  friend auto operator<=>(const Id128&, const Id128&) = default;
};

using JobId = Id128<struct JobTag>;
using StoreId = Id128<struct StoreTag>;
using IncarnationId = Id128<struct IncarnationTag>;

struct TaskId {
  JobId job;
  uint32_t n = 0;  // from 1

  static std::optional<TaskId> Parse(std::string_view text);          // "<job id>/<n>"
  static std::optional<TaskId> ParseFileName(std::string_view text);  // "<job id>-<n>"
  std::string ToString() const;                                       // "<job id>/<n>"
  std::string ToFileName() const;                                     // "<job id>-<n>"

  friend auto operator<=>(const TaskId&, const TaskId&) = default;
};

// A worker's name, as `DTF-03`. Names are checked where they enter (configuration, command line, HTTP): see
// IsWorkerName.
struct WorkerId {
  std::string name;

  WorkerId() = default;
  explicit WorkerId(std::string_view text) : name(text) {}
  bool empty() const { return name.empty(); }

  friend auto operator<=>(const WorkerId&, const WorkerId&) = default;
};

// 1 to 64 characters of A-Z a-z 0-9 . _ - beginning with a letter or digit: safe as a folder's name, a label
// and a key.
bool IsWorkerName(std::string_view text);

using Epoch = uint64_t;   // 0: none yet
using Offset = uint64_t;  // of a record in its partition
using Lane = uint32_t;    // a partition of the `lanes` topic

// Mixes 64 bits well (the finalizer of splitmix64). The same on every machine: it reaches partitions and
// digests.
constexpr uint64_t Mix64(uint64_t x) {
  x ^= x >> 30;
  x *= 0xbf58476d1ce4e5b9ULL;
  x ^= x >> 27;
  x *= 0x94d049bb133111ebULL;
  return x ^ (x >> 31);
}

// FNV-1a, then mixed. The same on every machine.
uint64_t HashBytes(std::string_view bytes);

// Which partition of `events` a job's records go to.
inline uint32_t EventPartition(const JobId& job, uint32_t partitions) {
  return static_cast<uint32_t>(Mix64(job.hi ^ Mix64(job.lo)) % partitions);
}
// Which partition of `events` the records about a worker go to.
inline uint32_t EventPartition(const WorkerId& worker, uint32_t partitions) {
  return static_cast<uint32_t>(HashBytes(worker.name) % partitions);
}

}  // namespace laneway

template <class Tag>
struct std::hash<laneway::Id128<Tag>> {
  size_t operator()(const laneway::Id128<Tag>& id) const noexcept {
    // Turned, because all jobs of one partition of `events` have the low bits in common.
    return std::rotr(laneway::Mix64(id.hi ^ laneway::Mix64(id.lo)), 32);
  }
};
template <>
struct std::hash<laneway::TaskId> {
  size_t operator()(const laneway::TaskId& id) const noexcept {
    // The factor keeps tasks of jobs apart whose ids follow each other: with lo ^ n a thousand of them would
    // share few values.
    return laneway::Mix64(id.job.hi ^ laneway::Mix64(id.job.lo + id.n * 0x9e3779b97f4a7c15ULL));
  }
};
template <>
struct std::hash<laneway::WorkerId> {
  size_t operator()(const laneway::WorkerId& id) const noexcept { return laneway::HashBytes(id.name); }
};
