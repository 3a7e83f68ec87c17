#include "api/http_server.h"

#include <pthread.h>

#include <algorithm>
#include <atomic>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <cctype>
#include <limits>
#include <map>
#include <optional>
#include <set>
#include <thread>

#include "api/event_stream.h"
#include "api/http_guard.h"
#include "api/router.h"
#include "ops/text.h"

namespace laneway::api {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using asio::ip::tcp;
using boost::system::error_code;
using std::chrono::milliseconds;

constexpr milliseconds kLingerTime{2'000};
constexpr size_t kLingerBytesMax = 32 << 20;
constexpr milliseconds kSilenceMax{15'000};  // of an event stream
constexpr size_t kBodyBytesPerMs = 64;       // a body slower than 64 KB/s is cut off
constexpr milliseconds kBodyTime{10'000};    // and this on top
constexpr milliseconds kWriteTime{60'000};

class Session;

// What all sessions share. Everything but the counters belongs to the server's thread.
struct Shared {
  Shared(HttpServerOptions options_in, std::vector<Route> routes)
      : options(std::move(options_in)),
        guard(options.token, Hosts(options)),
        router(std::move(routes)),
        acceptor(io),
        retry(io),
        grace(io) {}
  static std::vector<std::string> Hosts(const HttpServerOptions& options) {
    std::vector<std::string> hosts = options.allowed_hosts;
    hosts.push_back(options.listen.host);
    return hosts;
  }

  HttpServerOptions options;
  HttpGuard guard;
  Router router;
  asio::io_context io{1};
  tcp::acceptor acceptor;
  asio::steady_timer retry;
  asio::steady_timer grace;
  std::set<std::shared_ptr<Session>> sessions;
  std::map<std::string, size_t> by_address;
  bool stopping = false;
  std::atomic<uint64_t> open_now{0};
  std::atomic<uint64_t> accepted{0};
  std::atomic<uint64_t> requests{0};
  std::atomic<uint64_t> refused{0};
};

// One connection: request after request. Every asynchronous step holds the session alive; closing the socket
// ends them all.
class Session : public std::enable_shared_from_this<Session> {
 public:
  Session(std::shared_ptr<Shared> shared, tcp::socket socket, std::string peer)
      : shared_(std::move(shared)), stream_(std::move(socket)), timer_(shared_->io), peer_(std::move(peer)) {}

  void Begin(bool too_many) {
    if (too_many) {
      keep_alive_ = false;
      shared_->refused++;
      return Send(ProblemResponse(503, "too many connections"));
    }
    ReadHeader();
  }

  // A session that waits for a request ends now, any other after its answer.
  void EndSoon() {
    keep_alive_ = false;
    if (queue_) queue_->Close();
    if (idle_) Close();
  }

  void Close() {
    if (closed_) return;
    closed_ = true;
    error_code ignored;
    stream_.socket().shutdown(tcp::socket::shutdown_both, ignored);
    stream_.close();
    timer_.cancel();
    if (queue_) queue_->Detach();
    shared_->sessions.erase(shared_from_this());
    shared_->open_now = shared_->sessions.size();
    const auto count = shared_->by_address.find(peer_);
    if (count != shared_->by_address.end() && --count->second == 0) shared_->by_address.erase(count);
  }

 private:
  void NextRequest() {
    if (shared_->stopping) return Close();
    if (buffer_.size() > 0) return ReadHeader();  // pipelined
    idle_ = true;
    stream_.expires_after(shared_->options.idle_time);
    stream_.async_read_some(buffer_.prepare(4096),
                            [self = shared_from_this()](error_code error, size_t bytes) {
                              self->idle_ = false;
                              if (error) return self->Close();
                              self->buffer_.commit(bytes);
                              self->ReadHeader();
                            });
  }

  void ReadHeader() {
    body_.reset();
    unread_body_ = false;
    header_.emplace();
    header_->header_limit(static_cast<uint32_t>(shared_->options.header_bytes_max));
    header_->body_limit(std::numeric_limits<uint64_t>::max());  // the route's limit is set when it is known
    stream_.expires_after(shared_->options.header_time);
    http::async_read_header(stream_, buffer_, *header_,
                            [self = shared_from_this()](error_code error, size_t) { self->OnHeader(error); });
  }

  void OnHeader(error_code error) {
    if (error == http::error::end_of_stream || error == asio::error::operation_aborted) return Close();
    if (error == beast::error::timeout) {
      shared_->refused++;
      return Close();  // the stream is closed already
    }
    if (error == http::error::header_limit) return Refuse(ProblemResponse(431, "the header is too large"));
    if (error && error.category() != http::make_error_code(http::error::end_of_stream).category())
      return Close();  // the connection broke
    if (error) return Refuse(ProblemResponse(400, "not HTTP: " + error.message()));
    shared_->requests++;
    Describe();
    if (auto refusal = Ambiguous()) return Refuse(std::move(*refusal));
    const auto target = ParseTarget(request_.target);
    if (!target) return Refuse(ProblemResponse(400, "the target is not a path"));
    request_.query = target->query;
    keep_alive_ = header_->get().keep_alive() && !shared_->stopping;
    unread_body_ = !header_->is_done();
    HttpResponse refused;
    entry_ = shared_->router.Find(*target, request_, refused);
    if (entry_ == nullptr) return Refuse(std::move(refused));
    const bool changes = request_.method != "GET";
    if (auto refusal = shared_->guard.Refusal(request_.headers, changes, entry_->route.open))
      return Refuse(std::move(*refusal));
    ReadBody();
  }

  void Describe() {
    const auto& message = header_->get();
    request_ = {};
    request_.method = std::string(message.method_string());
    head_ = request_.method == "HEAD";
    if (head_) request_.method = "GET";
    request_.target = std::string(message.target());
    request_.peer = peer_;
    for (const auto& field : message) {
      std::string name(field.name_string());
      std::transform(name.begin(), name.end(), name.begin(),
                     [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
      request_.headers.emplace_back(std::move(name), std::string(field.value()));
    }
  }

  // Two readers must never disagree where a request ends: that is how one is smuggled behind another.
  std::optional<HttpResponse> Ambiguous() {
    keep_alive_ = false;
    size_t lengths = 0;
    size_t encodings = 0;
    for (const auto& [name, value] : request_.headers) {
      lengths += name == "content-length";
      if (name == "content-length" && value.find_first_not_of("0123456789") != std::string::npos)
        lengths = 2;  // "3, 3"
      encodings += name == "transfer-encoding";
      if (name == "transfer-encoding" && value != "chunked")
        return ProblemResponse(501, "only the transfer encoding chunked is known");
    }
    if (request_.headers.size() > shared_->options.header_fields_max)
      return ProblemResponse(431, "too many header fields");
    if (lengths + encodings > 1) return ProblemResponse(400, "the length of the body is ambiguous");
    return std::nullopt;
  }

  void ReadBody() {
    if (header_->is_done()) return Dispatch();
    const auto length = header_->content_length();
    if (length && *length > entry_->route.body_max)
      return Refuse(
          ProblemResponse(413, "the body is larger than " + ops::FormatSize(entry_->route.body_max)));
    const uint64_t expected = length ? *length : entry_->route.body_max;
    if (!beast::iequals(header_->get()[http::field::expect], "100-continue")) return ReadBodyNow(expected);
    out_ = "HTTP/1.1 100 Continue\r\n\r\n";
    stream_.expires_after(kWriteTime);
    asio::async_write(stream_, asio::buffer(out_),
                      [self = shared_from_this(), expected](error_code error, size_t) {
                        error ? self->Close() : self->ReadBodyNow(expected);
                      });
  }

  void ReadBodyNow(uint64_t expected) {
    body_.emplace(std::move(*header_));
    body_->body_limit(entry_->route.body_max);
    stream_.expires_after(kBodyTime + milliseconds(expected / kBodyBytesPerMs));
    http::async_read(stream_, buffer_, *body_,
                     [self = shared_from_this()](error_code error, size_t) { self->OnBody(error); });
  }

  void OnBody(error_code error) {
    if (error == http::error::body_limit)
      return Refuse(
          ProblemResponse(413, "the body is larger than " + ops::FormatSize(entry_->route.body_max)));
    if (error && error.category() == http::make_error_code(http::error::end_of_stream).category() &&
        error != http::error::partial_message) {
      return Refuse(ProblemResponse(400, "not HTTP: " + error.message()));
    }
    if (error) {
      shared_->refused++;
      return Close();
    }
    unread_body_ = false;
    request_.body = std::move(body_->get().body());
    Dispatch();
  }

  void Dispatch() {
    stream_.expires_never();
    const uint64_t number = ++dispatched_;
    timer_.expires_after(shared_->options.handler_time);
    timer_.async_wait([self = shared_from_this(), number](error_code error) {
      if (!error) self->OnReply(number, ProblemResponse(504, "no answer in time"));
    });
    // The reply may come at once, later, from any thread, or after the client has gone.
    auto send = [weak = weak_from_this(), shared = shared_, number](HttpResponse response) {
      asio::post(shared->io, [weak, number, response = std::move(response)]() mutable {
        if (auto self = weak.lock()) self->OnReply(number, std::move(response));
      });
    };
    entry_->route.handler(request_, Reply(std::move(send)));
  }

  void OnReply(uint64_t number, HttpResponse response) {
    if (closed_ || number != dispatched_ || number == answered_) return;
    answered_ = number;
    timer_.cancel();
    if (shared_->stopping) keep_alive_ = false;
    Send(std::move(response));
  }

  void Refuse(HttpResponse refusal) {
    shared_->refused++;
    if (unread_body_ || !header_ || !header_->is_header_done()) keep_alive_ = false;
    Send(std::move(refusal));
  }

  void Send(HttpResponse response) {
    const bool streams = response.stream != nullptr && !head_;
    if (streams) keep_alive_ = false;
    out_ = HeadOf(response, keep_alive_);
    if (!head_ && !streams && !HasNoBody(response.status)) out_ += response.body;
    stream_.expires_after(kWriteTime + milliseconds(out_.size() / kBodyBytesPerMs));
    asio::async_write(stream_, asio::buffer(out_),
                      [self = shared_from_this(), stream = streams ? std::move(response.stream) : nullptr](
                          error_code error, size_t) {
                        if (error) {
                          if (stream) stream->Close();
                          return self->Close();
                        }
                        if (stream) return self->BeginStream(stream);
                        self->keep_alive_ ? self->NextRequest() : self->Linger();
                      });
  }

  // Closing with bytes unread would reset the connection, and the client might lose the answer: read and
  // forget for a while.
  void Linger() {
    error_code ignored;
    stream_.socket().shutdown(tcp::socket::shutdown_send, ignored);
    stream_.expires_after(kLingerTime);
    Forget(0);
  }

  void Forget(size_t forgotten) {
    buffer_.clear();
    stream_.async_read_some(buffer_.prepare(65536),
                            [self = shared_from_this(), forgotten](error_code error, size_t bytes) {
                              if (error || forgotten + bytes > kLingerBytesMax || self->shared_->stopping)
                                return self->Close();
                              self->Forget(forgotten + bytes);
                            });
  }

  void BeginStream(const std::shared_ptr<EventStream>& stream) {
    queue_ = std::static_pointer_cast<StreamQueue>(stream);  // the only kind MakeEventStream makes
    queue_->Attach([weak = weak_from_this(), shared = shared_] {
      asio::post(shared->io, [weak] {
        if (auto self = weak.lock()) self->PumpStream();
      });
    });
    stream_.expires_never();
    buffer_.clear();
    stream_.async_read_some(buffer_.prepare(1024), [self = shared_from_this()](error_code, size_t) {
      self->Close();
    });  // it has gone
    PumpStream();
  }

  void PumpStream() {
    if (closed_ || writing_) return;
    bool ended = false;
    out_ = queue_->Take(ended);
    if (out_.empty() && ended) return Close();
    if (out_.empty()) return WaitOnStream();
    WriteStream();
  }

  void WaitOnStream() {
    timer_.expires_after(kSilenceMax);
    timer_.async_wait([self = shared_from_this()](error_code error) {
      if (error || self->closed_ || self->writing_) return;
      self->out_ = ": still here\n\n";
      self->WriteStream();
    });
  }

  void WriteStream() {
    writing_ = true;
    timer_.cancel();
    // A timer of the write's own: the socket's deadline would cover the pending read as well.
    timer_.expires_after(kWriteTime);
    timer_.async_wait([self = shared_from_this()](error_code error) {
      if (!error) self->Close();
    });
    asio::async_write(stream_, asio::buffer(out_), [self = shared_from_this()](error_code error, size_t) {
      self->writing_ = false;
      self->timer_.cancel();
      error ? self->Close() : self->PumpStream();
    });
  }

  const std::shared_ptr<Shared> shared_;
  beast::tcp_stream stream_;
  asio::steady_timer timer_;
  const std::string peer_;
  beast::flat_buffer buffer_;
  std::optional<http::request_parser<http::empty_body>> header_;
  std::optional<http::request_parser<http::string_body>> body_;
  HttpRequest request_;
  Router::Entry* entry_ = nullptr;
  std::string out_;
  std::shared_ptr<StreamQueue> queue_;
  uint64_t dispatched_ = 0;
  uint64_t answered_ = 0;
  bool head_ = false;
  bool keep_alive_ = true;
  bool unread_body_ = false;
  bool idle_ = false;
  bool writing_ = false;
  bool closed_ = false;
};

class BeastServer : public HttpServer {
 public:
  explicit BeastServer(std::shared_ptr<Shared> shared) : shared_(std::move(shared)) {
    error_code ignored;
    address_ = shared_->options.listen;
    address_.port = shared_->acceptor.local_endpoint(ignored).port();
    Accept(shared_);
    thread_ = std::thread([shared = shared_] { shared->io.run(); });
    pthread_setname_np(thread_.native_handle(), shared_->options.name.substr(0, 15).c_str());
  }
  ~BeastServer() override { Stop(milliseconds(0)); }

  ops::ListenAddress address() const override { return address_; }

  void Stop(milliseconds grace) override {
    if (!thread_.joinable()) return;
    asio::post(shared_->io, [shared = shared_, grace] {
      shared->stopping = true;
      error_code ignored;
      shared->acceptor.close(ignored);
      shared->retry.cancel();
      const auto sessions = shared->sessions;  // closing takes them out
      for (const auto& session : sessions) session->EndSoon();
      shared->grace.expires_after(grace);
      shared->grace.async_wait([shared](error_code) {
        const auto left = shared->sessions;
        for (const auto& session : left) session->Close();
      });
      EndGraceEarly(shared);
    });
    thread_.join();
    shared_->router.Clear();
  }

  HttpServerCounts Counts() const override {
    return {shared_->open_now, shared_->accepted, shared_->requests, shared_->refused};
  }

 private:
  static void EndGraceEarly(const std::shared_ptr<Shared>& shared) {
    if (shared->sessions.empty()) return void(shared->grace.cancel());
    shared->retry.expires_after(milliseconds(5));
    shared->retry.async_wait([shared](error_code) { EndGraceEarly(shared); });
  }

  static void Accept(const std::shared_ptr<Shared>& shared) {
    shared->acceptor.async_accept([shared](error_code error, tcp::socket socket) {
      if (shared->stopping || error == asio::error::operation_aborted) return;
      if (error) {  // no descriptor left, most likely: others will be freed
        shared->retry.expires_after(milliseconds(100));
        shared->retry.async_wait([shared](error_code cancelled) {
          if (!cancelled) Accept(shared);
        });
        return;
      }
      Welcome(shared, std::move(socket));
      Accept(shared);
    });
  }

  static void Welcome(const std::shared_ptr<Shared>& shared, tcp::socket socket) {
    error_code ignored;
    socket.set_option(tcp::no_delay(true), ignored);
    const std::string peer = socket.remote_endpoint(ignored).address().to_string(ignored);
    size_t& from_peer = shared->by_address[peer];
    const bool too_many = shared->sessions.size() >= shared->options.connections_max ||
                          from_peer >= shared->options.connections_per_address_max;
    // Even the refusals are bounded: beyond twice the cap the socket is simply closed.
    if (shared->sessions.size() >= 2 * shared->options.connections_max) {
      if (from_peer == 0) shared->by_address.erase(peer);
      return;
    }
    from_peer++;
    shared->accepted++;
    auto session = std::make_shared<Session>(shared, std::move(socket), peer);
    shared->sessions.insert(session);
    shared->open_now = shared->sessions.size();
    session->Begin(too_many);
  }

  const std::shared_ptr<Shared> shared_;
  ops::ListenAddress address_;
  std::thread thread_;
};

absl::Status BindStatus(const Shared& shared, const error_code& error) {
  const std::string address = shared.options.listen.ToString();
  if (error == asio::error::address_in_use) {
    return absl::AlreadyExistsError(
        "the address " + address + " of " + shared.options.name +
        ".listen is taken by another process: stop it (ss -ltnp shows which), or set " + shared.options.name +
        ".listen to another port");
  }
  if (error == asio::error::access_denied) {
    return absl::PermissionDeniedError("may not listen on " + address +
                                       ": ports below 1024 need rights; set " + shared.options.name +
                                       ".listen to a higher one");
  }
  return absl::UnavailableError("cannot listen on " + address + " (" + shared.options.name +
                                ".listen): " + error.message());
}

}  // namespace

absl::StatusOr<std::unique_ptr<HttpServer>> HttpServer::Start(HttpServerOptions options,
                                                              std::vector<Route> routes) {
  auto shared = std::make_shared<Shared>(std::move(options), std::move(routes));
  const std::string host =
      shared->options.listen.host == "localhost" ? "127.0.0.1" : shared->options.listen.host;
  error_code error;
  const auto address = asio::ip::make_address(host, error);
  if (error) return absl::InvalidArgumentError("not an address: " + host);
  const tcp::endpoint endpoint(address, shared->options.listen.port);
  shared->acceptor.open(endpoint.protocol(), error);
  if (!error) shared->acceptor.set_option(asio::socket_base::reuse_address(true), error);
  if (!error) shared->acceptor.bind(endpoint, error);
  if (!error) shared->acceptor.listen(asio::socket_base::max_listen_connections, error);
  if (error) return BindStatus(*shared, error);
  return std::make_unique<BeastServer>(std::move(shared));
}

}  // namespace laneway::api
