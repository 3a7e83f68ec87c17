// attempt_log.h: the log file of one attempt: head and tail of what it printed, never more than its share of
// disk.
//
// Role:       interface to the file system.
// Input:      stdout and stderr, as they come.
// Output:     <path>, made at the first byte. When the output outgrows `bytes_max`, the file keeps the head;
//             the tail is kept in memory and, once a second, in <path>.1, and ends up below a note in <path>.
//             So a script that writes without end costs neither disk nor the disk's time.
// Invariants: (1) at most bytes_max on disk, notes not counted; (2) no error is the script's: what cannot be
//             written is counted and dropped.
// Threads:    one owner.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace laneway::worker {

inline constexpr uint64_t kLogBytesDefault = 16 << 20;
inline constexpr uint64_t kLogTailBytesMax = 256 << 10;

class AttemptLog {
 public:
  AttemptLog() = default;
  // An empty path: nothing is written. bytes_max 0: kLogBytesDefault.
  AttemptLog(std::string path, uint64_t bytes_max);
  AttemptLog(const AttemptLog&) = delete;
  AttemptLog& operator=(const AttemptLog&) = delete;
  ~AttemptLog();

  void Write(std::string_view bytes);
  // Brings <path>.1 up to date.
  void Sync();
  void Close();

  uint64_t bytes() const { return bytes_; }
  // The last output, at most 2 KiB.
  std::string_view recent() const;

 private:
  bool Open();
  void WriteHead(std::string_view bytes);
  void AppendToTail(std::string_view bytes);
  std::string Tail() const;

  std::string path_;
  uint64_t head_max_ = 0;
  uint64_t tail_max_ = 0;
  int fd_ = -1;
  uint64_t bytes_ = 0;
  uint64_t head_written_ = 0;
  uint64_t lost_ = 0;        // could not be written
  uint64_t tail_total_ = 0;  // went past the head
  std::string tail_;         // ring once it is full
  size_t tail_begin_ = 0;
  bool tail_changed_ = false;
  bool tail_file_ = false;
  std::string recent_;
};

}  // namespace laneway::worker
