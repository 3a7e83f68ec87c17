#include "cli/read.h"

#include <poll.h>

#include <iostream>

#include "api/target.h"
#include "cli/exit_codes.h"

namespace laneway::cli {
namespace {

constexpr int kWatchPauseMs = 2'000;
constexpr uint32_t kPageMax = 1'000;

}  // namespace

void AddApiOption(Command& command, ReadOptions& options) {
  command.Option("--api", options.api,
                 "Address of the fleet's API (else LANEWAY_API, else http://127.0.0.1:3000)");
}

void AddReadOptions(Command& command, ReadOptions& options) {
  AddApiOption(command, options);
  command.Choice("-o,--output", options.format, {"table", "wide", "json", "jsonl", "name"}, "How to print");
  command.Option("--limit", options.limit, "At most so many; 0: all");
  command.Flag("--watch", options.watch, "Print again every two seconds");
}

void Pause(int milliseconds) { poll(nullptr, 0, milliseconds); }

void AddQuery(std::string& target, const std::string& name, const std::string& value) {
  if (value.empty()) return;
  target += (target.find('?') == std::string::npos ? "?" : "&") + name + "=" + api::PercentEncode(value);
}

int Report(const ApiAnswer& answer) {
  Complain(answer.error);
  return answer.exit_code;
}

void Print(const ops::JsonValue& value, const Shape& shape, const ReadOptions& options) {
  const bool terminal = StdoutIsTerminal();
  std::cout << Render(value, shape, {options.format, terminal, ColourWanted(terminal)}) << std::flush;
}

ApiAnswer GetList(ApiClient& client, const ReadOptions& options, const std::string& target,
                  const Shape& shape) {
  ApiAnswer whole;
  std::string cursor;
  size_t count = 0;
  do {
    std::string page_target = target;
    const size_t left = options.limit == 0 ? kPageMax : options.limit - count;
    AddQuery(page_target, "limit", std::to_string(std::min<size_t>(left, kPageMax)));
    AddQuery(page_target, "cursor", cursor);
    ApiAnswer page = client.Get(page_target);
    if (page.exit_code != kDone) return page;
    const ops::JsonValue* next = page.value.Find("next_cursor");
    const std::string next_cursor = next != nullptr && next->kind == ops::JsonKind::kString ? next->text : "";
    if (next_cursor == cursor && !cursor.empty()) return page;  // a server that goes in circles
    cursor = next_cursor;
    const ops::JsonValue* items = page.value.Find(shape.list);
    const size_t got = items == nullptr ? 0 : items->items.size();
    count += got;
    if (whole.value.kind != ops::JsonKind::kObject) {
      whole = std::move(page);
    } else if (items != nullptr) {
      for (auto& member : whole.value.members) {
        if (member.key == shape.list)
          member.value.items.insert(member.value.items.end(), items->items.begin(), items->items.end());
        if (member.key == "next_cursor" && next != nullptr) member.value = *next;
      }
    }
  } while (!cursor.empty() && (options.limit == 0 || count < options.limit));
  return whole;
}

int Read(const ReadOptions& options, const std::string& target, const Shape& shape) {
  const auto client = MakeApiClient(options.api);
  while (true) {
    const ApiAnswer answer =
        shape.list.empty() ? client->Get(target) : GetList(*client, options, target, shape);
    if (answer.exit_code != kDone) return Report(answer);
    if (options.watch && StdoutIsTerminal()) std::cout << "\x1b[H\x1b[2J";
    Print(answer.value, shape, options);
    if (!options.watch) return kDone;
    Pause(kWatchPauseMs);
  }
}

}  // namespace laneway::cli
