// What comes from scripts and over the companion's socket: directives, frames, text, /proc.
//
// The first byte chooses; the rest is the input.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "ops/text.h"
#include "worker/executor/directives.h"
#include "worker/executor/messages.h"
#include "worker/executor/pids_limit.h"
#include "worker/executor/placeholders.h"
#include "worker/executor/process_table.h"
#include "worker/executor/text.h"

namespace laneway::worker {
namespace {

void Check(bool holds) {
  if (!holds) std::abort();
}

std::string Shown(const Reported& report) {
  std::string text =
      report.message + "|" + report.checkpoint.value_or("-") + "|" + report.output.value_or("-");
  return text + "|" + std::to_string(report.percent.value_or(1000)) + "|" +
         std::to_string(report.records.value_or(0));
}

// However the bytes are cut, the same is found.
void Directives(std::string_view bytes) {
  Reported whole, pieces;
  DirectiveScanner one, other;
  one.Feed(bytes, &whole);
  one.Finish(&whole);
  for (size_t at = 0; at < bytes.size(); at += 3) other.Feed(bytes.substr(at, 3), &pieces);
  other.Finish(&pieces);
  Check(Shown(whole) == Shown(pieces));
  Check(ops::IsUtf8(whole.message));
  Check(!whole.percent || *whole.percent <= 100);
}

// A frame that was read is written as it came.
void Frames(std::string_view bytes) {
  wire::FrameReader reader;
  reader.Feed(bytes);
  std::string written;
  while (true) {
    auto message = reader.Next();
    if (!message.ok() || !*message) break;
    Check(wire::Append(**message, &written));
  }
  Check(written.size() <= bytes.size());
}

void Text(std::string_view bytes) {
  const std::string clean = CleanText(bytes);
  Check(ops::IsUtf8(clean));
  Check(CleanText(clean) == clean);
  Check(ops::IsUtf8(HeadOf(clean, bytes.size() / 2)) && ops::IsUtf8(TailOf(clean, bytes.size() / 2)));
}

}  // namespace
}  // namespace laneway::worker

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace laneway::worker;
  if (size == 0) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  switch (data[0] % 5) {
    case 0:
      Directives(bytes);
      break;
    case 1:
      Frames(bytes);
      break;
    case 2:
      Text(bytes);
      break;
    case 3:
      ParseStat(bytes);
      FindPidsCgroup(bytes.substr(0, bytes.size() / 2), bytes.substr(bytes.size() / 2));
      break;
    default: {
      AttemptFacts facts;
      facts.file = bytes.substr(0, bytes.size() / 2);
      if (!FillPlaceholders({"x", std::string(bytes)}, facts).ok()) return 0;
    }
  }
  return 0;
}
