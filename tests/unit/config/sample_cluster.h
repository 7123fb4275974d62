#pragma once

#include <algorithm>
#include <string>

#include "config/cluster.h"
#include "crypto/identity.h"

namespace loyal::config::test {

inline crypto::PublicKey key_of(std::uint8_t number) {
    std::array<std::uint8_t, 32> seed{};
    seed.fill(number);
    return crypto::Identity::from_seed(seed).public_key();
}

// Four replicas with the keys 1 to 4, two clients with the keys 101 and 102.
inline Cluster sample_cluster(std::size_t n = 4) {
    Cluster cluster;
    cluster.instance = "00112233445566778899aabbccddeeff";
    for (std::size_t i = 0; i < n; ++i) {
        ReplicaEntry replica;
        replica.id = static_cast<std::uint16_t>(i);
        replica.public_key = key_of(static_cast<std::uint8_t>(i + 1));
        replica.advertise = replica.listen = "127.0.0.1";
        replica.peer_port = static_cast<std::uint16_t>(7400 + i);
        replica.client_port = static_cast<std::uint16_t>(7500 + i);
        replica.http_port = static_cast<std::uint16_t>(7600 + i);
        cluster.replicas.push_back(replica);
    }
    cluster.clients.push_back({"default", key_of(101), right_read | right_write});
    cluster.clients.push_back({"admin", key_of(102), right_read | right_write | right_admin});
    cluster.cluster_id = compute_cluster_id(cluster);
    return cluster;
}

// The first occurrence of `from`, which must be there.
inline std::string replaced(std::string text, const std::string& from, const std::string& to) {
    const auto place = text.find(from);
    if (place == std::string::npos) {
        throw std::logic_error("the sample has no \"" + from + "\"");
    }
    return text.replace(place, from.size(), to);
}

}  // namespace loyal::config::test
