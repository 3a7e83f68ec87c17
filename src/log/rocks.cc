#include "log/rocks.h"

#include <cerrno>
#include <cstdarg>
#include <cstring>
#include <utility>

#include "absl/strings/match.h"
#include "log/text.h"
#include "rocksdb/cache.h"
#include "rocksdb/filter_policy.h"
#include "rocksdb/table.h"

namespace laneway::log {
namespace {

class WatchedFile : public rocksdb::FSWritableFileOwnerWrapper {
 public:
  WatchedFile(std::unique_ptr<rocksdb::FSWritableFile>&& file, std::string path, WatchedFileSystem* owner)
      : FSWritableFileOwnerWrapper(std::move(file)),
        path_(std::move(path)),
        owner_(owner),
        is_wal_(absl::EndsWith(path_, ".log")) {}

  rocksdb::IOStatus Append(const rocksdb::Slice& data, const rocksdb::IOOptions& options,
                           rocksdb::IODebugContext* debug) override {
    const rocksdb::IOStatus asked = owner_->Ask(IoOp::kAppend, path_);
    return asked.ok() ? FSWritableFileOwnerWrapper::Append(data, options, debug) : asked;
  }
  rocksdb::IOStatus Append(const rocksdb::Slice& data, const rocksdb::IOOptions& options,
                           const rocksdb::DataVerificationInfo& info,
                           rocksdb::IODebugContext* debug) override {
    const rocksdb::IOStatus asked = owner_->Ask(IoOp::kAppend, path_);
    return asked.ok() ? FSWritableFileOwnerWrapper::Append(data, options, info, debug) : asked;
  }
  rocksdb::IOStatus Sync(const rocksdb::IOOptions& options, rocksdb::IODebugContext* debug) override {
    const rocksdb::IOStatus asked = owner_->Ask(IoOp::kSync, path_);
    return Synced(asked.ok() ? FSWritableFileOwnerWrapper::Sync(options, debug) : asked);
  }
  rocksdb::IOStatus Fsync(const rocksdb::IOOptions& options, rocksdb::IODebugContext* debug) override {
    const rocksdb::IOStatus asked = owner_->Ask(IoOp::kSync, path_);
    return Synced(asked.ok() ? FSWritableFileOwnerWrapper::Fsync(options, debug) : asked);
  }

 private:
  rocksdb::IOStatus Synced(rocksdb::IOStatus status) {
    if (!status.ok() && is_wal_) owner_->NoteSyncFailed();
    return status;
  }

  const std::string path_;
  WatchedFileSystem* const owner_;
  const bool is_wal_;
};

// RocksDB's own log goes nowhere. Its file lies on the same disk, and once a line could not be written the
// next one ends the process (Debian's build has assertions): a full disk would kill us. What matters comes as
// a status, and is told with it.
class NoLogger : public rocksdb::Logger {
 public:
  using rocksdb::Logger::Logv;
  NoLogger() : Logger(rocksdb::InfoLogLevel::HEADER_LEVEL) {}
  void Logv(const char*, va_list) override {}
};

}  // namespace

WatchedFileSystem::WatchedFileSystem(IoHook hook)
    : FileSystemWrapper(rocksdb::FileSystem::Default()), hook_(std::move(hook)) {}

rocksdb::IOStatus WatchedFileSystem::Ask(IoOp op, const std::string& path) {
  const int error = hook_ ? hook_(op, path) : 0;
  if (error == 0) return rocksdb::IOStatus::OK();
  if (error == ENOSPC) return rocksdb::IOStatus::NoSpace("injected", std::strerror(error));
  return rocksdb::IOStatus::IOError("injected", std::strerror(error));
}

rocksdb::IOStatus WatchedFileSystem::NewWritableFile(const std::string& path,
                                                     const rocksdb::FileOptions& options,
                                                     std::unique_ptr<rocksdb::FSWritableFile>* file,
                                                     rocksdb::IODebugContext* debug) {
  if (rocksdb::IOStatus asked = Ask(IoOp::kCreate, path); !asked.ok()) return asked;
  std::unique_ptr<rocksdb::FSWritableFile> inner;
  rocksdb::IOStatus status = target()->NewWritableFile(path, options, &inner, debug);
  if (status.ok()) *file = std::make_unique<WatchedFile>(std::move(inner), path, this);
  return status;
}

rocksdb::Options MakeRocksOptions(const RocksSettings& settings, rocksdb::Env* env) {
  rocksdb::Options options;
  options.env = env;
  options.create_if_missing = settings.create;
  // A torn last record is what a power cut leaves. Anything else that is unreadable is a loss, and must not
  // be passed over.
  options.wal_recovery_mode = rocksdb::WALRecoveryMode::kTolerateCorruptedTailRecords;
  options.paranoid_checks = true;
  options.write_buffer_size = settings.write_buffer_bytes;
  options.max_write_buffer_number = 2;
  options.max_background_jobs = 2;
  options.max_open_files = 256;
  options.info_log = std::make_shared<NoLogger>();
  options.max_manifest_file_size = 16 << 20;
  options.stats_dump_period_sec = 0;
  options.stats_persist_period_sec = 0;
  options.bytes_per_sync = 1 << 20;
  options.compression = rocksdb::kLZ4Compression;
  options.max_bgerror_resume_count = 0;  // the engine decides when and how to go on
  options.avoid_flush_during_shutdown = false;
  // Of each new job it is asked whether it has been before; the answer is no, and should cost a glance.
  options.memtable_whole_key_filtering = true;
  options.memtable_prefix_bloom_size_ratio = 0.02;
  rocksdb::BlockBasedTableOptions table;
  table.filter_policy.reset(rocksdb::NewBloomFilterPolicy(10));
  table.block_cache = rocksdb::NewLRUCache(settings.block_cache_bytes, 1);
  table.format_version = 5;
  table.cache_index_and_filter_blocks = false;
  options.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
  return options;
}

bool IsNoSpace(const rocksdb::Status& status) {
  return status.IsNoSpace() || (status.IsIOError() && status.subcode() == rocksdb::Status::kNoSpace) ||
         status.subcode() == rocksdb::Status::kSpaceLimit;
}

absl::Status FromRocks(const rocksdb::Status& status, std::string_view what) {
  if (status.ok()) return absl::OkStatus();
  const std::string text = Cat(what, ": ", status.ToString());
  if (IsNoSpace(status)) return absl::ResourceExhaustedError(text);
  if (status.IsCorruption()) return absl::DataLossError(text);
  if (status.IsIOError() && absl::StrContains(text, "lock")) return absl::FailedPreconditionError(text);
  return absl::UnavailableError(text);
}

}  // namespace laneway::log
