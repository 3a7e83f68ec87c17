// config_secrets.cc: what stands behind the references ${env:NAME} and ${file:PATH} of a configuration.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "ops/config_checks.h"
#include "ops/text.h"

namespace laneway::ops {
namespace {

constexpr size_t kTokenMin = 8;
constexpr size_t kSecretMax = 4096;

// The file's text without the end of line, or why not.
std::string ReadSecretFile(const std::string& path, std::string& why, bool& readable_by_others) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  struct stat info {};
  if (fd < 0 || fstat(fd, &info) != 0) {
    why = std::strerror(errno);
    if (fd >= 0) close(fd);
    return "";
  }
  readable_by_others = (info.st_mode & 077) != 0;
  std::string text(kSecretMax + 2, '\0');
  const ssize_t got = S_ISREG(info.st_mode) ? read(fd, text.data(), text.size()) : -1;
  if (got < 0) why = S_ISREG(info.st_mode) ? std::strerror(errno) : "not a regular file";
  close(fd);
  text.resize(got < 0 ? 0 : static_cast<size_t>(got));
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r')) text.pop_back();
  return text;
}

bool IsToken(const std::string& text) {
  return text.size() >= kTokenMin && text.size() <= kSecretMax &&
         std::all_of(text.begin(), text.end(), [](char c) { return c > 0x20 && c < 0x7F; });
}

bool IsReference(std::string_view text) {
  const bool known = text.starts_with("${env:") || text.starts_with("${file:");
  return known && text.ends_with("}") && text.find(':') + 2 < text.size();
}

// librdkafka's settings that hold one.
bool IsSecretSetting(std::string_view name) {
  return name.find("password") != std::string_view::npos || name.find("secret") != std::string_view::npos ||
         name == "ssl.key.pem" || name == "sasl.oauthbearer.config";
}

class Resolver {
 public:
  Resolver(const ConfigSources& sources, EffectiveConfig& config, std::vector<ConfigProblem>& problems)
      : sources_(sources), config_(config), problems_(problems) {}

  void Problem(const std::string& path, std::string found, std::string allowed) {
    const auto origin = config_.origins.find(path);
    problems_.push_back({origin == config_.origins.end() ? "" : origin->second, path, std::move(found),
                         std::move(allowed), ""});
  }

  // What the reference stands for; empty: a variable that is not set. Nothing: it cannot be read, which is
  // told.
  std::optional<std::string> Look(const std::string& path, const std::string& reference) {
    const size_t begin = reference.find(':') + 1;
    const std::string name = reference.substr(begin, reference.size() - begin - 1);
    if (!reference.starts_with("${file:")) {
      const auto at = sources_.environment.find(name);
      return at == sources_.environment.end() ? "" : at->second;
    }
    std::string why;
    bool readable_by_others = false;
    std::string text = ReadSecretFile(name, why, readable_by_others);
    if (!why.empty()) {
      Problem(path, "\"" + Printable(reference) + "\": " + why, "a file that can be read");
      return std::nullopt;
    }
    if (readable_by_others)
      config_.warnings.push_back(path + ": other users may read " + Printable(name) +
                                 "; chmod 600 keeps it to yourself");
    return text;
  }

  void ApiToken() {
    const std::string& reference = config_.values.api().token();
    if (reference.empty()) return;
    const auto token = Look("api.token", reference);
    if (!token || (token->empty() && reference.starts_with("${env:")))
      return;  // no token: CheckListeners decides whether one is needed
    if (IsToken(*token)) {
      config_.api_token = Secret<std::string>(*token);
    } else {
      Problem("api.token",
              "a token of " + std::to_string(token->size()) + " bytes (not shown) behind \"" +
                  Printable(reference) + "\"",
              "8 to 4096 printable ASCII characters without spaces");
    }
  }

  void KafkaSetting(const std::string& setting) {
    const size_t equals = setting.find('=');
    const std::string name = setting.substr(0, equals);
    std::string value = setting.substr(equals + 1);
    const bool reference = IsReference(value);
    if (IsSecretSetting(name) && !reference)
      return Problem("log.kafka", name + " with a literal value (not shown)",
                     "a reference: " + name + "=${env:NAME} or " + name + "=${file:PATH}");
    if (reference) {
      const auto found = Look("log.kafka", value);
      if (!found) return;
      if (found->empty())
        return Problem("log.kafka", name + ": nothing behind \"" + Printable(value) + "\"",
                       "a variable that is set, or a file that is not empty");
      value = *found;
    }
    config_.kafka[name] = Secret<std::string>(value);
  }

 private:
  const ConfigSources& sources_;
  EffectiveConfig& config_;
  std::vector<ConfigProblem>& problems_;
};

}  // namespace

void ResolveSecrets(const ConfigSources& sources, EffectiveConfig& config,
                    std::vector<ConfigProblem>& problems) {
  Resolver resolver(sources, config, problems);
  resolver.ApiToken();
  for (const std::string& setting : config.values.log().kafka()) resolver.KafkaSetting(setting);
}

}  // namespace laneway::ops
