#include "worker/browser/debug_client.h"

#include <pthread.h>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <boost/beast/websocket.hpp>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "worker/browser/debug_talk.h"

namespace laneway::worker {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
namespace websocket = boost::beast::websocket;
using asio::ip::tcp;
using boost::system::error_code;

// One connection: first a request for the version, then, on a second socket, the WebSocket it names.
class Link : public std::enable_shared_from_this<Link> {
 public:
  using Told = std::function<void(GuardEvent)>;
  Link(asio::io_context& io, uint16_t port, Told told)
      : host_(absl::StrCat("127.0.0.1:", port)),
        endpoint_(asio::ip::address_v4::loopback(), port),
        told_(std::move(told)),
        asking_(io),
        socket_(io),
        deadline_(io) {}

  void Begin();
  void Ask(Probe probe) {
    if (attached_) Send(talk_.Ask(probe));
  }
  void CloseBrowser() {
    if (attached_) Send(talk_.Close());
  }
  void Close();

 private:
  void RequestVersion();
  void Upgrade(const DebugVersion& version);
  void Read();
  void Send(std::string text);
  void Write();
  void Fail(const std::string& what, const error_code& error);
  void Refuse(std::string why, bool lasting);

  const std::string host_;
  const tcp::endpoint endpoint_;
  Told told_;  // null: nobody wants to hear of it any more
  beast::tcp_stream asking_;
  websocket::stream<beast::tcp_stream> socket_;
  asio::steady_timer deadline_;
  http::request<http::empty_body> request_;
  http::response_parser<http::string_body> parser_;
  beast::flat_buffer buffer_;
  bool attached_ = false;
  std::string identity_;
  DebugTalk talk_;
  std::deque<std::string> out_;  // one message and what follows it: questions come one at a time
};

void Link::Begin() {
  deadline_.expires_after(DebugClient::kAttachTime);
  deadline_.async_wait([self = shared_from_this()](const error_code& error) {
    if (!error) self->Refuse("it does not answer", false);
  });
  asking_.async_connect(endpoint_, [self = shared_from_this()](const error_code& error) {
    if (error) return self->Fail("nothing listens on its debugging port", error);
    self->RequestVersion();
  });
}

void Link::RequestVersion() {
  request_ = {http::verb::get, "/json/version", 11};
  request_.set(http::field::host, host_);
  parser_.body_limit(kDebugTextBytesMax);
  http::async_write(asking_, request_, [self = shared_from_this()](const error_code& error, size_t) {
    if (error) return self->Fail("its debugging port cannot be asked", error);
    http::async_read(self->asking_, self->buffer_, self->parser_,
                     [self](const error_code& read_error, size_t) {
                       if (read_error) return self->Fail("its debugging port gives no answer", read_error);
                       const auto version = ParseDebugVersion(self->parser_.get().body());
                       if (!version.ok()) return self->Refuse(std::string(version.status().message()), true);
                       if (version->major != 0 && version->major < kOldestBrowser)
                         return self->Refuse(
                             absl::StrCat(version->browser, " is too old: version ", kOldestBrowser,
                                          " or later is needed; install one, or name it in browser.command"),
                             true);
                       self->Upgrade(*version);
                     });
  });
}

void Link::Upgrade(const DebugVersion& version) {
  identity_ = version.path;
  error_code ignored;
  asking_.socket().close(ignored);
  buffer_.consume(buffer_.size());
  socket_.next_layer().async_connect(endpoint_, [self = shared_from_this()](const error_code& error) {
    if (error) return self->Fail("its debugging port takes no second connection", error);
    self->socket_.read_message_max(kDebugTextBytesMax);
    self->socket_.async_handshake(self->host_, self->identity_, [self](const error_code& handshake) {
      if (handshake) return self->Fail("its debugging port refuses a WebSocket", handshake);
      if (!self->told_) return;
      self->deadline_.cancel();
      self->attached_ = true;
      self->told_(BrowserAttached{self->identity_});
      self->Read();
    });
  });
}

void Link::Read() {
  socket_.async_read(buffer_, [self = shared_from_this()](const error_code& error, size_t) {
    if (error) return self->Fail("its debugging connection dropped", error);
    DebugTalk::Step step = self->talk_.Take(beast::buffers_to_string(self->buffer_.data()));
    self->buffer_.consume(self->buffer_.size());
    if (!step.send.empty()) self->Send(std::move(step.send));
    if (step.done && self->told_) self->told_(*step.done);
    self->Read();
  });
}

void Link::Send(std::string text) {
  out_.push_back(std::move(text));
  if (out_.size() == 1) Write();
}

void Link::Write() {
  socket_.text(true);
  socket_.async_write(asio::buffer(out_.front()),
                      [self = shared_from_this()](const error_code& error, size_t) {
                        if (error) return self->Fail("its debugging connection dropped", error);
                        self->out_.pop_front();
                        if (!self->out_.empty()) self->Write();
                      });
}

void Link::Fail(const std::string& what, const error_code& error) {
  std::string why = error == asio::error::connection_refused || error == asio::error::eof ||
                            error == asio::error::connection_reset
                        ? what
                        : absl::StrCat(what, ": ", error.message());
  if (!attached_) return Refuse(std::move(why), false);
  const Told told = std::exchange(told_, nullptr);
  Close();
  if (told) told(BrowserDropped{std::move(why)});
}

void Link::Refuse(std::string why, bool lasting) {
  const Told told = std::exchange(told_, nullptr);
  Close();
  if (told) told(BrowserRefused{std::move(why), lasting});
}

void Link::Close() {
  told_ = nullptr;
  deadline_.cancel();
  error_code ignored;
  asking_.socket().close(ignored);
  beast::get_lowest_layer(socket_).socket().close(ignored);
}

}  // namespace

struct DebugClient::Shared {
  Told told;
  asio::io_context io;
  asio::executor_work_guard<asio::io_context::executor_type> work{io.get_executor()};
  std::map<LinkId, std::shared_ptr<Link>> links;  // the thread's own
  std::thread thread;

  std::shared_ptr<Link> Find(LinkId link) {
    const auto it = links.find(link);
    return it == links.end() ? nullptr : it->second;
  }
};

DebugClient::DebugClient(Told told) : shared_(std::make_unique<Shared>()) {
  shared_->told = std::move(told);
  shared_->thread = std::thread([shared = shared_.get()] {
    pthread_setname_np(pthread_self(), "browser-debug");
    shared->io.run();
  });
}

DebugClient::~DebugClient() {
  asio::post(shared_->io, [shared = shared_.get()] {
    for (const auto& [id, link] : shared->links) link->Close();
    shared->links.clear();
    shared->work.reset();
  });
  shared_->thread.join();
}

void DebugClient::Attach(LinkId link, uint16_t port) {
  asio::post(shared_->io, [shared = shared_.get(), link, port] {
    auto made = std::make_shared<Link>(
        shared->io, port, [shared, link](GuardEvent event) { shared->told(link, std::move(event)); });
    shared->links[link] = made;
    made->Begin();
  });
}

void DebugClient::Ask(LinkId link, Probe probe) {
  asio::post(shared_->io, [shared = shared_.get(), link, probe] {
    if (const auto found = shared->Find(link)) found->Ask(probe);
  });
}

void DebugClient::Close(LinkId link) {
  asio::post(shared_->io, [shared = shared_.get(), link] {
    if (const auto found = shared->Find(link)) found->CloseBrowser();
  });
}

void DebugClient::Detach(LinkId link) {
  asio::post(shared_->io, [shared = shared_.get(), link] {
    if (const auto found = shared->Find(link)) found->Close();
    shared->links.erase(link);
  });
}

}  // namespace laneway::worker
