#include "node/last_words_teller.h"

#include <unistd.h>

#include <cstring>
#include <future>
#include <iterator>
#include <vector>

#include "fold/fleet_fold.h"
#include "node/backend.h"
#include "worker/executor/companion.h"
#include "worker/executor/last_words.h"

namespace laneway::node {
namespace {

constexpr int kTries = 2;  // each waits as long as an append may take (kafka.h)

std::string ReadAll(int fd) {
  std::string bytes;
  char some[4096];
  for (ssize_t n = 0; (n = read(fd, some, sizeof some)) > 0;) bytes.append(some, static_cast<size_t>(n));
  return bytes;
}

absl::Status Tell(log::Log& log, const worker::LastWordsFile& file, uint32_t partitions) {
  std::vector<log::NewRecord> records;
  for (const v1::WorkerLost& lost : file.words.lost()) {
    v1::Event event;
    *event.mutable_worker_lost() = lost;
    records.push_back(fold::RecordOf(event, fold::PartitionOf(event, partitions)));
  }
  if (records.empty()) return absl::OkStatus();
  std::promise<absl::Status> done;
  log.Append(std::move(records),
             [&](const absl::Status& status, std::span<const Offset>) { done.set_value(status); });
  return done.get_future().get();
}

int TellAll(const std::string& folder, const v1::LogConfig& config) {
  auto log = log::KafkaLog::Open(KafkaOptionsOf(config, "companion"));
  if (!log.ok()) return 1;
  for (const worker::LastWordsFile& file : worker::ReadLastWords(folder)) {
    if (file.told) continue;
    bool told = false;
    for (int i = 0; i < kTries && !told; i++) told = Tell(**log, file, config.event_partitions()).ok();
    if (!told) return 1;
    (void)worker::MarkTold(file);  // told twice does no harm
  }
  return 0;
}

}  // namespace

std::string TellerInput(const v1::LogConfig& resolved) { return resolved.SerializeAsString(); }

std::optional<int> TellerMain(int argc, char** argv) {
  if (argc != 3 || std::strcmp(argv[1], worker::kTellerArgument) != 0) return std::nullopt;
  v1::LogConfig config;
  if (!config.ParseFromString(ReadAll(STDIN_FILENO))) return 2;
  return TellAll(argv[2], config);
}

}  // namespace laneway::node
