#include "worker/executor/process_table.h"

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include <charconv>
#include <cstdlib>

namespace laneway::worker {
namespace {

std::optional<uint64_t> Number(std::string_view text) {
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end == text.data()) return std::nullopt;
  return value;
}

std::string ProcPath(pid_t pid, const char* file) { return "/proc/" + std::to_string(pid) + "/" + file; }

}  // namespace

std::string ReadSmallFile(const std::string& path) {
  std::string text;
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return text;
  char bytes[16384];
  ssize_t size = 0;
  while ((size = read(fd, bytes, sizeof bytes)) > 0) text.append(bytes, static_cast<size_t>(size));
  close(fd);
  return text;
}

std::optional<Process> ParseStat(std::string_view text) {
  const size_t name_end = text.rfind(')');
  if (name_end == std::string_view::npos) return std::nullopt;
  const auto pid = Number(text);
  if (!pid) return std::nullopt;
  Process process;
  process.pid = static_cast<pid_t>(*pid);
  text.remove_prefix(name_end + 1);
  for (int field = 3; field <= 22; field++) {
    if (text.empty() || text[0] != ' ') return std::nullopt;
    text.remove_prefix(1);
    const std::string_view word = text.substr(0, text.find_first_of(" \n"));
    text.remove_prefix(word.size());
    if (field == 3) {
      if (word.size() != 1) return std::nullopt;
      process.state = word[0];
      continue;
    }
    if (field > 6 && field < 22) continue;
    const auto number = Number(word);
    if (!number) return std::nullopt;
    if (field == 4) process.parent = static_cast<pid_t>(*number);
    if (field == 5) process.group = static_cast<pid_t>(*number);
    if (field == 6) process.session = static_cast<pid_t>(*number);
    if (field == 22) process.start = *number;
  }
  return process;
}

std::optional<Process> ReadProcess(pid_t pid) { return ParseStat(ReadSmallFile(ProcPath(pid, "stat"))); }

// All numbers first: they come in ascending order, and a bomb makes new ones faster than they can be looked
// at.
std::map<pid_t, Process> ReadProcesses() {
  std::map<pid_t, Process> table;
  DIR* folder = opendir("/proc");
  if (folder == nullptr) return table;
  std::vector<pid_t> numbers;
  while (const dirent* entry = readdir(folder)) {
    if (entry->d_name[0] >= '1' && entry->d_name[0] <= '9')
      numbers.push_back(static_cast<pid_t>(std::atoi(entry->d_name)));
  }
  closedir(folder);
  for (const pid_t number : numbers) {
    if (const auto process = ReadProcess(number)) table.emplace(process->pid, *process);
  }
  return table;
}

bool Descends(const std::map<pid_t, Process>& table, pid_t pid, pid_t ancestor) {
  for (size_t step = 0; step <= table.size();
       step++) {  // a table read while processes come and go may hold a circle
    const auto found = table.find(pid);
    if (found == table.end()) return false;
    pid = found->second.parent;
    if (pid == ancestor) return true;
  }
  return false;
}

size_t CountDescendants(const std::map<pid_t, Process>& table, pid_t ancestor) {
  size_t count = 0;
  for (const auto& [pid, process] : table) count += Descends(table, pid, ancestor) ? 1 : 0;
  return count;
}

std::vector<pid_t> ChildrenOfThread(pid_t process, pid_t thread) {
  const std::string path = ProcPath(process, "task/") + std::to_string(thread) + "/children";
  std::vector<pid_t> children;
  if (access(path.c_str(), F_OK) !=
      0) {  // a kernel without CONFIG_PROC_CHILDREN: all children of all threads
    for (const auto& [pid, child] : ReadProcesses()) {
      if (child.parent == process) children.push_back(pid);
    }
    return children;
  }
  const std::string text = ReadSmallFile(path);
  for (std::string_view rest = text; !rest.empty();) {
    const std::string_view word = rest.substr(0, rest.find(' '));
    if (const auto pid = Number(word)) children.push_back(static_cast<pid_t>(*pid));
    rest.remove_prefix(std::min(rest.size(), word.size() + 1));
  }
  return children;
}

bool EnvironmentHas(pid_t pid, std::string_view variable) {
  const std::string text = ReadSmallFile(ProcPath(pid, "environ"));
  for (std::string_view rest = text; !rest.empty();) {
    if (rest.starts_with(variable)) return true;
    const size_t end = rest.find('\0');
    if (end == std::string_view::npos) return false;
    rest.remove_prefix(end + 1);
  }
  return false;
}

uint64_t ThreadsOfMachine() {
  const std::string load = ReadSmallFile("/proc/loadavg");  // "0.1 0.1 0.1 2/345 678": 345 threads in all
  const size_t slash = load.find('/');
  return slash == std::string::npos ? 0 : std::strtoull(load.c_str() + slash + 1, nullptr, 10);
}

uint64_t OomKills() {
  const std::string text = ReadSmallFile("/proc/vmstat");
  constexpr std::string_view kName = "\noom_kill ";
  const size_t at = text.find(kName);
  return at == std::string::npos ? 0 : Number(std::string_view(text).substr(at + kName.size())).value_or(0);
}

}  // namespace laneway::worker
