#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <functional>
#include <set>

#include "config/cluster.h"
#include "tests/unit/config/sample_cluster.h"

namespace loyal::config {
namespace {

using test::key_of;
using test::sample_cluster;

using Change = std::function<void(Cluster&, ProtocolRules&)>;

// A hash is forever: signatures and data folders carry it. This one must not change between releases that claim the
// same protocol version.
TEST(ClusterId, is_stable) {
    EXPECT_EQ(sample_cluster().cluster_id.hex(), "e2fcc6f1dbd60f1ef4bd700303dd34a42fac10a7cb48f55cb12a4350d0aafa99");
}

TEST(ClusterId, changes_with_each_field_it_covers) {
    const Change changes[] = {
        [](Cluster& c, ProtocolRules&) { c.instance = "another"; },
        [](Cluster&, ProtocolRules& r) { r.protocol_version = 2; },
        [](Cluster& c, ProtocolRules&) { c.fault_model = consensus::FaultModel::crash; },
        [](Cluster& c, ProtocolRules&) { c.replicas.pop_back(); },
        [](Cluster& c, ProtocolRules&) { c.replicas[2].id = 7; },
        [](Cluster& c, ProtocolRules&) { c.replicas[2].public_key = key_of(60); },
        [](Cluster& c, ProtocolRules&) { std::swap(c.replicas[0].public_key, c.replicas[1].public_key); },
        [](Cluster& c, ProtocolRules&) { c.clients.pop_back(); },
        [](Cluster& c, ProtocolRules&) {
            c.clients.push_back({"third", key_of(103), right_read});
        },
        [](Cluster& c, ProtocolRules&) { c.clients[0].public_key = key_of(61); },
        [](Cluster& c, ProtocolRules&) { c.clients[0].rights = right_read; },
        [](Cluster& c, ProtocolRules&) { c.clients[0].name = "other"; },
        [](Cluster& c, ProtocolRules&) { c.genesis_state = c.genesis_cluster = crypto::digest_of("a", {}); },
        [](Cluster& c, ProtocolRules&) {
            c.genesis_state = crypto::digest_of("a", {});
            c.genesis_cluster = crypto::digest_of("b", {});
        },
        [](Cluster&, ProtocolRules& r) { r.hash = "blake3"; },
        [](Cluster&, ProtocolRules& r) { r.signature = "ed25519-zip215"; },
        // The same letters, cut differently between two fields.
        [](Cluster&, ProtocolRules& r) {
            r.signature = r.hash.substr(r.hash.size() - 1) + r.signature;
            r.hash.pop_back();
        },
    };
    std::set<crypto::Digest> ids = {sample_cluster().cluster_id};
    for (std::size_t i = 0; i < std::size(changes); ++i) {
        Cluster cluster = sample_cluster();
        ProtocolRules rules;
        changes[i](cluster, rules);
        EXPECT_TRUE(ids.insert(compute_cluster_id(cluster, rules)).second) << "change " << i;
    }
}

TEST(ClusterId, does_not_depend_on_the_order_of_clients_in_the_file) {
    Cluster cluster = sample_cluster();
    std::swap(cluster.clients[0], cluster.clients[1]);
    EXPECT_EQ(compute_cluster_id(cluster), sample_cluster().cluster_id);
}

RC_GTEST_PROP(ClusterId, is_unaffected_by_everything_else, ()) {
    Cluster cluster = sample_cluster();
    const auto number = [] { return *rc::gen::arbitrary<std::uint16_t>(); };
    const auto text = [] { return *rc::gen::arbitrary<std::string>(); };
    for (auto& replica : cluster.replicas) {
        replica.advertise = text();
        replica.listen = text();
        replica.peer_port = number();
        replica.client_port = number();
        replica.http_port = number();
    }
    cluster.directory = text();
    cluster.epoch = number();
    cluster.crash_mode = number() % 2 == 0 ? CrashMode::recovery : CrashMode::stop;
    cluster.experiments = number() % 2 == 0;
    cluster.window = number();
    cluster.log_quota_bytes = number();
    cluster.timers = {number(), number(),          number(), number(), number(),
                      number(), number() % 2 == 0, 3.5,      number(), number()};
    cluster.cluster_id = {};
    RC_ASSERT(compute_cluster_id(cluster) == sample_cluster().cluster_id);
}

}  // namespace
}  // namespace loyal::config
