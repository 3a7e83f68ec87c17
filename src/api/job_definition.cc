#include "api/job_definition.h"

#include <algorithm>
#include <array>
#include <set>

#include "ops/browser_loss.h"
#include "ops/strict_json.h"
#include "ops/text.h"
#include "ops/units.h"

namespace laneway::api {
namespace {

using ops::JsonKind;
using ops::JsonValue;
using ops::Printable;

constexpr size_t kErrorsMax = 100;
constexpr size_t kNameMax = 200;
constexpr size_t kTextMax = 4096;
constexpr size_t kWordsMax = 1000;
constexpr size_t kPayloadMax = 256 << 10;

class Reader {
 public:
  Reader(std::string_view text, const v1::JobConfig& defaults) : text_(text) {
    *out_.job.mutable_spec() = SpecFromConfig(defaults);
    out_.job.set_source(v1::API);
  }

  JobDefinitionResult Read() {
    const ops::ParsedJson parsed =
        ops::ParseStrictJson(text_, {.bytes_max = kJobBodyMax, .values_max = 500'000, .depth_max = 64});
    for (const ops::JsonProblem& problem : parsed.problems) {
      const ops::JsonPosition at = ops::PositionOf(text_, problem.offset);
      Error(problem.path, problem.what + " (line " + std::to_string(at.line) + ", column " +
                              std::to_string(at.column) + ")");
    }
    if (parsed.readable && parsed.root.kind != JsonKind::kObject)
      Error("", "found " + std::string(ops::JsonKindName(parsed.root.kind)) + "; allowed: an object");
    if (parsed.readable && parsed.root.kind == JsonKind::kObject) Fields(parsed.root);
    JobDefinitionResult result;
    result.errors = std::move(errors_);
    if (result.errors.empty()) result.definition = std::move(out_);
    return result;
  }

 private:
  void Error(const std::string& path, const std::string& what) {
    if (errors_.size() < kErrorsMax)
      errors_.push_back(path.empty() ? what : Printable(path, 200) + ": " + what);
  }

  std::string Found(const JsonValue& value) const {
    const std::string_view text = text_.substr(value.begin, value.end - value.begin);
    const bool plain = value.kind != JsonKind::kObject && value.kind != JsonKind::kArray;
    return "found " + (plain ? Printable(text, 100) : std::string(ops::JsonKindName(value.kind)));
  }
  void Refuse(const std::string& path, const JsonValue& value, std::string_view allowed) {
    Error(path, Found(value) + "; allowed: " + std::string(allowed));
  }

  void Fields(const JsonValue& root) {
    static const std::array<std::string, 17> kNames = {
        "name",     "idempotency_key", "data_sources", "exec",          "handler",        "phases",
        "priority", "not_before",      "labels",       "needs_browser", "resources",      "ordering_key",
        "timeout",  "max_attempts",    "payload",      "late_success",  "on_browser_loss"};
    for (const auto& member : root.members) {
      if (std::find(kNames.begin(), kNames.end(), member.key) == kNames.end()) {
        Error(member.key, "an unknown field" + ops::DidYouMean(member.key, kNames));
      }
    }
    Identity(root);
    WhatToRun(root);
    Limits(root);
    Placement(root);
    Tasks(root);
  }

  // A text of 1 to `max` bytes without control characters. Empty when it is missing or was refused.
  std::string Text(const JsonValue& root, const std::string& key, size_t max) {
    const JsonValue* value = root.Find(key);
    if (value == nullptr) return "";
    const bool plain = value->kind == JsonKind::kString && !value->text.empty() &&
                       value->text.size() <= max &&
                       std::none_of(value->text.begin(), value->text.end(),
                                    [](unsigned char c) { return c < 0x20 || c == 0x7F; });
    if (!plain)
      Refuse(key, *value, "a string of 1 to " + std::to_string(max) + " bytes without control characters");
    return plain ? value->text : "";
  }

  std::optional<int64_t> Whole(const JsonValue& root, const std::string& key, int64_t min, int64_t max) {
    const JsonValue* value = root.Find(key);
    if (value == nullptr) return std::nullopt;
    const bool small =
        value->kind == JsonKind::kInteger && value->magnitude <= static_cast<uint64_t>(INT32_MAX);
    const int64_t number = small ? (value->negative ? -1 : 1) * static_cast<int64_t>(value->magnitude) : 0;
    if (small && number >= min && number <= max) return number;
    Refuse(key, *value, "a whole number from " + std::to_string(min) + " to " + std::to_string(max));
    return std::nullopt;
  }

  // An array of texts; `each` is what one of them may be.
  std::vector<std::string> Words(const JsonValue& root, const std::string& key, size_t count_max,
                                 std::string_view allowed, bool (*each)(const std::string&)) {
    const JsonValue* value = root.Find(key);
    std::vector<std::string> words;
    if (value == nullptr) return words;
    if (value->kind != JsonKind::kArray || value->items.size() > count_max) {
      Refuse(key, *value, "an array of at most " + std::to_string(count_max) + ": " + std::string(allowed));
      return words;
    }
    for (size_t i = 0; i < value->items.size(); i++) {
      const JsonValue& item = value->items[i];
      if (item.kind == JsonKind::kString && each(item.text)) {
        words.push_back(item.text);
      } else {
        Refuse(key + "[" + std::to_string(i) + "]", item, allowed);
      }
    }
    return words;
  }

  static bool IsArgument(const std::string& text) {
    return text.size() <= kTextMax && text.find('\0') == std::string::npos;
  }
  static bool IsLabel(const std::string& text) {
    return !text.empty() && text.size() <= 64 && std::all_of(text.begin(), text.end(), [](unsigned char c) {
      return std::isalnum(c) || c == '.' || c == '_' || c == '-' || c == '=' || c == '/';
    });
  }

  void Identity(const JsonValue& root) {
    out_.job.set_name(Text(root, "name", kNameMax));
    out_.idempotency_key = Text(root, "idempotency_key", kNameMax);
    if (out_.job.name().empty())
      out_.job.set_name(out_.idempotency_key.empty() ? "job" : out_.idempotency_key);
    const JsonValue* not_before = root.Find("not_before");
    if (not_before == nullptr) return;
    const auto time = not_before->kind == JsonKind::kString ? ops::ParseTime(not_before->text) : std::nullopt;
    if (!time || time->ms < 0) return Refuse("not_before", *not_before, "a time as \"2026-11-21T06:15:00Z\"");
    out_.job.set_not_before_ms(time->ms);
  }

  void WhatToRun(const JsonValue& root) {
    v1::JobSpec& spec = *out_.job.mutable_spec();
    const JsonValue* exec = root.Find("exec");
    const JsonValue* handler = root.Find("handler");
    if (exec != nullptr && handler != nullptr)
      Error("handler", "given beside exec; allowed: exactly one of exec and handler");
    if (exec != nullptr) {
      const auto words =
          Words(root, "exec", kWordsMax, "an argument without NUL, at most 4096 bytes", IsArgument);
      if (exec->kind == JsonKind::kArray && (exec->items.empty() || (!words.empty() && words[0].empty())))
        Refuse("exec", *exec, "the program and its arguments");
      spec.clear_handler();
      spec.clear_exec();
      for (const std::string& word : words) spec.add_exec(word);
    }
    if (handler != nullptr) {
      static const std::array<std::string, 4> kHandlers = {"noop", "sleep", "fail", "copy"};
      const bool known = handler->kind == JsonKind::kString &&
                         std::find(kHandlers.begin(), kHandlers.end(), handler->text) != kHandlers.end();
      if (!known)
        Refuse("handler", *handler,
               "one of noop, sleep, fail, copy" + ops::DidYouMean(handler->text, kHandlers));
      spec.clear_exec();
      spec.set_handler(handler->text);
    }
    if (exec == nullptr && handler == nullptr && spec.exec().empty() && spec.handler().empty()) {
      Error("exec",
            "missing, and the configuration has no job.exec; allowed: the program and its arguments, or a "
            "handler");
    }
    if (const JsonValue* payload = root.Find("payload")) spec.set_payload(Payload("payload", *payload));
  }

  // A string as it is, anything else as its JSON.
  std::string Payload(const std::string& path, const JsonValue& value) {
    std::string payload = value.kind == JsonKind::kString
                              ? value.text
                              : std::string(text_.substr(value.begin, value.end - value.begin));
    if (payload.size() > kPayloadMax)
      Error(path, "larger than " + ops::FormatSize(kPayloadMax) + "; put it into a file and give its path");
    return payload;
  }

  void Limits(const JsonValue& root) {
    v1::JobSpec& spec = *out_.job.mutable_spec();
    if (const auto attempts = Whole(root, "max_attempts", 1, 1000))
      spec.set_max_attempts(static_cast<uint32_t>(*attempts));
    if (const auto priority = Whole(root, "priority", -1'000'000, 1'000'000))
      spec.set_priority(static_cast<int32_t>(*priority));
    if (const JsonValue* timeout = root.Find("timeout")) {
      const auto duration =
          timeout->kind == JsonKind::kString ? ops::ParseDuration(timeout->text) : std::nullopt;
      if (duration && *duration <= std::chrono::hours(720)) {
        spec.set_timeout_ms(static_cast<uint64_t>(duration->count()));
      } else {
        Refuse("timeout", *timeout, std::string(ops::kDurationForm) + ", from 0s (none) to 720h");
      }
    }
    if (const JsonValue* late = root.Find("late_success")) {
      const bool known =
          late->kind == JsonKind::kString && (late->text == "ACCEPT" || late->text == "REJECT");
      if (!known) Refuse("late_success", *late, "\"ACCEPT\" or \"REJECT\"");
      spec.set_late_success(late->text == "REJECT" ? v1::REJECT : v1::ACCEPT);
    }
  }

  void Placement(const JsonValue& root) {
    v1::JobSpec& spec = *out_.job.mutable_spec();
    constexpr std::string_view kLabel = "1 to 64 letters, digits, '.', '_', '-', '=' and '/'";
    for (const std::string& label : Words(root, "labels", 32, kLabel, IsLabel)) spec.add_labels(label);
    for (const std::string& resource : Words(root, "resources", 32, kLabel, IsLabel))
      spec.add_resources(resource);
    spec.set_ordering_key(Text(root, "ordering_key", kNameMax));
    const JsonValue* browser = root.Find("needs_browser");
    if (browser != nullptr && browser->kind != JsonKind::kBool)
      Refuse("needs_browser", *browser, "true or false");
    if (browser != nullptr) spec.set_needs_browser(browser->boolean);
    if (const JsonValue* loss = root.Find("on_browser_loss")) {
      const auto known = loss->kind == JsonKind::kString ? ops::OnBrowserLossOf(loss->text) : std::nullopt;
      if (!known) Refuse("on_browser_loss", *loss, ops::BrowserLossForm());
      spec.set_on_browser_loss(known.value_or(v1::RETRY_TASK));
    }
  }

  void Phases(const JsonValue& root) {
    const auto phases = Words(root, "phases", kPhasesMax,
                              "a name: 1 to 64 letters, digits, '.', '_', '-', '=' and '/'", IsLabel);
    std::set<std::string> seen;
    for (const std::string& phase : phases) {
      if (!seen.insert(phase).second)
        Error("phases", "\"" + phase + "\" appears twice; allowed: each name once");
      out_.job.add_phases(phase);
    }
    const JsonValue* value = root.Find("phases");
    if (value != nullptr && value->kind == JsonKind::kArray && value->items.empty())
      Refuse("phases", *value, "at least one name, or leave the field out");
  }

  // One data source: a text, or {"name": …, "payload": …}.
  void Source(size_t i, const JsonValue& value, std::vector<v1::TaskSpec>& out) {
    const std::string path = "data_sources[" + std::to_string(i) + "]";
    const JsonValue* name = value.kind == JsonKind::kObject ? value.Find("name") : &value;
    if (name == nullptr || name->kind != JsonKind::kString || name->text.empty() || !IsArgument(name->text)) {
      return Refuse(path, value, "a string of 1 to 4096 bytes, or an object with name and payload");
    }
    v1::TaskSpec& task = out.emplace_back();
    task.set_data_source(name->text);
    for (const auto& member : value.members) {
      if (member.key == "payload") task.set_payload(Payload(path + ".payload", member.value));
      if (member.key != "payload" && member.key != "name")
        Error(path + "." + member.key, "an unknown field; allowed: name, payload");
    }
  }

  void Tasks(const JsonValue& root) {
    Phases(root);
    std::vector<v1::TaskSpec> sources;
    if (const JsonValue* value = root.Find("data_sources")) {
      if (value->kind != JsonKind::kArray || value->items.empty())
        return Refuse("data_sources", *value, "an array of at least one data source, or leave the field out");
      if (value->items.size() > kTasksMax)
        return Error("data_sources",
                     "found " + std::to_string(value->items.size()) + "; allowed: at most 100000");
      for (size_t i = 0; i < value->items.size(); i++) Source(i, value->items[i], sources);
    } else {
      sources.emplace_back();
    }
    const size_t phases = std::max(1, out_.job.phases_size());
    const size_t tasks = phases * sources.size();
    if (tasks > kTasksMax)
      return Error("data_sources", std::to_string(sources.size()) + " data sources in " +
                                       std::to_string(phases) + " phases are " + std::to_string(tasks) +
                                       " tasks; allowed: at most 100000");
    if (!errors_.empty()) return;
    for (size_t phase = 0; phase < phases; phase++) {
      for (const v1::TaskSpec& source : sources) {
        v1::TaskSpec& task = *out_.job.add_tasks();
        task = source;
        task.set_phase(static_cast<uint32_t>(phase));
      }
    }
    out_.job.set_task_count(static_cast<uint32_t>(tasks));
  }

  const std::string_view text_;
  JobDefinition out_;
  std::vector<std::string> errors_;
};

}  // namespace

JobDefinitionResult ParseJobDefinition(std::string_view json, const v1::JobConfig& defaults) {
  return Reader(json, defaults).Read();
}

v1::JobSpec SpecFromConfig(const v1::JobConfig& config) {
  v1::JobSpec spec;
  for (const std::string& word : config.exec()) spec.add_exec(word);
  spec.set_handler(config.handler());
  spec.set_timeout_ms(config.timeout_ms());
  spec.set_max_attempts(config.max_attempts());
  spec.set_max_losses(config.max_losses());
  spec.set_needs_browser(config.needs_browser());
  spec.set_on_browser_loss(ops::OnBrowserLossOf(config.on_browser_loss()).value_or(v1::RETRY_TASK));
  spec.mutable_backoff()->set_initial_ms(static_cast<uint32_t>(config.backoff().initial_ms()));
  spec.mutable_backoff()->set_factor(config.backoff().factor());
  spec.mutable_backoff()->set_max_ms(static_cast<uint32_t>(config.backoff().max_ms()));
  return spec;
}

std::vector<v1::JobSubmitted> SplitSubmission(const v1::JobSubmitted& job, size_t bytes_max) {
  std::vector<v1::JobSubmitted> parts(1);
  v1::JobSubmitted head = job;
  head.clear_tasks();
  const uint32_t count = job.task_count() > 0 ? job.task_count() : static_cast<uint32_t>(job.tasks_size());
  head.set_task_count(count);
  parts[0] = head;
  size_t bytes = head.ByteSizeLong();
  for (const v1::TaskSpec& task : job.tasks()) {
    const size_t task_bytes = task.ByteSizeLong() + 8;
    if (bytes + task_bytes > bytes_max && parts.back().tasks_size() > 0) {
      v1::JobSubmitted& next = parts.emplace_back();
      next.set_source(job.source());
      next.set_task_count(count);
      bytes = 16;
    }
    *parts.back().add_tasks() = task;
    bytes += task_bytes;
  }
  for (size_t i = 0; i < parts.size(); i++) {
    parts[i].set_part(static_cast<uint32_t>(i));
    parts[i].set_parts(static_cast<uint32_t>(parts.size()));
  }
  return parts;
}

}  // namespace laneway::api
