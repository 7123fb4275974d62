#include "replica/http_server.h"

#include <boost/asio/io_context.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <utility>

#include "replica/listener.h"

namespace loyal::replica {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using asio::ip::tcp;

constexpr std::size_t connections_max = 64;
constexpr std::uint32_t header_bytes_max = 8U << 10U;
constexpr std::uint64_t body_bytes_max = 1024;
constexpr std::chrono::seconds request_timeout{10};

}  // namespace

struct HttpServer::State {
    State(asio::io_context& io, std::function<HttpAnswer(const std::string&)> on_get)
        : loop(io), answer(std::move(on_get)) {}
    asio::io_context& loop;
    std::function<HttpAnswer(const std::string&)> answer;
    std::shared_ptr<Listener> listener;
    std::size_t connections = 0;
    bool stopped = false;
};

namespace {

// One connection; lives as long as an operation of it is under way.
template <class Owner>
class Session : public std::enable_shared_from_this<Session<Owner>> {
 public:
    Session(std::shared_ptr<Owner> owner, tcp::socket socket) : owner_(std::move(owner)), stream_(std::move(socket)) {
        ++owner_->connections;
    }
    ~Session() { --owner_->connections; }
    Session(const Session&) = delete;
    Session& operator=(const Session&) = delete;

    void read() {
        parser_.emplace();
        parser_->header_limit(header_bytes_max);
        parser_->body_limit(body_bytes_max);
        stream_.expires_after(request_timeout);
        http::async_read(stream_, buffer_, *parser_,
                         [self = this->shared_from_this()](const beast::error_code& error, std::size_t) {
                             if (!error && !self->owner_->stopped) {
                                 self->respond();
                             } else if (error != http::error::end_of_stream && error != beast::error::timeout) {
                                 self->refuse(error);
                             }
                         });
    }

 private:
    void respond() {
        const auto& request = parser_->get();
        HttpAnswer answer{405, "text/plain", "only GET is answered here\n"};
        if (request.method() == http::verb::get || request.method() == http::verb::head) {
            const std::string target(request.target());
            answer = owner_->answer(target.substr(0, target.find('?')));
        }
        write(std::move(answer), request.version(), request.keep_alive(), request.method() == http::verb::head);
    }
    void refuse(const beast::error_code& error) {
        const bool too_large = error == http::error::header_limit || error == http::error::body_limit ||
                               error == http::error::buffer_overflow;
        if (too_large) {
            write({413, "text/plain", "the request is too large\n"}, 11, false, false);
        } else if (error.category() == http::make_error_code(http::error::bad_version).category()) {
            write({400, "text/plain", "this is no HTTP request\n"}, 11, false, false);
        }
    }
    void write(HttpAnswer answer, unsigned version, bool keep_alive, bool head) {
        response_ = {};
        response_.result(answer.status);
        response_.version(version);
        response_.set(http::field::content_type, answer.content_type);
        response_.set(http::field::cache_control, "no-store");
        response_.keep_alive(keep_alive);
        const std::size_t size = answer.body.size();
        response_.body() = head ? std::string() : std::move(answer.body);
        response_.content_length(size);
        stream_.expires_after(request_timeout);
        http::async_write(stream_, response_,
                          [self = this->shared_from_this(), keep_alive](const beast::error_code& error, std::size_t) {
                              if (!error && keep_alive && !self->owner_->stopped) {
                                  self->read();
                                  return;
                              }
                              beast::error_code ignored;
                              self->stream_.socket().shutdown(tcp::socket::shutdown_send, ignored);
                          });
    }

    std::shared_ptr<Owner> owner_;
    beast::tcp_stream stream_;
    beast::flat_buffer buffer_{2 * header_bytes_max};
    std::optional<http::request_parser<http::string_body>> parser_;
    http::response<http::string_body> response_;
};

}  // namespace

HttpServer::HttpServer(asio::io_context& loop, std::function<HttpAnswer(const std::string& path)> answer)
    : state_(std::make_shared<State>(loop, std::move(answer))) {}

HttpServer::~HttpServer() {
    stop();
}

Result<void> HttpServer::listen(const std::string& address, std::uint16_t port) {
    auto listener =
        Listener::open(state_->loop, "HTTP", address, port, [weak = std::weak_ptr<State>(state_)](tcp::socket socket) {
            const auto state = weak.lock();
            if (state && state->connections < connections_max) {
                std::make_shared<Session<State>>(state, std::move(socket))->read();
            }
        });
    if (!listener) {
        return tl::unexpected<Error>(std::move(listener.error()));
    }
    state_->listener = *listener;
    state_->listener->start();
    return {};
}

void HttpServer::stop() {
    state_->stopped = true;
    if (state_->listener) {
        state_->listener->stop();
    }
}

std::uint16_t HttpServer::port() const {
    return state_->listener ? state_->listener->port() : std::uint16_t{0};
}

}  // namespace loyal::replica
