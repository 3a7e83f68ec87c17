// http_server.h: HTTP/1.1 on one thread: limits first, then who may ask, then the route's handler.
//
// Role:       shell around Boost.Beast (one translation unit).
// Input:      sockets.
// Output:     each request answered once, in order. Bounds:     connections in all and from one address,
//             bytes and number of header fields, bytes of a body (by route), time for the header (absolute,
//             so that a drop at a time does not help), for the body (by its length), for the handler, and of
//             idleness.
// Promises:   (1) a request whose length is ambiguous is refused; (2) nothing changes on a GET or HEAD, and a
//             request that changes something needs a JSON content type and comes from no other site (Host and
//             Origin are checked); (3) a token is compared in constant time; (4) errors are RFC 9457 problem
//             documents.
// Threads:    its own for sockets and handlers; Start, Stop and Reply: any.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "api/http.h"
#include "ops/secret.h"
#include "ops/units.h"

namespace laneway::api {

struct HttpServerOptions {
  std::string name = "laneway";  // of the thread, and in messages: "api", "metrics"
  ops::ListenAddress listen;
  ops::Secret<std::string> token;          // empty: none is asked for
  std::vector<std::string> allowed_hosts;  // names beside localhost, addresses and this machine's own name
  size_t connections_max = 2048;
  size_t connections_per_address_max = 1024;
  size_t header_bytes_max = 16 << 10;
  size_t header_fields_max = 100;
  std::chrono::milliseconds header_time{5'000};
  std::chrono::milliseconds idle_time{60'000};
  std::chrono::milliseconds handler_time{75'000};
};

struct HttpServerCounts {
  uint64_t connections = 0;  // open now
  uint64_t accepted = 0;
  uint64_t requests = 0;
  uint64_t refused = 0;  // answered 4xx by the server itself, or cut off
};

class HttpServer {
 public:
  // Binds and begins to serve. The address is taken: ALREADY_EXISTS, naming it and what to do.
  static absl::StatusOr<std::unique_ptr<HttpServer>> Start(HttpServerOptions options,
                                                           std::vector<Route> routes);
  virtual ~HttpServer() = default;  // Stop with no grace

  virtual ops::ListenAddress address() const = 0;  // with the real port when 0 was asked for
  // Accepts nothing more, lets what runs end within `grace`, closes everything. Waits for it.
  virtual void Stop(std::chrono::milliseconds grace) = 0;
  virtual HttpServerCounts Counts() const = 0;
};

}  // namespace laneway::api
