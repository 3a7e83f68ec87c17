// data_folder.h: the folder an embedded log lives in: who holds it, what format it has, how far its owner had
// acknowledged.
//
// Role:       the embedded log's door. One process at a time may pass.
// Output:     files `LOCK` (flock; pid, start time and host of its holder), `FORMAT`, `ACKED` (a second place
//             for the last acknowledged sequence number) and the folder `db/`, which belongs to RocksDB.
// Invariants: ACKED is never ahead of what was synced, so that a database behind it has lost acknowledged
//             writes. It is a mapped page: storing costs no system call, and the kernel keeps the page when
//             the process is killed.
// Errors:     FAILED_PRECONDITION: held by another process, on a network file system, or not a folder of
//             ours; the message says what to do.
// Threads:    one owner; StoreAcked from the committer.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace laneway::log {

struct DataFolderOptions {
  std::string path;
  bool allow_network = false;  // take a folder on NFS, CIFS or FUSE all the same
  std::function<int64_t(const std::string&)> file_system_magic;  // statfs's f_type; for tests
};

class DataFolder {
 public:
  // Makes the folder where it is missing (its parent must be there), takes the lock, reads FORMAT and ACKED.
  static absl::StatusOr<std::unique_ptr<DataFolder>> Open(const DataFolderOptions& options);
  ~DataFolder();
  DataFolder(const DataFolder&) = delete;
  DataFolder& operator=(const DataFolder&) = delete;

  const std::string& path() const { return path_; }
  std::string db_path() const { return path_ + "/db"; }
  bool is_new() const { return is_new_; }  // FORMAT was not there: nothing was ever acknowledged from here
  absl::Status WriteFormat();              // makes the folder an old one; call when the database stands

  uint64_t acked() const { return acked_; }  // as found at Open; 0 when there was none
  void StoreAcked(uint64_t sequence);

  absl::StatusOr<uint64_t> FreeBytes() const;  // for us, in this volume
  absl::StatusOr<uint64_t> VolumeBytes() const;

 private:
  DataFolder() = default;
  absl::Status TakeLock();
  absl::Status ReadFormat();
  absl::Status MapAcked();
  absl::Status SyncFolder() const;

  std::string path_;
  int lock_fd_ = -1;
  int folder_fd_ = -1;
  bool is_new_ = false;
  uint64_t acked_ = 0;
  uint64_t* slots_ =
      nullptr;  // two pairs of sequence and check, written in turn: one of them is always whole
  unsigned next_slot_ = 0;
};

// The name of a file system whose locks and syncs cannot be relied upon, or empty.
std::string NetworkFileSystemName(int64_t magic);

}  // namespace laneway::log
