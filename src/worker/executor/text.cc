#include "worker/executor/text.h"

#include <string.h>

#include <cstdint>

#include "ops/text.h"

namespace laneway::worker {
namespace {

bool IsContinuation(char c) { return (static_cast<uint8_t>(c) & 0xc0) == 0x80; }

// How long the terminal's escape sequence is that `bytes` begins with: CSI (ESC [ … letter), OSC (ESC ] …
// BEL) or two characters.
size_t EscapeLength(std::string_view bytes) {
  if (bytes.size() < 2) return 1;
  size_t i = 2;
  if (bytes[1] == '[') {
    while (i < bytes.size() && bytes[i] >= 0x20 && bytes[i] < 0x40) i++;
    return i < bytes.size() && bytes[i] >= 0x40 && bytes[i] != 0x7f ? i + 1 : i;
  }
  if (bytes[1] == ']') {
    while (i < bytes.size() && bytes[i] != '\a' && bytes[i] != '\n' && bytes[i] != '\x1b') i++;
    return i < bytes.size() && bytes[i] == '\a' ? i + 1 : i;
  }
  return bytes[1] >= 0x20 && bytes[1] < 0x7f ? 2 : 1;
}

}  // namespace

std::string CleanText(std::string_view bytes) {
  std::string out;
  out.reserve(bytes.size());
  while (!bytes.empty()) {
    const auto c = static_cast<uint8_t>(bytes[0]);
    size_t taken = 1;
    if (c == '\x1b') {
      taken = EscapeLength(bytes);
    } else if (c == '\r') {
      if (bytes.size() < 2 || bytes[1] != '\n') out.push_back('\n');
    } else if (c == '\n' || c == '\t' || (c >= 0x20 && c < 0x7f)) {
      out.push_back(bytes[0]);
    } else if (c >= 0x80) {
      taken = ops::Utf8Sequence(bytes);
      const bool control = taken == 2 && c == 0xc2 && static_cast<uint8_t>(bytes[1]) < 0xa0;  // C1
      if (taken == 0) {
        out.append("\xef\xbf\xbd");
        taken = 1;
      } else if (!control) {
        out.append(bytes.substr(0, taken));
      }
    }
    bytes.remove_prefix(taken);
  }
  return out;
}

std::string_view HeadOf(std::string_view text, size_t max) {
  if (text.size() <= max) return text;
  while (max > 0 && IsContinuation(text[max])) max--;
  return text.substr(0, max);
}

std::string_view TailOf(std::string_view text, size_t max) {
  if (text.size() <= max) return text;
  size_t begin = text.size() - max;
  while (begin < text.size() && IsContinuation(text[begin])) begin++;
  return text.substr(begin);
}

std::string SignalName(int signal) {
  const char* name = sigabbrev_np(signal);
  return name != nullptr ? "SIG" + std::string(name) : "signal " + std::to_string(signal);
}

}  // namespace laneway::worker
