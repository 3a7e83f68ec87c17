// output.h: results on stdout: tables for people, JSON for programs, names for scripts.
//
// Role:       every read command hands its JSON in and says which columns a person wants.
// Promises:   colour and alignment only on a terminal and without NO_COLOR; JSON keys are those of the API;
//             no control character of a name reaches the terminal.
// Threads:    one.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "ops/strict_json.h"

namespace laneway::cli {

bool StdoutIsTerminal();
bool StderrIsTerminal();
bool ColourWanted(bool terminal);  // not with NO_COLOR or TERM=dumb

struct Column {
  std::string header;
  std::string path;   // "tasks.running"
  bool wide = false;  // only in -o wide
};

struct Shape {
  std::string list;  // key of the array: "jobs"; empty: the value itself is the one item
  std::string name;  // key printed by -o name: "job_id"
  std::vector<Column> columns;
};

struct OutputOptions {
  std::string format = "table";  // table, wide, json, jsonl, name
  bool terminal = false;         // aligned and coloured
  bool colour = false;
};

// The text of a value for a table's cell: "-" when it is missing, comma-separated for arrays.
std::string CellText(const ops::JsonValue* value);
// "a.b" from the value's members; nothing when one is missing.
const ops::JsonValue* At(const ops::JsonValue& value, std::string_view path);
// The value as JSON again, the keys in their order.
std::string ToJson(const ops::JsonValue& value, size_t indent);

std::string Render(const ops::JsonValue& answer, const Shape& shape, const OutputOptions& options);

// Width of the text in a terminal's cells, roughly: code points.
size_t DisplayWidth(std::string_view text);

}  // namespace laneway::cli
