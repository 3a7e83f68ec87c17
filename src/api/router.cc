#include "api/router.h"

#include <ctime>
#include <set>

#include "ops/clock.h"
#include "ops/text.h"

namespace laneway::api {
namespace {

std::string HttpDate() {
  const auto now = static_cast<std::time_t>(ops::RealClock::Get().Wall().ms / 1000);
  std::tm utc{};
  gmtime_r(&now, &utc);
  char buffer[64];
  const size_t size = std::strftime(buffer, sizeof buffer, "%a, %d %b %Y %H:%M:%S GMT", &utc);
  return std::string(buffer, size);
}

}  // namespace

Router::Router(std::vector<Route> routes) {
  for (Route& route : routes) {
    PathPattern pattern(route.pattern);
    entries_.push_back({std::move(route), std::move(pattern)});
  }
}

Router::Entry* Router::Find(const Target& target, HttpRequest& request, HttpResponse& refusal) {
  std::set<std::string> methods;
  for (Entry& entry : entries_) {
    auto named = entry.pattern.Match(target);
    if (!named) continue;
    methods.insert(entry.route.method);
    if (entry.route.method != request.method) continue;
    request.path = std::move(*named);
    return &entry;
  }
  if (methods.empty()) {
    refusal = ProblemResponse(404, "there is nothing at " + ops::Printable(request.target, 200));
    return nullptr;
  }
  if (methods.count("GET") > 0) methods.insert("HEAD");
  std::string allow;
  for (const std::string& method : methods) allow += (allow.empty() ? "" : ", ") + method;
  refusal = ProblemResponse(405, request.method + " is not possible here; allowed: " + allow);
  refusal.headers.emplace_back("Allow", allow);
  return nullptr;
}

std::string HeadOf(const HttpResponse& response, bool keep_alive) {
  const bool empty = HasNoBody(response.status);
  std::string out = "HTTP/1.1 " + std::to_string(response.status) + " ";
  out.append(HttpStatusTitle(response.status)).append("\r\nDate: ").append(HttpDate()).append("\r\n");
  if (!empty) out += "Content-Type: " + response.content_type + "\r\n";
  if (!empty && !response.stream) out += "Content-Length: " + std::to_string(response.body.size()) + "\r\n";
  bool cache = false;
  for (const auto& [name, value] : response.headers) {
    out += name + ": " + ops::Printable(value, 8192) + "\r\n";
    cache = cache || name == "Cache-Control";
  }
  if (!cache) out += "Cache-Control: no-store\r\n";
  out += "X-Content-Type-Options: nosniff\r\n";
  return out + (keep_alive ? "Connection: keep-alive\r\n\r\n" : "Connection: close\r\n\r\n");
}

}  // namespace laneway::api
