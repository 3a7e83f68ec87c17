// scanner.h: finds complete files in incoming/, and tells each once.
//
// Role:       pure bookkeeping over listings of an Fs: what is new, what has settled, what has gone, what
//             must be refused.
// Input:      Scan(now): a full look; Hint(path): inotify saw something there.
// Output:     Findings.
// Invariants: (1) a file is reported once for each identity; (2) never while it grows, is open for writing
//             (where that can be told), is younger than the settle time since it was last seen to change, or
//             carries the name of an unfinished download (*.tmp, *.part, *.crdownload, ~$*, dot files); (3) a
//             file moved in or closed after writing (a hint that says so) need not settle; (4) what could not
//             be looked at has not vanished. Clocks:     times of files are compared with each other only;
//             how long they stay the same is measured with `now`.
// Bound:      listing is one pass; kCompleteMax files a look; about 200 bytes of memory a file in incoming/.
// Threads:    one.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "zone/fs.h"
#include "zone/zone.h"

namespace laneway::zone {

struct Refused {
  std::string path;    // relative to incoming/
  std::string reason;  // for people: "a symbolic link", "has 2 hard links", "name longer than 200 bytes", …
};

struct Findings {
  std::vector<Identity> complete;   // new or changed since reported
  std::vector<Identity> vanished;   // reported before, not there any more (or another file is)
  std::vector<Refused> refused;     // to be moved to quarantine by the dispatcher
  std::vector<Refused> unreadable;  // folders without rights: told once, looked at again later
  // Of a full look; 0 in the answer to a hint.
  uint64_t waiting = 0;  // seen, not complete yet
  // of them: with a name of an unfinished download, so only its owner can end it
  uint64_t unfinished = 0;
  uint64_t present = 0;         // all regular files in incoming/
  int64_t oldest_mtime_ns = 0;  // of the files present; 0: none
};

using MonotonicTime = std::chrono::milliseconds;  // since any fixed moment

class Scanner {
 public:
  static constexpr size_t kCompleteMax = 10'000;

  Scanner(Fs* fs, std::chrono::milliseconds settle) : fs_(fs), settle_(settle) {}

  Findings Scan(MonotonicTime now);
  // A change at this path was seen. `complete`: it was moved in, or closed after writing.
  Findings Hint(std::string_view path, bool complete, MonotonicTime now);
  // When the next file may have settled; nothing when none is waiting.
  std::optional<MonotonicTime> NextDeadline() const;
  // The dispatcher took it away: not a loss. (Called for each file placed or refused.)
  void Taken(std::string_view path);
  // Tell it again at the next look (its job could not be made).
  void Forget(std::string_view path);

 private:
  enum class State : uint8_t { kWaiting, kReported, kRefused };
  struct Known {
    uint64_t size = 0;
    int64_t mtime_ns = 0;
    uint64_t inode = 0;
    MonotonicTime since{0};  // when it was first seen as it is
    uint32_t pass = 0;       // the last look that saw it
    uint32_t links = 1;
    FileKind kind = FileKind::kRegular;
    State state = State::kWaiting;
    bool closed = false;  // a hint said that it is complete
  };
  using KnownFiles = std::map<std::string, Known, std::less<>>;

  static Identity IdentityOf(std::string_view path, const Known& known);
  void Walk(std::string folder, MonotonicTime now, Findings& findings);
  void LookAt(std::string path, const FileInfo& info, bool closed, MonotonicTime now, Findings& findings);
  void Judge(const std::string& path, Known& known, MonotonicTime now, Findings& findings);
  void TellVanished(Findings& findings);
  void Unreadable(const std::string& folder, std::string_view reason, Findings& findings);

  Fs* fs_;
  std::chrono::milliseconds settle_;
  KnownFiles known_;
  uint32_t pass_ = 0;
  std::set<std::string, std::less<>> unreadable_;  // folders, as told
  std::set<std::string, std::less<>> not_seen_;    // folders that this look could not list
  std::optional<MonotonicTime> deadline_;
};

}  // namespace laneway::zone
