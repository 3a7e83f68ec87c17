// version.h: which build this is.
#pragma once

#include <string_view>

namespace laneway::ops {

std::string_view Version();  // "0.1.0"
std::string_view Commit();   // "27a3f6c", "27a3f6c-changed", or "unknown"
std::string_view BuildType();

}  // namespace laneway::ops
