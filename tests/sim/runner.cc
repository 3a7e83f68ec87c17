#include "sim/runner.h"

#include <poll.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "fleet/planted.h"
#include "ops/version.h"
#include "sim/fleet.h"
#include "sim/planted_hunt.h"

namespace laneway::sim {
namespace {

using Clock = std::chrono::steady_clock;

struct Options {
  uint64_t first = 1;
  uint64_t seeds = 100;
  unsigned jobs = 2;
  bool one = false;
  bool trace = false;
  bool twice = false;
  bool planted = false;            // every planted bug in turn
  std::optional<Profile> profile;  // only seeds of this one
  std::string bug;
  size_t lines = 120;  // of the story that are printed after a violation
  double bug_seconds = 20;
};

double Since(Clock::time_point begun) { return std::chrono::duration<double>(Clock::now() - begun).count(); }

int Usage() {
  std::fprintf(stderr,
               "usage: sim [--seeds N] [--first N] [--jobs N] [--twice] [--profile NAME] [--bug NAME]\n"
               "       sim --seed N [--trace] [--lines N] [--bug NAME]\n"
               "       sim --planted [--bug-seconds S] [--jobs N] [--bug NAME]\n");
  return 2;
}

bool Parse(int argc, char** argv, Options* options) {
  for (int i = 1; i < argc; i++) {
    const std::string name = argv[i];
    const auto value = [&]() -> const char* { return i + 1 < argc ? argv[++i] : "0"; };
    if (name == "--seeds")
      options->seeds = std::strtoull(value(), nullptr, 10);
    else if (name == "--first")
      options->first = std::strtoull(value(), nullptr, 10);
    else if (name == "--jobs")
      options->jobs = static_cast<unsigned>(std::max(1UL, std::strtoul(value(), nullptr, 10)));
    else if (name == "--seed")
      options->first = std::strtoull(value(), nullptr, 10), options->seeds = 1, options->one = true;
    else if (name == "--lines")
      options->lines = std::strtoul(value(), nullptr, 10);
    else if (name == "--bug-seconds")
      options->bug_seconds = std::strtod(value(), nullptr);
    else if (name == "--bug")
      options->bug = value();
    else if (name == "--profile" && !(options->profile = ProfileNamed(value())))
      return false;
    else if (name == "--profile")
      continue;
    else if (name == "--trace")
      options->trace = true;
    else if (name == "--twice")
      options->twice = true;
    else if (name == "--planted")
      options->planted = true;
    else
      return false;
  }
  return true;
}

// The seed with this number among those asked for.
uint64_t SeedAt(const Options& options, uint64_t number) {
  return options.profile ? SeedOf(*options.profile, options.first + number) : options.first + number;
}

bool SwitchOn(const std::string& bug) {
  if (bug.empty()) return true;
#if LANEWAY_PLANTED_BUGS
  for (size_t i = 0; i < planted::kBugCount; i++) {
    if (planted::kBugs[i].name == bug) return planted::switched_on[i] = true;
  }
#endif
  std::fprintf(stderr, "sim: no planted bug %s in this build\n", bug.c_str());
  return false;
}

void PrintViolation(const Options& options, uint64_t seed, const std::string& violation, size_t lines) {
  std::printf("\nseed %llu, commit %s: %s\n", static_cast<unsigned long long>(seed),
              std::string(ops::Commit()).c_str(), violation.c_str());
  std::printf("again: sim --seed %llu --trace%s%s\n", static_cast<unsigned long long>(seed),
              options.bug.empty() ? "" : " --bug ", options.bug.c_str());
  if (lines == 0) return;
  const Outcome story = RunSeed(seed, true);  // the same once more, told
  const size_t from = story.lines.size() > lines ? story.lines.size() - lines : 0;
  for (size_t i = from; i < story.lines.size(); i++) std::printf("%s\n", story.lines[i].c_str());
  std::fflush(stdout);
}

// ---- forked processes: a line a seed through a pipe

// What the parent knows of a child that has died.
struct Shared {
  uint64_t number[64];
};

struct Sum {
  uint64_t seeds = 0;
  uint64_t failed = 0;
  double virtual_hours = 0;
  std::map<std::string, uint64_t> counters;
  std::vector<std::pair<uint64_t, std::string>> violations;
};

void RunShare(const Options& options, unsigned share, Shared* shared, int to_parent, uint64_t begin) {
  std::FILE* out = fdopen(to_parent, "w");
  for (uint64_t number = begin; number < options.seeds; number += options.jobs) {
    const uint64_t seed = SeedAt(options, number);
    shared->number[share] = number;
    alarm(60);  // a seed that goes round and round is a finding too
    Outcome outcome = RunSeed(seed, false);
    if (options.twice && outcome.violation.empty()) {
      const Outcome again = RunSeed(seed, false);
      if (again.hash != outcome.hash)
        outcome.violation = "determinism: the same seed ran another way the second time";
    }
    std::replace(outcome.violation.begin(), outcome.violation.end(), '\n', ' ');
    std::fprintf(out, "S %llu %lld %s\n", static_cast<unsigned long long>(seed),
                 static_cast<long long>(outcome.virtual_ms), outcome.violation.c_str());
    for (const auto& [name, count] : outcome.counters)
      std::fprintf(out, "C %llu %s\n", static_cast<unsigned long long>(count), name.c_str());
    std::fflush(out);
  }
  std::fclose(out);
}

void TakeLine(const std::string& line, Sum* sum) {
  char* end = nullptr;
  const uint64_t first = std::strtoull(line.c_str() + 2, &end, 10);
  if (line[0] == 'C') {
    sum->counters[end + 1] += first;
    return;
  }
  const long long virtual_ms = std::strtoll(end, &end, 10);
  sum->seeds++;
  sum->virtual_hours += static_cast<double>(virtual_ms) / 3600000;
  const std::string violation = *end == ' ' ? end + 1 : "";
  if (violation.empty()) return;
  sum->failed++;
  sum->violations.emplace_back(first, violation);
}

struct Child {
  pid_t pid = 0;
  int from = -1;
  std::string buffer;
};

Child Fork(const Options& options, unsigned share, Shared* shared, uint64_t begin) {
  int ends[2];
  if (pipe(ends) != 0) std::abort();
  std::fflush(stdout);
  const pid_t pid = fork();
  if (pid < 0) std::abort();
  if (pid == 0) {
    close(ends[0]);
    RunShare(options, share, shared, ends[1], begin);
    _exit(0);
  }
  close(ends[1]);
  return {pid, ends[0], {}};
}

// Reads one child until it ends or says something; true: it has ended.
bool ReadSome(Child* child, Sum* sum) {
  char room[65536];
  const ssize_t got = read(child->from, room, sizeof room);
  if (got <= 0) return true;
  child->buffer.append(room, static_cast<size_t>(got));
  for (size_t at; (at = child->buffer.find('\n')) != std::string::npos;) {
    TakeLine(child->buffer.substr(0, at), sum);
    child->buffer.erase(0, at + 1);
  }
  return false;
}

void RunAll(const Options& options, Sum* sum) {
  auto* shared = static_cast<Shared*>(
      mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  std::vector<Child> children;
  for (unsigned share = 0; share < options.jobs; share++)
    children.push_back(Fork(options, share, shared, share));
  for (size_t running = children.size(); running > 0;) {
    std::vector<pollfd> waits;
    for (const Child& child : children) waits.push_back({child.from, POLLIN, 0});  // -1: not looked at
    if (poll(waits.data(), waits.size(), -1) < 0) continue;
    for (unsigned share = 0; share < children.size(); share++) {
      Child& child = children[share];
      if (waits[share].revents == 0 || !ReadSome(&child, sum)) continue;
      close(child.from);
      child.from = -1;
      int status = 0;
      waitpid(child.pid, &status, 0);
      if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
        running--;
        continue;
      }
      const uint64_t number = shared->number[share];
      sum->seeds++, sum->failed++;
      sum->violations.emplace_back(
          SeedAt(options, number),
          "the process stopped: " + std::string(WIFSIGNALED(status) ? strsignal(WTERMSIG(status)) : "exit"));
      child = Fork(options, share, shared, number + options.jobs);
    }
  }
  munmap(shared, sizeof(Shared));
}

void PrintSum(const Sum& sum, double seconds) {
  std::printf("%llu seeds, %.1f hours of fleet time in %.1f s: %llu failed\n",
              static_cast<unsigned long long>(sum.seeds), sum.virtual_hours, seconds,
              static_cast<unsigned long long>(sum.failed));
  for (const auto& [name, count] : sum.counters)
    std::printf("  %-40s %llu\n", name.c_str(), static_cast<unsigned long long>(count));
}

int RunOne(const Options& options) {
  const auto begun = Clock::now();
  const Outcome outcome = RunSeed(options.first, options.trace);
  if (options.trace) {
    for (const std::string& line : outcome.lines) std::printf("%s\n", line.c_str());
  }
  Sum sum;
  sum.seeds = 1;
  sum.failed = outcome.violation.empty() ? 0 : 1;
  sum.virtual_hours = static_cast<double>(outcome.virtual_ms) / 3600000;
  sum.counters = outcome.counters;
  PrintSum(sum, Since(begun));
  std::printf("trace %016llx\n", static_cast<unsigned long long>(outcome.hash));
  if (outcome.violation.empty()) return 0;
  PrintViolation(options, options.first, outcome.violation, options.trace ? 0 : options.lines);
  return 1;
}

int RunSeeds(const Options& options) {
  const auto begun = Clock::now();
  Sum sum;
  RunAll(options, &sum);
  std::sort(sum.violations.begin(), sum.violations.end());
  for (size_t i = 0; i < sum.violations.size(); i++) {
    const auto& [seed, violation] = sum.violations[i];
    const bool told = i == 0 && !violation.starts_with("the process stopped");
    if (i < 20) PrintViolation(options, seed, violation, told ? options.lines : 0);
  }
  PrintSum(sum, Since(begun));
  return sum.failed == 0 ? 0 : 1;
}

}  // namespace

int Main(int argc, char** argv) {
  Options options;
  if (!Parse(argc, argv, &options)) return Usage();
  if (options.planted) return HuntPlanted({options.bug, options.bug_seconds, options.jobs});
  if (!SwitchOn(options.bug)) return 2;
  return options.one ? RunOne(options) : RunSeeds(options);
}

}  // namespace laneway::sim
