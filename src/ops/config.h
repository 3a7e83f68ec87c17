// config.h: the effective configuration: defaults < file < environment < flags, checked strictly, every
// mistake told at once.
//
// Role:       reads laneway.json and its kin against schemas/laneway/v1/config.proto.
// Input:      a file's path, the environment, `section.field=value` settings from flags.
// Output:     a v1::Config in which every field has its value, where each value came from, and the secrets
//             apart from it.
// Errors:     ConfigProblem: where, which field, what was found, what is allowed. Never the value of a
//             secret.
// Threads:    functions; values.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "laneway/v1/config.pb.h"
#include "ops/secret.h"

namespace laneway::ops {

struct ConfigProblem {
  std::string where;    // "laneway.json:4:12", "environment LANEWAY_ZONE__PATH", "flag --zone"
  std::string path;     // "job.timeout"; empty: the file as a whole
  std::string found;    // "\"30\"", "a boolean"; empty when the text of `allowed` says it all
  std::string allowed;  // what it should be
  std::string hint;     // "did you mean \"30s\"?"; may be empty

  std::string ToString() const;  // one line
};

// One setting given by a flag: `setting` is "section.field=value", `flag` is what the user typed ("--zone").
struct ConfigFlag {
  std::string setting;
  std::string flag;
};

struct ConfigSources {
  std::string file;  // empty: none
  std::map<std::string, std::string>
      environment;  // all of it; what does not begin with LANEWAY_ is only looked up by ${env:…}
  std::vector<ConfigFlag> flags;
  bool zone_jobs = false;  // a zone will be served: exactly one of job.exec and job.handler is needed
};

struct EffectiveConfig {
  v1::Config values;              // api.token holds the reference ("${env:NAME}"), not the token
  Secret<std::string> api_token;  // empty: none
  std::map<std::string, Secret<std::string>> kafka;  // librdkafka's settings, references resolved
  std::map<std::string, std::string> origins;        // "job.timeout" → "default", "laneway.json:4:12", …
  std::vector<std::string> warnings;

  // As a configuration file, one field a line; `with_origin` adds where each value came from, as a table.
  std::string ToJson() const;
  std::string ToTable() const;  // "job.timeout = "30m"   (laneway.json:4:12)"
};

struct ConfigResult {
  std::optional<EffectiveConfig> config;  // when there is no problem
  std::vector<ConfigProblem> problems;
};

ConfigResult LoadConfig(const ConfigSources& sources);
// The same with the file's text at hand (tests, fuzzing).
ConfigResult LoadConfigText(std::string_view text, const ConfigSources& sources);

// The process's environment as ConfigSources wants it.
std::map<std::string, std::string> ProcessEnvironment();

// The settings that say what a list of words means: `job.exec=["bash","process.sh","{file}"]`.
std::string ListSetting(std::string_view path, const std::vector<std::string>& words);

// The names of the workers of this process, DTF-01 …; the configuration was checked, so each is a worker's
// name.
std::vector<std::string> WorkerNames(const v1::WorkerConfig& worker);

}  // namespace laneway::ops
