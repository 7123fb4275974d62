// Listener: accepts TCP connections on one address for an owner on the event loop. Survives everything that accept may
// say (file descriptors exhausted: it waits a little and goes on).
#pragma once

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <memory>
#include <string>

#include "config/result.h"

namespace loyal::replica {

class Listener : public std::enable_shared_from_this<Listener> {
 public:
    using Socket = boost::asio::ip::tcp::socket;
    // Errc::conflict: the port is taken, or the address is not of this machine; the message names both.
    [[nodiscard]] static Result<std::shared_ptr<Listener>> open(boost::asio::io_context& loop, const std::string& what,
                                                                const std::string& address, std::uint16_t port,
                                                                std::function<void(Socket)> accepted);
    void start();
    void stop();
    [[nodiscard]] std::uint16_t port() const;

 private:
    Listener(boost::asio::io_context& loop, std::function<void(Socket)> accepted);

    boost::asio::ip::tcp::acceptor acceptor_;
    boost::asio::steady_timer pause_;
    std::function<void(Socket)> accepted_;
    bool stopped_ = false;
};

}  // namespace loyal::replica
