// Any text given as a cluster.toml yields a cluster that keeps every rule, or a named error. What is accepted is
// written and read again to the same cluster.
#include <array>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "config/cluster.h"
#include "config/limits.h"
#include "crypto/identity.h"

namespace {

using namespace loyal;

void require(bool truth) {
    if (!truth) {
        std::abort();
    }
}

// A genuine file, so that edits of it get past the first check.
const std::string& genuine() {
    static const std::string text = [] {
        config::Cluster cluster;
        cluster.instance = "00112233445566778899aabbccddeeff";
        for (std::uint16_t i = 0; i < 4; ++i) {
            std::array<std::uint8_t, 32> seed{};
            seed.fill(static_cast<std::uint8_t>(i + 1));
            const auto port = static_cast<std::uint16_t>(1000 + i);
            cluster.replicas.push_back({i,
                                        crypto::Identity::from_seed(seed).public_key(),
                                        "h",
                                        "h",
                                        port,
                                        static_cast<std::uint16_t>(port + 100),
                                        static_cast<std::uint16_t>(port + 200),
                                        {}});
        }
        std::array<std::uint8_t, 32> seed{};
        seed.fill(99);
        cluster.clients.push_back({"default", crypto::Identity::from_seed(seed).public_key(), config::right_read});
        cluster.cluster_id = config::compute_cluster_id(cluster);
        return config::render_cluster(cluster);
    }();
    return text;
}

void check(std::string_view text) {
    const auto cluster = config::parse_cluster(text, "cluster.toml");
    if (!cluster) {
        require(!cluster.error().message.empty());
        return;
    }
    const auto n = cluster->replicas.size();
    require(n >= limits::replicas_min && n <= limits::replicas_max);
    require(cluster->clients.size() <= limits::clients_max);
    require(cluster->window >= 1 && cluster->window <= limits::window_max);
    require(cluster->membership().quorum().is_sound());
    require(cluster->cluster_id == config::compute_cluster_id(*cluster));
    const auto again = config::parse_cluster(config::render_cluster(*cluster), "cluster.toml");
    require(again.has_value() && config::render_cluster(*again) == config::render_cluster(*cluster));
}

}  // namespace

// First byte even: the rest is the file. Odd: the rest replaces what follows a position of the genuine file, two bytes
// of which are the position and the next the number of bytes that are dropped.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    crypto::initialize();
    const std::string_view input = text_of({data, size});
    if (size < 4 || data[0] % 2 == 0) {
        check(input.substr(size == 0 ? 0 : 1));
        return 0;
    }
    std::string text = genuine();
    const std::size_t place = (data[1] * std::size_t{256} + data[2]) % text.size();
    text.replace(place, data[3], input.substr(4));
    check(text);
    return 0;
}
