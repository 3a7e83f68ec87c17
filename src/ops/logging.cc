#include "ops/logging.h"

#include <spdlog/logger.h>
#include <spdlog/sinks/rotating_file_sink.h>
#include <spdlog/sinks/stdout_sinks.h>

#include <atomic>
#include <mutex>

#include "ops/clock.h"
#include "ops/json_writer.h"
#include "ops/text.h"

namespace laneway::ops {
namespace {

constexpr size_t kValueMax = 2048;
constexpr size_t kLineMax = 8192;
constexpr Millis kRepetitionPause{60'000};

std::string Cut(std::string line) {
  if (line.size() <= kLineMax) return line;
  size_t end = kLineMax;
  while (end > 0 && (static_cast<uint8_t>(line[end]) & 0xC0) == 0x80) end--;  // not within a character
  return line.substr(0, end) + "…";
}

// A logger that writes what it is given and nothing else; its own failures (a full disk) go nowhere.
std::shared_ptr<spdlog::logger> PlainLogger(spdlog::sink_ptr sink) {
  auto logger = std::make_shared<spdlog::logger>("laneway", std::move(sink));
  logger->set_pattern("%v");
  logger->set_level(spdlog::level::trace);
  logger->set_error_handler([](const std::string&) {});
  return logger;
}

struct Shared {
  std::mutex mutex;
  std::shared_ptr<spdlog::logger> logger = PlainLogger(std::make_shared<spdlog::sinks::stderr_sink_mt>());
  Repetitions repetitions;
  std::atomic<LogLevel> level{LogLevel::kInfo};
  std::atomic<bool> json{false};
  std::atomic<bool> colour{false};
};

Shared& State() {
  static auto* state = new Shared;  // lines may be written while the process ends
  return *state;
}

}  // namespace

std::string_view LogLevelName(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return "debug";
    case LogLevel::kInfo:
      return "info";
    case LogLevel::kWarning:
      return "warning";
    case LogLevel::kError:
      return "error";
    case LogLevel::kOff:
      return "off";
  }
  return "";
}

void InitLogging(const LogOptions& options) {
  Shared& state = State();
  state.level = options.level;
  state.json = options.json;
  state.colour = options.colour;
}

bool LogEnabled(LogLevel level) { return level >= State().level.load(std::memory_order_relaxed); }

class LogWriter {
 public:
  static std::string AsText(const LogLine& line, LogTime now) {
    std::string out =
        FormatTime(now) + " " + Printable(line.who_, 100) + " – " + Printable(line.message_, kValueMax);
    for (const auto& field : line.fields_)
      out += " " + field.key + "=" + PrintableValue(field.value, kValueMax);
    if (line.level_ >= LogLevel::kWarning) out.append(" level=").append(LogLevelName(line.level_));
    return Cut(std::move(out));
  }

  static std::string AsJson(const LogLine& line, LogTime now) {
    JsonWriter out;
    out.BeginObject().Field("time", now).Field("level", LogLevelName(line.level_)).Field("who", line.who_);
    out.Field("message", std::string_view(line.message_).substr(0, kValueMax));
    for (const auto& field : line.fields_) {
      out.Key(field.key);
      field.number ? out.Raw(field.value) : out.Value(std::string_view(field.value).substr(0, kValueMax));
    }
    return out.EndObject().Take();
  }

  static void Write(const LogLine& line) {
    Shared& state = State();
    const LogTime now = RealClock::Get().Wall();
    std::string text = state.json ? AsJson(line, now) : AsText(line, now);
    if (state.colour && !state.json && line.level_ >= LogLevel::kWarning) {
      text = (line.level_ == LogLevel::kWarning ? "\x1b[33m" : "\x1b[31m") + text + "\x1b[0m";
    }
    state.logger->log(spdlog::level::info, spdlog::string_view_t(text.data(), text.size()));
    state.logger->flush();
  }
};

LogLine::LogLine(LogLevel level, std::string_view who, std::string_view message)
    : level_(level), enabled_(LogEnabled(level)) {
  if (!enabled_) return;
  who_ = who;
  message_ = message;
}

LogLine::LogLine(LogLine&& other) noexcept
    : level_(other.level_),
      enabled_(std::exchange(other.enabled_, false)),
      who_(std::move(other.who_)),
      message_(std::move(other.message_)),
      fields_(std::move(other.fields_)) {}

LogLine::~LogLine() {
  if (enabled_) LogWriter::Write(*this);
}

LogLine& LogLine::With(std::string_view key, std::string_view value) {
  if (enabled_) fields_.push_back({std::string(key), std::string(value), false});
  return *this;
}
LogLine& LogLine::With(std::string_view key, int64_t value) {
  if (enabled_) fields_.push_back({std::string(key), std::to_string(value), true});
  return *this;
}
LogLine& LogLine::With(std::string_view key, uint64_t value) {
  if (enabled_) fields_.push_back({std::string(key), std::to_string(value), true});
  return *this;
}

LogLine& LogLine::Rarely() {
  if (!enabled_) return *this;
  Shared& state = State();
  Repetitions::Verdict verdict;
  {
    std::lock_guard lock(state.mutex);
    verdict = state.repetitions.Seen(who_ + "\n" + message_, RealClock::Get().Wall());
  }
  enabled_ = verdict.write;
  if (verdict.repeated > 0) With("repeated", verdict.repeated);
  return *this;
}

Repetitions::Verdict Repetitions::Seen(const std::string& kind, LogTime now) {
  const auto at = entries_.find(kind);
  if (at == entries_.end()) {
    if (entries_.size() >= keys_max_) entries_.clear();  // rather a line too many than memory without end
    entries_[kind] = {now, 0};
    return {true, 0};
  }
  Entry& entry = at->second;
  const bool back = now < entry.written;  // the clock was set: begin anew
  if (!back && now - entry.written < kRepetitionPause) {
    entry.kept_back++;
    return {false, 0};
  }
  entry.written = now;
  return {true, std::exchange(entry.kept_back, 0)};
}

namespace {

class RotatingWorkerLog : public WorkerLog {
 public:
  RotatingWorkerLog(std::shared_ptr<spdlog::logger> logger, std::string worker)
      : logger_(std::move(logger)), worker_(std::move(worker)) {}
  ~RotatingWorkerLog() override { logger_->flush(); }

  void Write(LogTime at, std::string_view message,
             const std::vector<std::pair<std::string, std::string>>& fields) override {
    std::string line = FormatTime(at) + " " + worker_ + " – " + Printable(message, kValueMax);
    for (const auto& [key, value] : fields) line += " " + key + "=" + PrintableValue(value, kValueMax);
    line = Cut(std::move(line));
    logger_->log(spdlog::level::info, spdlog::string_view_t(line.data(), line.size()));
  }
  void Flush() override { logger_->flush(); }

 private:
  std::shared_ptr<spdlog::logger> logger_;
  const std::string worker_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<WorkerLog>> OpenWorkerLog(const WorkerLogOptions& options) {
  try {
    auto sink = std::make_shared<spdlog::sinks::rotating_file_sink_mt>(options.path, options.bytes_max,
                                                                       options.files_max);
    return std::make_unique<RotatingWorkerLog>(PlainLogger(std::move(sink)), Printable(options.worker, 100));
  } catch (const std::exception& error) {
    return absl::UnavailableError("cannot open " + Printable(options.path) + ": " + Printable(error.what()));
  }
}

}  // namespace laneway::ops
