// json.h: a report as JSON, for programs. Keys are stable; what is not known is null; times are RFC 3339.
//
// Role:       pure core.
// Threads:    functions.
#pragma once

#include <string>

#include "report/compose.h"

namespace laneway::report {

std::string ToJson(const Subject& subject);

}  // namespace laneway::report
