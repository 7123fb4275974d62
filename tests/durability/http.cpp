#include "tests/durability/http.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cstdlib>

namespace loyal::durability {

std::string http_get(std::uint16_t port, const std::string& path) {
    const int link = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const timeval limit{2, 0};
    ::setsockopt(link, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    std::string answer;
    if (::connect(link, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) {
        const std::string request = "GET " + path + " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        (void)::send(link, request.data(), request.size(), MSG_NOSIGNAL);
        char buffer[4096];
        for (ssize_t got = 0; (got = ::recv(link, buffer, sizeof buffer, 0)) > 0;) {
            answer.append(buffer, static_cast<std::size_t>(got));
        }
    }
    ::close(link);
    const std::size_t head = answer.find("\r\n\r\n");
    return head == std::string::npos ? "" : answer.substr(head + 4);
}

std::optional<double> metric(std::uint16_t port, const std::string& name) {
    const std::string page = "\n" + http_get(port, "/metrics");
    const std::size_t at = page.find("\n" + name + " ");
    return at == std::string::npos ? std::nullopt : std::optional(std::atof(page.c_str() + at + name.size() + 2));
}

bool serves(std::uint16_t port) {
    return http_get(port, "/health").find("\"status\":\"ok\"") != std::string::npos;
}

}  // namespace loyal::durability
