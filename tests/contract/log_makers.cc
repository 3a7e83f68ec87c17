#include "contract/log_makers.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>

#include "log/embedded.h"
#include "log/faulty_log.h"
#include "log/sim_log.h"

namespace laneway::log {
namespace {

class EmbeddedFixture final : public LogFixture {
 public:
  EmbeddedFixture() {
    std::string path = (std::filesystem::temp_directory_path() / "laneway_contract_XXXXXX").string();
    if (::mkdtemp(path.data()) == nullptr) std::abort();
    folder_ = path;
    Reopen();
  }
  ~EmbeddedFixture() override {
    engine_.reset();
    std::filesystem::remove_all(folder_);
  }
  Log& log() override { return engine_->log(); }
  Store* store() override { return &engine_->store(); }
  Journal* journal() override { return &engine_->journal(); }
  void Reopen() override {
    engine_.reset();
    EmbeddedOptions options;
    options.folder = folder_;
    options.queued_bytes_max = kQueuedBytesMax;
    options.recent_bytes_max = 256 << 10;  // small, so that reads go to the disk as well
    options.trim_bytes = 64 << 10;
    auto engine = EmbeddedEngine::Open(std::move(options));
    if (!engine.ok()) {
      ADD_FAILURE() << engine.status();
      std::abort();
    }
    engine_ = *std::move(engine);
  }

 private:
  std::string folder_;
  std::unique_ptr<EmbeddedEngine> engine_;
};

class SimFixture final : public LogFixture {
 public:
  explicit SimFixture(bool faulty, bool remote = false) : faulty_(faulty) {
    disk_.SetAutoComplete(true);
    disk_.SetRemote(remote);
    Reopen();
  }
  Log& log() override { return faulty_ ? static_cast<Log&>(*faulty_log_) : *client_; }
  Store* store() override { return client_.get(); }
  Journal* journal() override { return client_.get(); }
  void Reopen() override {
    client_ = disk_.Connect("contract");
    faulty_log_ = std::make_unique<FaultyLog>(*client_, FaultPlan{});
  }

 private:
  const bool faulty_;
  int64_t now_ms_ = 1'000'000;
  SimDisk disk_{[this] { return LogTime{now_ms_++}; }};
  std::unique_ptr<SimClient> client_;
  std::unique_ptr<FaultyLog> faulty_log_;
};

constexpr char kOneThread[] = "the simulated log has one owner";
constexpr char kNoBound[] = "a call of the simulated log with auto_complete never waits";

}  // namespace

LogMaker EmbeddedMaker() {
  return {.name = "Embedded",
          .make = [] { return std::make_unique<EmbeddedFixture>(); },
          .no_threads = "",
          .no_byte_bound = ""};
}
LogMaker SimMaker() {
  return {.name = "Sim",
          .make = [] { return std::make_unique<SimFixture>(false); },
          .no_threads = kOneThread,
          .no_byte_bound = kNoBound};
}
LogMaker RemoteSimMaker() {
  return {.name = "RemoteSim",
          .make = [] { return std::make_unique<SimFixture>(false, true); },
          .no_threads = kOneThread,
          .no_byte_bound = kNoBound};
}
LogMaker FaultySimMaker() {
  return {.name = "FaultySim",
          .make = [] { return std::make_unique<SimFixture>(true); },
          .no_threads = kOneThread,
          .no_byte_bound = kNoBound};
}

}  // namespace laneway::log
