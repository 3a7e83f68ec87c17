#include "worker/executor/builtin_executor.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>
#include <utility>

#include "worker/executor/ending.h"
#include "worker/executor/text.h"

namespace laneway::worker {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr size_t kCopyBytes = 1 << 20;  // between two looks at whether it was stopped
constexpr int64_t kSleepMsMax = 366LL * 24 * 3600 * 1000;

milliseconds Since(Clock::time_point begin) {
  return std::chrono::duration_cast<milliseconds>(Clock::now() - begin);
}

Ended Succeeded(const AttemptKey& key) {
  Ended ended;
  ended.key = key;
  ended.ok = true;
  return ended;
}

Ended Failed(const AttemptKey& key, v1::Ending ending, std::string message) {
  Ended ended;
  ended.key = key;
  ended.ending = ending;
  ended.message = std::move(message);
  return ended;
}

Ended Stopped(const AttemptKey& key, StopReason reason) {
  return Failed(key, v1::STOPPED, "stopped: " + std::string(StopReasonText(reason)));
}

// The payload as an object; an empty payload is an empty object. Nothing when it is not one.
std::optional<nlohmann::json> Object(const std::string& payload) {
  if (payload.empty()) return nlohmann::json::object();
  nlohmann::json parsed = nlohmann::json::parse(payload, nullptr, /*allow_exceptions=*/false);
  if (!parsed.is_object()) return std::nullopt;
  return parsed;
}

// A whole number within [low, high]; `otherwise` when there is no such field; nothing when it is something
// else.
std::optional<int64_t> Number(const nlohmann::json& object, const char* name, int64_t low, int64_t high,
                              int64_t otherwise) {
  const auto field = object.find(name);
  if (field == object.end()) return otherwise;
  if (!field->is_number_integer()) return std::nullopt;
  if (field->is_number_unsigned() && field->get<uint64_t>() > static_cast<uint64_t>(INT64_MAX))
    return std::nullopt;
  const auto value = field->get<int64_t>();
  return value < low || value > high ? std::nullopt : std::optional(value);
}

std::string ErrnoText(const std::string& what, const std::string& path) {
  return CleanText("cannot " + what + " " + path + ": " + std::strerror(errno));
}

class Fd {
 public:
  explicit Fd(int fd) : fd_(fd) {}
  ~Fd() {
    if (fd_ >= 0) close(fd_);
  }
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  int get() const { return fd_; }

 private:
  int fd_;
};

}  // namespace

BuiltinExecutor::BuiltinExecutor(EventSink on_event) : on_event_(std::move(on_event)) {}

BuiltinExecutor::~BuiltinExecutor() {
  {
    const std::lock_guard lock(mutex_);
    closing_ = true;
  }
  timers_changed_.notify_all();
  copies_changed_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

std::string BuiltinExecutor::KnownHandlers() { return "copy, fail, noop, sleep"; }

void BuiltinExecutor::Start(RunSpec spec) {
  if (spec.handler == "noop") {
    on_event_(Succeeded(spec.key));
  } else if (spec.handler == "sleep") {
    StartSleep(spec);
  } else if (spec.handler == "fail") {
    StartFail(spec);
  } else if (spec.handler == "copy") {
    StartCopy(std::move(spec));
  } else {
    const std::string name = CleanText(HeadOf(spec.handler, 100));
    on_event_(
        Failed(spec.key, v1::CANNOT_START, "unknown handler \"" + name + "\"; known are " + KnownHandlers()));
  }
}

void BuiltinExecutor::StartSleep(const RunSpec& spec) {
  const std::optional<nlohmann::json> payload = Object(spec.payload);
  const std::optional<int64_t> ms = payload ? Number(*payload, "ms", 0, kSleepMsMax, 0) : std::nullopt;
  if (!ms) {
    on_event_(Failed(spec.key, v1::CANNOT_START, R"(the payload of "sleep" is not {"ms": a number})"));
    return;
  }
  on_event_(Started{spec.key, 0, 0});
  const Time now = Clock::now();
  const bool times_out = spec.timeout.count() > 0 && spec.timeout.count() < *ms;
  const Time due = now + (times_out ? spec.timeout : milliseconds(*ms));
  {
    const std::lock_guard lock(mutex_);
    StartThreads();
    running_[spec.key] = Running{now, due, false, times_out, std::nullopt};
    timers_.emplace(due, spec.key);
  }
  timers_changed_.notify_one();
}

void BuiltinExecutor::StartFail(const RunSpec& spec) {
  const std::optional<nlohmann::json> payload = Object(spec.payload);
  const auto code = payload ? Number(*payload, "exit_code", 1, 255, 1) : std::nullopt;
  const auto times = payload ? Number(*payload, "times", 0, UINT32_MAX, UINT32_MAX) : std::nullopt;
  std::string text;
  bool good = code && times;
  if (good && payload->contains("message")) {
    good = payload->at("message").is_string();
    if (good) text = payload->at("message").get<std::string>();
  }
  if (!good) {
    on_event_(Failed(
        spec.key, v1::CANNOT_START,
        R"(the payload of "fail" is not {"message": text, "exit_code": 1 to 255, "times": a number})"));
    return;
  }
  if (spec.key.attempt > *times) {
    on_event_(Succeeded(spec.key));
    return;
  }
  Ended ended;
  ended.key = spec.key;
  ExitFacts facts;
  facts.exit_code = static_cast<int>(*code);
  Judge(facts, text, &ended);
  on_event_(std::move(ended));
}

void BuiltinExecutor::StartCopy(RunSpec spec) {
  on_event_(Started{spec.key, 0, 0});
  {
    const std::lock_guard lock(mutex_);
    StartThreads();
    running_[spec.key] = Running{Clock::now(), {}, true, false, std::nullopt};
    copies_.push_back(std::move(spec));
  }
  copies_changed_.notify_one();
}

void BuiltinExecutor::Stop(const AttemptKey& key, StopReason reason) {
  Running stopped;
  {
    const std::lock_guard lock(mutex_);
    const auto found = running_.find(key);
    if (found == running_.end()) return;
    found->second.stop = reason;
    if (found->second.copying) return;  // its thread looks
    stopped = found->second;
    const auto [begin, end] = timers_.equal_range(stopped.due);
    timers_.erase(std::find_if(begin, end, [&key](const auto& timer) { return timer.second == key; }));
    running_.erase(found);
  }
  Ended ended = Stopped(key, reason);
  ended.duration = Since(stopped.started);
  on_event_(std::move(ended));
}

void BuiltinExecutor::StartThreads() {
  if (!threads_.empty()) return;
  threads_.emplace_back([this] { RunTimers(); });
  threads_.emplace_back([this] { RunCopies(); });
}

void BuiltinExecutor::RunTimers() {
  std::unique_lock lock(mutex_);
  while (!closing_) {
    if (timers_.empty()) {
      timers_changed_.wait(lock);
      continue;
    }
    const auto first = timers_.begin();
    if (Clock::now() < first->first) {
      timers_changed_.wait_until(lock, Time(first->first));
      continue;
    }
    const AttemptKey key = first->second;
    const Running running = running_.at(key);
    timers_.erase(first);
    running_.erase(key);
    lock.unlock();
    Ended ended = running.times_out ? Failed(key, v1::TIMEOUT, "stopped at its timeout") : Succeeded(key);
    ended.duration = Since(running.started);
    on_event_(std::move(ended));
    lock.lock();
  }
}

void BuiltinExecutor::RunCopies() {
  std::unique_lock lock(mutex_);
  while (true) {
    copies_changed_.wait(lock, [this] { return closing_ || !copies_.empty(); });
    if (closing_) return;
    const RunSpec spec = std::move(copies_.front());
    copies_.pop_front();
    lock.unlock();
    Ended ended = Copy(spec);
    ended.key = spec.key;
    lock.lock();
    const auto found = running_.find(spec.key);
    ended.duration = Since(found->second.started);
    running_.erase(found);
    if (closing_) return;
    lock.unlock();
    on_event_(std::move(ended));
    lock.lock();
  }
}

std::optional<StopReason> BuiltinExecutor::StopWanted(const AttemptKey& key) {
  const std::lock_guard lock(mutex_);
  if (closing_) return StopReason::kShutdown;
  return running_.at(key).stop;
}

// Under another name until it is whole and synced, so that nobody takes half a copy for the result.
Ended BuiltinExecutor::Copy(const RunSpec& spec) {
  const std::string name = spec.file.substr(spec.file.rfind('/') + 1);
  if (name.empty()) return Failed(spec.key, v1::CANNOT_START, "there is no file to copy");
  const std::string target = spec.output_dir + "/" + name;
  const std::string partial =
      spec.output_dir + "/.copy-" + spec.key.task.ToFileName() + "." + std::to_string(spec.key.attempt);
  Ended ended = CopyFile(spec, partial);
  if (ended.ok) {
    const Fd folder(open(spec.output_dir.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (rename(partial.c_str(), target.c_str()) == 0 && fsync(folder.get()) == 0) return ended;
    ended = Failed(spec.key, v1::EXIT_CODE, ErrnoText("finish", target));
  }
  unlink(partial.c_str());
  return ended;
}

Ended BuiltinExecutor::CopyFile(const RunSpec& spec, const std::string& partial) {
  const Fd from(open(spec.file.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW));
  if (from.get() < 0) return Failed(spec.key, v1::EXIT_CODE, ErrnoText("open", spec.file));
  struct stat info {};
  if (fstat(from.get(), &info) != 0 || !S_ISREG(info.st_mode)) {
    return Failed(spec.key, v1::EXIT_CODE, CleanText(spec.file) + " is not an ordinary file");
  }
  const Fd to(open(partial.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
  if (to.get() < 0) return Failed(spec.key, v1::EXIT_CODE, ErrnoText("make", partial));
  uint64_t copied = 0;
  std::string bytes(64 << 10, '\0');
  while (true) {
    if (copied % kCopyBytes == 0) {
      if (const auto reason = StopWanted(spec.key)) return Stopped(spec.key, *reason);
    }
    const ssize_t n = read(from.get(), bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return Failed(spec.key, v1::EXIT_CODE, ErrnoText("read", spec.file));
    if (n == 0) break;
    for (ssize_t done = 0; done < n;) {
      const ssize_t written = write(to.get(), bytes.data() + done, static_cast<size_t>(n - done));
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) return Failed(spec.key, v1::EXIT_CODE, ErrnoText("write", partial));
      done += written;
    }
    copied += static_cast<uint64_t>(n);
  }
  if (fsync(to.get()) != 0) return Failed(spec.key, v1::EXIT_CODE, ErrnoText("sync", partial));
  return Succeeded(spec.key);
}

}  // namespace laneway::worker
