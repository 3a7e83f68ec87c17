// rocks.h: RocksDB as the embedded log uses it: its settings, its errors as ours, and a hook under its files
// for tests.
//
// Role:       the only place that knows RocksDB's options and codes. Internal to src/log.
// Threads:    any.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "rocksdb/env.h"
#include "rocksdb/file_system.h"
#include "rocksdb/options.h"
#include "rocksdb/status.h"

namespace laneway::log {

enum class IoOp { kCreate, kAppend, kSync };

// Asked before each call; returns an errno to fail with, or 0. For tests. Must be safe from any thread.
using IoHook = std::function<int(IoOp op, std::string_view path)>;

// Passes everything on to the real file system; remembers whether a sync of the write-ahead log has ever
// failed. After such a failure nobody can say what is on the disk: the kernel reports it once and may forget
// the pages.
class WatchedFileSystem : public rocksdb::FileSystemWrapper {
 public:
  explicit WatchedFileSystem(IoHook hook);
  const char* Name() const override { return "WatchedFileSystem"; }
  rocksdb::IOStatus NewWritableFile(const std::string& path, const rocksdb::FileOptions& options,
                                    std::unique_ptr<rocksdb::FSWritableFile>* file,
                                    rocksdb::IODebugContext* debug) override;

  rocksdb::IOStatus Ask(IoOp op, const std::string& path);
  void NoteSyncFailed() { sync_failed_ = true; }
  bool sync_failed() const { return sync_failed_; }

 private:
  const IoHook hook_;
  std::atomic<bool> sync_failed_ = false;
};

struct RocksSettings {
  uint64_t write_buffer_bytes = 16 << 20;
  uint64_t block_cache_bytes = 8 << 20;
  bool create = false;
};
rocksdb::Options MakeRocksOptions(const RocksSettings& settings, rocksdb::Env* env);

bool IsNoSpace(const rocksdb::Status& status);
// RESOURCE_EXHAUSTED (no space), DATA_LOSS (corruption), FAILED_PRECONDITION (lock), else UNAVAILABLE.
absl::Status FromRocks(const rocksdb::Status& status, std::string_view what);

inline std::string_view View(const rocksdb::Slice& slice) { return {slice.data(), slice.size()}; }
inline rocksdb::Slice Slice(std::string_view view) { return {view.data(), view.size()}; }

}  // namespace laneway::log
