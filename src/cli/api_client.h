// api_client.h: asks the fleet's API, and turns what goes wrong into a message and an exit code.
//
// Role:       shell around libcurl. Bounds:     5 s to connect, 75 s in all, 64 MiB of an answer; HTTP only,
//             no redirects, no proxy for loopback addresses.
// Threads:    one.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "ops/secret.h"
#include "ops/strict_json.h"

namespace laneway::cli {

struct ApiAnswer {
  int exit_code = 0;  // kDone: `value` is the answer
  int status = 0;     // of HTTP; 0: unreachable
  std::string error;  // what to tell the user; empty when done
  ops::JsonValue value;
};

class ApiClient {
 public:
  // `url` as "http://127.0.0.1:3000"; the token is sent when there is one.
  ApiClient(std::string url, ops::Secret<std::string> token);
  ~ApiClient();
  ApiClient(const ApiClient&) = delete;
  ApiClient& operator=(const ApiClient&) = delete;

  ApiAnswer Get(const std::string& target);
  ApiAnswer Post(const std::string& target, const std::string& json);
  const std::string& url() const { return url_; }

 private:
  ApiAnswer Ask(const std::string& target, const std::string* body);

  std::string url_;
  const ops::Secret<std::string> token_;
  struct Curl;
  std::unique_ptr<Curl> curl_;
};

// --api, else LANEWAY_API, else http://127.0.0.1:3000; the token from LANEWAY_TOKEN.
std::unique_ptr<ApiClient> MakeApiClient(const std::string& api_option);

}  // namespace laneway::cli
