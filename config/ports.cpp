#include "config/ports.h"

#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <memory>
#include <set>
#include <system_error>
#include <utility>

#include "config/files.h"
#include "crypto/random.h"

namespace loyal::config {
namespace {

using AddressList = std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)>;

AddressList resolve(const std::string& address) {
    addrinfo hints{};
    hints.ai_flags = AI_NUMERICHOST | AI_PASSIVE;  // never asks a name server
    hints.ai_socktype = SOCK_STREAM;
    addrinfo* list = nullptr;
    if (::getaddrinfo(address.c_str(), nullptr, &hints, &list) != 0) {
        list = nullptr;
    }
    return {list, &::freeaddrinfo};
}

// First port of the range for outgoing connections.
std::uint16_t outgoing_ports_begin() {
    constexpr std::uint16_t linux_default = 32768;
    std::array<std::uint8_t, 64> buffer{};
    const auto size = read_file("/proc/sys/net/ipv4/ip_local_port_range", buffer, Secrecy::open_to_all);
    std::uint16_t begin = 0;
    const auto text = text_of(ByteView(buffer).first(size.value_or(0)));
    const auto parsed = std::from_chars(text.data(), text.data() + text.size(), begin);
    return parsed.ec == std::errc() ? begin : linux_default;
}

void set_port(sockaddr_storage& address, std::uint16_t port) noexcept {
    if (address.ss_family == AF_INET6) {
        reinterpret_cast<sockaddr_in6*>(&address)->sin6_port = htons(port);
    } else {
        reinterpret_cast<sockaddr_in*>(&address)->sin_port = htons(port);
    }
}

std::uint16_t port_of(const sockaddr_storage& address) noexcept {
    return ntohs(address.ss_family == AF_INET6 ? reinterpret_cast<const sockaddr_in6*>(&address)->sin6_port
                                               : reinterpret_cast<const sockaddr_in*>(&address)->sin_port);
}

class PortFinder {
 public:
    PortFinder() : range_end_(outgoing_ports_begin()) {}

    [[nodiscard]] Result<std::uint16_t> find(const std::string& host) {
        const AddressList list = resolve(host);
        if (list == nullptr) {
            return fail(Errc::invalid_argument, host + " is not an address");
        }
        sockaddr_storage address{};
        std::memcpy(&address, list->ai_addr, list->ai_addrlen);
        constexpr int attempts_max = 200;
        for (int attempt = 0; attempt < attempts_max; ++attempt) {
            // Should the range be crowded, the last attempts take whatever the kernel gives.
            const std::uint16_t wanted = attempt < attempts_max / 2 ? random_port() : 0;
            const int error = bind_to(address, list->ai_addrlen, wanted);
            if (error == 0) {
                return chosen_;
            }
            if (error != EADDRINUSE && error != EACCES) {
                return fail(Errc::unavailable, "cannot bind " + host +
                                                   " to find a free port: " + std::generic_category().message(error) +
                                                   "; give the ports of other machines with --base-port");
            }
        }
        return fail(Errc::unavailable, "found no free port on " + host + "; give ports with --base-port");
    }

 private:
    [[nodiscard]] std::uint16_t random_port() const noexcept {
        constexpr std::uint16_t range_begin = 10240;  // well above where services live
        if (range_end_ < range_begin + 1000) {
            return 0;
        }
        return static_cast<std::uint16_t>(range_begin + crypto::random_u64() % (range_end_ - range_begin));
    }

    // Returns 0 or errno; keeps the socket, and with it the port.
    [[nodiscard]] int bind_to(sockaddr_storage& address, socklen_t size, std::uint16_t port) {
        FileHandle socket(::socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
        if (!socket.valid()) {
            return errno;
        }
        set_port(address, port);
        if (::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), size) != 0) {
            return errno;
        }
        sockaddr_storage bound{};
        socklen_t bound_size = sizeof bound;
        if (::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&bound), &bound_size) != 0) {
            return errno;
        }
        chosen_ = port_of(bound);
        if (!taken_.insert(chosen_).second) {  // the same number on another address
            return EADDRINUSE;
        }
        held_.push_back(std::move(socket));
        return 0;
    }

    std::uint16_t range_end_;
    std::uint16_t chosen_ = 0;
    std::set<std::uint16_t> taken_;
    std::vector<FileHandle> held_;
};

}  // namespace

Result<std::vector<std::uint16_t>> find_free_ports(const std::vector<std::string>& addresses) {
    PortFinder finder;
    std::vector<std::uint16_t> ports;
    for (const auto& address : addresses) {
        const auto port = finder.find(address);
        if (!port) {
            return tl::unexpected(port.error());
        }
        ports.push_back(*port);
    }
    return ports;
}

bool is_address(const std::string& host) {
    return resolve(host) != nullptr;
}

}  // namespace loyal::config
