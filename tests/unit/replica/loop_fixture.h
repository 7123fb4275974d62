// An event loop that a test runs until what it waits for has happened, and raw TCP clients of 127.0.0.1.
#pragma once

#include <gtest/gtest.h>

#include <boost/asio/connect.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/write.hpp>
#include <chrono>
#include <functional>
#include <string>

namespace loyal::replica::test {

class LoopTest : public ::testing::Test {
 protected:
    using Socket = boost::asio::ip::tcp::socket;

    // False when it did not happen in time.
    bool until(const std::function<bool()>& happened, std::chrono::milliseconds limit = std::chrono::seconds(20)) {
        const auto deadline = std::chrono::steady_clock::now() + limit;
        while (!happened()) {
            if (std::chrono::steady_clock::now() > deadline) {
                return false;
            }
            loop_.restart();
            loop_.run_one_for(std::chrono::milliseconds(20));
        }
        return true;
    }
    Socket connect(std::uint16_t port) {
        Socket socket(loop_);
        socket.connect({boost::asio::ip::make_address("127.0.0.1"), port});
        return socket;
    }
    void write(Socket& socket, const std::vector<std::uint8_t>& bytes) {
        boost::system::error_code ignored;  // the other side may have closed already
        boost::asio::write(socket, boost::asio::buffer(bytes), ignored);
    }
    // Everything that arrives until the other side closes; the loop goes on meanwhile.
    bool closed(Socket& socket, std::string* got = nullptr) {
        bool done = false;
        std::function<void()> read = [&] {
            socket.async_read_some(boost::asio::buffer(buffer_),
                                   [&](const boost::system::error_code& error, std::size_t bytes) {
                                       if (got != nullptr) {
                                           got->append(buffer_.data(), bytes);
                                       }
                                       done = static_cast<bool>(error);
                                       if (!done) {
                                           read();
                                       }
                                   });
        };
        read();
        return until([&] { return done; });
    }

    boost::asio::io_context loop_{1};
    std::array<char, 4096> buffer_{};
};

}  // namespace loyal::replica::test
