#include "worker/run_spec.h"

#include "absl/strings/str_cat.h"
#include "fleet/job.h"
#include "worker/executor/placeholders.h"
#include "zone/zone.h"

namespace laneway::worker {
namespace {

constexpr size_t kVariableBytesMax = 64 << 10;  // the kernel refuses arguments and variables over 128 KiB

// A NUL would end a value early, and a long one would make the script unstartable.
bool FitsVariable(const std::string& value) {
  return value.size() <= kVariableBytesMax && value.find('\0') == std::string::npos;
}

}  // namespace

bool NeedsFolder(const v1::WorkPacket& packet) {
  return packet.has_file() || WritesOutputs(packet.spec().handler());
}

std::string AttemptLogPath(const WorkerId& worker, const AttemptKey& key) {
  const std::string task = key.task.n == 1 ? key.task.job.ToString() : key.task.ToFileName();
  return absl::StrCat("logs/", worker.name, "/", task, "-", key.attempt, ".log");
}

absl::StatusOr<RunSpec> MakeRunSpec(const RunContext& context, const AttemptKey& key,
                                    const v1::WorkPacket& packet) {
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
  if (WritesOutputs(spec.handler)) spec.output_dir = folder + "/output";
  if (packet.has_file()) {
    spec.file = absl::StrCat(folder, "/", zone::FileNameInAttempt(zone::IdentityOf(packet.file())));
  }
  if (!spec.handler.empty()) return spec;  // a function of ours: no arguments, no environment
  AttemptFacts facts;
  facts.task = key.task;
  facts.attempt = key.attempt;
  facts.worker = context.worker;
  facts.file = spec.file;
  facts.output_dir = spec.output_dir;
  facts.browser_port = static_cast<uint16_t>(context.browser_port);
  facts.checkpoint = packet.checkpoint();
  auto argv = FillPlaceholders({packet.spec().exec().begin(), packet.spec().exec().end()}, facts);
  if (!argv.ok()) return argv.status();
  spec.argv = std::move(*argv);
  spec.environment = BuildEnvironment(context.environment, context.environment_allowed, facts);
  const auto variable = [&spec](std::string_view name, const std::string& value) {
    if (!value.empty() && FitsVariable(value)) spec.environment.push_back(std::string(name) + "=" + value);
  };
  variable("LANEWAY_DATA_SOURCE", packet.data_source());
  variable("LANEWAY_PAYLOAD", spec.payload);
  return spec;
}

}  // namespace laneway::worker
