// HttpServer: GET /metrics and GET /health for operators, on a port of its own (Boost.Beast). Requests are bounded (8
// KiB of header, no body), connections limited in number and time. Runs on the event loop.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "config/result.h"

namespace boost::asio {
class io_context;
}

namespace loyal::replica {

struct HttpAnswer {
    unsigned status = 200;
    std::string content_type;
    std::string body;
};

class HttpServer {
 public:
    // `answer` gets the path of a GET; status 404 and the like are its business.
    HttpServer(boost::asio::io_context& loop, std::function<HttpAnswer(const std::string& path)> answer);
    ~HttpServer();

    [[nodiscard]] Result<void> listen(const std::string& address, std::uint16_t port);
    void stop();
    [[nodiscard]] std::uint16_t port() const;

 private:
    struct State;
    std::shared_ptr<State> state_;
};

}  // namespace loyal::replica
