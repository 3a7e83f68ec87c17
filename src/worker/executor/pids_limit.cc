#include "worker/executor/pids_limit.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <string_view>
#include <vector>

#include "worker/executor/process_table.h"

namespace laneway::worker {
namespace {

bool WriteFile(const std::string& path, std::string_view text) {
  const int fd = open(path.c_str(), O_WRONLY | O_CLOEXEC);
  if (fd < 0) return false;
  const bool ok = write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size());
  close(fd);
  return ok;
}

// At most `max` parts; empty ones are left out when there is no limit.
std::vector<std::string_view> Split(std::string_view text, char separator, size_t max = 0) {
  std::vector<std::string_view> parts;
  while (!text.empty()) {
    const size_t end = max > 0 && parts.size() + 1 == max ? text.npos : text.find(separator);
    if (end != 0 || max > 0) parts.push_back(text.substr(0, end));
    text.remove_prefix(end == text.npos ? text.size() : end + 1);
  }
  return parts;
}

bool Has(const std::vector<std::string_view>& words, std::string_view word) {
  for (std::string_view one : words) {
    if (one == word) return true;
  }
  return false;
}

// Where a path of the hierarchy is seen: mount point plus the path below the mount's root.
std::string Seen(std::string_view path, std::string_view root, std::string_view point) {
  if (root != "/" && path.starts_with(root)) path.remove_prefix(root.size());
  std::string seen(point);
  if (path != "/") seen += path;
  return seen;
}

}  // namespace

std::string FindPidsCgroup(std::string_view cgroup, std::string_view mountinfo) {
  std::string_view v1_path, v2_path;
  for (std::string_view line : Split(cgroup, '\n')) {
    const std::vector<std::string_view> parts = Split(line, ':', 3);
    if (parts.size() != 3) continue;
    if (parts[1].empty()) v2_path = parts[2];
    if (Has(Split(parts[1], ','), "pids")) v1_path = parts[2];
  }
  for (std::string_view line : Split(mountinfo, '\n')) {
    const std::vector<std::string_view> words = Split(line, ' ');
    size_t dash = 6;
    while (dash < words.size() && words[dash] != "-") dash++;
    if (dash + 3 >= words.size()) continue;
    const std::string_view type = words[dash + 1];
    const std::string_view options = words[dash + 3];
    if (!v1_path.empty() && type == "cgroup" && Has(Split(options, ','), "pids")) {
      return Seen(v1_path, words[3], words[4]);
    }
    if (v1_path.empty() && !v2_path.empty() && type == "cgroup2") return Seen(v2_path, words[3], words[4]);
  }
  return {};
}

PidsLimit::PidsLimit() {
  const std::string ours =
      FindPidsCgroup(ReadSmallFile("/proc/self/cgroup"), ReadSmallFile("/proc/self/mountinfo"));
  if (ours.empty()) return;
  const std::string base = ours + "/laneway-" + std::to_string(getpid());
  if (mkdir(base.c_str(), 0755) != 0) return;
  if (access((base + "/cgroup.controllers").c_str(), F_OK) ==
      0) {  // v2: a controller is handed down step by step
    WriteFile(ours + "/cgroup.subtree_control", "+pids");
    WriteFile(base + "/cgroup.subtree_control", "+pids");
  }
  base_ = base;
  auto trial = Make(0, 1);
  if (trial) {
    Remove(&*trial);
  } else {
    rmdir(base.c_str());
    base_.clear();
  }
}

PidsLimit::~PidsLimit() {
  if (!base_.empty()) rmdir(base_.c_str());
}

std::optional<PidsLimit::Group> PidsLimit::Make(uint64_t run, uint32_t processes_max) {
  if (base_.empty()) return std::nullopt;
  Group group{base_ + "/" + std::to_string(run), -1};
  if (mkdir(group.path.c_str(), 0755) != 0) return std::nullopt;
  if (WriteFile(group.path + "/pids.max", std::to_string(processes_max))) {
    group.procs_fd = open((group.path + "/cgroup.procs").c_str(), O_WRONLY | O_CLOEXEC);
  }
  if (group.procs_fd < 0) {
    rmdir(group.path.c_str());
    return std::nullopt;
  }
  return group;
}

void PidsLimit::Remove(Group* group) {
  if (group->procs_fd >= 0) close(group->procs_fd);
  group->procs_fd = -1;
  if (!group->path.empty()) rmdir(group->path.c_str());
  group->path.clear();
}

}  // namespace laneway::worker
