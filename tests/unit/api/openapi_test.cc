#include <gtest/gtest.h>

#include <set>

#include "absl/strings/ascii.h"
#include "api/fleet_api.h"
#include "ops/strict_json.h"

namespace laneway::api {
namespace {

// Every route is described, and nothing else.
TEST(OpenApiTest, DescribesExactlyTheRoutes) {
  const ops::ParsedJson document = ops::ParseStrictJson(OpenApiDocument());
  ASSERT_TRUE(document.readable && document.problems.empty());
  std::set<std::string> described;
  for (const auto& [path, at, methods] : document.root.Find("paths")->members) {
    for (const auto& [method, begin, operation] : methods.members) {
      described.insert(absl::AsciiStrToUpper(method) + " " + path);
      EXPECT_NE(operation.Find("summary"), nullptr) << path;
      EXPECT_NE(operation.Find("responses"), nullptr) << path;
    }
  }
  ops::Loop loop("fold");
  loop.Start();
  FleetApi api({.loop = &loop, .clock = &ops::RealClock::Get()}, {}, {});
  std::set<std::string> served;
  for (const Route& route : api.Routes()) served.insert(route.method + " " + route.pattern);
  EXPECT_EQ(described, served);
}

}  // namespace
}  // namespace laneway::api
