// random_ids.h: makes ids: new ones (ULIDs), and ids computed from what they name.
//
// Role:       shell; the cores only ever receive ids.
// Invariants: (1) new ids grow within a process, whatever the clock does; (2) an id computed from the same
//             values is the same on every machine and in every release: the encodings below are frozen by
//             golden tests; (3) values of different meaning or length cannot be encoded to the same bytes.
// Threads:    every function from any thread.
#pragma once

#include <cstdint>
#include <string_view>

#include "fleet/ids.h"

namespace laneway::ops {

// ULIDs: 48 bits of milliseconds since 1970 and 80 bits from the kernel's generator; within one millisecond
// (or when the clock went back) the previous id plus one. Source: github.com/ulid/spec.
JobId NewJobId();
IncarnationId NewIncarnationId();
StoreId NewStoreId();

// Fills the bytes from getrandom(2).
void RandomBytes(void* out, size_t size);

// The id of a job that a client named: the first 128 bits of SHA-256 over the length-prefixed values. `scope`
// keeps the keys of one kind of caller from meeting those of another ("api", "pipeline").
JobId JobIdFromKey(std::string_view scope, std::string_view key);

// What tells one arrival of a file from another (rule I1).
struct FileArrival {
  std::string_view path;  // relative to incoming/
  uint64_t size = 0;
  int64_t mtime_ns = 0;
  uint64_t inode = 0;
  uint64_t closed_count =
      0;  // closed jobs of this identity, read from the fold before the file was looked at
};
JobId FileJobId(const FileArrival& arrival);

}  // namespace laneway::ops
