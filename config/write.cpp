#include <fmt/format.h>

#include <iterator>

#include "config/cluster.h"
#include "config/limits.h"
#include "config/log_quota.h"
#include "config/validate.h"
#include "consensus/quorum.h"
#include "crypto/identity.h"

namespace loyal::config {
namespace {

// Every text written here is hexadecimal, base64, a name or a host; none of these can contain what TOML escapes, and
// init reads its own file back before it publishes it.
using Out = std::back_insert_iterator<std::string>;

void write_cluster_table(Out out, const Cluster& cluster) {
    const auto quorum = consensus::Quorum::of(cluster.fault_model, cluster.replicas.size());
    const ProtocolRules rules;
    fmt::format_to(
        out,
        R"(# A LoyalKV cluster. This file is public: copy it unchanged to every machine of the cluster and to its clients.
# A replica needs this file, its own key and nothing else.

[cluster]
# The id is a hash of the instance, the rules, the fault model and everybody's keys and rights: none of these can be
# edited. Addresses, ports, limits and timers can, while the cluster is down and alike on every machine.
id = "{}"
instance = "{}"
protocol_version = {}
hash = "{}"
signature = "{}"
)",
        cluster.cluster_id.hex(), cluster.instance, rules.protocol_version, rules.hash, rules.signature);
    fmt::format_to(out, "fault_model = \"{}\"\n", name_of(cluster.fault_model));
    if (cluster.fault_model == consensus::FaultModel::crash) {
        fmt::format_to(out, "crash_mode = \"{}\"\n", cluster.crash_mode == CrashMode::stop ? "stop" : "recovery");
    }
    fmt::format_to(out, "replicas = {}  # tolerates {} faulty, needs {} to decide\n", quorum.n, quorum.f, quorum.q);
    fmt::format_to(out, "epoch = {}\n", cluster.epoch);
    if (!cluster.genesis_state.is_zero()) {
        fmt::format_to(out,
                       "genesis_state = \"{}\"  # root of the state that it was restored with\n"
                       "genesis_cluster = \"{}\"  # whose state that was at first\n",
                       cluster.genesis_state.hex(), cluster.genesis_cluster.hex());
    }
    fmt::format_to(out, "experiments = {}  # whether faults may be injected\n\n", cluster.experiments);
}

void write_settings(Out out, const Cluster& cluster) {
    fmt::format_to(out, R"([limits]
# Fixed in the program: keys up to {} bytes, values up to {} bytes.
window = {}  # blocks in flight, 1 to {}
log_quota_bytes = {}  # of one replica's log; 0 means what checkpoint_interval needs, now {}
checkpoint_interval = {}  # blocks between two checkpoints of the state; the same in every replica's file
history_revisions = {}  # older revisions are forgotten, {} to {}; the same in every replica's file

[timers]
heartbeat_ms = {}
order_latency_ms = {}  # first guess of the time from a request to its commit
progress_min_ms = {}  # a primary without progress is replaced after this at the earliest
progress_max_ms = {}
precision_ms = {}  # how far apart the replicas' clocks may be
message_delay_ms = {}  # how long a proposal may be on its way
detector = "{}"  # "adaptive": goes by what was measured; "fixed": by the numbers above alone
phi_threshold = {}  # adaptive: a primary is silent when the odds against it are 10 to the power of this
tenure_ms = {}  # byzantine: a busy primary hands over after this; 0 means it stays until it is deposed
tenure_blocks = {}  # ... or after so many blocks; 0 means any number
recovery_rotation_ms = {}  # for a replica that lost its votes the others change views at most once in so long
)",
                   limits::key_bytes_max, limits::value_bytes_max, cluster.window, limits::window_max,
                   cluster.log_quota_bytes, log_quota_of(cluster), cluster.checkpoint_interval,
                   cluster.history_revisions, limits::history_revisions_min, limits::history_revisions_max,
                   cluster.timers.heartbeat_ms, cluster.timers.order_latency_ms, cluster.timers.progress_min_ms,
                   cluster.timers.progress_max_ms, cluster.timers.precision_ms, cluster.timers.message_delay_ms,
                   cluster.timers.adaptive ? "adaptive" : "fixed", cluster.timers.phi_threshold,
                   cluster.timers.tenure_ms, cluster.timers.tenure_blocks, cluster.timers.recovery_rotation_ms);
}

void write_replica(Out out, const ReplicaEntry& replica) {
    fmt::format_to(out, R"(
[[replica]]
id = {}
public_key = "{}"
advertise = "{}"
listen = "{}"
peer_port = {}
client_port = {}
http_port = {}
)",
                   replica.id, crypto::to_base64(replica.public_key.bytes), replica.advertise, replica.listen,
                   replica.peer_port, replica.client_port, replica.http_port);
    if (!replica.fault.empty()) {
        fmt::format_to(out, "fault = \"{}\"  # experiments: in force from the start\n", replica.fault);
    }
}

void write_client(Out out, const ClientEntry& client) {
    const auto names = names_of_rights(client.rights);
    fmt::format_to(out, R"(
[[client]]
name = "{}"
public_key = "{}"
rights = ["{}"]
)",
                   client.name, crypto::to_base64(client.public_key.bytes), fmt::join(names, "\", \""));
}

}  // namespace

std::string render_cluster(const Cluster& cluster) {
    std::string text;
    const Out out = std::back_inserter(text);
    write_cluster_table(out, cluster);
    write_settings(out, cluster);
    fmt::format_to(out, "\n# The replicas. Others dial `advertise`; the replica itself binds `listen`.\n");
    for (const auto& replica : cluster.replicas) {
        write_replica(out, replica);
    }
    fmt::format_to(
        out, "\n# The clients that the cluster knows from its birth; later changes live in its replicated state.\n");
    for (const auto& client : cluster.clients) {
        write_client(out, client);
    }
    return text;
}

}  // namespace loyal::config
