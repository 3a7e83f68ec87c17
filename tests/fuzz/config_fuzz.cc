// config_fuzz.cc: no text may hurt the configuration's loader; what loads is shown as a file that loads again
// to the same.
//
// The text up to the first NUL is the file; what follows is a setting given by a flag.
#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <string>

#include "ops/config.h"
#include "ops/text.h"
#include "ops/units.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace laneway::ops;
  const std::string bytes(reinterpret_cast<const char*>(data), size);
  const size_t end = std::min(bytes.find('\0'), bytes.size());
  ConfigSources sources;
  sources.file = "fuzz.json";
  if (end < bytes.size()) sources.flags.push_back({bytes.substr(end + 1), "--set"});
  const std::string text = bytes.substr(0, end);
  const ConfigResult result = LoadConfigText(text, sources);
  for (const ConfigProblem& problem : result.problems) {
    if (!IsUtf8(problem.ToString()) || problem.ToString().find('\n') != std::string::npos) std::abort();
  }
  if (const auto duration = ParseDuration(text);
      duration && ParseDuration(FormatDuration(*duration)) != duration)
    std::abort();
  if (const auto bytes_of = ParseSize(text); bytes_of && ParseSize(FormatSize(*bytes_of)) != bytes_of)
    std::abort();
  if (const auto time = ParseTime(text); time && ParseTime(FormatTime(*time)) != time) std::abort();
  if (!result.config) return 0;
  sources.flags.clear();
  const ConfigResult again = LoadConfigText(result.config->ToJson(), sources);
  if (!again.config || again.config->ToJson() != result.config->ToJson()) {
    std::cerr << result.config->ToJson() << "does not load again to the same\n";
    for (const ConfigProblem& problem : again.problems) std::cerr << problem.ToString() << "\n";
    std::abort();
  }
  return 0;
}
