#include "api/http_guard.h"

#include <arpa/inet.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>

#include "ops/text.h"

namespace laneway::api {
namespace {

std::string Lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return out;
}

bool IsAddress(const std::string& host) {
  in_addr four{};
  in6_addr six{};
  return inet_pton(AF_INET, host.c_str(), &four) == 1 || inet_pton(AF_INET6, host.c_str(), &six) == 1;
}

const std::string* Find(const NamedValues& headers, std::string_view name) {
  for (const auto& [key, value] : headers) {
    if (key == name) return &value;
  }
  return nullptr;
}

}  // namespace

std::string HostOf(std::string_view host_header) {
  std::string_view host = host_header;
  if (!host.empty() && host[0] == '[') {
    const size_t end = host.find(']');
    return end == std::string_view::npos ? "" : Lower(host.substr(1, end - 1));
  }
  host = host.substr(0, host.find(':'));
  const bool fine = std::all_of(host.begin(), host.end(), [](unsigned char c) {
    return std::isalnum(c) || c == '.' || c == '-' || c == '_';
  });
  return fine ? Lower(host) : "";
}

HttpGuard::HttpGuard(ops::Secret<std::string> token, std::vector<std::string> allowed_hosts)
    : token_(std::move(token)) {
  hosts_.emplace_back("localhost");
  for (const std::string& host : allowed_hosts) hosts_.push_back(Lower(host));
  char name[256] = {};
  if (gethostname(name, sizeof name - 1) == 0) hosts_.push_back(Lower(name));
}

// A page of another site reaches us only under a name of its own (DNS rebinding): addresses are safe, names
// must be known.
bool HttpGuard::HostAllowed(const std::string& host) const {
  return IsAddress(host) || std::find(hosts_.begin(), hosts_.end(), host) != hosts_.end();
}

std::optional<HttpResponse> HttpGuard::CrossSiteRefusal(const NamedValues& headers,
                                                        const std::string& host_header) const {
  const std::string* site = Find(headers, "sec-fetch-site");
  if (site != nullptr && *site != "same-origin" && *site != "none")
    return ProblemResponse(403, "requests of other sites are not accepted");
  const std::string* origin = Find(headers, "origin");
  if (origin != nullptr) {
    const size_t scheme = origin->find("://");
    const std::string host = scheme == std::string::npos ? "" : Lower(origin->substr(scheme + 3));
    if (host != Lower(host_header))
      return ProblemResponse(403, "the origin " + ops::Printable(*origin, 200) +
                                      " is another site: requests of other sites are not accepted");
  }
  const std::string* type = Find(headers, "content-type");
  const std::string media = type == nullptr ? "" : Lower(std::string_view(*type).substr(0, type->find(';')));
  const size_t end = media.find_last_not_of(" \t");
  if (media.substr(0, end == std::string::npos ? 0 : end + 1) != "application/json")
    return ProblemResponse(415, "a request that changes something needs Content-Type: application/json");
  return std::nullopt;
}

std::optional<HttpResponse> HttpGuard::TokenRefusal(const NamedValues& headers) const {
  const std::string* given = Find(headers, "authorization");
  static constexpr std::string_view kBearer = "bearer ";
  const bool bearer = given != nullptr && given->size() > kBearer.size() &&
                      Lower(given->substr(0, kBearer.size())) == kBearer;
  if (bearer && ops::EqualInConstantTime(token_.Reveal(), std::string_view(*given).substr(kBearer.size())))
    return std::nullopt;
  HttpResponse refusal = ProblemResponse(
      401, given == nullptr ? "a token is needed: Authorization: Bearer TOKEN" : "the token is not valid");
  refusal.headers.emplace_back("WWW-Authenticate", "Bearer realm=\"laneway\"");
  return refusal;
}

std::optional<HttpResponse> HttpGuard::Refusal(const NamedValues& headers, bool changes, bool open) const {
  const auto is_host = [](const auto& header) { return header.first == "host"; };
  if (std::count_if(headers.begin(), headers.end(), is_host) != 1)
    return ProblemResponse(400, "exactly one Host header is needed");
  const std::string& host_header = *Find(headers, "host");
  if (!HostAllowed(HostOf(host_header))) {
    return ProblemResponse(403, "the host " + ops::Printable(host_header, 200) +
                                    " is not served here: use localhost or an address");
  }
  if (!open && !token_.empty()) {
    if (auto refusal = TokenRefusal(headers)) return refusal;
  }
  return changes ? CrossSiteRefusal(headers, host_header) : std::nullopt;
}

}  // namespace laneway::api
