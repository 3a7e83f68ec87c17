#include "support/kafka_broker.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <nlohmann/json.hpp>
#include <sstream>

namespace laneway::testing_support {
namespace {

[[noreturn]] void Give(const std::string& what) {
  std::cerr << "kafka_broker: " << what << "\n";
  std::exit(1);
}

std::string NewFolder() {
  std::string path = (std::filesystem::temp_directory_path() / "laneway_kafka_XXXXXX").string();
  if (::mkdtemp(path.data()) == nullptr) Give("no temporary folder: " + path);
  return path;
}

}  // namespace

std::unique_ptr<KafkaBroker> KafkaBroker::Start(const Options& options) {
  std::signal(SIGPIPE, SIG_IGN);
  std::unique_ptr<KafkaBroker> broker(new KafkaBroker);
  std::array<int, 2> to;
  std::array<int, 2> from;
  if (::pipe2(to.data(), O_CLOEXEC) != 0 || ::pipe2(from.data(), O_CLOEXEC) != 0) Give("no pipe");
  std::vector<std::string> words = {"python3",
                                    "-B",
                                    LANEWAY_KAFKA_CLUSTER,
                                    "serve",
                                    NewFolder(),
                                    "--brokers",
                                    std::to_string(options.brokers),
                                    "--certificate-days",
                                    std::to_string(options.certificate_days)};
  if (options.sasl) words.emplace_back("--sasl");
  if (options.acl) words.emplace_back("--acl");
  for (const std::string& setting : options.settings) words.push_back("--setting=" + setting);
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, to[0], STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&actions, from[1], STDOUT_FILENO);
  const int error = ::posix_spawnp(&broker->pid_, "python3", &actions, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  ::close(to[0]);
  ::close(from[1]);
  if (error != 0) Give("python3 cannot be started");
  broker->to_ = to[1];
  broker->from_ = from[0];
  const auto facts = nlohmann::json::parse(broker->ReadLine());
  std::istringstream addresses(facts["bootstrap"].get<std::string>());
  for (std::string address; std::getline(addresses, address, ',');) broker->bootstrap_.push_back(address);
  for (const auto& [name, value] : facts["settings"].items()) broker->settings_[name] = value;
  broker->folder_ = facts["folder"];
  return broker;
}

KafkaBroker& KafkaBroker::Shared() {
  static const std::unique_ptr<KafkaBroker> broker = Start({});
  return *broker;
}

KafkaBroker::~KafkaBroker() {
  ::close(to_);  // it ends with its input
  ::close(from_);
  ::waitpid(pid_, nullptr, 0);
}

log::KafkaOptions KafkaBroker::LogOptions() const {
  static std::atomic<int> count = 0;
  log::KafkaOptions options;
  options.brokers = bootstrap_;
  options.settings = settings_;
  options.prefix = "test" + std::to_string(++count) + ".";
  options.writer = "tester";
  return options;
}

std::string KafkaBroker::ReadLine() {
  while (true) {
    if (const size_t end = rest_.find('\n'); end != std::string::npos) {
      std::string line = rest_.substr(0, end);
      rest_.erase(0, end + 1);
      return line;
    }
    std::array<char, 4096> buffer;
    const ssize_t got = ::read(from_, buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) Give("the brokers could not be started; see above");
    rest_.append(buffer.data(), static_cast<size_t>(got));
  }
}

std::string KafkaBroker::Ask(const std::string& line) {
  const std::string bytes = line + "\n";
  if (::write(to_, bytes.data(), bytes.size()) != static_cast<ssize_t>(bytes.size())) Give("it has ended");
  std::string answer = ReadLine();
  if (!answer.starts_with("ok")) Give(line + ": " + answer);
  return answer.size() > 3 ? answer.substr(3) : std::string();
}

void KafkaBroker::Do(const char* verb, int broker) { Ask(std::string(verb) + " " + std::to_string(broker)); }

std::string KafkaBroker::Tool(const std::string& words) {
  return nlohmann::json::parse(Ask("tool " + words)).get<std::string>();
}

}  // namespace laneway::testing_support
