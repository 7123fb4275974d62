// Strangers on the replicas' ports: whatever bytes come, no replica dies and the cluster serves on.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <random>
#include <regex>

#include "tests/system/cluster.h"

namespace loyal::system_test {
namespace {

std::vector<std::uint16_t> ports_of(const ClusterOfProcesses& cluster) {
    const std::string file = read_text(cluster.folder() / "cluster.toml");
    const std::regex port("_port = ([0-9]+)");
    std::vector<std::uint16_t> ports;
    for (std::sregex_iterator match(file.begin(), file.end(), port), end; match != end; ++match) {
        ports.push_back(static_cast<std::uint16_t>(std::stoi((*match)[1])));
    }
    return ports;
}

class Connection {
 public:
    explicit Connection(std::uint16_t port) : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_port = htons(port);
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        connected_ = ::connect(socket_, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
    }
    ~Connection() { ::close(socket_); }
    Connection(const Connection&) = delete;
    Connection& operator=(const Connection&) = delete;

    [[nodiscard]] bool connected() const { return connected_; }
    void send(const std::string& bytes) const { (void)::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL); }
    // Until the other side closes, or for `limit_ms`.
    [[nodiscard]] bool closed_within(int limit_ms) const {
        char buffer[4096];
        for (;;) {
            pollfd entry{socket_, POLLIN, 0};
            if (::poll(&entry, 1, limit_ms) <= 0) {
                return false;
            }
            if (::recv(socket_, buffer, sizeof buffer, 0) <= 0) {
                return true;
            }
        }
    }

 private:
    int socket_;
    bool connected_ = false;
};

std::vector<std::string> garbage() {
    std::mt19937 random(11);
    std::uniform_int_distribution<int> byte(0, 255);
    const auto noise = [&](std::size_t size) {
        std::string text(size, '\0');
        for (char& c : text) {
            c = static_cast<char>(byte(random));
        }
        return text;
    };
    const auto framed = [](std::uint32_t length, const std::string& body) {
        std::string text;
        for (unsigned shift = 0; shift < 32; shift += 8) {
            text.push_back(static_cast<char>(length >> shift & 0xFFU));
        }
        return text + body;
    };
    return {"",
            std::string(4, '\0'),                          // an empty frame
            framed(0xFFFFFFFF, "x"),                       // 4 GiB announced
            framed(4U << 20U, noise(1000)),                // the largest frame, cut short
            framed(100, noise(100)),                       // a frame of noise
            framed(512, noise(512)) + framed(7, "hello"),  // and another behind it
            "GET / HTTP/1.1\r\n\r\n",
            "GET /" + std::string(100'000, 'a') + " HTTP/1.1\r\n\r\n",
            "POST /metrics HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n",
            noise(70'000)};
}

TEST(Garbage, no_replica_dies_of_what_strangers_send) {
    ClusterOfProcesses cluster;
    cluster.up();
    ASSERT_EQ(cluster.loyal({"put", "k", "v"}).exit, 0);
    std::vector<pid_t> pids;
    for (int id = 0; id < 4; ++id) {
        pids.push_back(cluster.pid_of(id));
    }
    const std::vector<std::uint16_t> ports = ports_of(cluster);
    ASSERT_EQ(ports.size(), 12U);
    for (const std::uint16_t port : ports) {
        for (const std::string& bytes : garbage()) {
            const Connection stranger(port);
            ASSERT_TRUE(stranger.connected()) << port;
            stranger.send(bytes);
        }
    }
    for (int id = 0; id < 4; ++id) {
        const auto index = static_cast<std::size_t>(id);
        EXPECT_EQ(::kill(pids[index], 0), 0) << "replica " << id << " is gone";
        EXPECT_EQ(cluster.pid_of(id), pids[index]);
    }
    EXPECT_EQ(cluster.loyal({"put", "k", "w"}).exit, 0);
    EXPECT_EQ(cluster.get("k"), "w");
    EXPECT_EQ(cluster.loyal({"status"}).exit, 0);
}

// A frame that announces more than any frame has ends the connection; it does not wait for 4 GiB.
TEST(Garbage, an_impossible_length_ends_the_connection) {
    ClusterOfProcesses cluster;
    cluster.up();
    const std::vector<std::uint16_t> ports = ports_of(cluster);
    for (std::size_t i = 0; i < ports.size(); ++i) {
        if (i % 3 == 2) {
            continue;  // HTTP
        }
        const Connection stranger(ports[i]);
        stranger.send(std::string(4, '\xFF') + "x");
        EXPECT_TRUE(stranger.closed_within(15'000)) << ports[i];
    }
}

// Connections that say nothing must not keep others out.
TEST(Garbage, many_mute_connections_do_not_keep_clients_out) {
    ClusterOfProcesses cluster;
    cluster.up();
    std::vector<std::unique_ptr<Connection>> mute;
    for (const std::uint16_t port : ports_of(cluster)) {
        for (int i = 0; i < 50; ++i) {
            mute.push_back(std::make_unique<Connection>(port));
        }
    }
    EXPECT_EQ(cluster.loyal({"put", "k", "v", "--timeout", "20s"}).exit, 0);
    EXPECT_EQ(cluster.get("k"), "v");
}

}  // namespace
}  // namespace loyal::system_test
