#include "cli/output.h"

#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <set>

#include "ops/json_writer.h"
#include "ops/text.h"

namespace laneway::cli {
namespace {

using ops::JsonKind;
using ops::JsonValue;

constexpr size_t kCellMax = 80;

std::string NumberText(const JsonValue& value) {
  if (value.kind == JsonKind::kNumber) return value.text;
  return (value.negative ? "-" : "") + std::to_string(value.magnitude);
}

void Write(ops::JsonWriter& out, const JsonValue& value) {
  switch (value.kind) {
    case JsonKind::kNull:
      out.Null();
      break;
    case JsonKind::kBool:
      out.Value(value.boolean);
      break;
    case JsonKind::kInteger:
    case JsonKind::kNumber:
      out.Raw(NumberText(value));
      break;
    case JsonKind::kString:
      out.Value(value.text);
      break;
    case JsonKind::kArray:
      out.BeginArray();
      for (const JsonValue& item : value.items) Write(out, item);
      out.EndArray();
      break;
    case JsonKind::kObject:
      out.BeginObject();
      for (const auto& member : value.members) {
        out.Key(member.key);
        Write(out, member.value);
      }
      out.EndObject();
      break;
  }
}

std::string_view ColourOf(std::string_view cell) {
  static const std::set<std::string_view> kGood = {"SUCCEEDED", "UP", "ok", "true"};
  static const std::set<std::string_view> kBad = {"FAILED", "DEAD", "LOST", "failed"};
  static const std::set<std::string_view> kBusy = {"RUNNING",  "ASSIGNED", "PENDING",
                                                   "DRAINING", "PAUSED",   "CANCELLED"};
  if (kGood.count(cell) > 0) return "\x1b[32m";
  if (kBad.count(cell) > 0) return "\x1b[31m";
  if (kBusy.count(cell) > 0) return "\x1b[33m";
  return "";
}

using Row = std::vector<std::string>;

std::string RenderTable(const std::vector<Row>& rows, const OutputOptions& options) {
  std::vector<size_t> widths(rows.empty() ? 0 : rows[0].size());
  for (const Row& row : rows) {
    for (size_t i = 0; i < row.size(); i++) widths[i] = std::max(widths[i], DisplayWidth(row[i]));
  }
  std::string out;
  for (size_t r = 0; r < rows.size(); r++) {
    for (size_t i = 0; i < rows[r].size(); i++) {
      const std::string& cell = rows[r][i];
      const bool last = i + 1 == rows[r].size();
      const std::string_view colour = !options.colour ? "" : r == 0 ? "\x1b[1m" : ColourOf(cell);
      out.append(colour).append(cell).append(colour.empty() ? "" : "\x1b[0m");
      if (!last && options.terminal) out.append(widths[i] - DisplayWidth(cell) + 2, ' ');
      if (!last && !options.terminal) out.push_back('\t');
    }
    out.push_back('\n');
  }
  return out;
}

}  // namespace

bool StdoutIsTerminal() { return isatty(STDOUT_FILENO) == 1; }
bool StderrIsTerminal() { return isatty(STDERR_FILENO) == 1; }

bool ColourWanted(bool terminal) {
  const char* no_colour = std::getenv("NO_COLOR");
  const char* term = std::getenv("TERM");
  return terminal && (no_colour == nullptr || *no_colour == '\0') &&
         !(term != nullptr && std::string_view(term) == "dumb");
}

size_t DisplayWidth(std::string_view text) {
  return static_cast<size_t>(std::count_if(
      text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
}

const JsonValue* At(const JsonValue& value, std::string_view path) {
  const JsonValue* at = &value;
  while (at != nullptr && !path.empty()) {
    const size_t dot = std::min(path.find('.'), path.size());
    at = at->Find(path.substr(0, dot));
    path.remove_prefix(std::min(dot + 1, path.size()));
  }
  return at;
}

std::string CellText(const JsonValue* value) {
  if (value == nullptr) return "-";
  switch (value->kind) {
    case JsonKind::kNull:
      return "-";
    case JsonKind::kBool:
      return value->boolean ? "true" : "false";
    case JsonKind::kInteger:
    case JsonKind::kNumber:
      return NumberText(*value);
    case JsonKind::kString:
      return value->text.empty() ? "-" : ops::Printable(value->text, kCellMax);
    case JsonKind::kArray: {
      std::string out;
      for (const JsonValue& item : value->items) out += (out.empty() ? "" : ",") + CellText(&item);
      return out.empty() ? "-" : out.size() > kCellMax ? std::to_string(value->items.size()) + " items" : out;
    }
    case JsonKind::kObject:
      return ops::Printable(ToJson(*value, 0), kCellMax);
  }
  return "-";
}

std::string ToJson(const JsonValue& value, size_t indent) {
  ops::JsonWriter out(indent);
  Write(out, value);
  return out.Take();
}

std::string Render(const JsonValue& answer, const Shape& shape, const OutputOptions& options) {
  if (options.format == "json") return ToJson(answer, 2) + "\n";
  std::vector<const JsonValue*> items;
  const JsonValue* list = shape.list.empty() ? nullptr : At(answer, shape.list);
  if (list != nullptr) {
    for (const JsonValue& item : list->items) items.push_back(&item);
  } else if (shape.list.empty()) {
    items.push_back(&answer);
  }
  std::string out;
  if (options.format == "jsonl") {
    for (const JsonValue* item : items) out += ToJson(*item, 0) + "\n";
    return out;
  }
  if (options.format == "name") {
    for (const JsonValue* item : items) out += CellText(At(*item, shape.name)) + "\n";
    return out;
  }
  std::vector<Row> rows(1);
  for (const Column& column : shape.columns) {
    if (!column.wide || options.format == "wide") rows[0].push_back(column.header);
  }
  for (const JsonValue* item : items) {
    Row& row = rows.emplace_back();
    for (const Column& column : shape.columns) {
      if (!column.wide || options.format == "wide") row.push_back(CellText(At(*item, column.path)));
    }
  }
  return RenderTable(rows, options);
}

}  // namespace laneway::cli
