#include "worker/browser/debug_talk.h"

#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "ops/json_writer.h"
#include "ops/strict_json.h"
#include "ops/text.h"

namespace laneway::worker {
namespace {

constexpr ops::JsonLimits kLimits{.bytes_max = kDebugTextBytesMax, .values_max = 50'000, .depth_max = 32};
constexpr size_t kIdBytesMax = 256;

const std::string* TextAt(const ops::JsonValue& object, std::string_view key) {
  const ops::JsonValue* value = object.Find(key);
  return value != nullptr && value->kind == ops::JsonKind::kString ? &value->text : nullptr;
}

std::string Object(std::string_view key, std::string_view value, std::string_view more = "") {
  ops::JsonWriter out;
  out.BeginObject().Field(key, value);
  if (!more.empty()) out.Key(more).Value(true);
  out.EndObject();
  return out.Take();
}

}  // namespace

absl::StatusOr<DebugVersion> ParseDebugVersion(std::string_view text) {
  const ops::ParsedJson parsed = ops::ParseStrictJson(text, kLimits);
  const auto not_one = [] {
    return absl::InvalidArgumentError("what listens there is not a browser's debugging port");
  };
  if (!parsed.readable || parsed.root.kind != ops::JsonKind::kObject) return not_one();
  const std::string* browser = TextAt(parsed.root, "Browser");
  const std::string* url = TextAt(parsed.root, "webSocketDebuggerUrl");
  if (browser == nullptr || url == nullptr) return not_one();
  const size_t host = url->find("://");
  const size_t path = host == std::string::npos ? host : url->find('/', host + 3);
  if (path == std::string::npos || url->size() - path > kIdBytesMax) return not_one();
  for (const char c : url->substr(path)) {
    if (c <= ' ' || c > '~') return not_one();  // it becomes a line of our request
  }
  DebugVersion version{ops::Printable(*browser, 64), 0, url->substr(path)};
  const size_t slash = browser->find('/');
  if (slash != std::string::npos)
    (void)absl::SimpleAtoi(browser->substr(slash + 1, browser->find('.', slash) - slash - 1), &version.major);
  return version;
}

std::string DebugTalk::Call(Waits next, std::string_view method, std::string_view parameters,
                            bool in_session) {
  waits_ = next;
  ops::JsonWriter out;
  out.BeginObject().Field("id", ++id_).Field("method", method).Key("params").Raw(parameters);
  if (in_session) out.Field("sessionId", session_);
  out.EndObject();
  return out.Take();
}

std::string DebugTalk::Ask(Probe probe) {
  answer_ = {};
  target_.clear();
  if (probe == Probe::kVersion) return Call(Waits::kVersion, "Browser.getVersion", "{}");
  return Call(Waits::kTarget, "Target.createTarget", Object("url", "about:blank", "background"));
}

DebugTalk::Step DebugTalk::Take(std::string_view text) {
  const ops::ParsedJson parsed = ops::ParseStrictJson(text, kLimits);
  if (!parsed.readable || waits_ == Waits::kNothing) return {};
  const ops::JsonValue* id = parsed.root.Find("id");
  if (id == nullptr || id->kind != ops::JsonKind::kInteger || id->negative || id->magnitude != id_) return {};
  const ops::JsonValue* result = parsed.root.Find("result");
  const bool closes = waits_ == Waits::kClosed;  // how that ends does not matter
  const auto fail = [this](std::string why) -> Step {
    answer_ = {false, std::move(why)};
    if (!target_.empty())
      return {Call(Waits::kClosed, "Target.closeTarget", Object("targetId", target_)), {}};
    waits_ = Waits::kNothing;
    return {"", answer_};
  };
  if (result == nullptr && !closes) {
    const ops::JsonValue* error = parsed.root.Find("error");
    const std::string* why = error == nullptr ? nullptr : TextAt(*error, "message");
    return fail(why == nullptr ? "an answer without a result" : ops::Printable(*why, 200));
  }
  switch (std::exchange(waits_, Waits::kNothing)) {
    case Waits::kNothing:
      return {};
    case Waits::kVersion:
      return {"", BrowserAnswered{}};
    case Waits::kTarget: {
      const std::string* target = TextAt(*result, "targetId");
      if (target == nullptr || target->size() > kIdBytesMax) return fail("no page was made");
      target_ = *target;
      return {Call(Waits::kSession, "Target.attachToTarget", Object("targetId", target_, "flatten")), {}};
    }
    case Waits::kSession: {
      const std::string* session = TextAt(*result, "sessionId");
      if (session == nullptr || session->size() > kIdBytesMax) return fail("its page takes no orders");
      session_ = *session;
      return {Call(Waits::kValue, "Runtime.evaluate", Object("expression", "1+1", "returnByValue"), true),
              {}};
    }
    case Waits::kValue: {
      const ops::JsonValue* inner = result->Find("result");
      const ops::JsonValue* value = inner == nullptr ? nullptr : inner->Find("value");
      if (value == nullptr || value->magnitude != 2) return fail("its page cannot evaluate 1+1");
      return {Call(Waits::kClosed, "Target.closeTarget", Object("targetId", target_)), {}};
    }
    case Waits::kClosed:
      return {"", answer_};
  }
  return {};
}

}  // namespace laneway::worker
