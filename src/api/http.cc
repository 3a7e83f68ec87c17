#include "api/http.h"

#include <map>

#include "ops/json_writer.h"

namespace laneway::api {
namespace {

const std::string& Find(const NamedValues& values, std::string_view name) {
  static const std::string none;
  for (const auto& [key, value] : values) {
    if (key == name) return value;
  }
  return none;
}

int HttpStatusOf(absl::StatusCode code) {
  static const std::map<absl::StatusCode, int> statuses = {
      {absl::StatusCode::kOk, 200},
      {absl::StatusCode::kInvalidArgument, 400},
      {absl::StatusCode::kOutOfRange, 400},
      {absl::StatusCode::kUnauthenticated, 401},
      {absl::StatusCode::kPermissionDenied, 403},
      {absl::StatusCode::kNotFound, 404},
      {absl::StatusCode::kAlreadyExists, 409},
      {absl::StatusCode::kAborted, 409},
      {absl::StatusCode::kFailedPrecondition, 409},
      {absl::StatusCode::kResourceExhausted, 429},
      {absl::StatusCode::kUnimplemented, 501},
      {absl::StatusCode::kUnavailable, 503},
      {absl::StatusCode::kDeadlineExceeded, 503},
  };
  const auto at = statuses.find(code);
  return at == statuses.end() ? 500 : at->second;
}

}  // namespace

const std::string& HttpRequest::Path(std::string_view name) const { return Find(path, name); }
const std::string& HttpRequest::Query(std::string_view name) const { return Find(query, name); }
const std::string& HttpRequest::Header(std::string_view name) const { return Find(headers, name); }

std::string_view HttpStatusTitle(int status) {
  switch (status) {
    case 200:
      return "OK";
    case 202:
      return "Accepted";
    case 204:
      return "No Content";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 408:
      return "Request Timeout";
    case 409:
      return "Conflict";
    case 411:
      return "Length Required";
    case 413:
      return "Content Too Large";
    case 415:
      return "Unsupported Media Type";
    case 429:
      return "Too Many Requests";
    case 431:
      return "Request Header Fields Too Large";
    case 500:
      return "Internal Server Error";
    case 501:
      return "Not Implemented";
    case 503:
      return "Service Unavailable";
    case 504:
      return "Gateway Timeout";
    default:
      return "Error";
  }
}

HttpResponse JsonResponse(std::string body, int status) {
  HttpResponse response;
  response.status = status;
  response.body = std::move(body);
  return response;
}

HttpResponse ProblemResponse(int status, std::string_view detail, const std::vector<std::string>& errors) {
  ops::JsonWriter out;
  out.BeginObject()
      .Field("type", "about:blank")
      .Field("title", HttpStatusTitle(status))
      .Field("status", status)
      .Field("detail", detail);
  if (!errors.empty()) {
    out.Key("errors").BeginArray();
    for (const std::string& error : errors) out.Value(error);
    out.EndArray();
  }
  HttpResponse response;
  response.status = status;
  response.content_type = "application/problem+json";
  response.body = out.EndObject().Take() + "\n";
  if (status == 429 || status == 503) response.headers.emplace_back("Retry-After", "1");
  return response;
}

HttpResponse ProblemResponse(const absl::Status& status) {
  const auto message = status.message();
  return ProblemResponse(HttpStatusOf(status.code()), std::string_view(message.data(), message.size()));
}

Reply::~Reply() {
  if (send_) (*this)(ProblemResponse(500, "the request was dropped"));
}

void Reply::operator()(HttpResponse response) {
  if (Send send = std::exchange(send_, nullptr)) send(std::move(response));
}

}  // namespace laneway::api
