#include "api/http_server.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace laneway::api {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

// A client that sends exactly the bytes it is told to.
class RawClient {
 public:
  explicit RawClient(uint16_t port) : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(port);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(connect(fd_, reinterpret_cast<sockaddr*>(&to), sizeof to), 0);
  }
  ~RawClient() { close(fd_); }
  RawClient(const RawClient&) = delete;
  RawClient& operator=(const RawClient&) = delete;

  bool Send(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t sent = send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent <= 0) return false;
      bytes.remove_prefix(static_cast<size_t>(sent));
    }
    return true;
  }
  // All that comes until `until` was seen, the other side closed, or ten seconds passed.
  std::string Read(std::string_view until = "") {
    while (until.empty() || got_.find(until) == std::string::npos) {
      pollfd wait{fd_, POLLIN, 0};
      if (poll(&wait, 1, 10'000) <= 0) return got_ + "[timeout]";
      char buffer[65536];
      const ssize_t count = recv(fd_, buffer, sizeof buffer, 0);
      if (count <= 0) return got_ + (count == 0 ? "[closed]" : "[reset]");
      got_.append(buffer, static_cast<size_t>(count));
    }
    return got_;
  }
  void Forget() { got_.clear(); }

 private:
  int fd_;
  std::string got_;
};

class HttpServerTest : public testing::Test {
 protected:
  void Start(HttpServerOptions options = {}) {
    options.listen = {.host = "127.0.0.1", .port = 0};
    std::vector<Route> routes;
    routes.push_back(
        {"GET", "/hello/{name}", [](const HttpRequest& request, Reply reply) {
           reply(JsonResponse("{\"hello\":\"" + request.Path("name") + request.Query("more") + "\"}"));
         }});
    routes.push_back({"POST", "/echo",
                      [](const HttpRequest& request, Reply reply) { reply(JsonResponse(request.body, 202)); },
                      false, 1 << 20});
    routes.push_back({"GET", "/later", [this](const HttpRequest&, Reply reply) {
                        waiting_.push_back(std::make_shared<Reply>(std::move(reply)));
                        arrived_.set_value();
                      }});
    routes.push_back({"GET", "/dropped", [](const HttpRequest&, Reply) {}});
    routes.push_back(
        {"GET", "/healthz", [](const HttpRequest&, Reply reply) { reply(JsonResponse("{}")); }, true});
    routes.push_back({"GET", "/events", [this](const HttpRequest&, Reply reply) {
                        HttpResponse response;
                        response.content_type = "text/event-stream";
                        response.stream = stream_ = MakeEventStream(64 << 10);
                        reply(std::move(response));
                        arrived_.set_value();
                      }});
    auto server = HttpServer::Start(std::move(options), std::move(routes));
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = std::move(*server);
    port_ = server_->address().port;
  }
  std::string Ask(const std::string& bytes, std::string_view until = "") {
    RawClient client(port_);
    client.Send(bytes);
    return client.Read(until);
  }
  static std::string Get(const std::string& target, const std::string& more = "Connection: close\r\n") {
    return "GET " + target + " HTTP/1.1\r\nHost: localhost\r\n" + more + "\r\n";
  }
  static std::string Post(const std::string& target, const std::string& body,
                          const std::string& more = "Content-Type: application/json\r\n") {
    return "POST " + target + " HTTP/1.1\r\nHost: 127.0.0.1:1\r\nConnection: close\r\n" + more +
           "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
  }

  std::unique_ptr<HttpServer> server_;
  uint16_t port_ = 0;
  std::vector<std::shared_ptr<Reply>> waiting_;
  std::promise<void> arrived_;
  std::shared_ptr<EventStream> stream_;
};

TEST_F(HttpServerTest, AnswersAndDecodes) {
  Start();
  const std::string answer = Ask(Get("/hello/a%20b?more=%21"));
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 200 OK\r\n"));
  EXPECT_THAT(answer, HasSubstr("\r\nX-Content-Type-Options: nosniff\r\n"));
  EXPECT_THAT(answer, HasSubstr("\r\n\r\n{\"hello\":\"a b!\"}[closed]"));
  EXPECT_THAT(Ask(Post("/echo", "{\"x\":1}")), HasSubstr("202 Accepted"));
}

TEST_F(HttpServerTest, HeadHasTheHeaderOfGetAndNoBody) {
  Start();
  const std::string answer = Ask("HEAD /hello/x HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
  EXPECT_THAT(answer, HasSubstr("Content-Length: 13\r\n"));
  EXPECT_THAT(answer, testing::EndsWith("\r\n\r\n[closed]"));
}

TEST_F(HttpServerTest, PipelinedRequestsAreAnsweredInOrderOnOneConnection) {
  Start();
  std::string requests;
  for (int i = 0; i < 50; i++)
    requests += Get("/hello/" + std::to_string(i), i == 49 ? "Connection: close\r\n" : "");
  const std::string answers = Ask(requests);
  size_t at = 0;
  for (int i = 0; i < 50; i++) {
    at = answers.find("{\"hello\":\"" + std::to_string(i) + "\"}", at);
    ASSERT_NE(at, std::string::npos) << i;
  }
  EXPECT_EQ(server_->Counts().requests, 50u);
}

TEST_F(HttpServerTest, WhatIsNotThereAndWhatIsNotPossible) {
  Start();
  EXPECT_THAT(Ask(Get("/nowhere")),
              testing::AllOf(HasSubstr("404 Not Found"), HasSubstr("application/problem+json"),
                             HasSubstr("\"status\":404")));
  EXPECT_THAT(Ask(Post("/hello/x", "{}")),
              testing::AllOf(HasSubstr("405 "), HasSubstr("Allow: GET, HEAD\r\n")));
  EXPECT_THAT(Ask(Get("/hello/")), HasSubstr("404"));
  for (const char* target :
       {"/hello/%", "/hello/%0", "/hello/%00", "hello", "http://x/", "*", "/a#b", "/?%zz=1"}) {
    EXPECT_THAT(Ask(Get(target)), StartsWith("HTTP/1.1 400 ")) << target;
  }
}

TEST_F(HttpServerTest, GarbageIsAnsweredAndCutOff) {
  Start();
  const std::string garbage[] = {
      std::string("\x16\x03\x01\x02\x00\x01\x00\x01\xfc", 9) + std::string(100, '\0') + "\r\n\r\n",
      "GET\r\n\r\n",
      "GET / HTTP/9.9\r\n\r\n",
      "\r\n\r\n\r\n\r\n",
      "GET /hello/x HTTP/1.1\r\nHost : localhost\r\n\r\n",
      std::string("GET /hello/x HTTP/1.1\r\nHost: local") + '\0' + "host\r\n\r\n"};
  for (const std::string& bytes : garbage) {
    RawClient client(port_);
    client.Send(bytes);
    const std::string answer = client.Read("\r\n");
    EXPECT_TRUE(answer.rfind("HTTP/1.1 400 ", 0) == 0 || answer == "[closed]") << answer;
  }
  EXPECT_THAT(Ask(Get("/hello/still-here")), HasSubstr("still-here"));
}

TEST_F(HttpServerTest, RequestsOfAmbiguousLengthAreRefused) {
  Start();
  const std::string head = "POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";
  for (const char* fields :
       {"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", "Content-Length: 3\r\nContent-Length: 4\r\n",
        "Content-Length: 3\r\nContent-Length: 3\r\n", "Content-Length: -1\r\n", "Content-Length: 3, 3\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"}) {
    EXPECT_THAT(Ask(head + fields + "\r\n{}\n0\r\n\r\n", "\r\n"), StartsWith("HTTP/1.1 400 ")) << fields;
  }
  EXPECT_THAT(Ask(head + "Transfer-Encoding: gzip, chunked\r\n\r\n", "\r\n"), StartsWith("HTTP/1.1 501 "));
  EXPECT_THAT(Ask(head + "Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n2\r\n{}\r\n0\r\n\r\n"),
              HasSubstr("\r\n\r\n{}"));
}

TEST_F(HttpServerTest, GiantHeadersAndBodies) {
  Start();
  EXPECT_THAT(Ask(Get("/hello/x", "X: " + std::string(20'000, 'x') + "\r\n"), "\r\n"),
              StartsWith("HTTP/1.1 431 "));
  std::string fields;
  for (int i = 0; i < 200; i++) fields += "X" + std::to_string(i) + ": 1\r\n";
  EXPECT_THAT(Ask(Get("/hello/x", fields), "\r\n"), StartsWith("HTTP/1.1 431 "));
  EXPECT_THAT(Ask(Get("/hello/" + std::string(10'000, 'x')), "\r\n"), StartsWith("HTTP/1.1 400 "));
  // The refusal comes at once, not after the gigabyte, and reaches a client that is still sending.
  RawClient announced(port_);
  announced.Send(
      "POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: "
      "1073741824\r\n\r\n");
  EXPECT_THAT(announced.Read("\r\n"), StartsWith("HTTP/1.1 413 "));
  RawClient sending(port_);
  sending.Send(
      "POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: "
      "chunked\r\n\r\n");
  for (int i = 0; i < 32 && sending.Send("10000\r\n" + std::string(65536, 'x') + "\r\n"); i++) {
  }
  EXPECT_THAT(sending.Read("\r\n"), StartsWith("HTTP/1.1 413 "));
  EXPECT_THAT(Ask(Post("/echo", std::string(1 << 20, 'x'))), HasSubstr("202 Accepted"));
}

TEST_F(HttpServerTest, ExpectContinueIsAnswered) {
  Start();
  RawClient client(port_);
  client.Send(
      "POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nExpect: "
      "100-continue\r\nConnection: close\r\nContent-Length: 2\r\n\r\n");
  EXPECT_EQ(client.Read("\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
  client.Send("{}");
  EXPECT_THAT(client.Read(), HasSubstr("202 Accepted"));
}

TEST_F(HttpServerTest, ADropAtATimeIsCutOffAndOthersAreServedMeanwhile) {
  Start({.header_time = 300ms});
  std::vector<std::unique_ptr<RawClient>> slow;
  for (int i = 0; i < 200; i++) {
    slow.push_back(std::make_unique<RawClient>(port_));
    slow.back()->Send("GET /hello/x HTTP/1.1\r\nX: ");
  }
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_THAT(Ask(Get("/hello/quick")), HasSubstr("quick"));
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 1s);
  for (auto& client : slow) client->Send("y");  // a byte more does not buy more time
  for (auto& client : slow) EXPECT_THAT(client->Read(), testing::AnyOf("[closed]", "[reset]"));
  // The sockets close a moment before they are counted.
  for (int i = 0; i < 1000 && server_->Counts().refused < 200; i++) Ask(Get("/hello/x"));
  EXPECT_EQ(server_->Counts().refused, 200u);
}

TEST_F(HttpServerTest, TooManyConnectionsAreTurnedAwayAndThenServedAgain) {
  Start({.connections_max = 5});
  {
    std::vector<std::unique_ptr<RawClient>> idle;
    for (int i = 0; i < 5; i++) {
      idle.push_back(std::make_unique<RawClient>(port_));
      idle.back()->Send(Get("/hello/x", ""));
      idle.back()->Read("}");
    }
    EXPECT_THAT(Ask(Get("/hello/x"), "\r\n"), StartsWith("HTTP/1.1 503 "));
  }
  std::string answer;
  for (int i = 0; i < 1000 && answer.rfind("HTTP/1.1 200", 0) != 0; i++)
    answer = Ask(Get("/hello/x"), "\r\n");
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 200 "));
}

TEST_F(HttpServerTest, OnlyKnownHostsAndNoOtherSites) {
  Start();
  const auto with_host = [&](const std::string& host) {
    return Ask("GET /hello/x HTTP/1.1\r\nConnection: close\r\nHost: " + host + "\r\n\r\n");
  };
  for (const char* host : {"localhost", "LOCALHOST:3000", "127.0.0.1", "[::1]:3000", "10.0.0.7:3000"})
    EXPECT_THAT(with_host(host), HasSubstr("200 OK")) << host;
  for (const char* host : {"evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "", "a b",
                           "[::1", "localhost@evil"})
    EXPECT_THAT(with_host(host), Not(HasSubstr("200 OK"))) << host;
  EXPECT_THAT(Ask("GET /hello/x HTTP/1.1\r\n\r\n", "\r\n"), StartsWith("HTTP/1.1 400 "));
  EXPECT_THAT(Ask("GET /hello/x HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n", "\r\n"),
              StartsWith("HTTP/1.1 400 "));

  const std::string json = "Content-Type: application/json; charset=utf-8\r\n";
  EXPECT_THAT(Ask(Post("/echo", "{}", json)), HasSubstr("202"));
  EXPECT_THAT(
      Ask(Post("/echo", "{}", json + "Origin: http://127.0.0.1:1\r\nSec-Fetch-Site: same-origin\r\n")),
      HasSubstr("202"));
  EXPECT_THAT(Ask(Post("/echo", "{}", json + "Origin: http://evil.example\r\n")), HasSubstr("403 Forbidden"));
  EXPECT_THAT(Ask(Post("/echo", "{}", json + "Origin: null\r\n")), HasSubstr("403 Forbidden"));
  EXPECT_THAT(Ask(Post("/echo", "{}", json + "Sec-Fetch-Site: cross-site\r\n")), HasSubstr("403 Forbidden"));
  EXPECT_THAT(Ask(Post("/echo", "{}", "Content-Type: text/plain\r\n")), HasSubstr("415 "));
  EXPECT_THAT(Ask(Post("/echo", "{}", "")), HasSubstr("415 "));
}

TEST_F(HttpServerTest, TheTokenIsNeededWhereOneIsSet) {
  HttpServerOptions options;
  options.token = ops::Secret<std::string>("right-token");
  Start(std::move(options));
  EXPECT_THAT(Ask(Get("/hello/x")), testing::AllOf(HasSubstr("401 "), HasSubstr("WWW-Authenticate: Bearer")));
  for (const char* wrong : {"Bearer wrong-token", "Bearer right-toke", "Bearer right-token2", "Bearer ",
                            "Basic right-token", "right-token"}) {
    EXPECT_THAT(Ask(Get("/hello/x", "Connection: close\r\nAuthorization: " + std::string(wrong) + "\r\n")),
                HasSubstr("401 "))
        << wrong;
  }
  EXPECT_THAT(Ask(Get("/hello/x", "Connection: close\r\nAuthorization: bearer right-token\r\n")),
              HasSubstr("200 OK"));
  EXPECT_THAT(Ask(Get("/hello/x?token=right-token")), HasSubstr("401 "));
  EXPECT_THAT(Ask(Get("/healthz")), HasSubstr("200 OK"));
}

TEST_F(HttpServerTest, AHandlerMayAnswerLaterFromAnotherThread) {
  Start();
  RawClient client(port_);
  client.Send(Get("/later"));
  arrived_.get_future().wait();
  std::thread([this] { (*waiting_.at(0))(JsonResponse("{\"late\":true}")); }).join();
  EXPECT_THAT(client.Read(), HasSubstr("{\"late\":true}"));
  EXPECT_THAT(Ask(Get("/dropped")), HasSubstr("500 Internal Server Error"));
}

TEST_F(HttpServerTest, AHandlerThatNeverAnswersIsAnsweredForAndItsLateReplyForgotten) {
  Start({.handler_time = 100ms});
  EXPECT_THAT(Ask(Get("/later")), HasSubstr("504 Gateway Timeout"));
  (*waiting_.at(0))(JsonResponse("{}"));
  EXPECT_THAT(Ask(Get("/hello/x")), HasSubstr("200 OK"));
}

TEST_F(HttpServerTest, AStreamStaysOpenUntilEitherSideEndsIt) {
  Start();
  RawClient client(port_);
  client.Send(Get("/events"));
  arrived_.get_future().wait();
  EXPECT_TRUE(stream_->Write("id: 1\ndata: a\n\n"));
  EXPECT_THAT(client.Read("data: a"), HasSubstr("Content-Type: text/event-stream\r\n"));
  EXPECT_TRUE(stream_->Write("id: 2\ndata: b\n\n"));
  EXPECT_THAT(client.Read("data: b"), HasSubstr("id: 2"));
  stream_->Close();
  EXPECT_THAT(client.Read(), testing::EndsWith("[closed]"));
  EXPECT_FALSE(stream_->Write("more"));
}

TEST_F(HttpServerTest, ASlowClientOfAStreamIsCutOffNotWaitedFor) {
  Start();
  RawClient client(port_);
  client.Send(Get("/events"));
  arrived_.get_future().wait();
  bool open = true;
  for (int i = 0; i < 100'000 && open; i++) open = stream_->Write(std::string(8192, 'x'));
  EXPECT_FALSE(open);
}

TEST_F(HttpServerTest, StopLetsARunningRequestEndAndClosesIdleConnections) {
  Start();
  RawClient idle(port_);
  idle.Send(Get("/hello/x", ""));
  idle.Read("}");
  RawClient busy(port_);
  busy.Send(Get("/later", ""));
  arrived_.get_future().wait();
  std::thread stopping([this] { server_->Stop(10s); });
  EXPECT_THAT(idle.Read(), testing::EndsWith("[closed]"));
  (*waiting_.at(0))(JsonResponse("{\"done\":true}"));
  EXPECT_THAT(busy.Read(),
              testing::AllOf(HasSubstr("Connection: close"), HasSubstr("{\"done\":true}[closed]")));
  stopping.join();
}

TEST_F(HttpServerTest, StopWithoutGraceEndsWhatRuns) {
  Start();
  RawClient busy(port_);
  busy.Send(Get("/later", ""));
  arrived_.get_future().wait();
  server_->Stop(0ms);
  EXPECT_THAT(busy.Read(), testing::AnyOf("[closed]", "[reset]"));
  (*waiting_.at(0))(JsonResponse("{}"));  // nobody is there any more
}

TEST_F(HttpServerTest, ATakenPortIsToldWithItsRemedy) {
  Start();
  const auto second = HttpServer::Start({.name = "api", .listen = {.host = "127.0.0.1", .port = port_}}, {});
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.status().code(), absl::StatusCode::kAlreadyExists);
  EXPECT_THAT(std::string(second.status().message()),
              testing::AllOf(HasSubstr("127.0.0.1:" + std::to_string(port_)),
                             HasSubstr("set api.listen to another port")));
}

}  // namespace
}  // namespace laneway::api
