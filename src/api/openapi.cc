#include "api/fleet_api.h"
#include "laneway_openapi.h"  // made of openapi.json at build

namespace laneway::api {

std::string_view OpenApiDocument() { return kOpenApiDocument; }

}  // namespace laneway::api
