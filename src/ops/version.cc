#include "ops/version.h"

#include "laneway_commit.h"

namespace laneway::ops {

std::string_view Version() { return LANEWAY_VERSION; }
std::string_view Commit() { return LANEWAY_COMMIT; }
std::string_view BuildType() { return LANEWAY_BUILD_TYPE; }

}  // namespace laneway::ops
