// placeholders.h: what a script is started with: its arguments, filled in, and its environment.
//
// Role:       pure.
// Invariants: (1) bytes of names pass unchanged and are never looked at again, so a file called `{job}` stays
//             that; (2) nothing goes through a shell; (3) no secret of ours reaches a script.
// Threads:    functions.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "fleet/ids.h"

namespace laneway::worker {

// What an attempt is about, as its script may know it.
struct AttemptFacts {
  TaskId task;
  uint32_t attempt = 0;
  WorkerId worker;
  std::string file;           // absolute; empty: none
  std::string output_dir;     // absolute
  uint16_t browser_port = 0;  // 0: no browser
  std::string checkpoint;     // what an earlier attempt stored
};

// The values of {file} {dir} {name} {stem} {job} {task} {attempt} {worker} {browser_port} {browser_url}
// {output_dir};
// nothing for any other name. What there is none of is empty.
std::optional<std::string> PlaceholderValue(std::string_view name, const AttemptFacts& facts);

// Fills in each argument. `{{` and `}}` are braces. INVALID_ARGUMENT names what is wrong and what was meant.
absl::StatusOr<std::vector<std::string>> FillPlaceholders(const std::vector<std::string>& argv,
                                                          const AttemptFacts& facts);
// The same check, before there is an attempt: for configurations and submitted jobs.
absl::Status CheckPlaceholders(const std::vector<std::string>& argv);

// Of our own environment, NAME=value: PATH, HOME, LANG, LC_*, TZ, TMPDIR, USER, SHELL and `allowed` (names; a
// `*` at the end stands for anything). Never LANEWAY_* nor KAFKA* of our own, even when allowed.
std::vector<std::string> PassedEnvironment(const std::vector<std::string>& own,
                                           const std::vector<std::string>& allowed);
// LANEWAY_JOB … LANEWAY_CHECKPOINT, after what is passed of our own environment.
std::vector<std::string> BuildEnvironment(const std::vector<std::string>& own,
                                          const std::vector<std::string>& allowed, const AttemptFacts& facts);

}  // namespace laneway::worker
