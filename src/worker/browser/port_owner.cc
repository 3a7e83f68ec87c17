#include "worker/browser/port_owner.h"

#include <dirent.h>
#include <unistd.h>

#include <memory>
#include <set>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "worker/executor/process_table.h"
#include "worker/executor/text.h"

namespace laneway::worker {
namespace {

// The lines of /proc/net/tcp: "  0: 0100007F:1F90 00000000:0000 0A … <inode>".
std::set<std::string> ListeningInodes(uint16_t port) {
  std::set<std::string> inodes;
  for (const char* path : {"/proc/net/tcp", "/proc/net/tcp6"}) {
    const std::string table = ReadSmallFile(path);
    for (const absl::string_view line : absl::StrSplit(table, '\n')) {
      const std::vector<std::string> words = absl::StrSplit(line, ' ', absl::SkipEmpty());
      if (words.size() < 10 || words[3] != "0A") continue;
      const size_t colon = words[1].rfind(':');
      uint32_t local = 0;
      if (colon == std::string::npos || !absl::SimpleHexAtoi(words[1].substr(colon + 1), &local)) continue;
      if (local == port) inodes.insert(absl::StrCat("socket:[", words[9], "]"));
    }
  }
  return inodes;
}

bool Holds(const std::string& process, const std::set<std::string>& links) {
  const std::string folder = absl::StrCat("/proc/", process, "/fd");
  const std::unique_ptr<DIR, int (*)(DIR*)> fds(opendir(folder.c_str()), closedir);
  if (!fds) return false;
  while (const dirent* entry = readdir(fds.get())) {
    char target[64];
    const ssize_t size = readlink(absl::StrCat(folder, "/", entry->d_name).c_str(), target, sizeof target);
    if (size > 0 && links.contains(std::string(target, static_cast<size_t>(size)))) return true;
  }
  return false;
}

}  // namespace

std::optional<PortOwner> WhoListens(uint16_t port) {
  const std::set<std::string> inodes = ListeningInodes(port);
  if (inodes.empty()) return std::nullopt;
  const std::unique_ptr<DIR, int (*)(DIR*)> processes(opendir("/proc"), closedir);
  while (const dirent* entry = processes ? readdir(processes.get()) : nullptr) {
    PortOwner owner;
    if (!absl::SimpleAtoi(entry->d_name, &owner.pid) || !Holds(entry->d_name, inodes)) continue;
    owner.name = CleanText(ReadSmallFile(absl::StrCat("/proc/", owner.pid, "/comm")));
    while (owner.name.ends_with('\n')) owner.name.pop_back();
    return owner;
  }
  return PortOwner{};
}

std::string Describe(const PortOwner& owner) {
  return owner.pid == 0 ? "a process of another user"
                        : absl::StrCat("process ", owner.pid, " (", owner.name, ")");
}

}  // namespace laneway::worker
