#include "worker/executor/messages.h"

#include <bit>
#include <cstring>
#include <type_traits>
#include <utility>

#include "absl/status/status.h"

namespace laneway::worker::wire {
namespace {

static_assert(std::endian::native == std::endian::little,
              "the companion's frames are copied as they lie in memory");

constexpr size_t kHeaderBytes = 4;

class Encoder {
 public:
  explicit Encoder(std::string* out) : out_(out) {}

  template <class T>
  requires std::is_arithmetic_v<T> || std::is_enum_v<T>
  void operator()(const T& value) { out_->append(reinterpret_cast<const char*>(&value), sizeof value); }
  void operator()(const std::string& value) {
    (*this)(static_cast<uint32_t>(value.size()));
    out_->append(value);
  }
  template <class T>
  void operator()(const std::vector<T>& values) {
    (*this)(static_cast<uint32_t>(values.size()));
    for (const T& value : values) (*this)(value);
  }
  template <class T>
  void operator()(const std::optional<T>& value) {
    (*this)(static_cast<uint8_t>(value.has_value()));
    if (value) (*this)(*value);
  }
  template <class Tag>
  void operator()(const Id128<Tag>& id) {
    (*this)(id.hi);
    (*this)(id.lo);
  }

 private:
  std::string* out_;
};

// Reads what Encoder wrote; after the first impossible field everything reads as empty and ok() is false.
class Decoder {
 public:
  explicit Decoder(std::string_view bytes) : bytes_(bytes) {}

  bool ok() const { return ok_; }
  bool done() const { return bytes_.empty(); }

  template <class T>
  requires std::is_arithmetic_v<T>
  void operator()(T& value) {
    const std::string_view bytes = Take(sizeof value);
    if constexpr (std::is_same_v<T, bool>) {
      if (ok_) value = bytes[0] != 0;
    } else {
      if (ok_) std::memcpy(&value, bytes.data(), sizeof value);
    }
  }
  void operator()(v1::Ending& value) {
    int raw = 0;
    (*this)(raw);
    if (!v1::Ending_IsValid(raw)) ok_ = false;
    if (ok_) value = static_cast<v1::Ending>(raw);
  }
  void operator()(std::string& value) { value = Take(Size()); }
  template <class T>
  void operator()(std::vector<T>& values) {
    const size_t count = Size();
    if (count > bytes_.size() / sizeof(uint32_t)) ok_ = false;  // each element has its own length
    for (size_t i = 0; ok_ && i < count; i++) (*this)(values.emplace_back());
  }
  template <class T>
  void operator()(std::optional<T>& value) {
    uint8_t present = 0;
    (*this)(present);
    if (present > 1) ok_ = false;
    if (ok_ && present == 1) (*this)(value.emplace());
  }
  template <class Tag>
  void operator()(Id128<Tag>& id) {
    (*this)(id.hi);
    (*this)(id.lo);
  }

 private:
  size_t Size() {
    uint32_t size = 0;
    (*this)(size);
    return size;
  }
  std::string_view Take(size_t size) {
    if (!ok_ || size > bytes_.size()) {
      ok_ = false;
      return {};
    }
    const std::string_view taken = bytes_.substr(0, size);
    bytes_.remove_prefix(size);
    return taken;
  }

  std::string_view bytes_;
  bool ok_ = true;
};

// The fields of each message, once for both directions.
template <class T, class M>
concept Is = std::is_same_v<std::remove_const_t<T>, M>;

void Fields(auto& f, Is<Configure> auto& m) {
  f(m.dir);
  f(m.incarnation);
  f(m.teller);
}
void Fields(auto& f, Is<AddWorker> auto& m) {
  f(m.worker);
  f(m.incarnation);
}
void Fields(auto& f, Is<StartRun> auto& m) {
  f(m.run);
  f(m.task.job);
  f(m.task.n);
  f(m.attempt);
  f(m.worker);
  f(m.argv);
  f(m.environment);
  f(m.log_path);
  f(m.timeout_ms);
  f(m.kill_grace_ms);
  f(m.log_bytes_max);
  f(m.processes_max);
}
void Fields(auto& f, Is<StopRun> auto& m) {
  f(m.run);
  f(m.reason);
}
void Fields(auto&, Is<Quit> auto&) {}
void Fields(auto& f, Is<Configured> auto& m) {
  f(m.error);
  f(m.survivors);
}
void Fields(auto& f, Is<RunStarted> auto& m) {
  f(m.run);
  f(m.pid);
  f(m.pid_start);
}
void Fields(auto& f, Is<RunReported> auto& m) {
  f(m.run);
  f(m.report.percent);
  f(m.report.message);
  f(m.report.checkpoint);
  f(m.report.output);
  f(m.report.records);
}
void Fields(auto& f, Is<RunEnded> auto& m) {
  f(m.run);
  f(m.ended.ok);
  f(m.ended.ending);
  f(m.ended.exit_code);
  f(m.ended.signal);
  f(m.ended.message);
  int64_t duration_ms = m.ended.duration.count();
  f(duration_ms);
  if constexpr (!std::is_const_v<std::remove_reference_t<decltype(m)>>) {
    m.ended.duration = std::chrono::milliseconds(duration_ms);
  }
  f(m.ended.cpu_us);
  f(m.ended.memory_peak_kib);
  f(m.ended.output_bytes);
}

template <size_t kIndex = 0>
std::optional<Message> DecodeAs(size_t type, std::string_view body) {
  if constexpr (kIndex == std::variant_size_v<Message>) {
    return std::nullopt;
  } else {
    if (type != kIndex) return DecodeAs<kIndex + 1>(type, body);
    std::variant_alternative_t<kIndex, Message> message;
    Decoder decoder(body);
    Fields(decoder, message);
    if (!decoder.ok() || !decoder.done()) return std::nullopt;
    return message;
  }
}

}  // namespace

bool Append(const Message& message, std::string* out) {
  const size_t begin = out->size();
  out->append(kHeaderBytes, '\0');
  out->push_back(static_cast<char>(message.index()));
  Encoder encoder(out);
  std::visit([&encoder](const auto& m) { Fields(encoder, m); }, message);
  const size_t size = out->size() - begin - kHeaderBytes;
  if (size > kFrameBytesMax) {
    out->resize(begin);
    return false;
  }
  const auto length = static_cast<uint32_t>(size);
  std::memcpy(out->data() + begin, &length, sizeof length);
  return true;
}

void FrameReader::Feed(std::string_view bytes) {
  if (begin_ == buffer_.size()) {
    buffer_.clear();
    begin_ = 0;
  } else if (begin_ > 64 << 10 && begin_ > buffer_.size() / 2) {
    buffer_.erase(0, begin_);
    begin_ = 0;
  }
  buffer_.append(bytes);
}

absl::StatusOr<std::optional<Message>> FrameReader::Next() {
  const std::string_view rest = std::string_view(buffer_).substr(begin_);
  if (rest.size() < kHeaderBytes) return std::nullopt;
  uint32_t length = 0;
  std::memcpy(&length, rest.data(), sizeof length);
  if (length == 0 || length > kFrameBytesMax) return absl::DataLossError("a frame of an impossible length");
  if (rest.size() - kHeaderBytes < length) return std::nullopt;
  const std::string_view frame = rest.substr(kHeaderBytes, length);
  std::optional<Message> message = DecodeAs(static_cast<uint8_t>(frame[0]), frame.substr(1));
  if (!message) return absl::DataLossError("a frame that cannot be read");
  begin_ += kHeaderBytes + length;
  return message;
}

}  // namespace laneway::worker::wire
