// router.h: which route a request is for, and the head of its answer. Internal to api; knows no sockets.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "api/http.h"

namespace laneway::api {

class Router {
 public:
  struct Entry {
    Route route;
    PathPattern pattern;
  };

  explicit Router(std::vector<Route> routes);

  // Fills in request.path and gives the route's entry; or nothing, and `refusal` (404, or 405 with Allow).
  Entry* Find(const Target& target, HttpRequest& request, HttpResponse& refusal);
  // The handlers' captures end here.
  void Clear() { entries_.clear(); }

 private:
  std::vector<Entry> entries_;
};

// The status line and all header fields, up to and with the empty line.
std::string HeadOf(const HttpResponse& response, bool keep_alive);
// An answer of this status has no body and no length.
inline bool HasNoBody(int status) { return status == 204 || status == 304; }

}  // namespace laneway::api
