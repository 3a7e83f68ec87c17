#include "worker/run_spec.h"

#include "absl/strings/str_cat.h"
#include "zone/zone.h"

namespace laneway::worker {
namespace {

constexpr size_t kVariableBytesMax = 64 << 10;  // the kernel refuses arguments and variables over 128 KiB

// A NUL would end a value early, and a long one would make the script unstartable.
bool FitsVariable(const std::string& value) {
  return value.size() <= kVariableBytesMax && value.find('\0') == std::string::npos;
}

}  // namespace

std::string FillPlaceholders(std::string_view text,
                             const std::map<std::string, std::string, std::less<>>& values) {
  std::string out;
  while (!text.empty()) {
    const size_t open = text.find('{');
    if (open == std::string_view::npos) break;
    out.append(text.substr(0, open));
    text.remove_prefix(open);
    const size_t close = text.find('}');
    const auto it = close == std::string_view::npos ? values.end() : values.find(text.substr(1, close - 1));
    if (it == values.end()) {
      out.push_back('{');
      text.remove_prefix(1);
    } else {
      out.append(it->second);
      text.remove_prefix(close + 1);
    }
  }
  out.append(text);
  return out;
}

bool NeedsFolder(const v1::WorkPacket& packet) {
  return packet.has_file() || packet.spec().handler().empty() || packet.spec().handler() == "copy";
}

std::string AttemptLogPath(const WorkerId& worker, const AttemptKey& key) {
  const std::string task = key.task.n == 1 ? key.task.job.ToString() : key.task.ToFileName();
  return absl::StrCat("logs/", worker.name, "/", task, "-", key.attempt, ".log");
}

RunSpec MakeRunSpec(const RunContext& context, const AttemptKey& key, const v1::WorkPacket& packet) {
  RunSpec spec;
  spec.key = key;
  spec.worker = context.worker;
  spec.handler = packet.spec().handler();
  spec.timeout = std::chrono::milliseconds(packet.spec().timeout_ms());
  spec.kill_grace = context.kill_grace;
  spec.payload = packet.payload().empty() ? packet.spec().payload() : packet.payload();
  if (!NeedsFolder(packet)) return spec;  // nothing of the rest is looked at
  spec.log_bytes_max = context.log_bytes_max;
  spec.processes_max = context.processes_max;
  spec.log_path = absl::StrCat(context.zone_root, "/", AttemptLogPath(context.worker, key));
  const std::string folder =
      absl::StrCat(context.zone_root, "/", zone::AttemptFolder(context.worker, key.task, key.attempt));
  spec.output_dir = folder + "/output";
  std::string name;
  if (packet.has_file()) {
    name = zone::FileNameInAttempt(zone::IdentityOf(packet.file()));
    spec.file = absl::StrCat(folder, "/", name);
  }
  const size_t dot = name.rfind('.');
  const std::string port = context.browser_port == 0 ? "" : absl::StrCat(context.browser_port);
  const std::string url =
      context.browser_port == 0 ? "" : absl::StrCat("http://127.0.0.1:", context.browser_port);
  const std::map<std::string, std::string, std::less<>> values = {
      {"file", spec.file},
      {"dir", folder},
      {"name", name},
      {"stem", dot == std::string::npos || dot == 0 ? name : name.substr(0, dot)},
      {"job", key.task.job.ToString()},
      {"task", key.task.ToString()},
      {"attempt", absl::StrCat(key.attempt)},
      {"worker", context.worker.name},
      {"browser_port", port},
      {"browser_url", url},
      {"output_dir", spec.output_dir},
      {"data_source", packet.data_source()},
  };
  for (const std::string& argument : packet.spec().exec())
    spec.argv.push_back(FillPlaceholders(argument, values));
  spec.environment = context.environment;
  const auto variable = [&spec](std::string_view variable_name, const std::string& value) {
    if (FitsVariable(value)) spec.environment.push_back(std::string(variable_name) + "=" + value);
  };
  variable("LANEWAY_JOB", values.at("job"));
  variable("LANEWAY_TASK", values.at("task"));
  variable("LANEWAY_ATTEMPT", values.at("attempt"));
  variable("LANEWAY_WORKER", context.worker.name);
  variable("LANEWAY_FILE", spec.file);
  variable("LANEWAY_OUTPUT_DIR", spec.output_dir);
  variable("LANEWAY_BROWSER_URL", url);
  variable("LANEWAY_BROWSER_PORT", port);
  if (packet.has_checkpoint()) variable("LANEWAY_CHECKPOINT", packet.checkpoint());
  if (!packet.data_source().empty()) variable("LANEWAY_DATA_SOURCE", packet.data_source());
  if (!spec.payload.empty()) variable("LANEWAY_PAYLOAD", spec.payload);
  return spec;
}

}  // namespace laneway::worker
