#include "tests/compare/etcd_client.h"

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <chrono>
#include <optional>
#include <stdexcept>
#include <string>

namespace loyal::compare {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;

namespace {

constexpr std::chrono::seconds answer_limit{60};
constexpr std::uint64_t answer_bytes_max = 64U << 20;
constexpr unsigned http_1_1 = 11;

}  // namespace

struct EtcdClient::Link {
    asio::io_context io;
    beast::tcp_stream stream{io};
    beast::flat_buffer buffer;

    // Runs what was started, and its limit of time with it; a call that blocks would have none.
    void wait(const beast::error_code& error, const char* what) {
        io.restart();
        io.run();
        if (error) {
            throw std::runtime_error(std::string("etcd: ") + what + ": " + error.message());
        }
    }
};

EtcdClient::EtcdClient(std::uint16_t port) : link_(std::make_unique<Link>()) {
    beast::error_code error;
    link_->stream.expires_after(answer_limit);
    link_->stream.async_connect(asio::ip::tcp::endpoint(asio::ip::address_v4::loopback(), port),
                                [&](const beast::error_code& result) { error = result; });
    link_->wait(error, "cannot connect");
    link_->stream.socket().set_option(asio::ip::tcp::no_delay(true));
}

EtcdClient::~EtcdClient() = default;

nlohmann::json EtcdClient::call(std::string_view method, const nlohmann::json& request) {
    http::request<http::string_body> message(http::verb::post, "/v3/" + std::string(method), http_1_1);
    message.set(http::field::host, "127.0.0.1");
    message.set(http::field::content_type, "application/json");
    message.body() = request.dump();
    message.prepare_payload();

    http::response_parser<http::string_body> parser;
    parser.body_limit(answer_bytes_max);
    beast::error_code error;
    link_->stream.expires_after(answer_limit);
    http::async_write(link_->stream, message, [&](const beast::error_code& result, std::size_t) {
        error = result;
        if (error) {
            return;
        }
        http::async_read(link_->stream, link_->buffer, parser,
                         [&](const beast::error_code& read, std::size_t) { error = read; });
    });
    link_->wait(error, "no answer");
    auto answer = nlohmann::json::parse(parser.get().body(), nullptr, false);
    if (!answer.is_object()) {
        throw std::runtime_error("etcd: no JSON: " + parser.get().body());
    }
    return answer;
}

}  // namespace loyal::compare
