#include "config/ports.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <set>

#include "config/files.h"

namespace loyal::config {
namespace {

using testing::HasSubstr;

bool can_listen(std::uint16_t port) {
    const FileHandle socket(::socket(AF_INET, SOCK_STREAM, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(port);
    return ::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 &&
           ::listen(socket.get(), 1) == 0;
}

TEST(FindFreePorts, gives_different_ones_that_can_be_listened_on) {
    // So many that, drawn from some 22,000 without looking, two would almost surely be alike.
    constexpr std::size_t count = 600;
    const auto ports = find_free_ports(std::vector<std::string>(count, "127.0.0.1"));
    ASSERT_TRUE(ports) << ports.error().message;
    EXPECT_EQ(std::set<std::uint16_t>(ports->begin(), ports->end()).size(), count);
    for (const auto port : *ports) {
        EXPECT_TRUE(can_listen(port)) << port;
    }
}

TEST(FindFreePorts, says_which_address_is_not_of_this_machine) {
    const auto ports = find_free_ports({"127.0.0.1", "203.0.113.7"});
    ASSERT_FALSE(ports);
    EXPECT_THAT(ports.error().message, HasSubstr("203.0.113.7"));
    EXPECT_THAT(ports.error().message, HasSubstr("--base-port"));
    EXPECT_FALSE(find_free_ports({"no-address"}));
}

TEST(IsAddress, tells_addresses_from_names) {
    for (const auto* address : {"127.0.0.1", "::1", "fd00::9", "0.0.0.0"}) {
        EXPECT_TRUE(is_address(address)) << address;
    }
    for (const auto* name : {"localhost", "alpha.example", "", "1.2.3.4.5"}) {
        EXPECT_FALSE(is_address(name)) << name;
    }
}

}  // namespace
}  // namespace loyal::config
