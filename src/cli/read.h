// read.h: what all commands that read have in common: --api, -o, --limit, --watch, pages, the exit code.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "cli/api_client.h"
#include "cli/command.h"
#include "cli/output.h"

namespace laneway::cli {

struct ReadOptions {
  std::string api;
  std::string format = "table";
  uint32_t limit = 100;
  bool watch = false;
};

void AddReadOptions(Command& command, ReadOptions& options);
// --api alone, for commands that act.
void AddApiOption(Command& command, ReadOptions& options);

// Asks, renders, prints; again every two seconds with --watch. `target` may hold a query.
int Read(const ReadOptions& options, const std::string& target, const Shape& shape);
// A list over all its pages, up to the limit (0: all).
ApiAnswer GetList(ApiClient& client, const ReadOptions& options, const std::string& target,
                  const Shape& shape);
// Prints what went wrong; gives its exit code.
int Report(const ApiAnswer& answer);
void Print(const ops::JsonValue& value, const Shape& shape, const ReadOptions& options);
// "a=b" with '?' or '&' before it.
void AddQuery(std::string& target, const std::string& name, const std::string& value);

// Waits without using the processor; a signal ends the process as usual.
void Pause(int milliseconds);

}  // namespace laneway::cli
