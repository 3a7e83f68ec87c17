// inotify.h: hints that something happened in incoming/, so that a file need not wait for the next full
// look.
//
// Role:       shell around inotify(7). Only hints: network shares tell nothing of remote writers, queues
//             overflow, watches get lost. The regular full look finds everything without it.
// Output:     News: paths relative to incoming/, and whether a full look is due now.
// Bound:      as many watches as there are folders (the kernel's limit, then `problem` says so); kHintsMax
//             hints a call.
// Threads:    one. `fd()` may be polled from another.
#pragma once

#include <cstddef>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"

namespace laneway::zone {

class InotifyWatcher {
 public:
  static constexpr size_t kHintsMax = 65'536;

  struct Hint {
    std::string path;       // relative to incoming/
    bool complete = false;  // moved in, or closed after writing
  };
  struct News {
    std::vector<Hint> hints;
    bool rescan = false;  // something may have been missed: look at everything
    std::string problem;  // for people, when watching does not cover everything; told once
  };

  // `incoming`: the folder's path. Never fails: where inotify does not work, status() says why and there is
  // no news.
  explicit InotifyWatcher(std::string incoming);
  ~InotifyWatcher();
  InotifyWatcher(const InotifyWatcher&) = delete;
  InotifyWatcher& operator=(const InotifyWatcher&) = delete;

  const absl::Status& status() const { return status_; }
  int fd() const { return fd_; }  // readable when there is news; -1 when there will never be any
  // What came since the last call. Never blocks. To be called before each regular look as well: a watch that
  // was lost is set up again then.
  News Read();

 private:
  void Watch(const std::string& folder, bool tell, News& news);
  void StartAgain(News& news);
  void Handle(int watch, unsigned mask, std::string_view name, News& news);
  void Tell(std::string path, bool complete, News& news);

  const std::string incoming_;
  absl::Status status_;
  int fd_ = -1;
  bool lost_ = false;
  bool told_ = false;
  std::map<int, std::string> folders_;  // watch → folder, relative to incoming/
};

}  // namespace laneway::zone
