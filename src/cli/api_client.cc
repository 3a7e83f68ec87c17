#include "cli/api_client.h"

#include <curl/curl.h>

#include <cstdlib>

#include "cli/exit_codes.h"
#include "ops/text.h"

namespace laneway::cli {
namespace {

constexpr size_t kAnswerMax = 64 << 20;

size_t Receive(char* data, size_t size, size_t count, void* to) {
  auto& body = *static_cast<std::string*>(to);
  if (body.size() + size * count > kAnswerMax) return 0;
  body.append(data, size * count);
  return size * count;
}

int ExitCodeOf(long status) {
  if (status >= 200 && status < 300) return kDone;
  if (status == 400 || status == 413 || status == 415) return kUsage;
  if (status == 404) return kNotFound;
  if (status == 401 || status == 403 || status == 409 || status == 429) return kRefused;
  return kFailed;
}

// A problem document's detail and errors, or what there is.
std::string Explain(long status, const ops::ParsedJson& parsed, const std::string& body) {
  std::string text = "the API answered " + std::to_string(status);
  const ops::JsonValue* detail = parsed.readable ? parsed.root.Find("detail") : nullptr;
  if (detail != nullptr) {
    text = ops::Printable(detail->text);
  } else if (!body.empty()) {
    text += ": " + ops::Printable(body, 200);
  }
  if (const ops::JsonValue* errors = parsed.readable ? parsed.root.Find("errors") : nullptr) {
    for (const ops::JsonValue& error : errors->items) text += "\n  " + ops::Printable(error.text);
  }
  if (status == 401) text += "\n  set the fleet's token in the variable LANEWAY_TOKEN";
  return text;
}

}  // namespace

struct ApiClient::Curl {
  CURL* handle = curl_easy_init();
  ~Curl() { curl_easy_cleanup(handle); }
};

ApiClient::ApiClient(std::string url, ops::Secret<std::string> token)
    : url_(std::move(url)), token_(std::move(token)), curl_(std::make_unique<Curl>()) {
  if (url_.find("://") == std::string::npos) url_ = "http://" + url_;
  while (!url_.empty() && url_.back() == '/') url_.pop_back();
}
ApiClient::~ApiClient() = default;

ApiAnswer ApiClient::Get(const std::string& target) { return Ask(target, nullptr); }
ApiAnswer ApiClient::Post(const std::string& target, const std::string& json) { return Ask(target, &json); }

ApiAnswer ApiClient::Ask(const std::string& target, const std::string* body) {
  ApiAnswer answer;
  CURL* curl = curl_->handle;
  if (curl == nullptr) return {kFailed, 0, "libcurl cannot be used", {}};
  std::string received;
  char why[CURL_ERROR_SIZE] = {};
  curl_easy_reset(curl);  // keeps the connection
  curl_slist* headers = curl_slist_append(nullptr, "Accept: application/json");
  if (!token_.empty())
    headers = curl_slist_append(headers, ("Authorization: Bearer " + token_.Reveal()).c_str());
  if (body != nullptr) {
    headers = curl_slist_append(headers, "Content-Type: application/json");
    headers = curl_slist_append(headers, "Expect:");
    curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(body->size()));
    curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body->data());
  }
  curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
  curl_easy_setopt(curl, CURLOPT_URL, (url_ + target).c_str());
  curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(curl, CURLOPT_NOPROXY, "localhost,127.0.0.1,::1");
  curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
  curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, 5'000L);
  curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, 75'000L);
  curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, why);
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, Receive);
  curl_easy_setopt(curl, CURLOPT_WRITEDATA, &received);
  const CURLcode code = curl_easy_perform(curl);
  curl_slist_free_all(headers);
  if (code != CURLE_OK) {
    const std::string reason = ops::Printable(why[0] != '\0' ? why : curl_easy_strerror(code));
    const bool address = code == CURLE_URL_MALFORMAT || code == CURLE_UNSUPPORTED_PROTOCOL;
    if (address)
      return {kUsage, 0, "not an address of an API: " + ops::Printable(url_, 200) + " (" + reason + ")", {}};
    return {kUnreachable,
            0,
            "cannot reach the fleet at " + ops::Printable(url_, 200) + ": " + reason +
                "\n  is it running? `laneway up` starts one; --api or LANEWAY_API names another address",
            {}};
  }
  long status = 0;
  curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
  ops::ParsedJson parsed =
      ops::ParseStrictJson(received, {.bytes_max = kAnswerMax, .values_max = 10'000'000, .depth_max = 64});
  answer.status = static_cast<int>(status);
  answer.exit_code = ExitCodeOf(status);
  if (answer.exit_code != kDone) answer.error = Explain(status, parsed, received);
  if (answer.exit_code == kDone && !parsed.readable && !received.empty()) {
    return {
        kFailed, answer.status, "what answers at " + ops::Printable(url_, 200) + " is not Laneway's API", {}};
  }
  if (parsed.readable) answer.value = std::move(parsed.root);
  return answer;
}

std::unique_ptr<ApiClient> MakeApiClient(const std::string& api_option) {
  const char* variable = std::getenv("LANEWAY_API");
  const char* token = std::getenv("LANEWAY_TOKEN");
  std::string url = !api_option.empty()                        ? api_option
                    : variable != nullptr && *variable != '\0' ? variable
                                                               : "http://127.0.0.1:3000";
  return std::make_unique<ApiClient>(std::move(url), ops::Secret<std::string>(token == nullptr ? "" : token));
}

}  // namespace laneway::cli
