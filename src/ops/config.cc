#include "ops/config.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <set>

#include "ops/check.h"
#include "ops/config_checks.h"
#include "ops/config_rules.h"
#include "ops/config_values.h"
#include "ops/json_writer.h"
#include "ops/strict_json.h"
#include "ops/text.h"
#include "ops/units.h"

extern char** environ;

namespace laneway::ops {
namespace {

constexpr size_t kFileBytesMax = 4 << 20;
constexpr size_t kProblemsMax = 200;
constexpr std::string_view kResources = "placement.resources";
constexpr std::string_view kVariablePrefix = "LANEWAY_";

std::vector<std::string> AllPaths() {
  std::vector<std::string> paths;
  for (const ConfigRule& rule : ConfigRules()) paths.emplace_back(rule.path);
  return paths;
}

// The names that may follow `prefix` ("" or "job.").
std::vector<std::string> Siblings(std::string_view prefix) {
  std::set<std::string> names;
  for (const std::string& path : AllPaths()) {
    if (path.compare(0, prefix.size(), prefix) != 0) continue;
    const std::string rest = path.substr(prefix.size());
    names.insert(rest.substr(0, rest.find('.')));
  }
  return {names.begin(), names.end()};
}

bool IsSection(std::string_view path) {
  return path == kResources || !Siblings(std::string(path) + ".").empty();
}

bool IsResourceName(std::string_view name) {
  return !name.empty() && name.size() <= 64 && std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-' || c == '.' || c == '/';
  });
}

class Loader {
 public:
  explicit Loader(const ConfigSources& sources) : sources_(sources) {}

  void Defaults() {
    for (const ConfigRule& rule : ConfigRules()) {
      if (rule.path.find('*') != std::string_view::npos) continue;
      const auto problem = SetConfigValue(rule, rule.path, JsonFromText(rule, rule.standard), config_.values);
      LANEWAY_CHECK(!problem, "a default breaks its own rule");
      config_.origins[std::string(rule.path)] = "default";
    }
  }

  void File(std::string_view text) {
    text_ = text;
    const ParsedJson parsed =
        ParseStrictJson(text, {.bytes_max = kFileBytesMax, .values_max = 100'000, .depth_max = 16});
    for (const JsonProblem& problem : parsed.problems) {
      Add({FilePlace(problem.offset), problem.path, parsed.readable ? "the key a second time" : "",
           parsed.readable ? "each key once" : problem.what, ""});
    }
    if (!parsed.readable) return;
    if (parsed.root.kind != JsonKind::kObject) {
      Add({FilePlace(0), "", std::string(JsonKindName(parsed.root.kind)), "an object: { \"zone\": { … }, … }",
           ""});
      return;
    }
    Section("", parsed.root);
  }

  void Environment() {
    for (const auto& [name, text] : sources_.environment) {
      if (name.compare(0, kVariablePrefix.size(), kVariablePrefix) != 0) continue;
      const bool setting = name.find("__") != std::string::npos || name == "LANEWAY_DEPLOYMENT_MODEL";
      if (!setting) continue;  // LANEWAY_TOKEN, LANEWAY_API and what scripts are given
      std::string path = name.substr(kVariablePrefix.size());
      std::transform(path.begin(), path.end(), path.begin(),
                     [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
      for (size_t at = path.find("__"); at != std::string::npos; at = path.find("__", at))
        path.replace(at, 2, ".");
      Text(path, text, "environment " + Printable(name, 200));
    }
  }

  void Flags() {
    for (const ConfigFlag& flag : sources_.flags) {
      const size_t equals = flag.setting.find('=');
      const std::string where = "flag " + flag.flag;
      if (equals == std::string::npos) {
        Add({where, "", "\"" + Printable(flag.setting, 200) + "\"", "SECTION.FIELD=VALUE, as job.timeout=10m",
             ""});
        continue;
      }
      Text(flag.setting.substr(0, equals), flag.setting.substr(equals + 1), where);
    }
  }

  ConfigResult Finish() {
    if (problems_.empty()) {  // values that were refused would only make more complaints
      ResolveSecrets(sources_, config_, problems_);
      CheckTogether(sources_, config_, problems_);
    }
    ConfigResult result;
    result.problems = std::move(problems_);
    if (result.problems.empty()) result.config = std::move(config_);
    return result;
  }

  void Add(ConfigProblem problem) {
    if (problems_.size() < kProblemsMax) problems_.push_back(std::move(problem));
  }

 private:
  std::string FilePlace(size_t offset) const {
    const JsonPosition at = PositionOf(text_, offset);
    return Printable(sources_.file) + ":" + std::to_string(at.line) + ":" + std::to_string(at.column);
  }

  void Section(const std::string& prefix, const JsonValue& object) {
    for (const JsonMember& member : object.members) {
      const std::string path = prefix + member.key;
      const bool resource = prefix == std::string(kResources) + ".";
      if (const ConfigRule* rule = resource ? nullptr : FindConfigRule(path)) {
        Set(*rule, path, member.value, FilePlace(member.value.begin));
      } else if (resource && !IsResourceName(member.key)) {
        Add({FilePlace(member.key_begin), Printable(path, 200), "",
             "a resource's name: letters, digits, '.', '_', '-' and '/', at most 64", ""});
      } else if (resource || IsSection(path)) {
        if (member.value.kind == JsonKind::kObject) {
          if (resource) (*config_.values.mutable_placement()->mutable_resources())[member.key];
          Section(path + ".", member.value);
        } else {
          Add({FilePlace(member.value.begin), Printable(path, 200),
               std::string(JsonKindName(member.value.kind)), "an object", ""});
        }
      } else {
        Unknown(prefix, member.key, FilePlace(member.key_begin));
      }
    }
  }

  // `generic`: the section's path with resources' names as "*".
  void Unknown(const std::string& prefix, const std::string& key, const std::string& where) {
    std::string generic = prefix;
    const std::string resources = std::string(kResources) + ".";
    if (prefix.size() > resources.size() && prefix.compare(0, resources.size(), resources) == 0)
      generic = resources + "*.";
    const std::vector<std::string> siblings = Siblings(generic);
    std::string meant = Nearest(key, siblings);
    if (meant.empty()) {  // a field of another section
      for (const ConfigRule& rule : ConfigRules()) {
        if (rule.path.substr(rule.path.rfind('.') + 1) == key) meant = rule.path;
      }
    }
    std::string known;
    for (const std::string& name : siblings) known += (known.empty() ? "one of " : ", ") + name;
    Add({where, Printable(prefix + key, 200), "an unknown field", known,
         meant.empty() ? "" : "did you mean " + meant + "?"});
  }

  void Text(const std::string& path, const std::string& text, const std::string& where) {
    if (path == kResources) {
      const ParsedJson parsed =
          ParseStrictJson(text, {.bytes_max = kFileBytesMax, .values_max = 100'000, .depth_max = 4});
      if (!parsed.readable || !parsed.problems.empty() || parsed.root.kind != JsonKind::kObject) {
        Add({where, path, "\"" + Printable(text, 200) + "\"",
             "an object as JSON: {\"NAME\": {\"max_concurrent\": 4}}", ""});
      } else {
        Section(path + ".", parsed.root);
      }
      return;
    }
    const ConfigRule* rule = FindConfigRule(path);
    if (rule == nullptr) {
      const std::vector<std::string> paths = AllPaths();
      const std::string meant = Nearest(path, paths);
      Add({where, Printable(path, 200), "an unknown field",
           "a field of the configuration: laneway config show lists them",
           meant.empty() ? "" : "did you mean " + meant + "?"});
      return;
    }
    Set(*rule, path, JsonFromText(*rule, text), where);
  }

  void Set(const ConfigRule& rule, const std::string& path, const JsonValue& value,
           const std::string& where) {
    if (auto problem = SetConfigValue(rule, path, value, config_.values)) {
      Add({where, path, std::move(problem->found), rule.Allowed(), std::move(problem->hint)});
    } else {
      config_.origins[path] = where;
    }
  }

  const ConfigSources& sources_;
  std::string_view text_;
  EffectiveConfig config_;
  std::vector<ConfigProblem> problems_;
};

// All fields in the table's order, with the names of the resources filled in.
std::vector<std::pair<const ConfigRule*, std::string>> AllFields(const v1::Config& config) {
  std::vector<std::string> names;
  for (const auto& [name, resource] : config.placement().resources()) names.push_back(name);
  std::sort(names.begin(), names.end());
  std::vector<std::pair<const ConfigRule*, std::string>> fields;
  for (const ConfigRule& rule : ConfigRules()) {
    const size_t star = rule.path.find('*');
    if (star == std::string_view::npos) {
      fields.emplace_back(&rule, rule.path);
      continue;
    }
    for (const std::string& name : names) {
      fields.emplace_back(
          &rule, std::string(rule.path.substr(0, star)) + name + std::string(rule.path.substr(star + 1)));
    }
  }
  return fields;
}

void WriteSection(JsonWriter& out, const v1::Config& config, const std::string& prefix);

void WriteResources(JsonWriter& out, const v1::Config& config) {
  std::vector<std::string> names;
  for (const auto& [name, resource] : config.placement().resources()) names.push_back(name);
  std::sort(names.begin(), names.end());
  out.Key("resources").BeginObject();
  for (const std::string& name : names) {
    out.Key(name).BeginObject();
    for (const char* field : {"max_concurrent", "rate"}) {
      const std::string path = std::string(kResources) + "." + name + "." + field;
      out.Key(field).Raw(ConfigValueAsJson(*FindConfigRule(path), path, config));
    }
    out.EndObject();
  }
  out.EndObject();
}

void WriteSection(JsonWriter& out, const v1::Config& config, const std::string& prefix) {
  std::set<std::string> written;
  for (const ConfigRule& rule : ConfigRules()) {
    if (rule.path.compare(0, prefix.size(), prefix) != 0) continue;
    const std::string rest(rule.path.substr(prefix.size()));
    const std::string name = rest.substr(0, rest.find('.'));
    if (!written.insert(name).second) continue;
    if (prefix + name == kResources) {
      WriteResources(out, config);
    } else if (name.size() == rest.size()) {
      out.Key(name).Raw(ConfigValueAsJson(rule, rule.path, config));
    } else {
      out.Key(name).BeginObject();
      WriteSection(out, config, prefix + name + ".");
      out.EndObject();
    }
  }
}

}  // namespace

std::string ConfigProblem::ToString() const {
  std::string out = where;
  if (!path.empty()) out += (out.empty() ? "" : ": ") + path;
  if (!found.empty()) out += ": found " + found + (allowed.empty() ? "" : "; allowed: " + allowed);
  if (found.empty()) out += (out.empty() ? "" : ": ") + allowed;
  return hint.empty() ? out : out + " (" + hint + ")";
}

ConfigResult LoadConfigText(std::string_view text, const ConfigSources& sources) {
  Loader loader(sources);
  loader.Defaults();
  if (!sources.file.empty()) loader.File(text);
  loader.Environment();
  loader.Flags();
  return loader.Finish();
}

ConfigResult LoadConfig(const ConfigSources& sources) {
  if (sources.file.empty()) return LoadConfigText("", sources);
  std::string text;
  std::string why;
  const int fd = open(sources.file.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) why = std::strerror(errno);
  char buffer[65536];
  while (fd >= 0 && text.size() <= kFileBytesMax) {
    const ssize_t got = read(fd, buffer, sizeof buffer);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) why = std::strerror(errno);
    if (got <= 0) break;
    text.append(buffer, static_cast<size_t>(got));
  }
  if (fd >= 0) close(fd);
  if (why.empty()) return LoadConfigText(text, sources);
  ConfigSources others = sources;  // the other layers' mistakes are told as well
  others.file.clear();
  ConfigResult result = LoadConfigText("", others);
  result.config.reset();
  result.problems.insert(result.problems.begin(), {Printable(sources.file), "", "", "cannot be read: " + why,
                                                   "give the file with --config"});
  return result;
}

std::string EffectiveConfig::ToJson() const {
  JsonWriter out(2);
  out.BeginObject();
  WriteSection(out, values, "");
  out.EndObject();
  return out.Take() + "\n";
}

std::string EffectiveConfig::ToTable() const {
  std::vector<std::pair<std::string, std::string>> rows;
  size_t width = 0;
  for (const auto& [rule, path] : AllFields(values)) {
    const auto origin = origins.find(path);
    rows.emplace_back(path + " = " + ConfigValueAsJson(*rule, path, values),
                      origin == origins.end() ? "default" : origin->second);
    width = std::max(width, std::min<size_t>(rows.back().first.size(), 60));
  }
  std::string out;
  for (const auto& [setting, origin] : rows) {
    out += setting + std::string(setting.size() < width ? width - setting.size() : 0, ' ') + "  # " + origin +
           "\n";
  }
  return out;
}

std::map<std::string, std::string> ProcessEnvironment() {
  std::map<std::string, std::string> variables;
  for (char** at = environ; at != nullptr && *at != nullptr; ++at) {
    const std::string_view entry(*at);
    const size_t equals = entry.find('=');
    if (equals != std::string_view::npos)
      variables.emplace(entry.substr(0, equals), entry.substr(equals + 1));
  }
  return variables;
}

std::string ListSetting(std::string_view path, const std::vector<std::string>& words) {
  JsonWriter out;
  out.BeginArray();
  for (const std::string& word : words) out.Value(word);
  out.EndArray();
  return std::string(path) + "=" + out.Take();
}

std::vector<std::string> WorkerNames(const v1::WorkerConfig& worker) {
  std::vector<std::string> names;
  for (uint32_t n = 1; n <= worker.in_process_thread_count(); n++) {
    names.push_back(FillWorkerPattern(worker.id_pattern(), n).value_or(""));
  }
  return names;
}

}  // namespace laneway::ops
