#include <algorithm>

#include "config/cluster.h"
#include "crypto/canonical.h"

namespace loyal::config {

crypto::Digest compute_cluster_id(const Cluster& cluster, const ProtocolRules& rules) {
    crypto::CanonicalWriter out;
    out.sized(view_of(cluster.instance)).number(rules.protocol_version);
    out.number(static_cast<std::uint8_t>(cluster.fault_model));
    out.number(static_cast<std::uint16_t>(cluster.replicas.size()));
    for (const auto& replica : cluster.replicas) {
        out.number(replica.id).raw(replica.public_key.bytes);
    }
    std::vector<const ClientEntry*> clients;
    for (const auto& client : cluster.clients) {
        clients.push_back(&client);
    }
    std::sort(clients.begin(), clients.end(), [](auto* a, auto* b) { return a->name < b->name; });
    out.number(static_cast<std::uint32_t>(clients.size()));
    for (const auto* client : clients) {
        out.sized(view_of(client->name)).raw(client->public_key.bytes).number(client->rights);
    }
    out.sized(view_of(rules.hash)).sized(view_of(rules.signature));
    if (!cluster.genesis_state.is_zero()) {
        out.sized(view_of("genesis")).digest(cluster.genesis_state).digest(cluster.genesis_cluster);
    }
    return crypto::digest_of("cluster", out.view());
}

}  // namespace loyal::config
