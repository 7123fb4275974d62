#include "replica/listener.h"

#include <boost/asio/io_context.hpp>
#include <utility>

namespace loyal::replica {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;

constexpr std::chrono::milliseconds pause_after_error{100};

}  // namespace

Listener::Listener(asio::io_context& loop, std::function<void(Socket)> accepted)
    : acceptor_(loop), pause_(loop), accepted_(std::move(accepted)) {}

Result<std::shared_ptr<Listener>> Listener::open(asio::io_context& loop, const std::string& what,
                                                 const std::string& address, std::uint16_t port,
                                                 std::function<void(Socket)> accepted) {
    boost::system::error_code error;
    tcp::resolver resolver(loop);
    const auto found = resolver.resolve(address, std::to_string(port), tcp::resolver::passive, error);
    const std::string where = what + " on " + address + " port " + std::to_string(port);
    if (error || found.empty()) {
        return fail(Errc::conflict, "cannot listen for " + where + ": " + error.message() +
                                        "; `listen` in cluster.toml must name an address of this machine");
    }
    std::shared_ptr<Listener> listener(new Listener(loop, std::move(accepted)));
    const tcp::endpoint endpoint = found.begin()->endpoint();
    tcp::acceptor& acceptor = listener->acceptor_;
    acceptor.open(endpoint.protocol(), error);
    if (!error) {
        acceptor.set_option(asio::socket_base::reuse_address(true), error);
    }
    if (!error) {
        acceptor.bind(endpoint, error);
    }
    if (!error) {
        acceptor.listen(asio::socket_base::max_listen_connections, error);
    }
    if (error) {
        return fail(Errc::conflict, "cannot listen for " + where + ": " + error.message() +
                                        "; stop what uses the port, or give this replica another one in cluster.toml");
    }
    return listener;
}

void Listener::start() {
    acceptor_.async_accept([self = shared_from_this()](const boost::system::error_code& error, Socket socket) {
        if (self->stopped_) {
            return;
        }
        if (!error) {
            self->accepted_(std::move(socket));
            self->start();
            return;
        }
        self->pause_.expires_after(pause_after_error);
        self->pause_.async_wait([self](const boost::system::error_code& cancelled) {
            if (!cancelled && !self->stopped_) {
                self->start();
            }
        });
    });
}

void Listener::stop() {
    stopped_ = true;
    boost::system::error_code ignored;
    acceptor_.close(ignored);
    pause_.cancel();
}

std::uint16_t Listener::port() const {
    boost::system::error_code error;
    const auto endpoint = acceptor_.local_endpoint(error);
    return error ? std::uint16_t{0} : endpoint.port();
}

}  // namespace loyal::replica
