#include "worker/executor/placeholders.h"

#include <algorithm>
#include <array>

#include "absl/status/status.h"
#include "ops/text.h"
#include "worker/executor/text.h"

namespace laneway::worker {
namespace {

constexpr std::array<std::string_view, 11> kNames = {"file",         "dir",         "name",      "stem",
                                                     "job",          "task",        "attempt",   "worker",
                                                     "browser_port", "browser_url", "output_dir"};
constexpr std::array<std::string_view, 8> kPassed = {"PATH", "HOME",   "LANG", "LC_*",
                                                     "TZ",   "TMPDIR", "USER", "SHELL"};

absl::Status Unknown(std::string_view name, std::string_view argument) {
  const std::string_view shown = name.substr(0, 40);
  std::string message = "unknown placeholder {" + CleanText(shown) + "} in \"" + CleanText(argument) + "\"";
  static const std::vector<std::string> known(kNames.begin(), kNames.end());
  const std::string nearest = ops::Nearest(shown, known);
  if (!nearest.empty()) {
    message += "; did you mean {" + nearest + "}?";
  } else {
    message += "; known are";
    for (const std::string& one : known) message += " {" + one + "}";
  }
  return absl::InvalidArgumentError(message + " (braces themselves are written {{ and }})");
}

absl::Status Lone(char brace, std::string_view argument) {
  return absl::InvalidArgumentError(std::string("a lone ") + brace + " in \"" + CleanText(argument) +
                                    "\"; write " + brace + brace + " for the brace itself");
}

absl::StatusOr<std::string> Fill(std::string_view argument, const AttemptFacts& facts) {
  std::string filled;
  for (std::string_view rest = argument; !rest.empty();) {
    const size_t brace = rest.find_first_of("{}");
    filled += rest.substr(0, brace);
    if (brace == std::string_view::npos) break;
    rest.remove_prefix(brace);
    const char c = rest[0];
    if (rest.size() > 1 && rest[1] == c) {
      filled += c;
      rest.remove_prefix(2);
      continue;
    }
    const size_t end = rest.find('}', 1);
    if (c == '}' || end == std::string_view::npos) return Lone(c, argument);
    const std::string_view name = rest.substr(1, end - 1);
    const std::optional<std::string> value = PlaceholderValue(name, facts);
    if (!value) return Unknown(name, argument);
    filled += *value;
    rest.remove_prefix(end + 1);
  }
  // The kernel would take what stands before it for the whole argument.
  if (filled.find('\0') != std::string::npos) {
    return absl::InvalidArgumentError("a zero byte in the argument \"" + CleanText(argument) + "\"");
  }
  return filled;
}

std::string_view NameOf(const std::string& file) {
  return std::string_view(file).substr(file.rfind('/') + 1);
}

bool Matches(std::string_view pattern, std::string_view name) {
  if (pattern.ends_with('*')) return name.starts_with(pattern.substr(0, pattern.size() - 1));
  return pattern == name;
}

bool IsOurs(std::string_view name) { return name.starts_with("LANEWAY_") || name.starts_with("KAFKA"); }

}  // namespace

std::optional<std::string> PlaceholderValue(std::string_view name, const AttemptFacts& facts) {
  if (name == "file") return facts.file;
  if (name == "dir")
    return facts.file.substr(
        0, facts.file.rfind('/') == 0 ? 1 : std::min(facts.file.rfind('/'), facts.file.size()));
  if (name == "name") return std::string(NameOf(facts.file));
  if (name == "stem") {
    const std::string_view file = NameOf(facts.file);
    const size_t dot = file.rfind('.');
    return std::string(dot == 0 ? file : file.substr(0, dot));
  }
  if (name == "job") return facts.task.job.ToString();
  if (name == "task") return facts.task.ToString();
  if (name == "attempt") return std::to_string(facts.attempt);
  if (name == "worker") return facts.worker.name;
  if (name == "browser_port") return facts.browser_port == 0 ? "" : std::to_string(facts.browser_port);
  if (name == "browser_url") {
    return facts.browser_port == 0 ? "" : "http://127.0.0.1:" + std::to_string(facts.browser_port);
  }
  if (name == "output_dir") return facts.output_dir;
  return std::nullopt;
}

absl::StatusOr<std::vector<std::string>> FillPlaceholders(const std::vector<std::string>& argv,
                                                          const AttemptFacts& facts) {
  if (argv.empty() || argv[0].empty()) return absl::InvalidArgumentError("there is no program to start");
  std::vector<std::string> filled;
  filled.reserve(argv.size());
  for (const std::string& argument : argv) {
    absl::StatusOr<std::string> one = Fill(argument, facts);
    if (!one.ok()) return one.status();
    filled.push_back(std::move(*one));
  }
  return filled;
}

absl::Status CheckPlaceholders(const std::vector<std::string>& argv) {
  return FillPlaceholders(argv, {}).status();
}

std::vector<std::string> PassedEnvironment(const std::vector<std::string>& own,
                                           const std::vector<std::string>& allowed) {
  std::vector<std::string> environment;
  for (const std::string& variable : own) {
    const std::string_view name = std::string_view(variable).substr(0, variable.find('='));
    const auto matches = [name](std::string_view pattern) { return Matches(pattern, name); };
    if (name.size() == variable.size() || IsOurs(name)) continue;
    if (std::any_of(kPassed.begin(), kPassed.end(), matches) ||
        std::any_of(allowed.begin(), allowed.end(), matches)) {
      environment.push_back(variable);
    }
  }
  return environment;
}

std::vector<std::string> BuildEnvironment(const std::vector<std::string>& own,
                                          const std::vector<std::string>& allowed,
                                          const AttemptFacts& facts) {
  std::vector<std::string> environment = PassedEnvironment(own, allowed);
  const std::pair<const char*, std::string> ours[] = {
      {"LANEWAY_JOB", facts.task.job.ToString()},
      {"LANEWAY_TASK", facts.task.ToString()},
      {"LANEWAY_ATTEMPT", std::to_string(facts.attempt)},
      {"LANEWAY_WORKER", facts.worker.name},
      {"LANEWAY_FILE", facts.file},
      {"LANEWAY_OUTPUT_DIR", facts.output_dir},
      {"LANEWAY_BROWSER_URL", *PlaceholderValue("browser_url", facts)},
      {"LANEWAY_BROWSER_PORT", *PlaceholderValue("browser_port", facts)},
      {"LANEWAY_CHECKPOINT", facts.checkpoint},
  };
  for (const auto& [name, value] : ours) {
    // A checkpoint may hold any bytes; a variable ends at a zero.
    environment.push_back(std::string(name) + "=" + value.substr(0, value.find('\0')));
  }
  return environment;
}

}  // namespace laneway::worker
