// http_guard.h: who may ask: token, Host and Origin. Pure; used by the HTTP server before any handler.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "api/http.h"
#include "ops/secret.h"

namespace laneway::api {

// "example.org:80" → "example.org", "[::1]:3000" → "::1". Lower case. Empty when it is not a host.
std::string HostOf(std::string_view host_header);

class HttpGuard {
 public:
  HttpGuard(ops::Secret<std::string> token, std::vector<std::string> allowed_hosts);

  // The refusal, or nothing. `changes`: the method is not GET or HEAD. `open`: the route needs no token.
  std::optional<HttpResponse> Refusal(const NamedValues& headers, bool changes, bool open) const;

 private:
  bool HostAllowed(const std::string& host) const;
  std::optional<HttpResponse> CrossSiteRefusal(const NamedValues& headers,
                                               const std::string& host_header) const;
  std::optional<HttpResponse> TokenRefusal(const NamedValues& headers) const;

  const ops::Secret<std::string> token_;
  std::vector<std::string> hosts_;
};

}  // namespace laneway::api
