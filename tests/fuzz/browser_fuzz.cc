// browser_fuzz.cc: no text of a debugging port, a browser or a keeper may hurt the worker; a talk always
// ends.
//
// The text is cut at newlines: each piece is one message.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "ops/text.h"
#include "worker/browser/chrome.h"
#include "worker/browser/debug_talk.h"
#include "worker/browser/keeper.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace laneway::worker;
  const std::string text(reinterpret_cast<const char*>(data), size);
  if (const auto version = ParseDebugVersion(text); version.ok()) {
    // It becomes a line of our request.
    if (version->path.empty() || version->path.find_first_of(" \r\n") != std::string::npos) std::abort();
  }
  for (const Probe probe : {Probe::kVersion, Probe::kPage}) {
    DebugTalk talk;
    int sent = 1, done = 0;
    talk.Ask(probe);
    for (size_t begin = 0; begin <= text.size();) {
      const size_t end = std::min(text.find('\n', begin), text.size());
      const DebugTalk::Step step = talk.Take(text.substr(begin, end - begin));
      sent += !step.send.empty();
      done += step.done.has_value();
      if (!laneway::ops::IsUtf8(step.send)) std::abort();
      begin = end + 1;
    }
    if (sent > 5 || done > 1) std::abort();
  }
  if (!laneway::ops::IsUtf8(ExplainEnd("exit 1", text))) std::abort();
  if (const auto state = ParseKeeperState(text); state && state->pid <= 1) std::abort();
  return 0;
}
