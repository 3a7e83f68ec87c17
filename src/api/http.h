// http.h: a request as a handler sees it, and its answer.
//
// Role:       vocabulary between the HTTP server and the routes.
// Threads:    values; Reply and EventStream may be used from any thread.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "api/target.h"

namespace laneway::api {

// What a browser or `curl -N` keeps open. Made by a handler, written to for as long as the client stays.
class EventStream {
 public:
  virtual ~EventStream() = default;
  // False when the client has gone, or is so slow that more than the stream's bound waits: it was closed
  // then, and may come back with Last-Event-ID.
  virtual bool Write(std::string text) = 0;
  virtual void Close() = 0;
};
// `waiting_max`: bytes that may wait for a slow client. A comment line goes out after 15 s of silence, so
// that proxies keep it open.
std::shared_ptr<EventStream> MakeEventStream(size_t waiting_max = 1 << 20);

struct HttpRequest {
  std::string method;  // a HEAD is shown as GET
  std::string target;  // as it came
  NamedValues path;    // the pattern's named segments
  NamedValues query;
  NamedValues headers;  // names in lower case
  std::string body;
  std::string peer;  // address of the client

  // Empty when there is none; of several the first.
  const std::string& Path(std::string_view name) const;
  const std::string& Query(std::string_view name) const;
  const std::string& Header(std::string_view name) const;
};

struct HttpResponse {
  int status = 200;
  std::string content_type = "application/json";
  std::string body;
  std::vector<std::pair<std::string, std::string>> headers;
  std::shared_ptr<EventStream> stream;  // instead of a body: stays open
};

HttpResponse JsonResponse(std::string body, int status = 200);
// RFC 9457. `errors`: each one line; shown as a list.
HttpResponse ProblemResponse(int status, std::string_view detail,
                             const std::vector<std::string>& errors = {});
// By the status codes' reactions: INVALID_ARGUMENT 400, NOT_FOUND 404, ALREADY_EXISTS and ABORTED 409,
// FAILED_PRECONDITION 409, RESOURCE_EXHAUSTED 429, UNAVAILABLE and DEADLINE_EXCEEDED 503, others 500.
HttpResponse ProblemResponse(const absl::Status& status);
std::string_view HttpStatusTitle(int status);

// Answers one request, once; a Reply that is dropped answers 500, so that no client waits for ever.
class Reply {
 public:
  using Send = absl::AnyInvocable<void(HttpResponse)>;
  explicit Reply(Send send) : send_(std::move(send)) {}
  Reply(Reply&& other) noexcept : send_(std::exchange(other.send_, nullptr)) {}
  Reply& operator=(Reply&&) = delete;
  ~Reply();
  void operator()(HttpResponse response);

 private:
  Send send_;
};

using Handler = absl::AnyInvocable<void(const HttpRequest& request, Reply reply)>;

struct Route {
  std::string method;   // GET, POST, …; GET answers HEAD as well
  std::string pattern;  // "/api/v1/jobs/{id}"
  Handler handler;      // on the server's thread: it must be short, and may reply later
  bool open = false;    // needs no token
  size_t body_max = 1 << 20;
};

}  // namespace laneway::api
